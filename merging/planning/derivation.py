"""Is this expert really derived from that base? Answered from a few megabytes of both.

Training moves the weights of a large model little: a derived model's matrices keep a cosine near 1
with their base's, and the task vector is a fraction of the base in norm. Two models of the same
shapes that were trained apart have matrices with a cosine of about 0. The limits below are rules
of thumb: each matrix of the sandbox family keeps 0.99 or more, full training of large models with
billions of further tokens usually above 0.9, and independent matrices of n sampled entries lie at
0 +- 1/sqrt(n). Vectors (norms, biases) are not looked at, because those of any two models are
alike, and neither are embeddings, whose rows may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.stored import ITEM_BYTES
from merging.planning.checks import Check
from merging.similarity.places import place
from merging.wording import in_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TITLE = "Origin"
DERIVED = 0.9  # cosine over all sampled matrices from which a model passes for derived
UNRELATED = 0.2  # below this, two matrices have nothing to do with each other
TOO_MANY_UNRELATED = 0.25  # share of unrelated matrices that spoils a merge
MOST_MATRICES = 512
SAMPLE = 8192  # neighbouring entries read of each matrix: 16 kB in bfloat16, 8 MB a model at most
STEP = 0.6180339887498949  # golden ratio: places that never line up from matrix to matrix


@dataclass(frozen=True)
class Derivation:
    """What the samples of two models say.

    Attributes:
        n_matrices: sampled in both.
        cosine: of the weights, over all samples.
        relative_norm: of the difference, over the norm of the base's samples.
        unrelated: names of matrices whose own cosine is below UNRELATED.
        identical: whether every sampled entry is the same.
    """

    n_matrices: int
    cosine: float
    relative_norm: float
    unrelated: tuple[str, ...]
    identical: bool


def check_derivation(expert: Checkpoint, base: Checkpoint, *, is_base: bool = True) -> Check | None:
    """Whether `expert` was trained from `base`; None where nothing can be said.

    Args:
        expert: a model of the same shapes.
        base: what it should come from.
        is_base: whether the merge subtracts `base`; if not, it is another model that should share
            an origin, and what speaks against it is a warning only.

    Raises:
        ModelError: a file that cannot be read.
    """
    found = derivation(expert, base)
    if found is None:
        return None
    said = _Wording(expert.label, base.label, is_base)
    share = len(found.unrelated) / found.n_matrices
    if found.identical:
        return said.identical(found)
    if share == 1 or found.cosine < UNRELATED:
        return said.unrelated(found)
    if share >= TOO_MANY_UNRELATED:
        return said.out_of_line(found)
    if found.cosine < DERIVED or found.unrelated:
        return said.far(found)
    verb = "is derived from" if is_base else "has the same origin as"
    return Check(TITLE, "ok", f"{expert.label} {verb} {base.label}: {_numbers(found)}.")


@dataclass(frozen=True)
class _Wording:
    """What is said of a model that does not simply pass."""

    expert: str
    base: str
    is_base: bool

    def identical(self, found: Derivation) -> Check:
        where = f"in all {found.n_matrices} sampled matrices"
        if not self.is_base:
            detail = f"{self.expert} and {self.base} hold the same weights {where}."
            return Check(TITLE, "warn", detail, "One of the two is enough.")
        return Check(
            TITLE,
            "warn",
            f"{self.expert} holds the very weights of {self.base} {where}: its task vector is "
            "zero, so it adds nothing.",
            "Choose the trained model, or take it out.",
        )

    def unrelated(self, found: Derivation) -> Check:
        rule = f"{_numbers(found)}; related models stay above {DERIVED}, as a rule of thumb"
        if not self.is_base:
            return Check(
                TITLE,
                "warn",
                f"{self.expert} and {self.base} have the same shapes but no common origin "
                f"({rule}).",
                "A mean of the two is noise: merge models that were trained from one base.",
            )
        return Check(
            TITLE,
            "bad",
            f"{self.expert} has the shapes of {self.base} but does not come from it ({rule}).",
            f"Name the base that {self.expert} was trained from.",
        )

    def out_of_line(self, found: Derivation) -> Check:
        modules = dict.fromkeys(place(name).column for name in found.unrelated)
        return Check(
            TITLE,
            "bad" if self.is_base else "warn",
            f"{self.expert} does not line up with {self.base} in {len(found.unrelated)} of "
            f"{found.n_matrices} sampled matrices ({in_words(modules, most=4)}): neurons are in "
            "another order there, or were trained anew.",
            f"Take {self.expert} in its original form, or the base that it was trained from.",
        )

    def far(self, found: Derivation) -> Check:
        return Check(
            TITLE,
            "warn",
            f"{self.expert} is far from {self.base} ({_numbers(found)}; related models usually "
            f"stay above {DERIVED}, as a rule of thumb).",
            f"Make sure that {self.expert} was trained from {self.base}."
            if self.is_base
            else "Make sure that both were trained from one base.",
        )


def _numbers(found: Derivation) -> str:
    # a tiny cosine is zero to the reader, and "-0.000" a riddle
    cosine = found.cosine if abs(found.cosine) >= 0.0005 else 0.0
    return (
        f"cosine of the weights {cosine:.3f}, difference {100 * found.relative_norm:.2g} % of the "
        f"norm, sampled in {found.n_matrices} matrices"
    )


def check_origins(base: Checkpoint | None, models: Sequence[Checkpoint]) -> Iterator[Check]:
    """A check for each model against the base, or without one against the first model."""
    reference = base or models[0]
    seen = [reference]
    for model in models:
        if any(model is one for one in seen):
            continue
        seen.append(model)
        found = check_derivation(model, reference, is_base=base is not None)
        if found is not None:
            yield found


def derivation(expert: Checkpoint, base: Checkpoint) -> Derivation | None:
    """Sample both models' matrices at the same places; None when they share none.

    Raises:
        ModelError: a file that cannot be read.
    """
    import numpy as np

    names = _matrices(expert, base)
    products = []  # theta_0.theta_i, theta_0.theta_0, theta_i.theta_i, tau.tau of each matrix
    kept = []
    for number, name in enumerate(names):
        n = base.tensors[name].n_elements
        start = int(number * STEP % 1.0 * max(0, n - SAMPLE))
        ours, theirs = (_read(one, name, start, min(n, start + SAMPLE)) for one in (base, expert))
        delta = theirs - ours
        row = (ours @ theirs, ours @ ours, theirs @ theirs, delta @ delta)
        # a matrix of zeros points nowhere, and NaN has its own message when the merge meets it
        if np.isfinite(row).all() and row[1] > 0 and row[2] > 0:
            products.append(row)
            kept.append(name)
    if not kept:
        return None
    sums = np.array(products)
    cosines = sums[:, 0] / np.sqrt(sums[:, 1] * sums[:, 2])
    total = sums.sum(axis=0)
    return Derivation(
        n_matrices=len(kept),
        cosine=float(total[0] / np.sqrt(total[1] * total[2])),
        relative_norm=float(np.sqrt(total[3] / total[1])),
        unrelated=tuple(name for name, c in zip(kept, cosines, strict=True) if c < UNRELATED),
        identical=bool(total[3] == 0),
    )


def _matrices(expert: Checkpoint, base: Checkpoint) -> list[str]:
    """Names of matrices of the same shape in both, evenly thinned out; embeddings may differ."""
    embeddings = {name for one in (expert, base) if one.head for name in one.head}
    names = [
        name
        for name, info in base.tensors.items()
        if len(info.shape) > 1
        and info.n_elements
        and info.is_float
        and name not in embeddings
        and name in expert.tensors
        and expert.tensors[name].is_float
        and expert.tensors[name].shape == info.shape
    ]
    return names[:: -(-len(names) // MOST_MATRICES)] if names else []


def _read(parent: Checkpoint, name: str, start: int, stop: int) -> NDArray[np.float64]:
    """Elements of a flattened tensor, `[stop - start]`, without torch or numba: pages ask too."""
    import numpy as np

    dtype = parent.stored(name)
    if dtype is None:  # an adapter's, say: computed on the way
        values = np.empty(stop - start, np.float32)
        parent.values_into(name, start, stop, values)
        return values.astype(np.float64)
    raw = np.empty((stop - start) * ITEM_BYTES[dtype], np.uint8)
    parent.read_into(name, start, stop, raw.data)
    if dtype == "BF16":
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    stored = {"F16": np.float16, "F32": np.float32, "F64": np.float64}[dtype]
    return raw.view(stored).astype(np.float64)
