"""What a search maximises or minimises, and what each trial is worth in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from evaluation.signatures.general import general_tasks
from merging.recipes.slices import Strict
from merging.wording import in_words, unknown
from search.errors import SearchError

Kind = Literal["score", "general", "change"]
KINDS: Mapping[str, str] = {
    "score": "mean score of the tasks",
    "general": "mean score of the general tasks",
    "change": "size of the change, |merge - base| / |base|",
}
PART = "objectives"  # of a form
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Objective(Strict):
    """One number per trial.

    Attributes:
        of: "score" (mean over tasks), "general" (mean over general tasks), "change" (of weights).
        tasks: of a score: only these of the suite's.
        domains: of a score: only the tasks of these domains.
    """

    of: Kind = "score"
    tasks: tuple[Text, ...] | None = None
    domains: tuple[Text, ...] | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        if isinstance(given, str):
            given = {"of": given}
        if not isinstance(given, dict | Objective):
            raise SearchError(f"An objective is one of {in_words(KINDS)}, not {given!r:.60}.", PART)
        if isinstance(given, dict) and str(given.get("of", "score")) not in KINDS:
            raise SearchError(unknown("objective", str(given["of"]), KINDS), PART)
        return given

    @pydantic.model_validator(mode="after")
    def _check(self) -> Objective:
        chosen = [one for one in (self.tasks, self.domains) if one is not None]
        if self.of != "score" and chosen:
            raise SearchError(f"The objective “{self.of}” takes no tasks and no domains.", PART)
        if len(chosen) == 2:
            raise SearchError("An objective names tasks and domains; keep one of them.", PART)
        if any(not one for one in chosen):
            raise SearchError(
                "An objective has an empty list of tasks; leave it out for all.", PART
            )
        return self

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Of the search."""
        return "minimize" if self.of == "change" else "maximize"

    @property
    def is_score(self) -> bool:
        """Whether it is a mean of scores, to be held against noise."""
        return self.of != "change"

    @property
    def title(self) -> str:
        """For people, short."""
        if self.of == "change":
            return "size of change"
        if self.of == "general":
            return "general score"
        if self.domains:
            return f"score of {in_words(self.domains)}"
        return f"score of {in_words(self.tasks, most=3)}" if self.tasks else "mean score"

    def tasks_of(self, domains: Mapping[str, str], experts: Sequence[str] = ()) -> list[str]:
        """The tasks that it is a mean over.

        Args:
            domains: task -> domain, of the tasks that are asked.
            experts: domains that the recipe's models are experts in.

        Raises:
            SearchError: a task or domain that is not there, or none that is general.
        """
        if self.of == "change":
            return []
        if self.of == "general":
            found = general_tasks(domains, experts)
            if not found:
                raise SearchError(
                    "The suite has no general tasks: none of its domains is called general, and "
                    "each is one of the experts'. Name an objective's tasks instead.",
                    PART,
                )
            return found
        for name in self.tasks or ():
            if name not in domains:
                raise SearchError(unknown("task of an objective", name, domains), PART)
        for name in self.domains or ():
            if name not in domains.values():
                raise SearchError(
                    unknown("domain of an objective", name, dict.fromkeys(domains.values())), PART
                )
        if self.domains:
            return [task for task, domain in domains.items() if domain in self.domains]
        return list(self.tasks or domains)

    def to_data(self) -> Any:
        """As short as it may be written."""
        data = self.model_dump(mode="json", exclude_none=True)
        return data["of"] if len(data) == 1 else data


def value_of(
    tasks: Sequence[str], scores: Mapping[str, float], change: float | None
) -> float | None:
    """A trial's value in one objective; None where a task has no score.

    Args:
        tasks: of the objective; none for the change.
        scores: task -> score.
        change: of the weights.
    """
    if not tasks:
        return change
    found = [scores.get(task, math.nan) for task in tasks]
    value = math.fsum(found) / len(found)
    return value if math.isfinite(value) else None
