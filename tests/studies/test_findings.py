"""Verdicts on studies whose truth is known, and on studies that cannot tell."""

from __future__ import annotations

import dataclasses
import json
import re
from math import factorial

import numpy as np
import pytest

from studies.analysis.ranks import Spearman, interval
from studies.claims.finding import MATTERS, Effect, corrected, decide
from studies.claims.vectors import _of_ranks
from studies.findings import CLAIMS, Findings, findings
from studies.results import Results
from tests.studies import made
from tests.studies.world import finite, world

NAMES = ("recovery", "complementarity", "emergence", "interference", "task_arithmetic", "ties",
         "similarity", "independence")  # fmt: skip


@pytest.fixture(scope="module")
def usual() -> Results:
    """Forgetting, interference and sensitive scales; no emergence."""
    return world(n=400)


@pytest.fixture(scope="module")
def told(usual: Results) -> Findings:
    return findings(usual)


def test_every_claim_has_a_verdict_and_a_sentence(told: Findings) -> None:
    assert tuple(one.claim for one in told.findings) == NAMES
    for one in told.findings:
        assert one.verdict in ("supported", "not supported", "cannot tell")
        assert one.sentence.endswith(".") and re.search(r"\d", one.sentence)
        assert not re.search(r"\b(nan|inf|None)\b", one.sentence)
    assert finite(told.data())
    json.dumps(told.data(), allow_nan=False)
    assert len(told.table()) == 8
    with pytest.raises(KeyError):
        told.of("nothing")


def test_what_the_world_is_made_of_is_found(told: Findings) -> None:
    assert told.of("interference").verdict == "supported"
    assert told.of("ties").verdict == "supported"
    assert told.of("emergence").verdict == "not supported"
    assert told.of("independence").verdict == "supported"
    # the scale matters, but task arithmetic is no better than the others
    assert told.of("task_arithmetic").verdict == "not supported"


def test_recovery_where_a_merge_between_base_and_expert_brings_back_half() -> None:
    found = findings(world(n=1500, per_domain=1, forgetting=0.4)).of("recovery")
    assert found.verdict == "supported", found.sentence
    assert "of the loss" in found.sentence and found.p is not None and found.p < 0.05


def test_nothing_forgotten_nothing_to_bring_back() -> None:
    found = findings(world(forgetting=0.0)).of("recovery")
    assert found.verdict == "cannot tell" and "nothing to bring back" in found.sentence


def test_planted_emergence_and_no_interference_are_found() -> None:
    found = findings(world(emergent=0.5, interference=0.0))
    assert found.of("emergence").verdict == "supported"
    assert "cross_" in found.of("emergence").sentence
    assert found.of("interference").verdict == "not supported"
    assert found.of("complementarity").verdict == "supported"


def test_few_items_cannot_tell() -> None:
    found = findings(world(n=8, per_domain=1, cosine=0.2))
    verdicts = {one.claim: one.verdict for one in found.findings}
    assert set(verdicts.values()) == {"cannot tell"}, verdicts


def test_alike_vectors_are_not_independent() -> None:
    found = findings(world(n=20, per_domain=1, cosine=0.4)).of("independence")
    assert found.verdict == "not supported" and "+0.400" in found.sentence


def test_without_a_split_choosing_has_its_price(usual: Results) -> None:
    plain = world(n=400, split=False)
    found = findings(plain)
    assert any("no split" in note for note in found.notes)
    pair = found.of("complementarity").effects[0]
    assert pair.p <= 1
    assert "held-out" in " ".join(findings(usual).notes)


def test_noise_alone_supports_little() -> None:
    """Every model is equally good and right by luck: a false verdict is rare."""
    supported = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        design = made.design(methods=[{"method": "task_arithmetic",
                             "grid": {"scale": [0.5, 1.0]}}, {"method": "ties",
                             "grid": {"density": [0.2, 0.8]}}])  # fmt: skip
        tasks = [made.task(name, 150, held_out=rng.random(150) < 0.5)
                 for name in ("general", "finance", "math")]  # fmt: skip
        results = made.results(design, tasks, lambda k, p, t: rng.random(t.n) < 0.4)  # noqa: B023
        supported += sum(one.verdict == "supported" for one in findings(results).findings)
    assert supported <= 5  # of 12 studies with six claims that have a test each


def test_stages_and_models_that_are_missing_are_said() -> None:
    design = made.design(("a", "b"), stages=["1"])
    results = made.results(design, [made.task("t", 30, "a")], lambda *_: np.arange(30) < 9)
    found = findings(results)
    assert {one.verdict for one in found.findings} == {"cannot tell"}
    said = {one.claim: one.sentence for one in found.findings}
    assert "no stage 2" in said["complementarity"]
    assert "no stage 3" in said["interference"]
    assert "no general tasks" in said["recovery"]
    assert "no instruct model" in said["independence"]
    assert "not compared" in said["similarity"]


def test_an_unfinished_study_says_so(usual: Results) -> None:
    some = dataclasses.replace(
        usual, points=usual.points[:30], failed={"x": "no memory"}, planned=120
    )
    found = findings(some)
    assert found.notes[0].startswith("30 of 120 merges are scored, 1 failed")
    assert len(found.findings) == len(CLAIMS)


@pytest.mark.parametrize("missing", ["base", "finance", "instruct"])
def test_a_parent_that_is_not_scored_stops_nothing(usual: Results, missing: str) -> None:
    parents = {name: one for name, one in usual.parents.items() if name != missing}
    found = findings(dataclasses.replace(usual, parents=parents))
    assert len(found.findings) == len(CLAIMS)
    json.dumps(found.data(), allow_nan=False)


def test_nothing_scored_at_all() -> None:
    results = made.results(made.design(), [made.task("t", 4)], lambda *_: None, some=[])
    assert {one.verdict for one in findings(results).findings} == {"cannot tell"}


@pytest.mark.parametrize(
    ("gain", "gap", "verdict"),
    [
        ((0.9, 0.001, 15), (0.0, 0.9, 15), "supported"),
        ((0.9, 0.001, 15), (0.7, 0.01, 15), "not supported"),  # OG is predicted as well
        ((0.6, 0.02, 15), (0.3, 0.3, 15), "cannot tell"),  # OG may be as related as Gain
        ((-0.2, 0.5, 15), (0.0, 0.9, 15), "not supported"),  # no room for a rho of 0.5
        ((-0.6, 0.2, 6), (0.0, 0.9, 6), "cannot tell"),  # too few pairs to refute
        ((-0.9, 0.001, 15), (0.0, 0.9, 15), "not supported"),  # the other way round
        ((1.0, 0.33, 3), (0.5, 1.0, 3), "cannot tell"),
        ((0.9, 0.001, 15), (-0.7, 0.01, 15), "supported"),  # closer pairs have less OG
    ],
)
def test_the_rule_of_similarity(
    gain: tuple[float, float, int], gap: tuple[float, float, int], verdict: str
) -> None:
    def made_of(rho: float, p: float, n: int) -> Spearman:
        return Spearman(rho, p, n, "exact", 2 / factorial(n), *interval(rho, n))

    assert _of_ranks(1, made_of(*gain), made_of(*gap), gain[1]) == verdict
    mirrored = (made_of(-gain[0], *gain[1:]), made_of(-gap[0], *gap[1:]))
    assert _of_ranks(-1, *mirrored, gain[1]) == verdict  # a distance: closer is less


def effect(value: float, half: float, p: float) -> Effect:
    return Effect("e", value, value - half, value + half, p, 100)


def test_the_rule() -> None:
    yes, no, open_ = effect(0.1, 0.05, 0.001), effect(0.0, 0.01, 0.9), effect(0.05, 0.1, 0.3)
    assert no.refuted and not open_.refuted and MATTERS > 0.01
    for effects, how, verdict in (
        ([yes, no, open_], "any", "supported"),
        ([no, no], "any", "not supported"),
        ([no, open_], "any", "cannot tell"),
        ([yes, no, no], "most", "not supported"),
        ([yes, yes, no], "most", "supported"),
        ([yes, open_], "most", "cannot tell"),
        ([effect(-0.1, 0.2, 0.01)], "most", "not supported"),
    ):
        assert decide(corrected(effects), how)[0] == verdict  # type: ignore[arg-type]
