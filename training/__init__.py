"""Training: continual pretraining and instruction tuning, and the sandbox family made with them.

Importing this package does not import torch; `build_family` does when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.family import build_family

__all__ = ["build_family"]


def __getattr__(name: str) -> Any:
    """Load `build_family` when it is first asked for."""
    if name == "build_family":
        from training.family import build_family

        return build_family
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
