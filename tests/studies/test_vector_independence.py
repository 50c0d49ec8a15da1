"""Cosines from sums against real vectors, and what random vectors of that size give."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jobs.models import independence as rules
from merging.similarity.measures import MEASURES
from merging.similarity.measures import overall as measured
from merging.similarity.places import place
from merging.similarity.result import Similarity
from studies import vectors
from studies.analysis.independence import ALIKE, INDEPENDENT, independence
from studies.vectors import Cell
from tests.studies import made
from tests.studies.world import finite, world

SHAPES = {
    "model.embed_tokens.weight": 60,
    "model.layers.0.self_attn.q_proj.weight": 40,
    "model.layers.0.mlp.down_proj.weight": 30,
    "model.layers.1.self_attn.q_proj.weight": 50,
}


def cells_of(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> tuple[Cell, ...]:
    found = []
    for name, n in SHAPES.items():
        at = place(name)
        u, v = a[name], b[name]
        sums = (float(u @ v), float(u @ u), float(v @ v))
        found.append(Cell("a", "instruct", name, at.row, at.column, n, *sums))
    return tuple(found)


def of(cells: tuple[Cell, ...]) -> object:
    design = made.design(("a", "b"), instruct=True, stages=["1"])
    return independence(made.results(design, [made.task("t", 4)], lambda *_: [1, 0, 1, 0],
                                     some=[], cells=cells))  # fmt: skip


def random_vector(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One tensor is ten times as large as the others."""
    return {name: rng.normal(size=n) * (10 if "embed" in name else 1) for name, n in SHAPES.items()}


def test_cosines_are_those_of_the_vectors() -> None:
    rng = np.random.default_rng(0)
    a, b = random_vector(rng), random_vector(rng)
    found = {(one.by, one.part): one for one in of(cells_of(a, b)).cosines}  # type: ignore[attr-defined]

    def cosine(names: list[str]) -> float:
        u, v = (np.concatenate([x[name] for name in names]) for x in (a, b))
        return float(u @ v / np.linalg.norm(u) / np.linalg.norm(v))

    assert found["all", "all"].cosine == pytest.approx(cosine(list(SHAPES)))
    assert found["module", "q_proj"].cosine == pytest.approx(
        cosine([name for name in SHAPES if "q_proj" in name])
    )
    assert found["layer", "layer 0"].n == 70
    assert found["all", "all"].sd == pytest.approx(1 / np.sqrt(180))
    assert {part for by, part in found if by == "layer"} == {"embeddings", "layer 0", "layer 1"}


def test_effective_sd_is_that_of_random_vectors_with_these_norms() -> None:
    """1 / sqrt(n) is too small where one tensor weighs most; the effective sd is right."""
    rng = np.random.default_rng(1)
    found = [
        next(one for one in of(cells_of(random_vector(rng), random_vector(rng))).cosines  # type: ignore[attr-defined]
             if one.by == "all")
        for _ in range(400)
    ]  # fmt: skip
    spread = np.std([one.cosine for one in found])
    assert spread == pytest.approx(np.mean([one.sd_effective for one in found]), rel=0.12)
    assert spread > 1.4 * found[0].sd
    assert np.mean([one.p < 0.05 for one in found]) == pytest.approx(0.05, abs=0.035)


def test_a_zero_vector_has_no_cosine() -> None:
    cell = Cell("a", "instruct", "t", "layer 0", "q_proj", 10, 0.0, 0.0, 4.0)
    assert of((cell,)).cosines == ()  # type: ignore[attr-defined]


def test_instruct_comes_first_whatever_the_order_of_the_pair() -> None:
    cells = (
        Cell("a", "b", "t", "layer 0", "q_proj", 10, 1.0, 4.0, 4.0),
        Cell("instruct", "a", "t", "layer 0", "q_proj", 10, 1.0, 4.0, 4.0),
    )
    found = of(cells)
    assert [(one.first, one.second) for one in found.overall()] == [("a", "instruct")]  # type: ignore[attr-defined]
    assert [(one.first, one.second) for one in found.overall(False)] == [("a", "b")]  # type: ignore[attr-defined]


def test_what_was_kept_is_where_the_merge_stands_between_base_and_expert() -> None:
    results = world(n=300, per_domain=1, split=False)
    found = independence(results)
    whole = next(one for one in found.kept if one.expert == "finance" and one.alpha == 1)
    base, expert = (results.score(name, "finance_0") or 0.0 for name in ("base", "finance"))
    score = results.score(whole.key, "finance_0") or 0.0
    assert whole.domain == pytest.approx((score - base) / (expert - base))
    assert whole.domain_score == pytest.approx(score)
    assert whole.chat == pytest.approx(1.0, abs=0.1)
    none = next(one for one in found.kept if one.expert == "finance" and one.alpha == 0)
    assert none.chat == pytest.approx(0.0, abs=0.05)
    json.dumps(found.data(), allow_nan=False)
    assert finite(found.data())


def test_thresholds_are_those_of_the_similarity_page() -> None:
    assert (INDEPENDENT, ALIKE) == (rules.INDEPENDENT, rules.ALIKE)


def test_facts_of_a_comparison() -> None:
    """Sums of base c and two models in one tensor, laid out as the scan has them."""
    rng = np.random.default_rng(0)
    c, a, b = rng.normal(size=(3, 12))
    u, v = a - c, b - c
    signs = np.sign(u) * np.sign(v)
    sums = [c @ c, u @ u, c @ u, u @ v, np.abs(u * v).sum(), signs.sum(), np.abs(signs).sum(),
            v @ v, c @ v]  # fmt: skip
    name = "model.layers.3.mlp.up_proj.weight"
    similarity = Similarity(True, 3, (name,), ((3, 4),), np.array([sums]))
    found = vectors.overall(similarity, ["base", "a", "instruct"])
    assert found["a", "instruct"]["l2"] == pytest.approx(np.linalg.norm(a - b))
    assert found["a", "instruct"]["task_cosine"] == pytest.approx(
        u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    )
    assert found["base", "a"]["weight_cosine"] == pytest.approx(
        a @ c / np.linalg.norm(a) / np.linalg.norm(c)
    )
    assert "task_cosine" not in found["base", "a"]
    (cell,) = vectors.cells(similarity, ["base", "a", "instruct"])
    assert (cell.layer, cell.module, cell.n) == ("layer 3", "up_proj", 12)
    assert cell.inner == pytest.approx(u @ v)
    assert measured(similarity, MEASURES["distance"], 1, 2) == pytest.approx(
        found["a", "instruct"]["l2"]
    )
