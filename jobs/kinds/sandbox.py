"""Train the sandbox family anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.kinds import Event


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Train the family.

    Args:
        spec: `out` (folder; default the project's own) and `seed`, both optional.
    """
    from training.family import build_family

    given = {name: spec[name] for name in ("out", "seed") if spec.get(name) is not None}
    yield from build_family(**given)
