"""Suites: named, ordered lists of lm-eval tasks with the settings they are scored under.

Pages read this module, so it imports neither torch nor lm-eval. A suite file looks like this::

    title: Sandbox
    description: Twenty small tasks over six domains.
    include: sandbox/tasks            # folders of lm-eval task YAMLs
    groups:                           # domain -> tasks, in the order they are scored and shown
      finance: [fin_company, fin_terms]
      chat: [chat_finance]
    settings: {add_bos_token: true, num_fewshot: 0, chat_template: sandbox/chat_template.jinja}
    task_settings:
      chat_finance: {apply_chat_template: true}
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.data_folder import data_folder
from evaluation.errors import SuiteError
from evaluation.task_files import TaskFile, index_task_files

PROJECT = Path(__file__).resolve().parent.parent
SUITES = Path(__file__).resolve().parent / "suites"


class Settings(BaseModel):
    """How a task is asked. ``None`` means: as the task's own YAML (or the tokenizer) says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_fewshot: int | None = Field(default=None, ge=0)
    add_bos_token: bool | None = None
    apply_chat_template: bool | None = None
    chat_template: str | None = None
    """Jinja file used by models that bring no chat template of their own."""
    system_instruction: str | None = None
    fewshot_as_multiturn: bool | None = None
    fewshot_seed: int | None = None
    max_gen_toks: int | None = Field(default=None, ge=1)

    def over(self, other: Settings) -> Settings:
        """These settings, with the gaps filled from ``other``."""
        return Settings(**{**other.model_dump(exclude_none=True), **self.given()})

    def given(self) -> dict[str, Any]:
        """Only what was said."""
        return self.model_dump(exclude_none=True)


class Suite(BaseModel):
    """One checked suite.

    Attributes:
        name: short name, the file's stem.
        tasks: every task, in order; by default those of ``groups`` one after the other.
        groups: domain -> its tasks. Tasks in no group belong to the domain ``"other"``.
        include: absolute folders that hold the task YAMLs.
        include_defaults: lm-eval's own tasks may be named too.
        settings: for every task; ``task_settings`` override them task by task.
        licence: terms of the data behind it, to be shown.
        data: files of the data folder that its tasks read, each with where it is published.
        path: the file this suite was read from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = ""
    description: str = ""
    tasks: tuple[str, ...]
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    include: tuple[Path, ...] = ()
    include_defaults: bool = False
    settings: Settings = Settings()
    task_settings: dict[str, Settings] = Field(default_factory=dict)
    licence: str = ""
    data: dict[str, str] = Field(default_factory=dict)
    path: Path

    @property
    def missing(self) -> dict[str, str]:
        """Those of ``data`` that are not in the data folder now."""
        folder = data_folder()
        return {name: source for name, source in self.data.items() if not (folder / name).is_file()}

    @property
    def ready(self) -> bool:
        """Whether every file that its tasks read is there."""
        return not self.missing

    def domain(self, task: str) -> str:
        """The group a task stands in, ``"other"`` for none."""
        return next((name for name, tasks in self.groups.items() if task in tasks), "other")

    def settings_for(self, task: str) -> Settings:
        """The suite's settings with the task's own on top."""
        return self.task_settings.get(task, Settings()).over(self.settings)

    def resolve(self, name: str) -> Path:
        """A file named in the suite: beside the suite file, else from the project's root."""
        beside = self.path.parent / name
        return beside if beside.exists() else PROJECT / name

    def task_files(self) -> Mapping[str, TaskFile]:
        """Every task YAML of the include folders by task name, malformed ones by file stem."""
        return index_task_files(self.include)


def list_suites() -> list[Suite]:
    """Every suite that ships, by name, those that need no data of others first.

    Tasks are not looked up (``load_suite`` does that).
    """
    found = [_read(path) for path in sorted(SUITES.glob("*.yaml"))]
    return sorted(found, key=lambda suite: bool(suite.data))


def load_suite(name_or_path: str | Path) -> Suite:
    """Read a suite by name (``"sandbox"``) or by the path of its YAML file, and check it.

    Raises:
        SuiteError: unknown name, unreadable or malformed file, unknown key, missing include
            folder, or a task that no YAML of the include folders defines.
    """
    suite = _read(_find(name_or_path))
    for folder in suite.include:
        if not folder.is_dir():
            raise SuiteError(
                f"Suite {suite.name!r} includes the folder {folder}, which does not exist. "
                "Create it or correct `include` in the suite's file."
            )
    if not suite.include_defaults:
        check_tasks(suite, suite.tasks)
    return suite


def check_tasks(suite: Suite, tasks: tuple[str, ...] | list[str]) -> None:
    """Raise SuiteError, with the nearest name, for a task that no task file defines."""
    known = suite.task_files()
    for task in tasks:
        if task not in known and not suite.include_defaults:
            raise SuiteError(
                f"Suite {suite.name!r} names the task {task!r}, which no YAML file in "
                f"{', '.join(map(str, suite.include)) or 'its (empty) include'} defines."
                + nearest(task, known)
            )


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean ...?`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f" Did you mean {close[0]!r}?" if close else ""


def _find(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    shipped = {path.stem: path for path in sorted(SUITES.glob("*.yaml"))}
    if text in shipped:
        return shipped[text]
    path = Path(text).expanduser()
    if path.suffix in {".yaml", ".yml"} or "/" in text:
        if path.is_file():
            return path.resolve()
        raise SuiteError(f"There is no suite file {path}.")
    raise SuiteError(
        f"There is no suite {text!r}; there are: {', '.join(shipped) or 'none'}."
        + nearest(text, list(shipped))
    )


def _read(path: Path) -> Suite:
    raw = _parse(path)
    groups = raw.get("groups") or {}
    if not isinstance(groups, dict) or not all(isinstance(v, list) for v in groups.values()):
        raise SuiteError(f"{path}: `groups` must map each domain to a list of tasks.")
    raw.setdefault("name", path.stem)
    raw.setdefault("title", str(raw["name"]).replace("-", " ").capitalize())
    raw.setdefault("tasks", [task for tasks in groups.values() for task in tasks])
    include = raw.get("include") or []
    include = [include] if isinstance(include, str) else include
    try:
        suite = Suite(path=path, **{**raw, "include": ()})
        folders = tuple(suite.resolve(str(folder)).resolve() for folder in include)
    except ValidationError as error:
        raise SuiteError(f"{path}: {_first_problem(error)}") from error
    _check_names(suite)
    return suite.model_copy(update={"include": folders})


def _parse(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise SuiteError(f"{path}{where}: not valid YAML ({problem}).") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from error
    if not isinstance(raw, dict):
        raise SuiteError(f"{path}: a suite is a mapping with `groups` or `tasks`, not a list.")
    return raw


def _check_names(suite: Suite) -> None:
    if not suite.tasks:
        raise SuiteError(f"{suite.path}: the suite names no tasks; list them under `groups`.")
    twice = sorted({task for task in suite.tasks if suite.tasks.count(task) > 1})
    if twice:
        raise SuiteError(f"{suite.path}: the task {twice[0]!r} is named twice.")
    grouped = [task for tasks in suite.groups.values() for task in tasks]
    for where, names in (("groups", grouped), ("task_settings", list(suite.task_settings))):
        for task in names:
            if task not in suite.tasks:
                raise SuiteError(
                    f"{suite.path}: `{where}` names {task!r}, which is not among the tasks."
                    + nearest(task, list(suite.tasks))
                )


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = [*Suite.model_fields] if len(first["loc"]) == 1 else [*Settings.model_fields]
        return f"unknown key `{where}`.{nearest(str(first['loc'][-1]), known)}"
    return f"`{where}`: {first['msg']}."
