"""Asking for a judge: checks, consent, the queue, and what only the database knows.

A judge's scores stand in tables of their own: no benchmark's mean reads them. The key of an
endpoint is in an environment variable; its name alone is kept.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from db.engine import transaction
from db.queries import judging as rows
from db.queries import models as model_rows
from db.tables import Job
from evaluation.judge.address import checked, is_local, key_from
from evaluation.judge.errors import JudgeError
from evaluation.judge.local import judge_name
from evaluation.judge.replies import MAX_NEW_TOKENS
from evaluation.judge.sets import Listed, PromptSet, list_sets, load_set
from jobs.errors import JobError
from jobs.models import recipes, registry
from jobs.running import duplicates

CONSENT = (
    "The questions and the models' answers are sent to {host}, which is not this machine, and may "
    "be kept there."
)

__all__ = ["EndpointJudge", "Listed", "LocalJudge", "PromptSet", "ask", "consent_needed", "sets"]


@dataclass(frozen=True)
class EndpointJudge:
    """An OpenAI-compatible endpoint.

    Attributes:
        base_url: such as `http://127.0.0.1:8000/v1`.
        model: name of the model there.
        key_variable: environment variable that holds the key; empty for none.
        consent: the user agrees to the texts leaving this machine.
        timeout_seconds: for one answer.
        concurrency: questions at a time.
        max_tokens: of an answer.
        attempts: for one answer, before it is given up.
    """

    base_url: str
    model: str
    key_variable: str = ""
    consent: bool = False
    timeout_seconds: float = 120.0
    concurrency: int = 4
    max_tokens: int = 1024
    attempts: int = 5

    @property
    def name(self) -> str:
        """What travels with every score."""
        return f"{self.model} @ {checked(self.base_url).netloc}"

    def check(self) -> None:
        """Refuse what cannot work, or what was not agreed to.

        Raises:
            JudgeError: in one sentence.
        """
        checked(self.base_url)
        if not self.model.strip():
            raise JudgeError("Name the model that the judge's endpoint is to use.")
        if not 1 <= self.timeout_seconds <= 3600:
            raise JudgeError("The judge's time limit must be between 1 second and 1 hour.")
        if not 1 <= self.concurrency <= 64:
            raise JudgeError("A judge can be asked 1 to 64 questions at a time.")
        if not 1 <= self.max_tokens <= 32_768:
            raise JudgeError("A judge's answer may have 1 to 32,768 tokens.")
        if not 1 <= self.attempts <= 20:
            raise JudgeError("A judge can be asked 1 to 20 times for one answer.")
        needed = consent_needed(self.base_url)
        if needed and not self.consent:
            raise JudgeError(f"{needed} Agree to that first (--consent).")
        key_from(self.key_variable)


@dataclass(frozen=True)
class LocalJudge:
    """A model on this machine, read by the log-probability of its verdicts."""

    model: str


def sets() -> list[Listed]:
    """The prompt sets that are described here."""
    return list_sets()


def question(set_name: str, set_hash: str, question_id: str) -> tuple[str, ...]:
    """What the user says in a conversation, turn by turn; empty when the set has gone or changed.

    Args:
        set_name: as a report names it; sets from files of one's own are found by no name.
        set_hash: of the questions that were judged.
        question_id: of the conversation.
    """
    try:
        loaded = load_set(set_name)
    except JudgeError:
        return ()
    if loaded.hash != set_hash:
        return ()
    return next((one.turns for one in loaded.questions if one.id == question_id), ())


def consent_needed(base_url: str) -> str | None:
    """What must be agreed to before texts go to an address; None for this machine.

    Raises:
        JudgeError: it is no address.
    """
    return None if is_local(base_url) else CONSENT.format(host=checked(base_url).netloc)


def ask(
    models: Sequence[str],
    prompts: str,
    judge: EndpointJudge | LocalJudge,
    *,
    against: str | None = None,
    limit: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    device: str = "auto",
) -> str:
    """Queue a job for each model; return the group's name.

    Args:
        models: registered names, folders or Hub ids.
        prompts: name of a set, or path of its file.
        judge: who judges.
        against: compare each model with this one, in both orders; None grades single answers.
        limit: the first so many questions of each category; None for all.
        max_new_tokens: of a reply.
        device: "auto", "cpu" or "cuda".

    Raises:
        JudgeError, JobError, ModelError: wrong input, in one sentence.
    """
    recipes.check_device(device)
    if not models:
        raise JobError("Name at least one model to judge.")
    if not 1 <= max_new_tokens <= 32_768:
        raise JudgeError("A reply may have 1 to 32,768 tokens.")
    loaded = load_set(prompts)
    loaded.first(limit)
    told = _told(judge)
    other = _name(against) if against else None
    names = list(dict.fromkeys(_name(ref) for ref in models))
    if other is not None and other in names:
        raise JudgeError(f"“{other}” cannot be compared with itself; choose another model.")
    where = prompts if Path(prompts).name == prompts and prompts == loaded.name else (
        str(Path(prompts).expanduser().resolve()))  # fmt: skip
    group = uuid.uuid4().hex[:12]
    jobs = []
    for name in names:
        beside = f" against {other}" if other else ""
        title = f"Judge {name}{beside} on {loaded.name}"
        spec = {"model": name, "other": other, "set": where, "set_name": loaded.name,
                "set_hash": loaded.hash, "limit": limit, "max_new_tokens": max_new_tokens,
                "device": device, "judge": told,
                "rows": {one: one for one in (name, other) if one}}  # fmt: skip
        job = Job(kind="judge", title=title[:180], spec=spec, group=group)
        jobs.append(duplicates.marked(job))
    with transaction() as opened:
        under_way = duplicates.common_group(opened, jobs)
        if under_way is not None:
            return under_way
        for job in jobs:
            duplicates.add_behind(opened, job)
    return group


def _told(judge: EndpointJudge | LocalJudge) -> dict[str, Any]:
    if isinstance(judge, LocalJudge):
        name = _name(judge.model)
        return {"kind": "local", "model": name, "name": judge_name(name)}
    judge.check()
    return {"kind": "endpoint", **asdict(judge), "name": judge.name}


def _name(ref: str) -> str:
    row = model_rows.model(ref)
    return row.name if row else recipes.get(registry.register_model(ref)).name


def complete(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What only the database knows, for a judge's job.

    Raises:
        JobError: a model is not there any more.
    """
    from jobs.running import prepare

    subjects = []
    for ref in (spec["model"], spec.get("other")):
        if ref:
            subject = prepare.subject(str(ref))
            before = rows.replies(int(subject["model_id"]), str(spec["set_hash"]))
            subjects.append({**subject, "replies": before})
    judge = dict(spec["judge"])
    if judge["kind"] == "local":
        judge["subject"] = prepare.subject(str(judge["model"]))
    return {"subjects": subjects, "judge": judge, "known": rows.known(str(judge["name"]))}
