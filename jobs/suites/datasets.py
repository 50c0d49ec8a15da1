"""Which public benchmark files are here, where the others are to be had, and under which terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from jobs.running import api

State = Literal["here", "hub", "missing"]
Data = dict[str, Any]


def listing(suite: str | None = None) -> list[Data]:
    """Every dataset behind the suites, or behind one of them, with its files.

    Returns:
        ``{"dataset", "title", "licence", "non_commercial", "source", "hub", "gated", "note",
        "suites", "state", "files": [{"name", "state", "path"}]}``; ``hub`` is repository and
        commit. The state of a dataset is that of its worst file.

    Raises:
        SuiteError: there is no such suite.
    """
    from evaluation.suites import list_suites, load_suite

    suites = [load_suite(suite)] if suite else list_suites()
    found: dict[str, Data] = {}
    for one in suites:
        for name in one.data:
            _add_file(found, name, one.name, one.data[name])
        for name in _harness_datasets(one):
            _add_harness(found, name, one)
    return list(found.values())


def folder() -> Path:
    """Where public benchmark files are looked for."""
    from evaluation.published.folder import data_folder

    return data_folder()


def folder_is_fixed() -> bool:
    """Whether the environment decides the folder, so that a choice in the app has no effect."""
    import os

    from evaluation.published.folder import DATA_DIR

    return bool(os.environ.get(DATA_DIR, "").strip())


def choose_folder(given: str) -> Path:
    """Keep a folder as the setting; an empty text goes back to the default.

    Raises:
        SuiteError: there is no such folder, or the setting cannot be kept.
    """
    from evaluation.published import folder as data_folder

    return data_folder.choose_folder(given)


def fetch(suite: str) -> int:
    """Queue the download of what a suite lacks and the Hub has; returns the job's number.

    Raises:
        SuiteError: there is no such suite.
    """
    from evaluation.suites import load_suite

    loaded = load_suite(suite)
    spec = {"suite": loaded.ref, "data_dir": str(folder())}
    return api.submit(
        "data", spec, title=f"Get the data of {loaded.title or loaded.name}", once=True
    )


def _add_file(found: dict[str, Data], name: str, suite: str, source: str) -> None:
    from evaluation.published.facts import dataset_of
    from evaluation.published.folder import locate

    dataset = dataset_of(name)
    key = dataset.key if dataset else name.split("/")[0]
    row = found.setdefault(key, {
        "dataset": key,
        "title": dataset.title if dataset else key,
        "licence": dataset.licence if dataset else "",
        "non_commercial": bool(dataset and dataset.non_commercial),
        "source": dataset.source if dataset else source,
        "hub": dataset.hub_name if dataset else "",
        "gated": bool(dataset and dataset.gated),
        "note": dataset.note if dataset else "",
        "suites": [], "files": [], "state": "here",
    })  # fmt: skip
    _note_suite(row, suite)
    if any(one["name"] == name for one in row["files"]):
        return
    paths = locate(name)
    hub = bool(dataset and dataset.repo and dataset.hub_patterns(name))
    state: State = "here" if paths else "hub" if hub else "missing"
    row["files"].append({"name": name, "state": state, "path": str(paths[0]) if paths else ""})
    row["state"] = _worst([one["state"] for one in row["files"]])


def _harness_datasets(suite: Any) -> list[str]:
    """Hub datasets that lm-eval's own tasks of a suite read, as far as the suite's file says."""
    if suite.revisions:
        return list(suite.revisions)
    if set(suite.tasks) <= set(suite.task_files()):
        return []
    from evaluation.harness.catalogue import catalogue

    known = catalogue().entries
    names = [known[task].dataset for task in suite.tasks if task in known]
    return [name for name in dict.fromkeys(names) if "/" in name]


def _add_harness(found: dict[str, Data], name: str, suite: Any) -> None:
    from evaluation.harness.data import harness_data_here

    revision = suite.revisions.get(name, "")
    here = harness_data_here(name)
    row = found.setdefault(name, {
        "dataset": name,
        "title": name,
        "licence": "see its page on the Hub",
        "non_commercial": False,
        "source": f"https://huggingface.co/datasets/{name}",
        "hub": f"{name}@{revision[:12]}" if revision else name,
        "gated": False,
        "note": "Read by lm-eval's own tasks, which download it at their first run.",
        "suites": [], "state": "here" if here else "hub",
        "files": [{"name": name, "state": "here" if here else "hub", "path": ""}],
    })  # fmt: skip
    _note_suite(row, suite.name)


def _note_suite(row: Data, suite: str) -> None:
    if suite not in row["suites"]:
        row["suites"].append(suite)


def _worst(states: list[State]) -> State:
    if "missing" in states:
        return "missing"
    return "hub" if "hub" in states else "here"


def readiness() -> dict[str, dict[str, list[str]]]:
    """Suite -> titles of its datasets, under "here", "hub" and "missing"."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in listing():
        for suite in row["suites"]:
            states = found.setdefault(suite, {"here": [], "hub": [], "missing": []})
            states[row["state"]].append(row["title"])
    return found
