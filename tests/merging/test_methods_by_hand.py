"""Every method on one 4x4 case computed by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from merging.methods import METHODS, get_method
from merging.methods.inputs import Inputs
from merging.recipes.checks import complete_options
from tests.merging.whole import InMemory, merge

BASE = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8], [-1, -2, -3, -4], [0, 0, 0, 0]])
TAU_1 = torch.tensor([[1.0, -2, 0, 4], [0.5, 0, -0.5, 1], [2, 2, -2, -2], [8, 0, 0, -8]])
TAU_2 = torch.tensor([[-2.0, -2, 1, 0], [0.5, 1, 0.5, -3], [-4, 2, 0, -2], [-2, 0, 4, -8]])
MODELS = [BASE + TAU_1, BASE + TAU_2]

# DARE's masks, chosen by hand: rows 0 and 2 of the first, columns 0 and 1 of the second
KEPT_1 = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]).bool()
KEPT_2 = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]).bool()

ROWS = [
    torch.tensor([[2.0, 0, 0, 0], [0, 0, 0, 3], [0, 0, 0, 0], [0, 0, 0, 0]]),
    torch.tensor([[0.0, 2, 0, 0], [0, 0, 0, 6], [0, 0, 0, 0], [0, 0, 0, 0]]),
]
ALTERNATING = torch.tensor([[0.125], [0.25], [0.375], [2.0]]) * torch.tensor([1.0, -1, 1, -1])
PAIR = [
    BASE + torch.tensor([[3.0, 1, 0, 0]] + 3 * [[0] * 4]),
    BASE + torch.tensor([[1.0, 0, 2, 0]] + 3 * [[0] * 4]),
]


def diagonal(*values: float) -> torch.Tensor:
    return torch.diag(torch.tensor(values))


def corner(column: int, value: float) -> torch.Tensor:
    tensor = torch.zeros(4, 4)
    tensor[0, column] = value
    return tensor


class ChosenMasks:
    def kept(self, model: int, density: float, like: torch.Tensor) -> torch.Tensor:
        assert density == 0.5
        return (KEPT_1, KEPT_2)[model].flatten()

    def kept_by(self, model: int, probabilities: torch.Tensor) -> torch.Tensor:
        if model == 0:
            # 0.5 -+ 0.2 in four steps by the ranks of 1 2 0 4, 0.5 0 0.5 1, 2 2 2 2, 8 0 0 8,
            # equal ones in their order
            third = 0.4 / 3
            low, high = 0.3 + third, 0.3 + 2 * third
            ranked = [[low, high, 0.3, 0.7], [low, 0.3, high, 0.7], [0.3, low, high, 0.7]]
            expected = torch.tensor([*ranked, [high, 0.3, low, 0.7]], dtype=torch.float64)
            torch.testing.assert_close(probabilities.view(4, 4), expected)
        return (KEPT_1, KEPT_2)[model].flatten()


def masked(name: str, weights: Sequence[float] = (1.0, 1.0), **options: Any) -> torch.Tensor:
    complete = complete_options(get_method(name), {"density": 0.5, **options})
    tensor = InMemory(BASE, MODELS, weights)
    plain = tensor.inputs(0, 16)
    inputs = Inputs(
        plain.models,
        plain.base_or_none,
        plain.weights,
        ChosenMasks(),  # type: ignore[arg-type]
        row_length=4,
        statistics=METHODS[name].observe(tensor, complete),
    )
    return METHODS[name].apply(inputs, complete).view(4, 4)


CASES: dict[str, tuple[Callable[[], torch.Tensor], list[list[float]]]] = {
    "linear": (
        lambda: merge("linear", None, MODELS, [3.0, 1.0]),
        [[1.25, 0, 3.25, 7], [5.5, 6.25, 6.75, 8], [-0.5, 0, -4.5, -6], [5.5, 0, 1, -8]],
    ),
    "linear, not normalised": (
        lambda: merge("linear", None, MODELS, [1.0, 1.0], normalize=False),
        [[1, 0, 7, 12], [11, 13, 14, 14], [-4, 0, -8, -12], [6, 0, 4, -16]],
    ),
    # two tensors at right angles, a third of the way: sin 60 degrees and sin 30 degrees
    "slerp": (
        lambda: merge("slerp", None, [corner(0, 2.0), corner(1, 2.0)], t=1 / 3),
        [[1.7320508, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ),
    "task_arithmetic": (
        lambda: merge("task_arithmetic", BASE, MODELS, [1.0, 0.5], scale=2.0),
        [[1, -4, 4, 12], [6.5, 7, 6.5, 7], [-1, 4, -7, -10], [14, 0, 4, -24]],
    ),
    "instruction_residual": (
        lambda: merge("instruction_residual", BASE, MODELS, alpha=0.5),
        [[1, -1, 3.5, 8], [5.75, 6.5, 6.75, 7.5], [-1, 1, -5, -7], [7, 0, 2, -12]],
    ),
    "instruction_residual, half an expert": (
        lambda: merge("instruction_residual", BASE, MODELS, alpha=0.5, expert_scale=0.5),
        [[0.5, 0, 3.5, 6], [5.5, 6.5, 7, 7], [-2, 0, -4, -6], [3, 0, 2, -8]],
    ),
    # k = 8 of 16; both thresholds are 2, where the second vector has nine entries
    "ties": (
        lambda: merge("ties", BASE, MODELS, density=0.5),
        [[-1, 0, 3, 8], [5, 6, 7, 5], [-5, 0, -5, -6], [8, 0, 4, -8]],
    ),
    # entry (2, 0): 2 against -4; with weights 1 and 0.25 in the vote, plus is elected
    "ties, mergekit's election": (
        lambda: merge(
            "ties",
            BASE,
            MODELS,
            [1.0, 0.25],
            density=0.5,
            election_weights=True,
            normalize=False,
        ),
        [[0.5, -0.5, 3, 8], [5, 6, 7, 7.25], [1, 0.5, -5, -6.5], [8, 0, 1, -10]],
    ),
    "dare_linear": (
        lambda: masked("dare_linear"),
        [[-1, -6, 3, 12], [6, 8, 7, 8], [-5, 6, -7, -8], [-4, 0, 0, 0]],
    ),
    "dare_linear, not rescaled": (
        lambda: masked("dare_linear", rescale="none"),
        [[0, -2, 3, 8], [5.5, 7, 7, 8], [-3, 2, -5, -6], [-2, 0, 0, 0]],
    ),
    "dare_ties": (
        lambda: masked("dare_ties"),
        [[-3, -2, 3, 12], [6, 8, 7, 8], [-9, 2, -7, -8], [-4, 0, 0, 0]],
    ),
    # the first expert alone, rows 0 and 2: 1/p is 30/13, 30/17, 10/3, 10/7 and 10/3 30/13 30/17
    # 10/7 in their columns
    "della_linear": (
        lambda: masked("della_linear", [1.0, 0.0], epsilon=0.4),
        [
            [3.3076923, -1.5294118, 3, 9.7142857],
            [5, 6, 7, 8],
            [5.6666667, 2.6153846, -6.5294118, -6.8571429],
            [0, 0, 0, 0],
        ],
    ),
    "della_linear, not rescaled": (
        lambda: masked("della_linear", epsilon=0.4, rescale="none"),
        [[0, -2, 3, 8], [5.5, 7, 7, 8], [-3, 2, -5, -6], [-2, 0, 0, 0]],
    ),
    # (0, 0): 1 against -2, (2, 0): 2 against -4; the others agree or stand alone
    "della": (
        lambda: masked("della", epsilon=0.4, rescale="none"),
        [[-1, 0, 3, 8], [5.5, 7, 7, 8], [-5, 0, -5, -6], [-2, 0, 0, 0]],
    ),
    # as slerp's case; then with task vectors on top of a base
    "nuslerp": (
        lambda: merge("nuslerp", None, [corner(0, 2.0), corner(1, 2.0)], [2.0, 1.0]),
        [[1.7320508, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ),
    "nuslerp, task vectors": (
        lambda: merge("nuslerp", BASE, [BASE + corner(0, 2.0), BASE + corner(1, 2.0)], [2.0, 1.0]),
        [[2.7320508, 3, 3, 4], [5, 6, 7, 8], [-1, -2, -3, -4], [0, 0, 0, 0]],
    ),
    # halfway between two right angles, 3 long: 3 / sqrt 2
    "multislerp": (
        lambda: merge("multislerp", None, [corner(0, 2.0), corner(1, 4.0)]),
        [[2.1213203, 2.1213203, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ),
    # a third of the way, 8/3 long: cosine and sine of 30 degrees
    "karcher": (
        lambda: merge("karcher", None, [corner(0, 2.0), corner(1, 4.0)], [2.0, 1.0]),
        [[2.3094011, 1.3333333, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ),
    # task vectors (2, 0) and (1, sqrt 3), 60 degrees apart: t = 2 * 0.5 / 1.5 = 2/3
    "model_stock": (
        lambda: merge(
            "model_stock",
            BASE,
            [BASE + corner(0, 2.0), BASE + corner(0, 1.0) + corner(1, 3**0.5)],
        ),
        [[2, 2.5773503, 3, 4], [5, 6, 7, 8], [-1, -2, -3, -4], [0, 0, 0, 0]],
    ),
    # 2 and -1 - sqrt 3 apart by 120 degrees: t = -1 / 0.5 = -2 times their mean, if let
    "model_stock, beyond the base": (
        lambda: merge(
            "model_stock",
            BASE,
            [BASE + corner(0, 2.0), BASE + corner(0, -1.0) + corner(1, 3**0.5)],
            clamp=False,
        ),
        [[0, 0.2679492, 3, 4], [5, 6, 7, 8], [-1, -2, -3, -4], [0, 0, 0, 0]],
    ),
    # all entries: what agrees with the sign of the sum
    "sce": (
        lambda: merge("sce", BASE, MODELS, select_topk=1.0),
        [
            [-1, 0, 4, 8],
            [5.5, 7, 7.5, 5],
            [-5, 0, -5, -6],
            [8, 0, 4, -8],
        ],
    ),
    # the squares 9 and 1 make coefficients 0.9 and 0.1: 0.9 * 3 + 0.1 * 1
    "sce, coefficients": (
        lambda: merge("sce", BASE, [BASE + corner(0, 3.0), BASE + corner(0, 1.0)]),
        [[3.8, 2, 3, 4], [5, 6, 7, 8], [-1, -2, -3, -4], [0, 0, 0, 0]],
    ),
    # the squared differences are 9 0 1 16, 0 1 1 16, 36 0 4 0, 100 0 16 0: of the 10 that are not
    # zero a share of 0.34 is 3, and two more are equal to the third
    "sce, a third": (
        lambda: merge("sce", BASE, MODELS, select_topk=0.34),
        [[1, 2, 3, 8], [5, 6, 7, 5], [-5, -2, -3, -4], [8, 0, 4, 0]],
    ),
    "passthrough": (
        lambda: merge("passthrough", None, [BASE], scale=0.5),
        [[0.5, 1, 1.5, 2], [2.5, 3, 3.5, 4], [-0.5, -1, -1.5, -2], [0, 0, 0, 0]],
    ),
    # of 16 the 2 largest go and the next 6 stay; for both experts these are magnitudes 4 to 2,
    # and where several are equal to a limit all of them stay
    "breadcrumbs": (
        lambda: merge("breadcrumbs", BASE, MODELS, density=0.375, gamma=0.125),
        [[-1, -2, 3, 8], [5, 6, 7, 5], [-3, 2, -5, -8], [-2, 0, 4, 0]],
    ),
    "breadcrumbs_ties": (
        lambda: merge("breadcrumbs_ties", BASE, MODELS, density=0.375, gamma=0.125),
        [[-1, 0, 3, 8], [5, 6, 7, 5], [-5, 0, -5, -6], [-2, 0, 4, 0]],
    ),
    # the first rows stand at right angles, the second are parallel: 2/3 * 3 + 1/3 * 6
    "nuslerp, by rows": (
        lambda: merge("nuslerp", None, ROWS, [2.0, 1.0], per="row"),
        [[1.7320508, 1, 0, 0], [0, 0, 0, 4], [0, 0, 0, 0], [0, 0, 0, 0]],
    ),
    "nuslerp, by columns": (
        lambda: merge("nuslerp", None, [row.T for row in ROWS], [2.0, 1.0], per="column"),
        [[1.7320508, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 4, 0, 0]],
    ),
    # 60 degrees in the first row as above; the second rows contradict each other
    "model_stock, by rows": (
        lambda: merge(
            "model_stock",
            torch.zeros(4, 4),
            [
                torch.tensor([[2.0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]),
                torch.tensor([[1.0, 3**0.5, 0, 0], [-1, -1, 0, 0], [0, 0, 0, 0], [3, 0, 0, 0]]),
            ],
            per="row",
        ),
        [[1, 0.5773503, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]],
    ),
    # every row moves by a, -a, a, -a; the importances grow about as a^3 / 2: 0.0005, 0.004, 0.013
    # and 1.2. The quartiles are the first three, and the threshold 0.004 + 1.5 * 0.0125
    "arcee_fusion": (
        lambda: merge("arcee_fusion", torch.ones(4, 4), [1 + ALTERNATING]),
        [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [3, -1, 3, -1]],
    ),
    "arcee_fusion, from the median": (
        lambda: merge("arcee_fusion", torch.ones(4, 4), [1 + ALTERNATING], fence=0.0),
        [[1, 1, 1, 1], [1.25, 0.75, 1.25, 0.75], [1.375, 0.625, 1.375, 0.625], [3, -1, 3, -1]],
    ),
    # of each expert its two strongest directions; they don't meet
    "tsv_m": (
        lambda: merge("tsv_m", BASE, [BASE + diagonal(3, -2, 1, 0), BASE + diagonal(0, 1, 5, 4)]),
        (BASE + diagonal(3, -2, 5, 4)).tolist(),
    ),
    # one direction for both: U = (e, e) becomes (e, e) / sqrt 2, and so does V
    "tsv_m, a common direction": (
        lambda: merge("tsv_m", BASE, [BASE + corner(0, 4.0), BASE + corner(0, 2.0)], scale=2.0),
        (BASE + corner(0, 6.0)).tolist(),
    ),
    # singular values 4, 2, 0, 0 have the mean 1.5; directions of nothing stay nothing
    "iso_c": (
        lambda: merge("iso_c", BASE, [BASE + diagonal(3, -2, 0, 0), BASE + corner(0, 1.0)]),
        (BASE + diagonal(1.5, -1.5, 0, 0)).tolist(),
    ),
    # of 16 entries the best two, scaled so that the second is 0: each expert's largest
    "pcb, the best alone": (
        lambda: merge("pcb", BASE, PAIR, density=0.125),
        (BASE + corner(0, 3.0) + corner(2, 2.0)).tolist(),
    ),
    # the best three, from 0: in the corner the scores are 1 and e^(2/4) / e^2 = e^-1.5, so it
    # gets (3 + e^-1.5) / (1 + e^-1.5); elsewhere one expert stands alone
    "pcb": (
        lambda: merge("pcb", BASE, PAIR, density=0.1875),
        (BASE + corner(0, 2.6351490) + corner(1, 1.0) + corner(2, 2.0)).tolist(),
    ),
    # columns of length 1 grow by 4 3 2 1 and by 1 2 3 4 eighths and keep their direction, so
    # that by direction they are ranked by their place. Ranks 2/4 and 3/4 are above the mean;
    # else 1 / (1 + e^0.75) = 0.3208213 and 1 / (1 + e^0.25) = 0.4378235, or 0.5. Together 0.75,
    # 0.75, 0.7189117, 0.6604107 of the first and 0.4104107, 0.4689117, 1, 1 of the second
    "widen": (
        lambda: merge(
            "widen",
            torch.eye(4),
            [
                torch.eye(4) + diagonal(0.5, 0.375, 0.25, 0.125),
                torch.eye(4) + diagonal(0.125, 0.25, 0.375, 0.5),
            ],
        ),
        diagonal(1.4263013, 1.3984779, 1.5547279, 1.5825513).tolist(),
    ),
    # a token's row is what a column is elsewhere, so everything is the same turned over
    "widen, an embedding": (
        lambda: merge(
            "widen",
            torch.eye(4).flip(1),
            [
                torch.eye(4).flip(1) + diagonal(0.5, 0.375, 0.25, 0.125).flip(1),
                torch.eye(4).flip(1) + diagonal(0.125, 0.25, 0.375, 0.5).flip(1),
            ],
            tensor="model.embed_tokens.weight",
            chunk=4,
        ),
        diagonal(1.4263013, 1.3984779, 1.5547279, 1.5825513).flip(1).tolist(),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_by_hand(case: str) -> None:
    compute, expected = CASES[case]
    torch.testing.assert_close(compute(), torch.tensor(expected, dtype=torch.float32))


def test_every_method_has_a_case_by_hand() -> None:
    assert {case.split(",")[0] for case in CASES} == set(METHODS)
