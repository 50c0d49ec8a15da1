"""The papers' claims with this study's own verdicts: supported, not supported, or cannot tell.

Every verdict is computed from the study's scores and every sentence is made of its numbers.

How it is decided. A claim says that something is above zero. It is *supported* where that is so
beyond noise (5 %, after Holm's correction over the experts, pairs, triples or merges that the claim
is about), *not supported* where the 95 % interval leaves no room for an effect that matters
(two points of mean score; `studies.claims.finding.MATTERS`), and otherwise nobody *can tell*: too
few items or merges, or no such stage. Merges stand for their group as chosen on the search items
and are tested on the held-out ones; without a split their p-values are multiplied by the number of
merges that they were chosen from.

Eight claims at 5 % each will support a false one now and then; `p_all` is corrected over all
claims as well, and the note says how many stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from studies.analysis.intervals import LEVEL, holm, plain
from studies.claims import words
from studies.claims.finding import MATTERS, Effect, Finding, Verdict
from studies.claims.merging import (
    complementarity_claim,
    emergence_claim,
    interference_claim,
    n_items,
    recovery_claim,
)
from studies.claims.methods import task_arithmetic_claim, ties_claim
from studies.claims.vectors import independence_claim, similarity_claim
from studies.results import Results

__all__ = ["MATTERS", "Effect", "Finding", "Findings", "Verdict", "findings"]

CLAIMS = (
    recovery_claim,
    complementarity_claim,
    emergence_claim,
    interference_claim,
    task_arithmetic_claim,
    ties_claim,
    similarity_claim,
    independence_claim,
)


@dataclass(frozen=True)
class Findings:
    """All verdicts, in the papers' order, and what is to be known of all of them."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def of(self, claim: str) -> Finding:
        """The verdict on a claim.

        Raises:
            KeyError: there is no such claim.
        """
        for one in self.findings:
            if one.claim == claim:
                return one
        raise KeyError(claim)

    def table(self) -> list[dict[str, Any]]:
        """A row for every claim."""
        return [one.row() for one in self.findings]

    def effect_table(self) -> list[dict[str, Any]]:
        """A row for every single test."""
        return [
            {"claim": one.claim, "of": effect.name, "key": effect.key,
             "value": plain(effect.value), "low": plain(effect.low), "high": plain(effect.high),
             "p": plain(effect.p), "p_holm": plain(effect.p_holm), "n": effect.n}
            for one in self.findings for effect in one.effects
        ]  # fmt: skip

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"findings": self.table(), "tests": self.effect_table(), "notes": list(self.notes)}


def findings(results: Results) -> Findings:
    """The verdicts of a study, whole or still running."""
    found = [claim(results) for claim in CLAIMS]
    # independence is judged by the size of a cosine; its p says how random the vectors are not
    judged = [None if one.claim == "independence" else one.p for one in found]
    p = holm([np.nan if one is None else one for one in judged])
    found = [replace(one, p_all=plain(value)) for one, value in zip(found, p, strict=True)]
    return Findings(tuple(found), tuple(_notes(results, found)))


def _notes(results: Results, found: list[Finding]) -> list[str]:
    notes = []
    scored, failed = len(results.points), len(results.failed)
    if scored < results.planned or failed:
        text = f"{scored:,} of {results.planned:,} merges are scored"
        text += f", {failed:,} failed" if failed else ""
        notes.append(f"{text}: the verdicts are of these and may change.")
    n = n_items(results)
    if results.has_split:
        notes.append(
            f"Merges were chosen on the search items and are reported on {n:,} held-out items of "
            f"{words.count(int(results.shared.sum()), 'task')}."
        )
    else:
        notes.append(
            f"There is no split: merges were chosen on the {n:,} items that they are reported on, "
            "and their p-values are multiplied by the number of merges chosen from."
        )
    supported = [one for one in found if one.verdict == "supported" and one.p is not None]
    supported = [one for one in supported if one.claim != "independence"]
    stay = sum(one.p_all is not None and one.p_all < LEVEL for one in supported)
    notes.append(
        "Tests are two-sided at 5 % with Holm's correction inside each claim; corrected over all "
        f"claims as well, {stay} of the {len(supported)} supported by a test stay so."
    )
    return notes
