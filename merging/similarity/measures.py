"""From sums to distances, cosines, sign conflicts and norm ratios.

Participants are numbered as in the result: 0 is the reference (the base, if there is one). With
tau_i = theta_i - theta_0, everything follows from theta_0.theta_0, theta_0.tau_i, tau_i.tau_j and
the sums over signs; differences are summed as differences, so that models that are nearly equal
are told apart to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from merging.similarity.result import Similarity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class Sums:
    """Rows of sums with names for their columns: per tensor, per cell of a map, or overall.

    Args:
        similarity: says how many participants there are, and whether signs were counted.
        rows: `[..., width]`.
    """

    def __init__(self, similarity: Similarity, rows: Array) -> None:
        self.rows = rows
        self.others = similarity.n_participants - 1
        self.step = 4 if similarity.based else 1

    def norm_squared(self, i: int) -> Array:
        """Of the weights of participant i, `[...]`."""
        c = self.rows[..., 0]
        if i == 0:
            return c
        return c + 2 * self.rows[..., self._at(i) + 1] + self.inner(i, i)

    def inner(self, i: int, j: int) -> Array:
        """tau_i.tau_j; zero with the reference, whose difference is zero."""
        if not i or not j:
            zero: Array = self.rows[..., 0] * 0.0
            return zero
        column: Array = self.rows[..., self._at(i) if i == j else self._at(i, j)]
        return column

    def weights_inner(self, i: int, j: int) -> Array:
        """theta_i.theta_j."""
        first = self.rows[..., self._at(i) + 1] if i else 0.0
        second = self.rows[..., self._at(j) + 1] if j else 0.0
        total: Array = self.rows[..., 0] + first + second + self.inner(i, j)
        return total

    def signs(self, i: int, j: int) -> tuple[Array, Array, Array]:
        """Sum |tau_i tau_j|, agreeing minus disagreeing entries, entries where neither is zero."""
        at = self._at(i, j)
        return self.rows[..., at + 1], self.rows[..., at + 2], self.rows[..., at + 3]

    def _at(self, i: int, j: int | None = None) -> int:
        """Column of tau_i.tau_i, or of the first sum of the pair i < j."""
        if j is not None and j < i:
            i, j = j, i
        before = sum(2 + self.step * (self.others - k) for k in range(1, i))
        return 1 + before + (0 if j is None else 2 + self.step * (j - i - 1))


def _distance(sums: Sums, i: int, j: int) -> Array:
    import numpy as np

    squared = sums.inner(i, i) - 2 * sums.inner(i, j) + sums.inner(j, j)
    return np.sqrt(np.maximum(squared, 0.0))


def _weight_cosine(sums: Sums, i: int, j: int) -> Array:
    return _cosine(sums.weights_inner(i, j), sums.norm_squared(i), sums.norm_squared(j))


def _task_cosine(sums: Sums, i: int, j: int) -> Array:
    return _cosine(sums.inner(i, j), sums.inner(i, i), sums.inner(j, j))


def _conflict(sums: Sums, i: int, j: int) -> Array:
    _, agreement, both = sums.signs(i, j)
    return _ratio((both - agreement) / 2, both)


def _weighted_conflict(sums: Sums, i: int, j: int) -> Array:
    magnitude, _, _ = sums.signs(i, j)
    return _ratio((magnitude - sums.inner(i, j)) / 2, magnitude)


def _task_ratio(sums: Sums, i: int, j: int) -> Array:
    import numpy as np

    return np.sqrt(_ratio(sums.inner(i, i), sums.inner(j, j)))


def _relative_norm(sums: Sums, i: int, _: int) -> Array:
    import numpy as np

    return np.sqrt(_ratio(sums.inner(i, i), sums.norm_squared(0)))


def _task_norm(sums: Sums, i: int, _: int) -> Array:
    import numpy as np

    return np.sqrt(sums.inner(i, i))


def _cosine(inner: Array, first: Array, second: Array) -> Array:
    """Between -1 and 1; NaN where one of the two vectors is zero."""
    import numpy as np

    return np.clip(_ratio(inner, np.sqrt(first) * np.sqrt(second)), -1.0, 1.0)


def _ratio(above: Array, below: Array) -> Array:
    """NaN where the denominator is zero."""
    import numpy as np

    above, below = np.asarray(above, float), np.asarray(below, float)
    blank = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    found: Array = np.divide(above, below, out=blank, where=below > 0)
    return found


@dataclass(frozen=True)
class Measure:
    """A number that two models, or a model and its base, have in every tensor and overall.

    Attributes:
        key: for files and addresses.
        title: for people.
        of: "weights" of any two participants; "task vectors" of two models with a base; "model":
            one task vector beside the base.
        meaning: one sentence.
        scale: "signed" lies between -1 and 1, "share" between 0 and 1, "ratio" is above 0 with 1
            as its middle, "size" above 0.
        compute: from sums and participants; `[...]`, NaN where it is not defined.
    """

    key: str
    title: str
    of: Literal["weights", "task vectors", "model"]
    meaning: str
    scale: Literal["signed", "share", "ratio", "size"]
    compute: Callable[[Sums, int, int], Array]


MEASURES: Mapping[str, Measure] = {
    one.key: one
    for one in (
        Measure(
            "task_cosine", "Cosine of task vectors", "task vectors",
            "Whether two models moved away from the base in the same direction: 0 is independent, "
            "1 the same.", "signed", _task_cosine,
        ),
        Measure(
            "sign_conflict", "Sign conflict", "task vectors",
            "Share of the entries changed by both in which one goes up and the other down; 0.5 is "
            "chance.", "share", _conflict,
        ),
        Measure(
            "weighted_conflict", "Sign conflict by magnitude", "task vectors",
            "The same with every entry weighted by the product of the two changes: large changes "
            "count more.", "share", _weighted_conflict,
        ),
        Measure(
            "relative_norm", "Task vector / base", "model",
            "Norm of the task vector divided by the norm of the base's weights.", "size",
            _relative_norm,
        ),
        Measure(
            "task_norm", "Norm of task vector", "model",
            "L2 norm of what training changed.", "size", _task_norm,
        ),
        Measure(
            "task_ratio", "Norm ratio of task vectors", "task vectors",
            "Norm of the first task vector divided by that of the second.", "ratio", _task_ratio,
        ),
        Measure(
            "distance", "L2 distance of weights", "weights",
            "Euclidean distance between the two models' weights; it grows with the size of a "
            "tensor.", "size", _distance,
        ),
        Measure(
            "weight_cosine", "Cosine of weights", "weights",
            "Near 1 for models of one origin, near 0 for models trained apart.", "signed",
            _weight_cosine,
        ),
    )
}  # fmt: skip


def offered(similarity: Similarity) -> list[Measure]:
    """The measures that a comparison can give: those of task vectors need a base, and two."""
    return [one for one in MEASURES.values() if subjects(similarity, one)]


def subjects(similarity: Similarity, measure: Measure) -> list[tuple[int, int]]:
    """What a measure can be asked of: pairs of participants; for "model" (participant, 0)."""
    if measure.of == "weights":
        return similarity.pairs
    if measure.of == "task vectors":
        return similarity.task_pairs
    return [(i, 0) for i in range(1, similarity.n_participants)] if similarity.based else []


def per_tensor(similarity: Similarity, measure: Measure, i: int, j: int) -> Array:
    """A measure in every tensor, `[tensors]`."""
    return measure.compute(Sums(similarity, similarity.sums), i, j)


def overall(similarity: Similarity, measure: Measure, i: int, j: int) -> float:
    """A measure over all tensors together, as one long vector."""
    return float(measure.compute(Sums(similarity, similarity.overall), i, j))
