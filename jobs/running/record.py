"""Writing down what a job's events say: the worker alone does it, each write fenced."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from db.engine import transaction
from db.tables import Answer, Evaluation, Job, Model, Prompt
from evaluation.journal import forget
from evaluation.signatures.look import generated, look
from jobs.kinds import Event
from jobs.models import registry
from jobs.running import memory, queue
from jobs.running.queue import Claim
from jobs.scores import judging_record

WRITES_PER_SECOND = 4.0
RATE_WINDOW_SECONDS = 10.0
FACTS = ("fingerprint", "signature", "architecture", "n_parameters", "size_bytes", "dtype",
         "has_chat_template")  # fmt: skip
MOST_WARNINGS = 20
PROMPTS_AT_ONCE = 400  # SQLite allows 32,766 variables in a statement


class Recorder:
    """What one attempt at a job has reported so far.

    Every method that writes raises `queue.Fenced` once the job is no longer this attempt's.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.result: dict[str, Any] | None = None
        self.error: str | None = None
        self.exit_code = 1
        self.out_of_memory = False
        starved = memory.told(claim.kind, claim.spec)
        self.warnings: list[str] = [starved] if starved else []
        self.task_errors: dict[str, str] = {}
        self.ended = False
        self.last_write = 0.0
        self._stage = ""
        self._seen: deque[tuple[float, float]] = deque()
        self._unwritten: dict[str, Any] = {}
        self._model: tuple[int, str] | None = None  # row and fingerprint of what is scored

    def handle(self, event: Event) -> None:
        """Take one event."""
        match event.get("kind"):
            case "stage":
                self._begin(str(event["stage"]))
            case "progress":
                self._progress(event)
                self.flush()
            case "model":
                self._identify(event)
            case "score":
                self._score(event)
            case "point" | "point_begun" | "point_scores" | "point_error" | "point_sources":
                self._study(event)
            case "merged":
                self._register(event)
            case "made":
                self._enter(event)
            case "replies" | "judgement" | "judging":
                self._judged(event)
            case "warning":
                self.warnings.append(str(event["text"]))
            case "task_error":
                self.task_errors[str(event["task"])] = str(event["text"])
            case "result":
                self.result = {key: value for key, value in event.items() if key != "kind"}
            case "error":
                self.error = str(event["text"])
                self.exit_code = int(event.get("exit_code", 1))
                self.out_of_memory = bool(event.get("out_of_memory"))
            case "end":
                self.ended = True

    def outcome(self) -> dict[str, Any]:
        """The job's result: what its kind says, with the warnings and the tasks that failed."""
        noted: dict[str, Any] = {}
        if self.warnings:
            noted["warnings"] = list(dict.fromkeys(self.warnings))[:MOST_WARNINGS]
        if self.task_errors:
            noted["task_errors"] = self.task_errors
        return {**(self.result or {}), **noted}

    def unwritten(self) -> dict[str, Any]:
        """The columns whose newest values are not in the database yet."""
        return dict(self._unwritten)

    def flush(self, *, force: bool = False) -> None:
        """Write the progress that is not written yet, a few times a second at most."""
        now = time.monotonic()
        if not self._unwritten or (not force and now - self.last_write < 1 / WRITES_PER_SECOND):
            return
        with transaction() as opened:
            queue.write(opened, self.claim, **self._unwritten)
        self._unwritten = {}
        self.last_write = now

    def beat(self) -> None:
        """Renew the lease when nothing else has for a while."""
        self.flush()
        if time.monotonic() - self.last_write >= queue.HEARTBEAT_SECONDS:
            queue.heartbeat(self.claim)
            self.last_write = time.monotonic()

    def _begin(self, stage: str) -> None:
        # "Scoring a" and then "Scoring b" go on with one count; another verb starts another.
        if stage.split(" ")[0] == self._stage.split(" ")[0]:
            self._unwritten = {**self._unwritten, "stage": stage}
            self._stage = stage
            return
        self._stage = stage
        self._seen.clear()
        self._unwritten = {"stage": stage, "done": 0.0, "total": 0.0, "unit": "", "rate": None}
        self.flush(force=True)

    def _progress(self, event: Event) -> None:
        stage = str(event.get("stage", self._stage))
        now, done = time.monotonic(), float(event["done"])
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()  # another count has begun
        self._seen.append((now, done))
        while now - self._seen[0][0] > RATE_WINDOW_SECONDS and len(self._seen) > 2:
            self._seen.popleft()
        seconds = now - self._seen[0][0]
        rate = (done - self._seen[0][1]) / seconds if seconds > 0.2 else None
        total, unit = float(event.get("total") or 0), str(event.get("unit", ""))
        self._unwritten = dict(stage=stage, done=done, total=total, unit=unit, rate=rate)
        self._stage = stage

    def _identify(self, event: Event) -> None:
        """Note which model, with which content, the scores to come are of."""
        with transaction() as opened:
            queue.write(opened, self.claim)
            model = opened.get_one(Model, int(event["model_id"]))
            for name in FACTS:
                if event.get(name) is not None:
                    setattr(model, name, event[name])
            self._model = (model.id, str(event["fingerprint"]))

    def _score(self, event: Event) -> None:
        """Write one task's score with all its answers, wholly or not at all."""
        if self._model is None:
            raise ValueError("a score came before the model it is of")
        model_id, fingerprint = self._model
        suite = str(self.claim.spec["suite_name"])
        chat = bool((event["config"] or {}).get("chat_template"))
        found = look(generated(event["answers"]), chat=chat).as_data()
        with transaction() as opened:
            queue.write(opened, self.claim, **self._unwritten)
            same = (Evaluation.model_id == model_id, Evaluation.suite == suite,
                    Evaluation.model_fingerprint == fingerprint, Evaluation.task == event["task"],
                    Evaluation.config_hash == event["config_hash"])  # fmt: skip
            opened.execute(delete(Evaluation).where(*same))
            columns = ("task", "domain", "task_version", "metric", "value", "stderr", "n",
                       "config", "config_hash", "prompts_hash", "seconds",
                       "higher_is_better")  # fmt: skip
            row = Evaluation(
                model_id=model_id,
                model_fingerprint=fingerprint,
                suite=suite,
                job_id=self.claim.job_id,
                signatures=found,
                missing=event.get("missing"),
                truncated=event.get("truncated"),
                left_out=event.get("left_out") or None,
                **{name: event[name] for name in columns},
            )
            opened.add(row)
            opened.flush()
            add_answers(opened, row.id, event["answers"])
        if event.get("journal"):
            forget(event["journal"])
        self._unwritten = {}
        self.last_write = time.monotonic()

    def _register(self, event: Event) -> None:
        """Enter a finished merge, with its lineage, under its name."""
        from merging.recipes.recipe import Recipe

        with transaction() as opened:
            queue.write(opened, self.claim)
            values = {name: event[name] for name in FACTS if event.get(name) is not None}
            values |= {"source": event["source"], "role": "merge", "archived": False}
            row = registry.add_row(opened, event["name"], values)
            recipe = Recipe.from_yaml(event["recipe_yaml"])
            registry.enter_recipe(opened, row, recipe, event["rows"])
            job = opened.get_one(Job, self.claim.job_id)
            job.result = {**(job.result or {}), "model_id": row.id, "model": row.name}

    def _judged(self, event: Event) -> None:
        """Write what a model answered, or what a judge said of it."""
        with transaction() as opened:
            queue.write(opened, self.claim, **self._unwritten)
            if event["kind"] == "replies":
                judging_record.add_replies(opened, event)
            elif event["kind"] == "judgement":
                judging_record.add_judgement(opened, event)
            else:
                judging_record.add_judging(opened, event, self.claim.job_id)
        self._unwritten = {}
        self.last_write = time.monotonic()

    def _study(self, event: Event) -> None:
        """Write what a lane of a study has merged and scored."""
        from jobs.studies import record as study

        with transaction() as opened:
            queue.write(opened, self.claim, **self._unwritten)
            study.record(opened, event, self.claim.spec)
        self._unwritten = {}
        self.last_write = time.monotonic()

    def _enter(self, event: Event) -> None:
        """Enter a model that a job has made without a recipe."""
        with transaction() as opened:
            queue.write(opened, self.claim)
            values = {name: event[name] for name in FACTS if event.get(name) is not None}
            values |= {"source": event["source"], "role": event["role"], "archived": False}
            row = registry.add_row(opened, event["name"], values)
            job = opened.get_one(Job, self.claim.job_id)
            job.result = {**(job.result or {}), "model_id": row.id, "model": row.name}


def add_answers(opened: Session, evaluation_id: int, answers: list[dict[str, Any]]) -> None:
    """Insert a task's answers; a prompt that is there already is not stored again."""
    prompts = {answer["prompt_hash"]: answer["prompt"] for answer in answers}
    hashes = list(prompts)
    known: set[str] = set()
    for start in range(0, len(hashes), PROMPTS_AT_ONCE):
        part = hashes[start : start + PROMPTS_AT_ONCE]
        known.update(opened.scalars(select(Prompt.hash).where(Prompt.hash.in_(part))))
    new = [{"hash": key, "text": text} for key, text in prompts.items() if key not in known]
    if new:
        opened.execute(insert(Prompt), new)
    told = {"stopped", "stray", "state"}  # of answers that were generated here, not of every answer
    columns = [column.name for column in Answer.__table__.columns]
    given = [name for name in columns if name != "evaluation_id" and name not in told]
    rows = [
        {"evaluation_id": evaluation_id, **{name: answer[name] for name in given},
         **{name: answer.get(name) for name in told}}
        for answer in answers
    ]  # fmt: skip
    if rows:
        opened.execute(insert(Answer), rows)
