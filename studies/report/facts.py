"""What a report tells beside the scores; whoever knows the database fills it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Facts:
    """Facts about a study.

    Attributes:
        written: when the report was written, in words.
        done: name -> value, such as when the study ran, and how long.
        versions: name of a program or package -> version.
        parents: a row for every parent: name, revision, fingerprint, licence and the like.
        recipes: key of a point -> its recipe as YAML.
        points: key of a point -> more columns of its row in points.csv, such as its seconds.
        failed: what failed and why: rows with "key", "label" and "error".
    """

    written: str
    done: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    parents: Rows = ()
    recipes: Mapping[str, str] = field(default_factory=dict)
    points: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failed: Rows = ()
