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
        most_control: the most that any other merge has right of the pool, among those not made
            from all that this one was made from; None without such.
        p_best: exact one-sided McNemar test against that merge.
    """

    task: str
    pool: int
    new: int
    expected: float | None
    p_chance: float | None
    p_relatives: float | None
    p: float | None
    most_control: int | None
    p_best: float | None


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
        p: see above; None where no task has a null.
        p_holm: after Holm's correction over the merges.
        best_task: where it stands out most: the smallest p among the tasks where it is above every
            other merge beyond noise, or else among all.
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
    p: float | None
    p_holm: float | None
    best_task: str | None
    n_redrawn: int
    again: float | None
    again_expected: float | None
    p_redrawn: float | None
    tasks: tuple[TaskEmergence, ...]

    @property
    def best(self) -> TaskEmergence | None:
        """The task where it stands out most."""
        return next((one for one in self.tasks if one.task == self.best_task), None)

    @property
    def found(self) -> bool:
        """Emergent beyond luck, see `emergence`: three things in one task.

        p after both corrections, more right than any other merge beyond noise, and no mask luck.
        """
        if self.p is None or self.p_holm is None or self.best is None or self.best.p is None:
            return False
        if self.p_redrawn is not None and self.p_redrawn >= LEVEL:
            return False
        n_tests = sum(one.p is not None for one in self.tasks)
        over_merges = self.p_holm / self.p if self.p > 0 else 1.0
        p = over_merges * (1 - (1 - self.best.p) ** n_tests)
        return p < LEVEL and (self.best.p_best is None or self.best.p_best < LEVEL)
