"""Scores out of the database as files for other programs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

from db.queries import exchange
from db.queries.board import Row
from evaluation.exchange import writing
from evaluation.exchange.given import safe
from jobs.errors import JobError

FORMATS = ("lm-eval", "csv", "llm-comparator")


def files(rows: Sequence[Row], suite: str, to: str) -> dict[str, str]:
    """Name -> content of the files that some rows become.

    Args:
        rows: one row for lm-eval, any number for CSV, two for llm-comparator.
        suite: that they are of.
        to: one of `FORMATS`.

    Raises:
        JobError: an unknown format, or another number of rows than it takes.
    """
    match to:
        case "lm-eval":
            if len(rows) != 1:
                raise JobError("A results file of lm-eval is of one model; name one.")
            return _lm_eval(rows[0], suite)
        case "csv":
            if not rows:
                raise JobError("There are no scores to write.")
            return _csv(rows, suite)
        case "llm-comparator":
            if len(rows) != 2:
                raise JobError("llm-comparator shows two models side by side; name two.")
            return _llm_comparator(rows[0], rows[1], suite)
    raise JobError(f"There is no format {to!r}; choose one of {', '.join(FORMATS)}.")


def archive(named: dict[str, str]) -> bytes:
    """Files as one ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in named.items():
            packed.writestr(name, content)
    return out.getvalue()


def write(named: dict[str, str], folder: Path) -> list[Path]:
    """Write files into a folder, none over another.

    Raises:
        JobError: one of them exists, or the folder can't be written.
    """
    there = [name for name in named if (folder / name).exists()]
    if there:
        raise JobError(f"{folder / there[0]} exists already; name another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in named.items():
            (folder / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise JobError(f"{folder} cannot be written: {error.strerror}.", exit_code=1) from error
    return [folder / name for name in named]


def _lm_eval(row: Row, suite: str) -> dict[str, str]:
    scores = exchange.scores(score.evaluation_id for score in row.scores.values())
    date = writing.date_id(row.scored)
    results = writing.lm_eval_results(row.entry.name, suite, scores)
    found = {f"results_{date}.json": json.dumps(results, indent=2, ensure_ascii=False)}
    for score in scores:
        answers = exchange.answers(score["id"])
        if answers:
            found[f"samples_{safe(score['task'])}_{date}.jsonl"] = writing.lm_eval_samples(
                score, answers
            )
    return found


def _csv(rows: Sequence[Row], suite: str) -> dict[str, str]:
    scores, answers = [], []
    for row in rows:
        beside = {"part": row.part, "imported_from": row.imported or "",
                  "configuration": row.configuration}  # fmt: skip
        for score in exchange.scores(s.evaluation_id for s in row.scores.values()):
            shown = {k: v for k, v in score.items() if k not in ("id", "config")}
            scores.append({**shown, **beside, "config": json.dumps(score["config"])})
            for answer in exchange.answers(score["id"]):
                kept = {k: v for k, v in answer.items() if k != "choices"}
                choices = json.dumps(answer["choices"], ensure_ascii=False)
                answers.append({"model": row.entry.name, "task": score["task"], **beside, **kept,
                                "choices": choices if answer["choices"] else ""})  # fmt: skip
    found = {f"scores-{safe(suite)}.csv": writing.scores_csv(scores)}
    more = {f"answers-{safe(suite)}.csv": writing.answers_csv(answers)} if answers else {}
    return found | more


def _llm_comparator(first: Row, second: Row, suite: str) -> dict[str, str]:
    tasks = first.common_tasks(second)
    if not tasks:
        raise JobError(f"“{first.entry.name}” and “{second.entry.name}” have no task in common "
                       "under the same settings.")  # fmt: skip
    pairs = []
    for task in tasks:
        theirs = {(a["doc_id"], a["doc_hash"]): a
                  for a in exchange.answers(second.scores[task].evaluation_id)}  # fmt: skip
        for answer in exchange.answers(first.scores[task].evaluation_id):
            other = theirs.get((answer["doc_id"], answer["doc_hash"]))
            if other is not None:
                pairs.append(({**answer, "task": task}, {**other, "task": task}))
    if not pairs:
        raise JobError("No answers were kept for these scores.")
    names = (first.entry.name, second.entry.name)
    content = writing.llm_comparator(names, pairs, f"Crucible, suite {suite}")
    return {f"llm-comparator-{safe(suite)}.json": json.dumps(content, indent=1, ensure_ascii=False)}
