"""What is found of one merge's emergent items; see `emergence` for what the numbers mean."""

from __future__ import annotations

from dataclasses import dataclass

from studies.analysis.intervals import LEVEL


@dataclass(frozen=True)
class TaskEmergence:
    """A merge on one task.

    Attributes:
        task: name.
        pool: items that no model it comes from has right.
        new: of these, those that the merge has right.
        expected: the number that luck gives: the larger of chance's and the controls' mean.
        p_chance: see above; None where there is no chance level.
        p_relatives: None without controls.
        p: the larger of the two.
    """

    task: str
    pool: int
    new: int
    expected: float | None
    p_chance: float | None
    p_relatives: float | None
    p: float | None


@dataclass(frozen=True)
class MergeEmergence:
    """A merge over all right-or-wrong tasks.

    Attributes:
        key: of the merge.
        label: of the merge.
        stage: of the merge.
        method: of the merge.
        n: items.
        count: right and in no constituent.
        pool: items that no model it comes from has right.
        new: of the pool, those that the merge has right.
        expected: of these, by luck, over the tasks with a null.
        tested: of `new`, those in tasks with a null: what `expected` is to be compared with.
        low: lower end of the 95 % interval of tested - expected, from the items.
        high: upper end.
        n_controls: merges of a part of what it was made from.
        most_control: `new` of the control that has most, in tasks with a null.
        p: see above; None where no task has a null.
        p_holm: after Holm's correction over the merges.
        best_task: where it stands out most.
        n_redrawn: merges that differ in the seed only, itself included; 0 without.
        again: mean number of pool items that two of them share.
        again_expected: the same by luck.
        p_redrawn: of that; None without re-drawn masks.
        tasks: task by task.
    """

    key: str
    label: str
    stage: str
    method: str
    n: int
    count: int
    pool: int
    new: int
    expected: float | None
    tested: int
    low: float | None
    high: float | None
    n_controls: int
    most_control: int | None
    p: float | None
    p_holm: float | None
    best_task: str | None
    n_redrawn: int
    again: float | None
    again_expected: float | None
    p_redrawn: float | None
    tasks: tuple[TaskEmergence, ...]

    @property
    def found(self) -> bool:
        """Emergent beyond luck: p after correction, more than any control, and not mask luck."""
        sure = self.p_holm is not None and self.p_holm < LEVEL
        beyond = self.most_control is None or self.tested > self.most_control
        return sure and beyond and (self.p_redrawn is None or self.p_redrawn < LEVEL)
