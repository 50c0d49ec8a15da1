"""TIES' election of a sign per element, and the average of those who agree with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.compiled import compiled
from merging.kernels.weighted import singles

if TYPE_CHECKING:
    from numpy.typing import NDArray

# a smaller divisor is taken for none, compared in float32 as torch does
_NEARLY_ZERO = np.float32(1e-8)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
# numba's types of `Election.arrays`
ELECTION = "float32[::1], float32[::1], float32[::1], boolean"


@dataclass(frozen=True)
class Election:
    """How task vectors vote and count, in float32.

    Attributes:
        votes: `[K]`, factor of a task vector before the election.
        coefficients: `[K]`, factor of what agrees.
        counts: `[K]`, what an agreeing task vector adds to the divisor.
        divide: whether there is a divisor.
    """

    votes: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    counts: NDArray[np.float32]
    divide: bool

    def arrays(self) -> tuple[Any, ...]:
        """All of it, in the order in which kernels take it."""
        return self.votes, self.coefficients, self.counts, self.divide


def election(weights: Sequence[float], *, election_weights: bool, normalize: bool) -> Election:
    """The election of `merging.methods.election`, which says what the options mean."""
    own, ones = singles(weights), singles([1.0] * len(weights))
    if election_weights:
        return Election(own, ones, own, normalize)
    return Election(ones, own, np.abs(own), normalize)


@compiled(f"void(float32[:, ::1], {ELECTION}, float32[::1])")
def elect(
    vectors: NDArray[np.float32],
    votes: NDArray[np.float32],
    coefficients: NDArray[np.float32],
    counts: NDArray[np.float32],
    divide: bool,
    out: NDArray[np.float32],
) -> None:
    """Merge trimmed task vectors where their sign agrees with the elected one.

    Args:
        vectors: `[K, m]` float32 with m at least n; overwritten with the voters.
        votes: `[K]` float32, see `Election`.
        coefficients: `[K]` float32.
        counts: `[K]` float32.
        divide: whether to divide by the counts.
        out: `[n]` float32.
    """
    n = out.size
    models = vectors.shape[0]
    sign = np.empty(n, dtype=np.float32)
    for k in range(models):
        voter, vote = vectors[k, :n], votes[k]
        if vote != _ONE:
            for i in range(n):
                voter[i] *= vote
        if k == 0:
            for i in range(n):
                sign[i] = voter[i]
        else:
            for i in range(n):
                sign[i] += voter[i]
    for i in range(n):
        sign[i] = _ONE if sign[i] >= _ZERO else -_ONE
        out[i] = _ZERO
    if divide:
        divisor = np.zeros(n, dtype=np.float32)
        for k in range(models):
            voter, coefficient, count = vectors[k], coefficients[k], counts[k]
            for i in range(n):
                along = voter[i] * sign[i]
                agrees = along > _ZERO
                divisor[i] += count if agrees else _ZERO
                out[i] += (along if agrees else _ZERO) * coefficient
        for i in range(n):
            by = divisor[i]
            out[i] = out[i] / (_ONE if abs(by) < _NEARLY_ZERO else by) * sign[i]
    else:
        for k in range(models):
            voter, coefficient = vectors[k], coefficients[k]
            for i in range(n):
                along = voter[i] * sign[i]
                out[i] += (along if along > _ZERO else _ZERO) * coefficient
        for i in range(n):
            out[i] *= sign[i]
