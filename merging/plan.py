"""Compatibility and will-it-fit, from headers and configs (being written: signatures are final)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from merging.recipe import Recipe


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    title: str
    state: Literal["ok", "warn", "bad"]
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Needs:
    """What the merge takes and what is there; None where it does not apply or is not known."""

    ram_bytes: int
    ram_free_bytes: int
    vram_bytes: int | None
    vram_free_bytes: int | None
    disk_bytes: int | None
    disk_free_bytes: int | None
    seconds: float


@dataclass(frozen=True)
class Plan:
    """The answer before anything starts; not ok when a check is bad."""

    checks: tuple[Check, ...]
    needs: Needs

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way."""
        return all(check.state != "bad" for check in self.checks)


def plan(
    recipe: Recipe, folders: Mapping[str, Path], out: Path | None = None, device: str = "auto"
) -> Plan:
    """Check the parents against each other and the machine. ModelError: an unreadable folder."""
    raise NotImplementedError
