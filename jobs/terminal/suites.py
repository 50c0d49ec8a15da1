"""Suites, lm-eval's tasks and public data in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from db.queries.jobs import JobRow
from db.queries.metrics import is_share
from jobs.kinds import catalogue, data
from jobs.suites import datasets
from jobs.terminal import show

Data = dict[str, Any]
MOST_SHOWN = 60


def index() -> None:
    """Index lm-eval's task names in this process, showing how far it is."""
    result = show.show_events(catalogue.run({}))
    show.say(f"{result['names']:,} names of lm-eval's are indexed.")


def index_if_needed(ref: str) -> None:
    """Index the names when a suite needs them and another version of lm-eval was installed."""
    from evaluation.harness.catalogue import is_current

    if ref.startswith("tasks:") and not is_current():
        index()


def tell_terms(ref: str) -> None:
    """The terms of a suite's data, before it is used."""
    from evaluation.suites import load_suite

    suite = load_suite(ref)
    if suite.licence:
        terms = "Terms (not for commercial use)" if suite.non_commercial else "Terms"
        show.say(f"{terms}: {suite.licence}")


def print_groups(rows: Sequence[JobRow]) -> None:
    """The joint scores of lm-eval's groups, each as its file weighs its members."""
    table = Table(
        "Model", "Group", "Metric", "Score (shares in %)", "Items", "Tasks", "Weighted by"
    )
    for row in rows:
        result = row.result or {}
        for name, total in (result.get("groups") or {}).items():
            scale, digits = (100, ".1f") if is_share(total["metric"]) else (1, ".4g")
            error = f" ±{scale * total['stderr']:{digits}}" if total["stderr"] is not None else ""
            weighted = "items" if total["weight_by_size"] else "tasks"
            table.add_row(str(result.get("model", "")), name, total["metric"],
                          f"{scale * total['value']:{digits}}{error}", str(total["n"]),
                          str(total["tasks"]), weighted)  # fmt: skip
    if table.row_count:
        show._print(table)


def print_suites(found: Sequence[Data]) -> None:
    """Name, size and terms of every suite, and which files it lacks."""
    from evaluation.published.folder import DATA_DIR

    table = Table("Suite", "Tasks", "Domains", "Description", "Licence", "Ready", show_lines=True)
    for suite in found:
        domains = ", ".join(dict.fromkeys(suite["tasks"].values()))
        ready = "yes" if suite["ready"] else "data missing"
        table.add_row(suite["name"], str(len(suite["tasks"])), domains, suite["description"],
                      suite["licence"] or "-", ready)  # fmt: skip
    show._print(table)
    for suite in found:
        for name, source in suite["missing"].items():
            show.say(f"{suite['name']} needs {name}, published at {source}.")
    if not all(suite["ready"] for suite in found):
        show.say(f"Files are looked for in {datasets.folder()}; {DATA_DIR} names another "
                     "folder. `python cli.py data --fetch` gets what the Hub has.")  # fmt: skip


def tasks_data(search: str) -> list[Data]:
    """lm-eval's names that have every word of a search, groups first.

    Raises:
        SuiteError: the names are not indexed yet.
    """
    from evaluation.errors import SuiteError
    from evaluation.harness.catalogue import catalogue as known
    from evaluation.harness.catalogue import installed_version, is_current

    if not is_current():
        raise SuiteError(
            f"The tasks of lm-eval {installed_version()} are not indexed yet; "
            "`python cli.py tasks --refresh` does it, in less than a minute."
        )
    found = known().search(search, most=100_000)
    return [
        {"name": e.name, "kind": e.kind, "output_type": e.output, "dataset": e.dataset,
         "subset": e.subset, "members": list(e.members)}
        for e in found
    ]  # fmt: skip


def print_tasks(found: Sequence[Data], search: str) -> None:
    """The first of the names, and how many there are."""
    if not found:
        from evaluation.harness.catalogue import catalogue as known

        near = known().nearest(search)
        show.say(f"lm-eval has no name with {search!r}."
                     + (f" Did you mean {near!r}?" if near else ""))  # fmt: skip
        return
    table = Table("Name", "Kind", "Asked by", "Dataset")
    for row in found[:MOST_SHOWN]:
        where = " ".join(filter(None, [row["dataset"], row["subset"]]))
        table.add_row(row["name"], row["kind"], row["output_type"] or "-", where or "-")
    show._print(table)
    what = f" with {search!r}" if search else ""
    show.say(f"{len(found):,} names{what}; the first {min(len(found), MOST_SHOWN)} are shown. "
                 "`python cli.py evaluate MODEL --tasks NAME,NAME` scores on them.")  # fmt: skip


def fetch(suite: str | None) -> None:
    """Get the files that suites lack and the Hub has, here and now."""
    from evaluation.suites import list_suites
    from jobs.errors import JobError

    lacking = [one.name for one in list_suites() if not one.ready]
    for name in [suite] if suite else lacking:
        try:
            result = show.show_events(data.run({"suite": name}))
        except JobError as error:
            if suite:
                raise
            show.say(str(error))
            continue
        show.say(f"{name}: {len(result['got'])} files downloaded, "
                     f"{len(result['missing'])} still missing.")  # fmt: skip


def print_data(found: Sequence[Data]) -> None:
    """Every dataset with its terms and the state of its files."""
    words = {"here": "here", "hub": "on the Hub", "missing": "missing"}
    table = Table("Dataset", "State", "Terms", "From", "Suites", show_lines=True)
    for row in found:
        terms = row["licence"] + (" (not for commercial use)" if row["non_commercial"] else "")
        place = row["hub"] if row["hub"] else row["source"]
        gated = " (its conditions must be accepted there)" if row["gated"] else ""
        table.add_row(row["title"], words[row["state"]], terms, place + gated,
                      ", ".join(row["suites"]))  # fmt: skip
    show._print(table)
    for row in found:
        names = [file["name"] for file in row["files"] if file["state"] == "missing"]
        if names:
            show.say(f"Missing: {', '.join(names)}, published at {row['source']}. "
                         f"{row['note']}".rstrip())  # fmt: skip
    show.say(f"Files are looked for in {datasets.folder()}.")
