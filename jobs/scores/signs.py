"""Signs that a merge went wrong: counted when answers are recorded, weighed when they are shown.

Two halves, kept apart on purpose. What one evaluation's replies show never changes, and finding it
takes reading every reply: that is kept in the database, with the item numbers. Whether it is the
merge's doing depends on the parents, whose scores may come later or be taken anew: that is worked
out on reading, from the kept counts and from paired sums, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import update

from db import settings
from db.engine import transaction
from db.queries import signatures as kept
from db.queries.board import Board, Row
from db.tables import Evaluation
from evaluation.signatures import KINDS, Counts, look, weigh
from evaluation.signatures.general import RULE, TITLE, general_tasks
from evaluation.signatures.look import generated
from evaluation.signatures.weigh import INHERITED, NEW, WORSE, Share, Sign
from jobs.scores import comparison

EVALUATIONS_AT_ONCE = 60  # that are looked at late, for one draw of a page
GENERAL = "general"


@dataclass(frozen=True)
class Warning:
    """A sign as it is told.

    Attributes:
        kind: name of the sign, or "general".
        title: in two or three words.
        text: what was counted, and which parent does the same.
        rule: when a reply counts, and from when on the sign is shown.
        verdict: "new", "worse", "inherited" or "alone"; see `evaluation.signatures.weigh`.
        items: task -> items that show it, for links.
    """

    kind: str
    title: str
    text: str
    rule: str
    verdict: str
    items: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def own(self) -> bool:
        """Whether it is about this model, as far as can be told, and not about its parents."""
        return self.verdict != INHERITED


def of_row(board: Board, row: Row) -> list[Warning]:
    """Every sign of one row, what was not looked at yet included; items to look at, too."""
    ensure(_evaluations([row, *board.parent_rows(row)]))
    told = of_rows(board, [row]).get(row.key, [])
    return [_with_items(board, row, one) if one.kind == GENERAL else one for one in told]


def of_rows(board: Board, rows: Sequence[Row]) -> dict[str, list[Warning]]:
    """`Row.key` -> the signs of each merge among some rows, from what is kept; cheap."""
    merges = [row for row in rows if row.entry.parents or row.entry.role == "merge"]
    beside = {row.key: board.parent_rows(row) for row in merges}
    wanted = [*merges, *(parent for parents in beside.values() for parent in parents)]
    counts = _counts(wanted)
    found = {
        row.key: [
            _told(sign)
            for sign in weigh(
                row.entry.name,
                _tasks(row, counts),
                [(p.entry.name, _tasks(p, counts, row)) for p in beside[row.key]],
            )
        ]
        for row in merges
    }
    for row, lost in _lost(board, merges).items():
        found[row].insert(0, lost)
    return {key: told for key, told in found.items() if told}


def ensure(evaluation_ids: Iterable[int]) -> None:
    """Look at evaluations that nobody has looked at under the present rules.

    Those recorded from now on are looked at as they are recorded; these are older, or imported.

    Raises:
        DatabaseError: the database cannot be written.
    """
    there = kept.kept(evaluation_ids)
    late = [number for number, data in there.items() if Counts.from_data(data) is None]
    found = {
        number: look(generated(kept.replies(number)), chat=kept.asked_in_chat(number)).as_data()
        for number in late[:EVALUATIONS_AT_ONCE]
    }
    if found:
        with transaction() as opened:
            for number, data in found.items():
                change = update(Evaluation).where(Evaluation.id == number)
                opened.execute(change.values(signatures=data))


_found: dict[tuple[str, int, float], Counts] = {}  # of earlier draws: a long board is redrawn often


def _counts(rows: Iterable[Row]) -> dict[int, Counts | None]:
    """Evaluation -> what was found in it; None where nobody has looked."""
    # The time is part of it because a database may give a deleted evaluation's number again.
    url = settings.database_url()
    scores = [score for row in rows for score in row.scores.values()]
    places = {(url, score.evaluation_id, score.created) for score in scores}
    unknown = {place[1]: place for place in places if place not in _found}
    if len(_found) + len(unknown) > 100_000:
        _found.clear()
        unknown = {place[1]: place for place in places}
    for number, data in kept.kept(unknown).items():
        counts = Counts.from_data(data)
        if counts is not None:
            _found[unknown[number]] = counts
    return {place[1]: _found.get(place) for place in places}


def forget() -> None:
    """Drop what earlier draws have read."""
    _found.clear()


def _evaluations(rows: Iterable[Row]) -> list[int]:
    return [score.evaluation_id for row in rows for score in row.scores.values()]


def _tasks(
    row: Row, counts: Mapping[int, Counts | None], merge: Row | None = None
) -> dict[str, Counts]:
    """What was found task by task; of a parent only where it was asked the same as the merge."""
    tasks = row.scores if merge is None else merge.common_tasks(row)
    found = {task: counts.get(row.scores[task].evaluation_id) for task in tasks}
    return {task: one for task, one in found.items() if one is not None and one.asked}


def _told(sign: Sign) -> Warning:
    kind = KINDS[sign.kind]
    low, high = (100 * bound for bound in sign.interval)
    text = f"{_share(sign.here)} ({100 * sign.here.value:.0f} %, 95 % interval {low:.0f} to "
    text += f"{high:.0f} %){_most(sign)}. {_beside(sign)}"
    rule = f"Rule of thumb: {kind.rule}; {kind.threshold}."
    return Warning(sign.kind, kind.title, text, rule, sign.verdict, sign.items)


def _most(sign: Sign) -> str:
    """The task that shows it most, where there are several."""
    task = sign.here.worst
    if task is None or len(sign.here.by_task) < 2:
        return ""
    n, of = sign.here.by_task[task]
    return f", most in {task} ({n:,} of {of:,})"


def _share(share: Share) -> str:
    return f"{share.n:,} of {share.of:,} generated replies"


def _beside(sign: Sign) -> str:
    """Who else does it, in one sentence."""
    if not sign.parents:
        return "No parent was asked the same, so whether it comes from the merge is not known."
    counts = ", ".join(f"{one.model} {one.n:,} of {one.of:,}" for one in sign.parents)
    if sign.verdict == NEW:
        return f"No parent shows it ({counts}): it comes from the merge."
    alike = " and ".join(one.model for one in sign.alike)
    verb = "shows" if len(sign.alike) == 1 else "show"
    if sign.verdict == INHERITED:
        return f"{alike} {verb} it too ({counts}): it need not come from the merge."
    return f"{alike} {verb} it too, but beyond noise less ({counts})."


def _lost(board: Board, merges: Sequence[Row]) -> dict[str, Warning]:
    """`Row.key` -> general skills lost beyond noise against the best parent."""
    found = [(row, sides) for row in merges if (sides := _general_sides(board, row)) is not None]
    pairs = [(mine, best) for _, (mine, best, _) in found]
    gaps = comparison.macro_differences(pairs)
    return {
        row.key: _told_lost(gap, sides)
        for (row, sides), gap in zip(found, gaps, strict=True)
        if gap is not None and _below(gap)
    }


def _told_lost(gap: comparison.MacroDifference, sides: tuple[Row, Row, list[Row]]) -> Warning:
    mine, best, others = sides
    theirs = comparison.macro_differences([(one, best) for one in others])
    alike = [(one, gap) for one, gap in zip(others, theirs, strict=True) if gap and _below(gap)]
    further = comparison.macro_differences([(mine, one) for one, _ in alike])
    text = (
        f"{_points(gap.value)} points against {best.entry.name} over {gap.n_tasks} general tasks "
        f"(95 % interval {_points(gap.low)} to {_points(gap.high)})."
    )
    counts = ", ".join(f"{one.entry.name} {_points(other.value)}" for one, other in alike)
    verdict = NEW
    if alike and all(one is not None and _below(one) for one in further):
        verdict, text = WORSE, f"{text} Other parents are below it too, but beyond noise less "
    elif alike:
        verdict, text = INHERITED, f"{text} Within noise, another parent is below it by as much "
    text += f"({counts})." if alike else " No other parent is below it beyond noise."
    return Warning(GENERAL, TITLE, text, f"Rule of thumb: {RULE}.", verdict)


def _below(gap: comparison.MacroDifference) -> bool:
    return gap.paired and gap.high is not None and gap.high < 0


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f}".replace("-", "−")


def _general_sides(board: Board, row: Row) -> tuple[Row, Row, list[Row]] | None:
    """A merge, its best parent and the other parents, with nothing but the general tasks."""
    parents = [board.entries[p.model_id] for p in row.entry.parents if p.model_id in board.entries]
    experts = {one.domain for one in parents if one.role != "base" and one.domain}
    wanted = general_tasks(board.tasks, experts)
    mine = _only(row, [task for task in row.averaged if task in wanted])
    beside = [_only(parent, mine.common_tasks(parent)) for parent in board.parent_rows(row)]
    usable = [parent for parent in beside if parent.scores]
    if not usable:
        return None
    tasks = set.intersection(*(set(parent.scores) for parent in usable)) or set(usable[0].scores)
    best = max(usable, key=lambda p: sum(p.scores[t].value for t in tasks if t in p.scores))
    return mine, best, [parent for parent in usable if parent is not best]


def _only(row: Row, tasks: Sequence[str]) -> Row:
    return replace(row, scores={task: row.scores[task] for task in tasks if task in row.scores})


def _with_items(board: Board, row: Row, warning: Warning) -> Warning:
    """General skills lost, with the tasks that lost most and the items behind them."""
    sides = _general_sides(board, row)
    if sides is None:
        return warning
    mine, parent, _ = sides
    worst = sorted(comparison.task_differences(mine, parent), key=lambda one: one.difference)
    clear = [one for one in worst if one.verdict == "worse"]
    lost = sum(one.regressed for one in worst)
    text = f"{warning.text} {lost:,} items that {parent.entry.name} has right are wrong here"
    if clear:
        named = ", ".join(f"{one.task} {_points(one.difference)}" for one in clear[:3])
        text += f"; clearest on {named}"
    return replace(warning, text=text + ".", items=_regressed(mine, parent))


def _regressed(row: Row, parent: Row) -> dict[str, tuple[int, ...]]:
    from db.queries import answers

    tasks = row.common_tasks(parent)
    ids = [each.scores[task].evaluation_id for task in tasks for each in (row, parent)]
    items = answers.scores_by_item(ids)
    found = {}
    for task in tasks:
        ours = items.get(row.scores[task].evaluation_id, {})
        theirs = items.get(parent.scores[task].evaluation_id, {})
        worse = tuple(place[0] for place, score in ours.items() if theirs.get(place, -1) > score)
        if worse:
            found[task] = worse
    return found
