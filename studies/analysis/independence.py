"""Are the instruct and the domain task vectors independent, and did adding them keep both skills?

Hirano and Imajo (arXiv:2409.19854) add expert + instruct - base because they take the two task
vectors for nearly independent. Here is the cosine of the two, over all weights, by layer and by
kind of module, beside what random vectors would give:

* Two random directions in n dimensions have a cosine of mean 0 and sd 1 / sqrt(n).
* Task vectors are large in some tensors and small in others, so fewer dimensions count. If within
  each tensor t the direction is random and the norms a_t, b_t are as they are, then

      sd = sqrt(sum_t a_t^2 b_t^2 / n_t) / (|a| |b|),     effective n = 1 / sd^2.

  Rows, columns and singular directions of unequal size make fewer still; that takes the weights
  themselves and is not in these sums, so even this sd is too small, and the z-scores too large.

Both say how far from zero a cosine is that chance would not give, not whether it is *small*: task
vectors with a cosine of 0.09 in a million dimensions are surely not random to each other and yet
leave each other alone. Below 0.1 counts as nearly independent, above 0.3 as alike; rules of thumb,
not the paper's.

What readers ask for is the other half: of expert + alpha (instruct - base), which share of
the expert's domain gain and of the instruct model's chat gain is left, with Fieller's intervals.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import inf, sqrt
from typing import Any, Literal

from studies.analysis.intervals import Ratio
from studies.analysis.recovery import shares
from studies.results import BASE, CHAT_DOMAINS, INSTRUCT, Results, Scored
from studies.vectors import Cell

INDEPENDENT = 0.1
ALIKE = 0.3


@dataclass(frozen=True)
class Cosine:
    """The cosine of two task vectors in a part of the network.

    Attributes:
        first: domain of the expert.
        second: "instruct", or another domain.
        by: "all" weights, one "layer" or one kind of "module".
        part: its name; "all".
        cosine: of the two.
        n: elements.
        sd: of random vectors of that size, 1 / sqrt(n).
        sd_effective: of random vectors with the norms that the tensors have.
        n_effective: 1 / sd_effective^2.
        z: cosine / sd_effective.
        p: two-sided, of "as random vectors", by the normal; too small rather than too large.
    """

    first: str
    second: str
    by: Literal["all", "layer", "module"]
    part: str
    cosine: float
    n: int
    sd: float
    sd_effective: float
    n_effective: float
    z: float
    p: float


@dataclass(frozen=True)
class Kept:
    """What a merge of the instruct stage kept of each skill. Shares are 0 at the base.

    Attributes:
        key: of the merge.
        label: of the merge.
        expert: its domain; of a merge below, its constituents.
        on: key of the merge that the instruct model was added to; None for an expert.
        alpha: factor of instruct - base.
        expert_scale: factor of the expert's task vector.
        domain_score: of the merge on the expert's domain.
        chat_score: of the merge on the chat tasks; None without such.
        domain: share of the gain over the base that the expert (or the merge below) has, where it
            gained beyond noise.
        domain_low: Fieller's lower end.
        domain_high: upper end.
        chat: share of the instruct model's gain over the base on chat.
        chat_low: Fieller's lower end.
        chat_high: upper end.
    """

    key: str
    label: str
    expert: str
    on: str | None
    alpha: float | None
    expert_scale: float | None
    domain_score: float | None
    chat_score: float | None
    domain: float | None
    domain_low: float | None
    domain_high: float | None
    chat: float | None
    chat_low: float | None
    chat_high: float | None


@dataclass(frozen=True)
class Independence:
    """Cosines and what was kept.

    Attributes:
        cosines: instruct against every expert first, then experts among each other.
        kept: every scored merge of the instruct stage.
        chat_domains: domains of the suite that stand for chat.
    """

    cosines: tuple[Cosine, ...]
    kept: tuple[Kept, ...]
    chat_domains: tuple[str, ...]

    def overall(self, with_instruct: bool = True) -> tuple[Cosine, ...]:
        """Over all weights: of instruct and experts, or of the experts among each other."""
        return tuple(
            one for one in self.cosines
            if one.by == "all" and (one.second == INSTRUCT) is with_instruct
        )  # fmt: skip

    def table(self) -> list[dict[str, Any]]:
        """A row for every pair and part."""
        return [asdict(one) for one in self.cosines]

    def kept_table(self) -> list[dict[str, Any]]:
        """A row for every merge of the instruct stage."""
        return [asdict(one) for one in self.kept]

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"cosines": self.table(), "kept": self.kept_table(),
                "chat_domains": list(self.chat_domains)}  # fmt: skip


def independence(results: Results) -> Independence:
    """Cosines of every pair of task vectors, and what the instruct stage kept."""
    pairs: dict[tuple[str, str], list[Cell]] = {}
    for cell in results.cells:
        pairs.setdefault((cell.first, cell.second), []).append(cell)
    found: list[Cosine] = []
    for (first, second), cells in pairs.items():
        names = (second, first) if first == INSTRUCT else (first, second)
        found += _by_part(*names, cells)
    found.sort(key=lambda one: one.second != INSTRUCT)
    chat = tuple(one for one in results.domains if one in CHAT_DOMAINS)
    kept = [_kept(results, one, chat) for one in results.points if _of_instruct(one)]
    return Independence(tuple(found), tuple(kept), chat)


def _of_instruct(one: Scored) -> bool:
    return one.point is not None and one.point.stage == "instruct"


def _by_part(first: str, second: str, cells: list[Cell]) -> list[Cosine]:
    layers: dict[str, list[Cell]] = {}
    modules: dict[str, list[Cell]] = {}
    for cell in cells:
        layers.setdefault(cell.layer, []).append(cell)
        modules.setdefault(cell.module, []).append(cell)
    found = [_cosine(first, second, "all", "all", cells)]
    found += [_cosine(first, second, "layer", part, some) for part, some in layers.items()]
    found += [_cosine(first, second, "module", part, some) for part, some in modules.items()]
    return [one for one in found if one is not None]


def _cosine(
    first: str, second: str, by: Literal["all", "layer", "module"], part: str, cells: Iterable[Cell]
) -> Cosine | None:
    """Of some tensors taken as one long vector; None where one of the two is zero."""
    from scipy.special import ndtr

    some = list(cells)
    a, b = sum(c.first_squared for c in some), sum(c.second_squared for c in some)
    n = sum(c.n for c in some)
    if not (a > 0 and b > 0):
        return None
    cosine = sum(c.inner for c in some) / sqrt(a * b)
    effective = sqrt(sum(c.first_squared * c.second_squared / c.n for c in some) / (a * b))
    z = cosine / effective if effective > 0 else inf
    return Cosine(
        first=first,
        second=second,
        by=by,
        part=part,
        cosine=max(-1.0, min(1.0, cosine)),
        n=n,
        sd=1 / sqrt(n),
        sd_effective=effective,
        n_effective=1 / effective**2 if effective > 0 else 0.0,
        z=z,
        p=float(2 * ndtr(-abs(z))),
    )


def _kept(results: Results, one: Scored, chat: tuple[str, ...]) -> Kept:
    point = one.point
    assert point is not None  # only points are asked for
    experts = [name for name in point.constituents if name not in (BASE, INSTRUCT)]
    domain = _share(results, one, experts, point.on or (experts[0] if experts else BASE))
    spoken = _share(results, one, chat, INSTRUCT)
    return Kept(
        key=one.key,
        label=one.label,
        expert=" + ".join(experts),
        on=point.on,
        alpha=_number(point.options.get("alpha")),
        expert_scale=_number(point.options.get("expert_scale")),
        domain_score=_score(results, one, experts),
        chat_score=_score(results, one, chat),
        domain=domain.value if domain else None,
        domain_low=domain.low if domain else None,
        domain_high=domain.high if domain else None,
        chat=spoken.value if spoken else None,
        chat_low=spoken.low if spoken else None,
        chat_high=spoken.high if spoken else None,
    )


def _share(results: Results, one: Scored, domains: Iterable[str], full: str) -> Ratio | None:
    """Where a merge stands between the base (0) and a model (1) on some domains."""
    tasks = results.tasks_of(domains)
    if not tasks.any() or BASE not in results.row or full not in results.row:
        return None
    return shares(results, [one], tasks, BASE, full)[0]


def _score(results: Results, one: Scored, domains: Iterable[str]) -> float | None:
    tasks = results.tasks_of(domains)
    value = results.macros(tasks=tasks)[results.row[one.key]]
    return float(value) if tasks.any() and value == value else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
