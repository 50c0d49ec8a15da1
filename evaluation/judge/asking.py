"""Putting questions to a judge: what is known is taken from the cache, the rest is asked."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.judge import rubrics
from evaluation.judge.endpoint import Endpoint, Unanswered
from evaluation.judge.local import LocalJudge
from evaluation.judge.rubrics import Ask
from evaluation.judge.verdict import OK, Verdict, read

Event = dict[str, Any]
Known = Mapping[str, Mapping[str, Any]]  # key -> {"state", "score", "verdict"}
Stream = Generator[list[tuple[int, Verdict]], None, None]

FAILED = "failed"
MOST_FAILURES = 5  # one after the other: the judge is gone


@dataclass(frozen=True)
class Judge:
    """Who judges.

    Attributes:
        name: travels with every score.
        identity: everything that decides its answers, for the cache; no key is in it.
        ask: an endpoint, or a local model.
        concurrency: questions asked at a time (of an endpoint).
    """

    name: str
    identity: Mapping[str, Any]
    ask: Endpoint | LocalJudge
    concurrency: int = 4

    @property
    def short(self) -> bool:
        """Whether it is asked in few words."""
        return isinstance(self.ask, LocalJudge)

    def key(self, ask: Ask) -> str:
        """What its answer to a question is kept under."""
        return ask.key(json.dumps(dict(self.identity), sort_keys=True))

    def rubric(self, mode: str) -> str:
        """Name of what it is asked."""
        return rubrics.rubric_name(mode, short=self.short)


def judged(
    judge: Judge, asks: Sequence[Ask | None], known: Known
) -> Generator[Event, None, list[Verdict | None]]:
    """Ask what is not known yet; equal questions are asked once.

    Args:
        judge: who.
        asks: questions; None for what needs no asking.
        known: answers of this judge from before; what could not be read is asked again.

    Yields:
        stage, progress, warning and judgement events.

    Returns:
        A verdict for each question, in order; its state may be "failed".

    Raises:
        JudgeFailure: the judge refuses, or has not answered several questions in a row.
    """
    verdicts: list[Verdict | None] = [None] * len(asks)
    open_: dict[str, list[int]] = {}
    for place, ask in enumerate(asks):
        if ask is None:
            continue
        key = judge.key(ask)
        before = known.get(key)
        if before is not None and before["state"] == OK:
            verdicts[place] = Verdict(OK, before["score"], before["verdict"], "")
        else:
            open_.setdefault(key, []).append(place)
    total = sum(ask is not None for ask in asks)
    done = total - sum(map(len, open_.values()))
    stage = f"{judge.name} judges"
    yield {"kind": "stage", "stage": stage}
    yield {"kind": "progress", "stage": stage, "done": done, "total": total, "unit": "judgements"}
    keys = list(open_)
    wanted = [ask for key in keys if (ask := asks[open_[key][0]]) is not None]
    stream = _from_model(judge.ask, wanted) if isinstance(judge.ask, LocalJudge) else (
        _from_endpoint(judge.ask, wanted, judge.concurrency))  # fmt: skip
    try:
        for answers in stream:
            for index, verdict in answers:
                for place in open_[keys[index]]:
                    verdicts[place] = verdict
                done += len(open_[keys[index]])
                if verdict.state == FAILED:
                    yield {"kind": "log", "text": verdict.text}
                    continue
                yield {"kind": "judgement", "key": keys[index], "judge": judge.name,
                       "rubric": judge.rubric(wanted[index].mode), "state": verdict.state,
                       "score": verdict.score, "verdict": verdict.verdict,
                       "text": verdict.text}  # fmt: skip
            yield {"kind": "progress", "stage": stage, "done": done, "total": total,
                   "unit": "judgements"}  # fmt: skip
    finally:
        stream.close()
    failed = [one for one in verdicts if one is not None and one.state == FAILED]
    if failed:
        yield {"kind": "warning", "text": f"{len(failed)} of {total} questions to the judge got no "
               f"answer; they have no score, and starting again asks only them. The last: "
               f"{failed[-1].text}"}  # fmt: skip
    return verdicts


def _from_model(model: LocalJudge, asks: Sequence[Ask]) -> Stream:
    yield from model.ask_all(asks)


def _from_endpoint(endpoint: Endpoint, asks: Sequence[Ask], concurrency: int) -> Stream:
    """Verdicts as they come; several questions at a time.

    Raises:
        JudgeFailure: the endpoint refuses, or has not answered several questions in a row.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(asks)):
        waiting.put(index)
    ready: queue.SimpleQueue[tuple[int, Verdict | Exception]] = queue.SimpleQueue()
    workers = min(max(1, concurrency), len(asks))
    threads = [
        threading.Thread(target=_work, args=(endpoint, asks, waiting, ready), daemon=True)
        for _ in range(workers)
    ]
    for thread in threads:
        thread.start()
    in_a_row, left = 0, len(asks)
    try:
        while left:
            try:
                index, answer = ready.get(timeout=0.2)
            except queue.Empty:
                yield []  # a place to be stopped at
                continue
            left -= 1
            if isinstance(answer, Unanswered):
                in_a_row += 1
                if in_a_row >= MOST_FAILURES:
                    raise answer
                yield [(index, Verdict(FAILED, None, None, str(answer)))]
                continue
            if isinstance(answer, Exception):
                raise answer
            in_a_row = 0
            yield [(index, answer)]
    finally:
        if left:
            endpoint.stop()


def _work(
    endpoint: Endpoint,
    asks: Sequence[Ask],
    waiting: queue.SimpleQueue[int],
    ready: queue.SimpleQueue[tuple[int, Verdict | Exception]],
) -> None:
    while True:
        try:
            index = waiting.get_nowait()
        except queue.Empty:
            return
        ask = asks[index]
        try:
            ready.put((index, read(ask.mode, endpoint.ask(ask.instruction, ask.text))))
        except Unanswered as error:
            ready.put((index, error))
        except Exception as error:  # Refused, or a defect: either ends the run
            ready.put((index, error))
            return
