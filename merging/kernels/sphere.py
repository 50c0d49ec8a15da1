"""Methods whose factors follow from the scalar products of the whole tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from merging.kernels.chunks import Chunk, Kernel, Whole
from merging.kernels.sums import gram
from merging.kernels.weighted import add_up
from merging.methods import model_stock, nuslerp, slerp, sphere


def _slerp(whole: Whole, *, t: float) -> Sequence[float]:
    return slerp.factors(gram(whole), t=t)


def _nuslerp(whole: Whole, **_: Any) -> Sequence[float]:
    return nuslerp.factors(gram(whole), whole.weights)


def _multislerp(whole: Whole, *, normalize: bool) -> Sequence[float]:
    return sphere.mean_factors(gram(whole), whole.weights, normalize=normalize)


def _karcher(whole: Whole, *, max_iter: int) -> Sequence[float]:
    return sphere.karcher_factors(gram(whole), whole.weights, max_iter=max_iter)


def _model_stock(whole: Whole, *, clamp: bool, **_: Any) -> Sequence[float]:
    ratio = model_stock.ratio(gram(whole), clamp=clamp)
    return [ratio / whole.n_models] * whole.n_models


def sum_by_factors(chunk: Chunk, statistics: Sequence[float], **_: Any) -> None:
    """The vectors' sum with the factors of the statistics step, on the base if there is one."""
    add_up(chunk, statistics)


def _per_tensor(options: Mapping[str, Any]) -> bool:
    """Angles of rows and columns are left to the torch function."""
    return bool(options["per"] == "tensor")


def _kernel(observe: Callable[..., Any], **how: Any) -> Kernel:
    return Kernel(sum_by_factors, observe, **how)


KERNELS = {
    "slerp": _kernel(_slerp),
    "nuslerp": _kernel(_nuslerp, serves=_per_tensor),
    "multislerp": _kernel(_multislerp),
    "karcher": _kernel(_karcher),
    "model_stock": _kernel(_model_stock, serves=_per_tensor),
}
