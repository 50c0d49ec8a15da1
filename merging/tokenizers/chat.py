"""The chat template of a merge: a parent's, a well-known one, or the recipe's own text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from merging.checkpoints.folder import read_json
from merging.errors import ModelError
from merging.planning.checks import Check
from merging.tokenizers.templates import NAMED, is_text, markers
from merging.wording import in_words

if TYPE_CHECKING:
    from merging.checkpoints.parents import Parents

TITLE = "Chat template"
TEMPLATE = "chat_template.jinja"
MORE_TEMPLATES = "additional_chat_templates"
TEMPLATE_NAME = re.compile(r"[\w-]{1,64}")


@dataclass(frozen=True)
class Templates:
    """The chat templates that a merge gets.

    Attributes:
        texts: by name, the usual one being "default"; empty for none.
        giver: the parent they come from; None where they come from elsewhere.
        end: the token that ends an answer, where the template's format has one of its own.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    giver: str | None = None
    end: str | None = None


def choose_templates(parents: Parents) -> Templates:
    """The merge's chat templates; "auto" looks for one in instruct, base and the others.

    Raises:
        ModelError: a parent's template cannot be read.
    """
    policy = parents.recipe.chat_template
    if policy == "none":
        return Templates()
    if policy not in parents.by_ref:
        if policy in NAMED:
            return Templates({"default": NAMED[policy].text}, end=NAMED[policy].end)
        if is_text(policy):
            return Templates({"default": policy})
    first = wanted_giver(parents)
    for ref in [first, *parents.by_ref] if policy == "auto" else [first]:
        found = read_templates(parents.by_ref[ref].folder, label=ref)
        if found:
            return Templates(found, ref)
    return Templates()


def wanted_giver(parents: Parents) -> str:
    """The parent that is asked first for a chat template."""
    recipe = parents.recipe
    instruct = next((one.model for one in recipe.models if one.role == "instruct"), None)
    if recipe.chat_template in parents.by_ref:
        return recipe.chat_template
    if recipe.chat_template == "base" and recipe.base is not None:
        return recipe.base
    return instruct or recipe.config_donor


def check_chat(parents: Parents) -> Iterator[Check]:
    """Where the chat template comes from, and whether the tokenizer knows what it writes."""
    recipe = parents.recipe
    if recipe.chat_template == "none":
        return
    found = choose_templates(parents)
    wanted = wanted_giver(parents)
    if not found.texts:
        asked = recipe.chat_template != "auto"
        if asked or any(one.role == "instruct" for one in recipe.models):
            yield Check(
                TITLE,
                "warn",
                f"{wanted} has no chat template.",
                "The merge can continue text, but chatting with it has no format.",
            )
        return
    tokens = parents.vocabulary.tokens
    written = [text for name, text in found.texts.items() if name == "default"]
    strange = [one for text in written for one in markers(text) if tokens and one not in tokens]
    if strange:
        yield Check(
            TITLE,
            "warn",
            f"The chat template writes {in_words(strange, most=3)}, which the merge's tokenizer "
            "cuts into pieces.",
            "Take the tokenizer of the model that the template was made for.",
        )
    elif found.giver is None:
        named = recipe.chat_template if recipe.chat_template in NAMED else "the recipe's own"
        yield Check(TITLE, "ok", f"Taken is {named}.")
    elif found.giver == wanted:
        yield Check(TITLE, "ok", f"Taken from {wanted}.")
    else:
        yield Check(TITLE, "ok", f"{wanted} has none; taken from {found.giver}.")


def read_templates(folder: Path, *, label: str) -> dict[str, str]:
    """A model's chat templates by name, the usual one being "default".

    transformers 5 keeps them in chat_template.jinja (and additional_chat_templates/), older
    versions in tokenizer_config.json, there as a text or as a list of names and texts.
    """
    found: dict[str, str] = {}
    config = folder / "tokenizer_config.json"
    if config.is_file():
        value = read_json(config, label=label).get("chat_template")
        if isinstance(value, str):
            found["default"] = value
        elif isinstance(value, list):
            for entry in value:
                if isinstance(entry, dict) and isinstance(entry.get("template"), str):
                    found[str(entry.get("name"))] = entry["template"]
    if (folder / TEMPLATE).is_file():
        found["default"] = _read_text(folder / TEMPLATE, label)
    for file in sorted((folder / MORE_TEMPLATES).glob("*.jinja")):
        found[file.stem] = _read_text(file, label)
    return {name: text for name, text in found.items() if TEMPLATE_NAME.fullmatch(name)}


def write_templates(templates: Templates, folder: Path) -> None:
    """Write chat templates as transformers 5 keeps them."""
    for name, text in templates.texts.items():
        if name == "default":
            (folder / TEMPLATE).write_text(text, "utf-8")
        else:
            (folder / MORE_TEMPLATES).mkdir(exist_ok=True)
            (folder / MORE_TEMPLATES / f"{name}.jinja").write_text(text, "utf-8")


def _read_text(file: Path, label: str) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise ModelError(f"{label}: {file.name} is not UTF-8 text.") from None
    except OSError as error:
        raise ModelError(f"{label}: {file.name} cannot be read: {error.strerror}.") from None
