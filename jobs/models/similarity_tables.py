"""A comparison as the reader sees it: an overall table, a map of layers by modules, a CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from jobs.models import independence

if TYPE_CHECKING:
    from merging.similarity.measures import Measure
    from merging.similarity.result import Similarity

Subject = tuple[int, int]


@dataclass(frozen=True)
class Cell:
    """One square of the map: a module of a layer.

    Attributes:
        value: None where the module is absent or the measure is not defined.
        tensor: its name; of several, the first with the number of all.
        is_matrix: whether it has rows and columns: norms and biases are few numbers and vary more.
        in_layer: whether it is part of a layer: embeddings and output head are not.
    """

    value: float | None
    tensor: str
    is_matrix: bool
    in_layer: bool


@dataclass(frozen=True)
class Map:
    """A measure by layer and module; `cells[row][column]`, None where there is no such tensor."""

    rows: list[str]
    columns: list[str]
    cells: list[list[Cell | None]]


class Said(NamedTuple):
    """A pair's cosine of task vectors, and its meaning in a sentence."""

    verdict: independence.Verdict
    cosine: float
    text: str


@dataclass(frozen=True)
class Found:
    """A comparison, and what its participants are called, the reference first."""

    similarity: Similarity
    labels: tuple[str, ...]

    @property
    def n_parameters(self) -> int:
        """Weights that were compared in each model."""
        return sum(math.prod(shape) for shape in self.similarity.shapes)

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """What can be shown, by key."""
        from merging.similarity.measures import offered

        return {one.key: one for one in offered(self.similarity)}

    def subjects(self, measure: Measure) -> list[Subject]:
        """What a measure can be asked of, in the labels' alphabetical order, the base first."""
        from merging.similarity.measures import subjects

        return sorted(
            (self._in_order(pair, measure) for pair in subjects(self.similarity, measure)),
            key=lambda pair: [self._rank(one) for one in pair],
        )

    def called(self, measure: Measure, subject: Subject) -> str:
        """`finance and math`, `finance / math` of a ratio, `finance` of a model's own measure."""
        first, second = (self.labels[one] for one in subject)
        if measure.of == "model":
            return first
        return f"{first} / {second}" if measure.scale == "ratio" else f"{first} and {second}"

    def overall(self, measure: Measure, subject: Subject) -> float | None:
        """A measure over all weights; None where it is not defined."""
        from merging.similarity.measures import overall

        return _defined(overall(self.similarity, measure, *subject))

    def pairs(self) -> list[dict[str, Any]]:
        """A row for every pair of models: `first`, `second`, and each measure by its key."""
        rows: dict[Subject, dict[str, Any]] = {}
        for measure in self.measures.values():
            for subject in self.subjects(measure):
                if measure.of == "model" or (self.similarity.based and 0 in subject):
                    continue
                first, second = (self.labels[one] for one in subject)
                row = rows.setdefault(subject, {"first": first, "second": second})
                row[measure.key] = self.overall(measure, subject)
        return [rows[key] for key in sorted(rows, key=lambda key: [self._rank(one) for one in key])]

    def models(self) -> list[dict[str, Any]]:
        """A row for every model beside the base: `model` and each measure by its key."""
        if not self.similarity.based:
            return []
        shown = [one for one in self.measures.values() if one.of == "model"]
        shown.append(self.measures["weight_cosine"])
        return [
            {"model": self.labels[i], **{one.key: self.overall(one, (i, 0)) for one in shown}}
            for i in sorted(range(1, len(self.labels)), key=self._rank)
        ]

    def map(self, measure: Measure, subject: Subject) -> Map:
        """The measure by layer and module; several tensors of a cell count as one long vector."""
        import numpy as np

        from merging.similarity.measures import Sums
        from merging.similarity.places import OTHER, place, rows_and_columns

        similarity = self.similarity
        rows, columns = rows_and_columns(similarity.names)
        members: dict[tuple[str, str], list[int]] = {}
        for index, name in enumerate(similarity.names):
            at = place(name)
            members.setdefault((at.row, at.column), []).append(index)
        sums = np.stack([similarity.sums[found].sum(axis=0) for found in members.values()])
        values = measure.compute(Sums(similarity, sums), *subject)
        cells = {
            key: Cell(
                _defined(float(value)),
                _named([similarity.names[i] for i in found]),
                any(len(similarity.shapes[i]) > 1 for i in found),
                key[1] != OTHER,
            )
            for (key, found), value in zip(members.items(), values, strict=True)
        }
        return Map(rows, columns, [[cells.get((row, one)) for one in columns] for row in rows])

    def numbers(self) -> list[dict[str, Any]]:
        """A row per tensor and pair (or model) with every measure: what the CSV holds."""
        from merging.similarity.measures import per_tensor
        from merging.similarity.places import place

        rows: dict[tuple[int, str, str], dict[str, Any]] = {}
        for measure in self.measures.values():
            for subject in self.subjects(measure):
                values = per_tensor(self.similarity, measure, *subject)
                first = self.labels[subject[0]]
                second = "" if measure.of == "model" else self.labels[subject[1]]
                for index, name in enumerate(self.similarity.names):
                    at = place(name)
                    row = rows.setdefault((index, first, second), {
                        "tensor": name, "layer": at.row, "module": at.column,
                        "elements": math.prod(self.similarity.shapes[index]),
                        "first": first, "second": second,
                    })  # fmt: skip
                    row[measure.key] = _defined(float(values[index]))
        return [rows[key] for key in sorted(rows, key=lambda key: key[0])]

    def notes(self) -> list[str]:
        """What was left out, in sentences."""
        from merging.similarity.notes import sentences

        return sentences(self.similarity.notes, self.labels)

    def verdicts(self) -> list[Said]:
        """For every pair of task vectors, what their cosine says about adding them."""
        found = []
        for row in self.pairs() if "task_cosine" in self.measures else ():
            value = row["task_cosine"]
            cosine = math.nan if value is None else value
            text = independence.sentence(row["first"], row["second"], cosine)
            found.append(Said(independence.verdict(cosine), cosine, text))
        return found

    def data(self) -> dict[str, Any]:
        """Everything as plain data, for the terminal's JSON."""
        return {
            "base": self.labels[0] if self.similarity.based else None,
            "models": sorted(self.labels[1 if self.similarity.based else 0 :]),
            "parameters": self.n_parameters,
            "pairs": self.pairs(),
            "beside_base": self.models(),
            "tensors": self.numbers(),
            "notes": self.notes(),
        }

    def _in_order(self, subject: Subject, measure: Measure) -> Subject:
        """A pair with the name that comes first in front."""
        if measure.of == "model":
            return subject
        first, second = sorted(subject, key=self._rank)
        return first, second

    def _rank(self, participant: int) -> tuple[bool, str]:
        is_base = self.similarity.based and participant == 0
        return (not is_base, self.labels[participant])


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
