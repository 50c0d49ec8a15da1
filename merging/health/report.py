"""A health report: checks in words, the figures behind them, and both as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from merging.health.tally import Numbers
from merging.planning.checks import Check

FILE = "health.json"
VERSION = 1
MARKS = {"ok": "✓", "warn": "!", "bad": "✗"}
# the order of the card, whatever the order in which things were looked at
ORDER = (
    "Numbers",
    "Norms",
    "Rounding",
    "Tensors",
    "Output head",
    "Token ids",
    "End of text",
    "Chat template",
    "Generation",
)
DIGITS = 7


@dataclass(frozen=True)
class Health:
    """What was found about a model's folder.

    Attributes:
        checks: in the order of the card.
        tensors: numbers per tensor; empty when the weights were not read.
        reference: what norms are relative to, as the user calls it; empty without one.
        reply: what the model said in the smoke generation; empty when it was not asked.
    """

    checks: tuple[Check, ...]
    tensors: Mapping[str, Numbers] = field(default_factory=dict)
    reference: str = ""
    reply: str = ""

    @property
    def state(self) -> str:
        """The worst state of any check."""
        states = {check.state for check in self.checks}
        return next((state for state in ("bad", "warn") if state in states), "ok")

    def with_checks(self, checks: Sequence[Check], *, reply: str | None = None) -> Health:
        """The same with further checks; one of a title that is there already is replaced."""
        merged = {check.title: check for check in (*self.checks, *checks)}
        return Health(
            ordered(merged.values()),
            self.tensors,
            self.reference,
            self.reply if reply is None else reply,
        )

    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "version": VERSION,
            "state": self.state,
            "checks": [vars(check) for check in self.checks],
            "reference": self.reference,
            "reply": self.reply,
            "tensors": {name: _row(one) for name, one in self.tensors.items()},
        }

    def write(self, folder: Path) -> None:
        """Write it into a folder, replacing an older one in one step."""
        partial = folder / f".{FILE}.partial"
        partial.write_text(json.dumps(self.data(), indent=1, ensure_ascii=False) + "\n", "utf-8")
        partial.replace(folder / FILE)


def ordered(checks: Any) -> tuple[Check, ...]:
    """Checks in the order of the card."""
    return tuple(
        sorted(checks, key=lambda one: ORDER.index(one.title) if one.title in ORDER else len(ORDER))
    )


def read(folder: Path) -> Health | None:
    """The report that lies in a folder; None when there is none, or none that can be read."""
    try:
        return from_data(json.loads((folder / FILE).read_text("utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def from_data(data: Any) -> Health | None:
    """A report from its JSON; None when it is of another version or damaged."""
    try:
        if data["version"] != VERSION:
            return None
        checks = [
            Check(str(one["title"]), one["state"], str(one["detail"]), str(one.get("fix", "")))
            for one in data["checks"]
            if one["state"] in MARKS
        ]
        tensors = {name: _numbers(row) for name, row in data["tensors"].items()}
        return Health(
            tuple(checks), tensors, str(data.get("reference", "")), str(data.get("reply", ""))
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def in_words(health: Health) -> str:
    """The report for a model card, in Markdown."""
    lines = [
        f"* {MARKS[one.state]} **{one.title}.** {' '.join(f'{one.detail} {one.fix}'.split())}"
        for one in health.checks
    ]
    return "\n".join(lines)


def _row(one: Numbers) -> dict[str, Any]:
    row: dict[str, Any] = {"elements": one.elements, "norm": _digits(one.norm)}
    if one.reference:
        row["reference"] = _digits(float(one.reference**0.5))
    if one.changed is not None:
        row |= {"changed": int(one.changed), "lost": int(one.lost or 0)}
    return row


def _numbers(row: Mapping[str, Any]) -> Numbers:
    has_base = "changed" in row
    return Numbers(
        elements=int(row["elements"]),
        squares=float(row["norm"]) ** 2,
        reference=float(row.get("reference", 0.0)) ** 2,
        changed=float(row["changed"]) if has_base else None,
        lost=float(row["lost"]) if has_base else None,
    )


def _digits(value: float) -> float:
    """As many digits as mean something: the order of addition touches the last ones."""
    return float(f"{value:.{DIGITS}g}")
