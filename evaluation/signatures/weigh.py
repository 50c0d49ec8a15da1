"""A merge's counts beside its parents': is a sign there, and is it the merge's own?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.signatures.kinds import KINDS, LEAST_ITEMS
from evaluation.signatures.look import Counts
from evaluation.statistics.uncertainty import Interval, mcnemar, wilson

Tasks = Mapping[str, Counts]  # task -> what was found in its evaluation

NEW, WORSE, INHERITED, ALONE = "new", "worse", "inherited", "alone"


@dataclass(frozen=True)
class Share:
    """So many of so many replies of one model, over all tasks and task by task."""

    model: str
    by_task: Mapping[str, tuple[int, int]]

    @property
    def n(self) -> int:
        """Replies that show the sign."""
        return sum(n for n, _ in self.by_task.values())

    @property
    def of(self) -> int:
        """Replies that were looked at."""
        return sum(of for _, of in self.by_task.values())

    @property
    def value(self) -> float:
        """0 to 1."""
        return self.n / self.of if self.of else 0.0

    @property
    def worst(self) -> str | None:
        """The task with the largest share; None where nothing was found."""
        found = {task: n / of for task, (n, of) in self.by_task.items() if n}
        return max(found, key=found.__getitem__, default=None)

    def shows(self, kind: str) -> bool:
        """Whether this is enough to be told, over all or in one task."""
        one = KINDS[kind]
        enough = self.n >= LEAST_ITEMS and self.value >= one.share
        return enough or any(
            n >= LEAST_ITEMS and n >= one.task_share * of for n, of in self.by_task.values()
        )


@dataclass(frozen=True)
class Sign:
    """A sign that a model's replies show.

    Attributes:
        kind: name in ``KINDS``.
        here: the model's own count.
        interval: Wilson's 95 % interval of its share.
        items: task -> item numbers that show it.
        parents: the parents that were asked the same, with their counts.
        verdict: "new" (no parent shows it), "worse" (a parent does, the merge beyond noise more
            than each that does), "inherited", or "alone" (no parent was asked the same).
    """

    kind: str
    here: Share
    interval: Interval
    items: Mapping[str, tuple[int, ...]]
    parents: tuple[Share, ...]
    verdict: str

    @property
    def alike(self) -> tuple[Share, ...]:
        """The parents that show the sign too."""
        return tuple(parent for parent in self.parents if parent.shows(self.kind))


def weigh(model: str, tasks: Tasks, parents: Sequence[tuple[str, Tasks]] = ()) -> list[Sign]:
    """The signs of a model, in the order of ``KINDS``.

    Args:
        model: its name.
        tasks: its evaluations.
        parents: names and evaluations of what it was made from; only tasks that were asked under
            the same configuration belong here.
    """
    signs = []
    for kind in KINDS:
        here = _share(model, kind, tasks)
        if not here.shows(kind):
            continue
        beside = [
            (_share(name, kind, theirs, tasks), theirs)
            for name, theirs in parents
            if any(task in tasks for task in theirs)
        ]
        beside = [(share, theirs) for share, theirs in beside if share.of]
        items = {task: tasks[task].found[kind] for task, (n, _) in here.by_task.items() if n}
        verdict = _verdict(kind, tasks, beside)
        shares = tuple(share for share, _ in beside)
        signs.append(Sign(kind, here, wilson(here.n, here.of), items, shares, verdict))
    return signs


def _share(model: str, kind: str, tasks: Tasks, among: Tasks | None = None) -> Share:
    return Share(
        model,
        {
            task: (len(counts.found.get(kind, ())), len(counts.asked))
            for task, counts in tasks.items()
            if counts.asked and KINDS[kind].counts(counts.chat) and (among is None or task in among)
        },
    )


def _verdict(kind: str, tasks: Tasks, beside: Sequence[tuple[Share, Tasks]]) -> str:
    if not beside:
        return ALONE
    alike = [theirs for share, theirs in beside if share.shows(kind)]
    if not alike:
        return NEW
    return WORSE if all(_more(kind, tasks, theirs) for theirs in alike) else INHERITED


def _more(kind: str, ours: Tasks, theirs: Tasks) -> bool:
    """Whether the merge shows the sign more than one parent, on the same items, beyond noise."""
    only_ours = only_theirs = 0
    for task in ours.keys() & theirs.keys():
        asked = set(ours[task].asked) & set(theirs[task].asked)
        mine = asked & set(ours[task].found.get(kind, ()))
        other = asked & set(theirs[task].found.get(kind, ()))
        only_ours += len(mine - other)
        only_theirs += len(other - mine)
    return only_ours > only_theirs and mcnemar(only_ours, only_theirs) < 0.05
