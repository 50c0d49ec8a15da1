"""Prompt sets in MT-Bench's file format, with what a set may be used for.

``question.jsonl`` has one object a line: ``question_id``, ``category``, ``turns`` (one text for
each of the user's turns), optionally ``reference`` (one text per turn). References may also lie in
files of MT-Bench's answers: ``question_id`` and ``choices: [{turns: [...]}]``.

A YAML file beside the questions says the rest (``prompts/*.yaml``)::

    name: open-small
    title: A small set of our own
    questions: open-small.jsonl       # beside this file, or ...
    data: {set/question.jsonl: https://...}   # ... in the folder of public benchmark files
    references: [set/reference.jsonl]
    forbidden: why no merge may be chosen by it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evaluation.judge.errors import JudgeError
from evaluation.published.folder import data_folder

PROMPTS = Path(__file__).resolve().parent / "prompts"
ALLOWED, FORBIDDEN = "allowed", "forbidden"
_KEYS = {"name", "title", "description", "licence", "language", "questions", "data", "references",
         "forbidden"}  # fmt: skip
# Categories that only the Japanese finance set has together: a copy under any name is known by it.
_PFMT = {"idea", "translation", "ethics", "trustworthiness"}
PFMT = "pfmt-bench-fin-ja"
MOST_CHARACTERS = 100_000  # of one turn


@dataclass(frozen=True)
class Question:
    """One conversation to be had.

    Attributes:
        id: as in the file, as text.
        category: as in the file.
        turns: what the user says, turn by turn.
        references: right answers, turn by turn; empty texts where there is none.
    """

    id: str
    category: str
    turns: tuple[str, ...]
    references: tuple[str, ...] = ()

    def reference(self, turn: int) -> str:
        """The right answer of a turn, empty when there is none."""
        return self.references[turn] if turn < len(self.references) else ""


@dataclass(frozen=True)
class PromptSet:
    """A set of questions.

    Attributes:
        name: short name.
        title: for people.
        description: a sentence or two.
        licence: terms of the questions.
        language: "ja", "en" or "mixed".
        questions: in the file's order.
        forbidden: why no merge may be chosen by it; empty where one may.
        hash: 64 hex digits over the questions' content.
    """

    name: str
    title: str
    description: str
    licence: str
    language: str
    questions: tuple[Question, ...]
    forbidden: str
    hash: str

    @property
    def selection(self) -> str:
        """Whether merges may be chosen by scores on this set: "allowed" or "forbidden"."""
        return FORBIDDEN if self.forbidden else ALLOWED

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories in the order of their first question."""
        return tuple(dict.fromkeys(question.category for question in self.questions))

    def first(self, limit: int | None) -> tuple[Question, ...]:
        """The first so many questions of every category; all for None.

        Raises:
            JudgeError: a limit below 1.
        """
        if limit is None:
            return self.questions
        if limit < 1:
            raise JudgeError(f"The limit must be at least 1 question per category, not {limit}.")
        taken: dict[str, int] = {}
        kept = []
        for question in self.questions:
            taken[question.category] = taken.get(question.category, 0) + 1
            if taken[question.category] <= limit:
                kept.append(question)
        return tuple(kept)


@dataclass(frozen=True)
class Listed:
    """A set that ships as a description, whether its questions are here or not."""

    name: str
    title: str
    description: str
    licence: str
    forbidden: str
    missing: dict[str, str]

    @property
    def ready(self) -> bool:
        """Whether its questions are on this machine."""
        return not self.missing


def list_sets() -> list[Listed]:
    """Every set that is described here, those that need no file of others first."""
    found = []
    for path in sorted(PROMPTS.glob("*.yaml")):
        told = _manifest(path)
        data = dict(told.get("data") or {})
        missing = {name: at for name, at in data.items() if not (data_folder() / name).is_file()}
        found.append(
            Listed(
                told["name"],
                told.get("title", told["name"]),
                told.get("description", ""),
                told.get("licence", ""),
                told.get("forbidden", ""),
                missing,
            )
        )
    return sorted(found, key=lambda one: bool(one.missing))


def load_set(name_or_path: str | Path) -> PromptSet:
    """A set by name, by the path of its YAML file, or by that of a ``question.jsonl`` alone.

    Raises:
        JudgeError: no such set, its files are absent or malformed.
    """
    given = str(name_or_path)
    manifest = PROMPTS / f"{given}.yaml"
    if "/" not in given and manifest.is_file():
        return _load(manifest)
    path = Path(given).expanduser()
    if path.is_dir() and (path / "question.jsonl").is_file():
        path = path / "question.jsonl"
    if not path.is_file():
        known = ", ".join(one.name for one in list_sets())
        raise JudgeError(
            f"There is no prompt set {given!r}: no set of that name and no file. There are: {known}"
            "; or give the path of a question.jsonl."
        )
    if path.suffix in (".yaml", ".yml"):
        return _load(path)
    questions = _questions(path, [])
    name = path.parent.name if path.stem == "question" else path.stem
    told: dict[str, Any] = {"name": name[:80]}
    if "pfmt" in str(path).lower():  # a part of it, under its name
        told["forbidden"] = _manifest(PROMPTS / f"{PFMT}.yaml")["forbidden"]
    return _set(told, questions)


def require_selection_allowed(name_or_path: str | Path) -> None:
    """Refuse a set that no merge may be chosen by; searches and sweeps call this first.

    Raises:
        JudgeError: the set's authors forbid it, with their reason; or there is no such set.
    """
    manifest = PROMPTS / f"{name_or_path}.yaml"
    known = manifest.is_file() and "/" not in str(name_or_path)
    reason = _manifest(manifest).get("forbidden", "") if known else load_set(name_or_path).forbidden
    if reason:
        raise JudgeError(
            f"{name_or_path} is for reporting only; no search or sweep may choose by it: {reason}"
        )


def require_no_sets(names: Iterable[str], scorer: str) -> None:
    """Refuse what names a prompt set where a suite or a task is asked for.

    Args:
        names: of suites, tasks or files.
        scorer: what would score them: "study", "search".

    Raises:
        JudgeError: no merge may be chosen by the set (`require_selection_allowed`), or it is a set.
    """
    sets = sorted((one.name for one in list_sets()), key=len, reverse=True)
    for name in names:
        stem = name.partition("@")[0].rstrip("/").rsplit("/", 1)[-1]
        # the longest first: "mt-bench" is a part of another set's name
        same = next((one for one in sets if one in name), None)
        if "pfmt" in name.lower():
            same = next(one for one in sets if "pfmt" in one)
        if same is None:
            continue
        require_selection_allowed(same)
        if stem == same:
            raise JudgeError(
                f"{same} is a set of prompts for a judge, not a suite; a {scorer} scores a suite."
            )


def _load(path: Path) -> PromptSet:
    told = _manifest(path)
    data = dict(told.get("data") or {})
    if told.get("questions"):
        file = path.parent / str(told["questions"])
    elif data:
        name, where = next(iter(data.items()))
        file = data_folder() / name
        if not file.is_file():
            raise JudgeError(
                f"The questions of {told['name']} are not here: {name} is not in the data folder "
                f"{data_folder()}. They are published at {where}."
            )
    else:
        raise JudgeError(f"The prompt set {path} names no file of questions.")
    if not file.is_file():
        raise JudgeError(f"The prompt set {path} names {file.name}, which does not exist.")
    references = [data_folder() / name for name in told.get("references") or ()]
    return _set(told, _questions(file, [one for one in references if one.is_file()]))


def _manifest(path: Path) -> dict[str, Any]:
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())[:200]
        raise JudgeError(f"The prompt set {path} cannot be read ({line}).") from error
    if not isinstance(told, dict) or not isinstance(told.get("name"), str):
        raise JudgeError(f"The prompt set {path} must be a YAML mapping with a name.")
    if unknown := sorted(set(map(str, told)) - _KEYS):
        raise JudgeError(f"The prompt set {path} has no field {unknown[0]!r}.")
    return told


def _set(told: dict[str, Any], questions: tuple[Question, ...]) -> PromptSet:
    content = json.dumps(
        [[q.id, q.category, q.turns, q.references] for q in questions], ensure_ascii=False
    )
    forbidden = str(told.get("forbidden") or "")
    if not forbidden and is_pfmt(questions):
        forbidden = str(_manifest(PROMPTS / f"{PFMT}.yaml")["forbidden"])
    return PromptSet(
        name=str(told["name"]),
        title=str(told.get("title") or told["name"]),
        description=str(told.get("description") or "").strip(),
        licence=str(told.get("licence") or "").strip(),
        language=str(told.get("language") or "mixed"),
        questions=questions,
        forbidden=forbidden.strip(),
        hash=hashlib.sha256(content.encode()).hexdigest(),
    )


def is_pfmt(questions: tuple[Question, ...]) -> bool:
    """Whether these are questions of pfmt-bench-fin-ja, under whatever name they lie here."""
    found = {question.category.lower() for question in questions}
    return found >= _PFMT


def _questions(path: Path, references: list[Path]) -> tuple[Question, ...]:
    right = {key: turns for file in references for key, turns in _references(file)}
    found: dict[str, Question] = {}
    for where, row in _rows(path):
        question = _question(where, row, right)
        if question.id in found:
            raise JudgeError(f"{where} repeats the question_id {question.id}.")
        found[question.id] = question
    if not found:
        raise JudgeError(f"{path} has no questions.")
    return tuple(found.values())


def _question(where: str, row: dict[str, Any], right: dict[str, tuple[str, ...]]) -> Question:
    turns = row.get("turns")
    number = row.get("question_id")
    if not isinstance(number, int | str) or isinstance(number, bool) or not str(number).strip():
        raise JudgeError(f"{where} has no question_id.")
    if not isinstance(turns, list) or not turns:
        raise JudgeError(f"{where} has no turns: a list of what the user says.")
    if not all(isinstance(turn, str) and turn.strip() for turn in turns):
        raise JudgeError(f"{where} has a turn that is empty or no text.")
    if any(len(turn) > MOST_CHARACTERS for turn in turns):
        raise JudgeError(f"{where} has a turn of more than {MOST_CHARACTERS:,} characters.")
    key = str(number)[:80]
    own = row.get("reference") or []
    own = [own] if isinstance(own, str) else own
    given = tuple(str(text or "") for text in own) or right.get(key, ())
    return Question(key, str(row.get("category") or "other")[:80], tuple(turns), given)


def _references(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    for where, row in _rows(path):
        try:
            turns = row["choices"][0]["turns"]
            yield str(row["question_id"]), tuple(str(turn) for turn in turns)
        except (KeyError, IndexError, TypeError) as error:
            raise JudgeError(f"{where} is no reference answer in MT-Bench's form.") from error


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise JudgeError(f"{path} cannot be read ({error}).") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise JudgeError(f"{where} is not JSON ({error.msg}).") from error
        if not isinstance(row, dict):
            raise JudgeError(f"{where} is not a JSON object.")
        yield where, row
