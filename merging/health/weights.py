"""What the numbers of the weights say: finite, of the usual size, not lost in rounding."""

from __future__ import annotations

import math
import statistics
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from merging.checkpoints.stored import ITEM_BYTES
from merging.health.tally import Numbers
from merging.planning.checks import Check
from merging.wording import in_words

if TYPE_CHECKING:
    from merging.checkpoints.checkpoint import Checkpoint

# a norm beyond these, relative to the reference's, is not what merging fine-tunes gives
USUAL = (0.5, 2.0)
ABSURD = (0.1, 10.0)
# within these nothing stands out, however alike all the others are
NEAR = 1.25
# from this share of the changes on, rounding is what the merge mostly does
MUCH_LOST = 0.5
NAMED = 4
CHUNK = 1 << 16


def checks(
    tensors: Mapping[str, Numbers], *, reference: str, dtype: str, wrong: Mapping[str, int]
) -> list[Check]:
    """The checks that need the weights.

    Args:
        tensors: by name.
        reference: what the norms are relative to, as the user calls it; empty without one.
        dtype: that most of the weights have, in torch's words.
        wrong: tensor -> entries that are NaN or infinite.
    """
    found = [_numbers(tensors, wrong), _norms(tensors, reference, wrong)]
    lost = _rounding(tensors, dtype)
    return [*found, lost] if lost else found


def scan(
    checkpoint: Checkpoint, reference: Checkpoint | None, *, threads: int = 1
) -> Iterator[tuple[str, Numbers, int]]:
    """Read all floating-point tensors once: (name, numbers, entries that are not finite).

    Args:
        checkpoint: whose numbers are wanted.
        reference: read as well, for the ratios, where it has a tensor of the same shape.
        threads: tensors read at the same time.

    Raises:
        ModelError: a file cannot be read.
    """
    local = threading.local()

    def one(name: str) -> tuple[str, Numbers, int]:
        if not hasattr(local, "buffers"):
            local.buffers = _Buffers()
        return (name, *_of_tensor(checkpoint, reference, name, local.buffers))

    names = [name for name, info in checkpoint.tensors.items() if info.is_float]
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        yield from pool.map(one, names)


class _Buffers:
    """Memory of one thread."""

    def __init__(self) -> None:
        import numpy as np

        self.stored = bytearray(CHUNK * 8)
        self.values = np.empty(CHUNK, np.float32)


def _of_tensor(
    checkpoint: Checkpoint, reference: Checkpoint | None, name: str, buffers: _Buffers
) -> tuple[Numbers, int]:
    import numpy as np

    from merging.health import kernels

    info = checkpoint.tensors[name]
    other = reference.tensors.get(name) if reference is not None else None
    sums, wrong = np.zeros(4), 0
    pair = [(checkpoint, info)]
    if reference is not None and other is not None and other.shape == info.shape:
        pair.append((reference, other))
    totals = []
    for model, _ in pair:
        sums[:] = 0
        bad = 0
        for start in range(0, info.n_elements, CHUNK):
            values = _read(model, name, start, min(start + CHUNK, info.n_elements), buffers)
            bad += kernels.add_finite(values, sums)
        totals.append(float(sums[kernels.SQUARES]))
        if model is checkpoint:
            wrong = bad
    return Numbers(info.n_elements, totals[0], totals[1] if len(totals) > 1 else 0.0), wrong


def _read(model: Checkpoint, name: str, start: int, stop: int, buffers: _Buffers):  # type: ignore[no-untyped-def]
    from merging.kernels.convert import widen

    values = buffers.values[: stop - start]
    stored = model.stored(name)
    if stored is None:
        model.values_into(name, start, stop, values)
    else:
        raw = memoryview(buffers.stored)[: (stop - start) * ITEM_BYTES[stored]]
        model.read_into(name, start, stop, raw)
        widen(raw, stored, values)
    return values


def _numbers(tensors: Mapping[str, Numbers], wrong: Mapping[str, int]) -> Check:
    bad = [name for name, count in wrong.items() if count]
    if bad:
        return Check(
            "Numbers",
            "bad",
            f"NaN or infinity in {in_words(bad, most=NAMED)}: "
            f"{sum(wrong[name] for name in bad):,} entries.",
            "Do not use these weights: copy, download or merge them again.",
        )
    elements = sum(one.elements for one in tensors.values())
    return Check("Numbers", "ok", f"All {elements:,} weights are finite numbers.")


def _norms(tensors: Mapping[str, Numbers], reference: str, wrong: Mapping[str, int]) -> Check:
    empty = [name for name, one in tensors.items() if one.squares == 0 and not wrong.get(name)
             and not (one.reference == 0 and reference)]  # fmt: skip
    # a model may have zeros of its own (biases that were never trained): only many are odd
    empty = [name for name in empty if not name.endswith("bias")]
    if empty:
        return Check(
            "Norms",
            "bad",
            f"All of {in_words(empty, most=NAMED)} is zero.",
            "The weights are damaged, or a merge cancelled them out.",
        )
    ratios = {name: one.ratio for name, one in tensors.items() if one.ratio and not wrong.get(name)}
    if not ratios:
        return Check("Norms", "ok", "No tensor is all zeros; there is no parent to compare with.")
    odd = outliers(ratios)
    low, high = min(ratios.values()), max(ratios.values())
    if not odd:
        return Check(
            "Norms",
            "ok",
            f"Every tensor's norm is {low:.3g} to {high:.3g} times that of {reference}.",
        )
    named = [f"{name} ({ratio:.3g} times)" for name, ratio in odd.items()]
    absurd = any(not ABSURD[0] <= ratio <= ABSURD[1] for ratio in odd.values())
    return Check(
        "Norms",
        "bad" if absurd else "warn",
        f"Beside {reference}, the norm stands out in {in_words(named, most=NAMED)}; the others are "
        f"{_span(ratios, odd)}.",
        "Look at the weights, the scale and the densities of the recipe.",
    )


def outliers(ratios: Mapping[str, float]) -> dict[str, float]:
    """Norm ratios that are unusual, or far from those of the other tensors; the oddest first.

    Far is more than six times the median distance of the logarithms from their median (a robust
    measure of spread), and by more than a quarter.
    """
    logs = {name: math.log(ratio) for name, ratio in ratios.items()}
    middle = statistics.median(logs.values())
    spread = statistics.median(abs(value - middle) for value in logs.values())
    reach = max(6 * spread, math.log(NEAR))
    found = {
        name: abs(logs[name] - middle)
        for name, ratio in ratios.items()
        if not USUAL[0] <= ratio <= USUAL[1] or abs(logs[name] - middle) > reach
    }
    return {name: ratios[name] for name in sorted(found, key=lambda name: -found[name])}


def _span(ratios: Mapping[str, float], odd: Mapping[str, float]) -> str:
    others = [ratio for name, ratio in ratios.items() if name not in odd]
    return f"{min(others):.3g} to {max(others):.3g} times it" if others else "no different"


def _rounding(tensors: Mapping[str, Numbers], dtype: str) -> Check | None:
    counted = {name: one for name, one in tensors.items() if one.changed is not None}
    changed = sum(one.changed or 0.0 for one in counted.values())
    if not counted:
        return None
    if changed == 0:
        return Check(
            "Rounding",
            "warn",
            "The merge changes nothing: every weight is the base's.",
            "Check that the models differ from the base, and the recipe's weights.",
        )
    lost = sum(one.lost or 0.0 for one in counted.values())
    share = lost / changed
    worst = max(counted, key=lambda name: _share(counted[name]))
    text = f"{_percent(share)} of the weights that the merge changes are rounded back to the base's"
    text += f" in {dtype}"
    if _share(counted[worst]) > max(0.2, 2 * share):
        text += f" (most in {worst}: {_percent(_share(counted[worst]))})"
    if share > MUCH_LOST:
        return Check("Rounding", "warn", f"{text}.", "Set the recipe's dtype to float32.")
    return Check("Rounding", "ok", f"{text}.")


def _share(one: Numbers) -> float:
    return (one.lost or 0.0) / one.changed if one.changed else 0.0


def _percent(share: float) -> str:
    if share == 0:
        return "None"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
