"""Before a job runs on a node: does the node see what the job needs, and is it the same?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from db import settings
from jobs.errors import JobError
from jobs.kinds import Event, Run

# Kinds whose result is a file below the home, which pages and other jobs look for there.
INTO_HOME = frozenset({"merge", "extract", "similarity", "health", "catalogue", "sandbox_build"})
WITH_DATABASE = frozenset({"search"})  # kinds whose lanes ask Optuna, which asks the database
WITHIN = ("base", "expert", "models", "subjects")  # parts of a spec that name models in turn


def request_for(
    request: Mapping[str, Any],
    node: str,
    *,
    shares_home: bool,
    same_machine: bool,
    home: Path,
    cores: int,
) -> dict[str, Any]:
    """A job's request as it is sent to a node.

    Args:
        request: as for a process of this machine.
        node: its name.
        shares_home: whether the node sees the worker's home.
        same_machine: whether it is the worker's own machine.
        home: of the worker.
        cores: that the job may use there.
    """
    from jobs.running.prepare import THREADS

    spec = dict(request["spec"])
    if not shares_home and spec.get("replies"):
        spec["replies"] = None  # nobody would find them again
    known = spec.get("known")
    folders = {
        str(folder): _fingerprint(folder, known if isinstance(known, dict) else {})
        for folder in folders_of(spec)
    }
    environment = {**request.get("environment", {}), THREADS: str(max(1, cores))}
    url = settings.database_url()
    reachable = same_machine or not url.startswith("sqlite")
    if request["kind"] in WITH_DATABASE and reachable:
        environment["CRUCIBLE_DATABASE_URL"] = url
    return {
        **request,
        "spec": spec,
        "environment": environment,
        "node": {
            "name": node,
            "folders": folders,
            "home": None if shares_home else str(home),
            "database": reachable,
        },
    }


def folders_of(spec: Mapping[str, Any]) -> list[Path]:
    """The model folders that a job's spec names, on whichever disk."""
    named = [spec.get("source"), spec.get("folder"), *(spec.get("sources") or {}).values()]
    found = [Path(one) for one in named if isinstance(one, str) and one.startswith("/")]
    for part in WITHIN:
        inner = spec.get(part)
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, Mapping):
                found += folders_of(one)
    return list(dict.fromkeys(found))


def checked(run: Run, kind: str, spec: dict[str, Any], node: Mapping[str, Any]) -> Iterator[Event]:
    """The job's own generator, after a look around.

    Args:
        run: the generator function of the kind.
        kind: of the job.
        spec: of the job.
        node: `name`, `folders` (path to fingerprint, or None where the worker does not know it),
            `home` (the worker's, where this node does not see it, else None) and `database`
            (whether the database may be asked from here).

    Raises:
        JobError: the node does not see a folder, sees other weights there, or could not leave the
            result where it belongs.
    """
    name = str(node["name"])
    if node["home"] is not None and kind in INTO_HOME:
        raise JobError(
            f"The node {name} does not see {node['home']}, where the result of this job belongs. "
            "Put CRUCIBLE_HOME into a folder that every node sees under the same path.",
            exit_code=1,
        )
    if kind in WITH_DATABASE and not node["database"] and "chosen" not in spec:
        raise JobError(
            f"A search on the node {name} cannot ask a SQLite file on another machine for its "
            "trials. Set CRUCIBLE_DATABASE_URL to a PostgreSQL database, or run the search without "
            "CRUCIBLE_RAY_ADDRESS.",
            exit_code=1,
        )
    known = dict(spec.get("known") or {})
    for path, expected in node["folders"].items():
        known.update(_require_same(Path(path), expected, known, name))
    yield {"kind": "log", "text": f"on the node {name}"}
    yield from run({**spec, "known": known} if "known" in spec else spec)


def _require_same(
    folder: Path, expected: str | None, known: Mapping[str, str], node: str
) -> dict[str, str]:
    """Signature to fingerprint of a folder, read where the node has not seen it before."""
    from jobs.models.describe import describe

    if not folder.is_dir():
        raise JobError(
            f"The node {node} does not see {folder}. Put the model into a folder that every node "
            "sees under the same path, or name it by its id on the Hub.",
            exit_code=1,
        )
    if expected is None:
        return {}
    facts = describe(folder, known)
    if facts["fingerprint"] != expected:
        raise JobError(
            f"The node {node} sees other weights in {folder} than the worker does. Copy the folder "
            "there anew, or share it.",
            exit_code=1,
        )
    return {facts["signature"]: expected}


def _fingerprint(folder: Path, known: Mapping[str, str]) -> str | None:
    """What the weights in a folder are known to be on this machine; nothing is read for it."""
    from jobs.models.describe import signature

    try:
        return known.get(signature(folder))
    except OSError:
        return None
