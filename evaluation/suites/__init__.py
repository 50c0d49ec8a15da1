"""Suites: named, ordered lists of lm-eval tasks with the settings they are scored under.

Pages read this module, so it imports neither torch nor lm-eval. A suite file looks like this::

    title: Sandbox
    description: Twenty small tasks over six domains.
    include: sandbox/tasks            # folders of lm-eval task YAMLs
    groups:                           # domain -> tasks, in the order they are scored and shown
      finance: [fin_company, fin_terms]
      general: [hellaswag, mmlu_stem] # lm-eval's own tasks and groups, by name
      chat: [chat_finance]
    revisions: {Rowan/hellaswag: 6002345709e0801764318f06bf06ce1e7d1a1fe3}
    settings: {add_bos_token: true, num_fewshot: 0, chat_template: sandbox/chat_template.jinja}
    task_settings:
      chat_finance: {apply_chat_template: true}

A suite is called by its name, by the path of its file, or as ``tasks:mmlu_stem+gsm8k`` (lm-eval's
own, without a file); behind an ``@`` stand settings of one run: ``general@num_fewshot=5``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from evaluation.errors import SuiteError
from evaluation.harness.groups import GroupScore, Leaf
from evaluation.harness.task_files import TaskFile, index_task_files
from evaluation.nearest import nearest
from evaluation.places import PROJECT
from evaluation.published.folder import is_here
from evaluation.suites.settings import Settings

__all__ = ["Settings", "Suite", "list_suites", "load_suite", "nearest"]

LONGEST_NAME = 80  # characters that the database keeps


class Suite(BaseModel):
    """One checked suite.

    Attributes:
        name: short name, the file's stem; that of a run with settings of its own has them too.
        ref: what ``load_suite`` takes to read it again.
        tasks: every task, in order; by default those of ``groups`` one after the other.
        groups: domain -> its tasks. Tasks in no group belong to the domain ``"other"``.
        include: absolute folders that hold the task YAMLs.
        settings: for every task; ``task_settings`` override them task by task.
        licence: terms of the data behind it, to be shown.
        non_commercial: those terms forbid or restrict commercial use.
        data: files of the data folder that its tasks read, each with where it is published.
        revisions: dataset on the Hub -> commit, for tasks of lm-eval's own.
        path: the file this suite was read from.
        harness: tasks of lm-eval's own among ``tasks``; filled by ``load_suite``.
        group_scores: how the members of lm-eval's groups make one score; likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    ref: str = ""
    title: str = ""
    description: str = ""
    tasks: tuple[str, ...]
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    include: tuple[Path, ...] = ()
    settings: Settings = Settings()
    task_settings: dict[str, Settings] = Field(default_factory=dict)
    licence: str = ""
    non_commercial: bool = False
    data: dict[str, str] = Field(default_factory=dict)
    revisions: dict[str, str] = Field(default_factory=dict)
    path: Path
    harness: dict[str, Leaf] = Field(default_factory=dict)
    group_scores: tuple[GroupScore, ...] = ()

    @property
    def missing(self) -> dict[str, str]:
        """Those of ``data`` that are not on this machine now."""
        return {name: source for name, source in self.data.items() if not is_here(name)}

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

    def under(self, given: Settings, told: str) -> Suite:
        """This suite with settings of one run on top of every task's.

        Args:
            given: the settings.
            told: how they were written, for the name and to read the suite again.
        """
        own = {task: given.over(one) for task, one in self.task_settings.items()}
        return self.model_copy(
            update={
                "name": short_name(f"{self.name}@{told}"),
                "ref": f"{self.ref}@{told}",
                "title": f"{self.title}, {told}",
                "settings": given.over(self.settings),
                "task_settings": own,
            }
        )


def short_name(name: str) -> str:
    """A name that fits the database; a long one ends in a digest of all of it."""
    if len(name) <= LONGEST_NAME:
        return name
    import hashlib

    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 10]}… {digest}"


def list_suites() -> list[Suite]:
    """Every suite that ships and every one the user made, those that need no data first.

    Tasks are not looked up (``load_suite`` does that). A malformed file of the user's is left out.
    """
    from evaluation.suites import files as suite_files

    found = [suite_files.read(path) for path in suite_files.shipped().values()]
    for path in suite_files.own().values():
        try:
            found.append(suite_files.read(path))
        except SuiteError:
            continue  # `load_suite` says what is wrong with it; the others are still to be had
    return sorted(found, key=lambda suite: bool(suite.data or suite.revisions))


def load_suite(name_or_path: str | Path) -> Suite:
    """Read a suite by name (``"sandbox"``), path, ``tasks:a+b``, each with ``@settings``.

    Raises:
        SuiteError: unknown name, unreadable or malformed file, unknown key or setting, missing
            include folder, or a task that neither its YAML files nor lm-eval define.
    """
    from evaluation.suites import files as suite_files

    return suite_files.load(str(name_or_path))


def check_tasks(suite: Suite, tasks: tuple[str, ...] | list[str]) -> None:
    """Raise SuiteError, with the nearest name, for a task that the suite does not know."""
    known: Mapping[str, Any] = suite.task_files()
    for task in tasks:
        if task not in known and task not in suite.harness:
            raise SuiteError(
                f"Suite {suite.name!r} names the task {task!r}, which no YAML file in "
                f"{', '.join(map(str, suite.include)) or 'its (empty) include'} defines."
                + nearest(task, known)
            )
