"""A verdict on a claim, the effects behind it, and the rule that leads from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from studies.analysis.intervals import LEVEL, holm, plain

MATTERS = 0.02
"""The smallest difference of mean scores worth telling: two points. A rule of thumb; a claim is
called "not supported" only where the interval leaves no room for as much."""

Verdict = Literal["supported", "not supported", "cannot tell"]
FINANCE = "Ueda et al., arXiv:2511.02451"
INSTRUCT = "Hirano and Imajo, arXiv:2409.19854"


@dataclass(frozen=True)
class Effect:
    """One test of a claim; above zero is what the claim says.

    Attributes:
        name: what it is of, such as an expert or a pair.
        value: the figure.
        low: lower end of its 95 % interval.
        high: upper end.
        p: two-sided, penalised where the merge was picked on the items it is reported on.
        n: items behind it.
        p_holm: over the claim's effects.
        key: of the merge, for a link.
    """

    name: str
    value: float
    low: float
    high: float
    p: float
    n: int
    p_holm: float = 1.0
    key: str | None = None

    @property
    def sure(self) -> bool:
        """Above zero after correction."""
        return self.value > 0 and self.p_holm < LEVEL

    @property
    def opposite(self) -> bool:
        """Below zero after correction."""
        return self.value < 0 and self.p_holm < LEVEL

    @property
    def refuted(self) -> bool:
        """The interval leaves no room for an effect that matters."""
        return self.high < MATTERS


@dataclass(frozen=True)
class Finding:
    """A claim and what this study says of it.

    Attributes:
        claim: short name.
        title: the claim in words.
        source: whose it is.
        verdict: supported, not supported, or cannot tell.
        sentence: the verdict's reason, made of the numbers.
        figure: what `value` is.
        value: the figure of the effect that decides; None where there is none.
        low: lower end of its 95 % interval.
        high: upper end.
        test: name of the test, and what was corrected.
        p: after the correction inside the claim.
        p_all: after Holm's correction over all claims that have a p.
        n: what was counted, as a number; see `unit`.
        unit: "items", "pairs" or "weights".
        effects: every single test.
    """

    claim: str
    title: str
    source: str
    verdict: Verdict
    sentence: str
    figure: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    test: str = ""
    p: float | None = None
    p_all: float | None = None
    n: int | None = None
    unit: str = "items"
    effects: tuple[Effect, ...] = ()

    def row(self) -> dict[str, Any]:
        """Plain data, without the single effects."""
        return {k: v for k, v in asdict(self).items() if k != "effects"}


@dataclass(frozen=True)
class Claim:
    """What is fixed of a claim before any number is looked at."""

    name: str
    title: str
    source: str
    figure: str
    test: str
    unit: str = "items"

    def unknown(self, sentence: str, effects: Sequence[Effect] = ()) -> Finding:
        """Cannot tell, with the reason."""
        return Finding(self.name, self.title, self.source, "cannot tell", sentence,
                       self.figure, effects=tuple(effects), unit=self.unit)  # fmt: skip

    def found(
        self, verdict: Verdict, sentence: str, effect: Effect, effects: Sequence[Effect]
    ) -> Finding:
        """A verdict with the effect that decides."""
        return Finding(
            claim=self.name,
            title=self.title,
            source=self.source,
            verdict=verdict,
            sentence=sentence,
            figure=self.figure,
            value=plain(effect.value),
            low=plain(effect.low),
            high=plain(effect.high),
            test=self.test,
            p=plain(effect.p_holm),
            n=effect.n,
            unit=self.unit,
            effects=tuple(effects),
        )


def corrected(effects: Sequence[Effect]) -> list[Effect]:
    """Holm over a claim's effects."""
    p = holm([one.p for one in effects])
    return [replace(one, p_holm=float(value)) for one, value in zip(effects, p, strict=True)]


def decide(effects: Sequence[Effect], how: Literal["any", "most"]) -> tuple[Verdict, Effect]:
    """The verdict on a claim of several corrected effects, and the effect that stands for it.

    Args:
        effects: one or more.
        how: "any": the claim says that it happens; one sure effect supports it, and it is not
            supported when all are refuted. "most": it says that it is so; more than half of the
            effects must agree.
    """
    sure = [one for one in effects if one.sure]
    against = [one for one in effects if not one.sure and (one.refuted or one.opposite)]
    needed = len(effects) / 2 if how == "most" else 0.5
    if len(sure) > needed:
        return "supported", max(sure, key=lambda one: one.value)
    if len(against) > (needed if how == "most" else len(effects) - 0.5):
        return "not supported", max(against, key=lambda one: one.value)
    # the one that keeps the question open
    rest = [one for one in effects if one not in sure and one not in against] or list(effects)
    return "cannot tell", max(rest, key=lambda one: one.value)
