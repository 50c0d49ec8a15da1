"""Schedules as the form edits them: kinds, ready shapes, numbers as text. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from merging.methods import OptionField
from merging.recipes import schedules

Mode = Literal["one", "layers", "modules", "none"]
TITLES: Mapping[Mode, str] = {
    "one": "One value",
    "layers": "Over the layers",
    "modules": "By module",
    "none": "As the other models",
}
# shares of the way from the lowest to the highest value
SHAPES: Mapping[str, tuple[float, ...]] = {
    "Rising": (0, 1),
    "Falling": (1, 0),
    "Hill": (0, 1, 0),
    "Valley": (1, 0, 1),
}
# title of a part of a model, and what its tensors are called: the first that the model has
PARTS: Mapping[str, tuple[str, ...]] = {
    "Attention": ("self_attn", "attn", "attention"),
    "MLP": ("mlp", "feed_forward", "ffn"),
    "Embeddings and head": ("embeddings",),
    "Norms": ("norm", "ln_"),
}
WEIGHT = OptionField(
    name="weight",
    title="Weight",
    help="",
    kind="float",
    default=1.0,
    minimum=None,
    maximum=None,
    step=0.05,
)


def mode_of(setting: Any) -> Mode:
    """The kind of a setting."""
    if setting is None:
        return "none"
    if not isinstance(setting, list):
        return "one"
    return "modules" if setting and isinstance(setting[0], dict) else "layers"


def as_mode(setting: Any, mode: Mode, field: OptionField, names: Sequence[str]) -> Any:
    """A setting turned into one of another kind, which keeps as much of it as there is room for.

    Args:
        setting: what there is; None for nothing.
        mode: what it is to be.
        field: the option.
        names: of the model's tensors, so that the parts are called what they are called there.
    """
    if mode == mode_of(setting) or (mode == "layers" and not is_number(field)):
        return setting
    if mode == "none":
        return None
    # a word that is no number yet is not kept
    usable = [one for one in schedules.values(setting) if _suits(one, field)]
    one = usable[0] if usable else field.default
    if mode_of(setting) == "layers" and is_number(field) and usable:
        one = max(usable)  # what the ready shapes rise to
    if mode == "one":
        return one
    if mode == "layers":
        return shape("Rising", one, field)
    value = setting if mode_of(setting) == "layers" else one
    filters = [filter_of(title, names) for title in ("Attention", "MLP")]
    return [{"filter": each, "value": value} for each in filters] + [{"value": one}]


def shape(name: str, setting: Any, field: OptionField) -> list[Any]:
    """A ready gradient from the option's least value (or zero) to the highest in the setting."""
    low = field.minimum if field.minimum is not None else 0.0
    numbers = [one for one in schedules.values(setting) if _suits(one, field)]
    high = max([one for one in numbers if one > low], default=None)
    if high is None:
        high = field.default if field.default > low else low + 1
    points = [low + share * (high - low) for share in SHAPES[name]]
    return [round(point) if field.kind == "int" else float(point) for point in points]


def _suits(value: Any, field: OptionField) -> bool:
    if is_number(field):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, bool) == (field.kind == "bool")


def is_number(field: OptionField) -> bool:
    """Whether values of the option lie between others, so that a gradient makes sense."""
    return field.kind in ("float", "int")


def add_point(points: Sequence[Any]) -> list[Any]:
    """A gradient with one more point, drawn through what it was as nearly as it can."""
    count = len(points)
    if any(isinstance(one, str) for one in points):  # not numbers yet
        return [*points, points[-1]]
    return [schedules.resolve(list(points), "", place / count) for place in range(count + 1)]


def filter_of(title: str, names: Sequence[str]) -> str:
    """What a part of the model is called in its tensors' names."""
    wanted = PARTS[title]
    return next((f for f in wanted if any(schedules.matches(f, n) for n in names)), wanted[0])


def title_of(filter_: str | None) -> str | None:
    """The part that a filter stands for; None for one of the user's own."""
    return next((title for title, names in PARTS.items() if filter_ in names), None)


def said(value: Any) -> str:
    """A value or gradient as text that `read` gives back."""
    if isinstance(value, list):
        return ", ".join(map(said, value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def read(text: str) -> Any:
    """A value or gradient from text: numbers with commas, semicolons or spaces between them.

    What is no number stays a word: whoever checks the recipe says so.
    """
    words = text.replace(",", " ").replace(";", " ").replace("→", " ").split()
    values = [_number(word) for word in words]
    return values[0] if len(values) == 1 else values if values else text


def _number(word: str) -> Any:
    kinds: tuple[Callable[[str], Any], ...] = (int, float)
    for kind in kinds:
        try:
            return kind(word)
        except ValueError:
            continue
    return word
