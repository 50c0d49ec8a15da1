"""The merge methods on the CPU: compiled kernels over cache-sized blocks, without torch.

`KERNELS[name]` has the `observe` and `merge` of a method. The torch function of the same name in
`merging.methods` is the definition; a kernel gives the same float32 bits. Kernels run in one thread
and leave the interpreter to others, so that whole tensors can be merged side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from merging.kernels.chunks import Kernel

# module of each method; it is imported, and its kernels compiled, when the method is first used
_MODULES = {
    "linear": "linear",
    "passthrough": "linear",
    "task_arithmetic": "linear",
    "instruction_residual": "linear",
    "ties": "ties",
    "dare_linear": "dare",
    "dare_ties": "dare",
    "breadcrumbs": "breadcrumbs",
    "breadcrumbs_ties": "breadcrumbs",
    "della_linear": "della",
    "della": "della",
    "slerp": "sphere",
    "nuslerp": "sphere",
    "multislerp": "sphere",
    "karcher": "sphere",
    "model_stock": "sphere",
}


class _Kernels(Mapping[str, "Kernel"]):
    """The kernels by the names of their methods."""

    def __getitem__(self, name: str) -> Kernel:
        kernel: Kernel = import_module(f"{__name__}.{_MODULES[name]}").KERNELS[name]
        return kernel

    def __contains__(self, name: object) -> bool:
        # without the import that looking it up would take
        return name in _MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


KERNELS: Mapping[str, Kernel] = _Kernels()


def kernel_for(method: str, options: Mapping[str, Any]) -> Kernel | None:
    """The kernel that serves a method with these options; None where torch has to do it."""
    kernel = KERNELS.get(method)
    return kernel if kernel is not None and kernel.serves(options) else None
