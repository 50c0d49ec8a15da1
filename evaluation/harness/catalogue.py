"""The names of lm-evaluation-harness's own tasks, groups and tags, and where their files lie.

Reading its fourteen thousand task files takes the harness 15 to 40 s. The names change only with
its version, so they are kept: an index for one version ships, another is made once, by a job or by
``python cli.py tasks --refresh``, and kept in the cache. Reading it needs no lm-eval.
"""

from __future__ import annotations

import difflib
import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from evaluation.places import catalogues

Kind = Literal["task", "python", "group", "tag"]
SHIPPED = Path(__file__).resolve().parent / "catalogue_files"
_TOP = 8  # levels of groups in groups; the harness's deepest has four


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of the harness.

    Attributes:
        name: as the harness calls it.
        kind: "task", "python" (a task written in Python), "group" (tasks with an aggregate score)
            or "tag" (tasks without one).
        path: its YAML, relative to the harness's folder of tasks; empty for a tag.
        output: the task's output type, such as "multiple_choice"; empty for others.
        dataset: the task's dataset on the Hub, empty where it names none.
        subset: the part of that dataset.
        members: of a tag, its tasks.
    """

    name: str
    kind: Kind
    path: str = ""
    output: str = ""
    dataset: str = ""
    subset: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """Every name of one version of the harness.

    Attributes:
        version: of lm-eval.
        entries: name to entry, by name.
    """

    version: str
    entries: Mapping[str, Entry] = field(default_factory=dict)

    def nearest(self, name: str) -> str:
        """The known name that is most like another, empty for none."""
        found = difflib.get_close_matches(name, self._like(name), n=1, cutoff=0.6)
        return found[0] if found else ""

    def _like(self, name: str) -> list[str]:
        # difflib over fourteen thousand names takes a second; those with another beginning and
        # of quite another length are passed over.
        start = name[:3].casefold()
        near = [one for one in self.entries if one[:3].casefold() == start]
        return near or [one for one in self.entries if abs(len(one) - len(name)) <= 2]

    def search(self, text: str, most: int = 200) -> list[Entry]:
        """Entries whose name has every word of a text, groups first, then the shorter names."""
        words = text.casefold().split()
        found = [
            entry
            for entry in self.entries.values()
            if all(word in entry.name.casefold() for word in words)
        ]
        order = {"group": 0, "tag": 1, "task": 2, "python": 2}
        return sorted(found, key=lambda e: (order[e.kind], len(e.name), e.name))[:most]


def installed_version() -> str:
    """The version of lm-eval that is installed, empty for none."""
    try:
        return version("lm_eval")
    except PackageNotFoundError:
        return ""


def tasks_folder() -> Path | None:
    """lm-eval's folder of tasks, found without importing it."""
    found = find_spec("lm_eval")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations))) / "tasks"


def catalogue_path(of_version: str) -> Path | None:
    """The kept index of a version, the user's before the shipped one; None when there is none."""
    places = (catalogues() / f"{of_version}.json.gz", SHIPPED / f"lm-eval-{of_version}.json.gz")
    return next((path for path in places if path.is_file()), None)


def is_current() -> bool:
    """Whether there is an index of the installed version."""
    return catalogue_path(installed_version()) is not None


def catalogue() -> Catalogue:
    """The names of the installed version; empty entries when no index of it was made yet."""
    path = catalogue_path(installed_version())
    if path is None:
        return Catalogue(installed_version())
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _read(path: Path, _changed: int) -> Catalogue:
    try:
        raw = json.loads(gzip.decompress(path.read_bytes()))
        entries = {row[0]: _entry(*row) for row in raw["names"]}
        return Catalogue(str(raw["lm_eval"]), entries)
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError):
        return Catalogue(installed_version())  # a half-written file is as good as none


def _entry(
    name: str, kind: Kind, path: str, output: str, dataset: str, subset: str, members: list[str]
) -> Entry:
    return Entry(name, kind, path, output, dataset, subset, tuple(members))


def build() -> Iterator[dict[str, Any]]:
    """Read every task file of the installed harness and keep the names.

    Yields:
        stage and progress events; last a result with ``names`` (how many) and ``path``.

    Raises:
        OSError: the cache cannot be written.
    """
    from lm_eval.tasks._index import Entry as HarnessEntry
    from lm_eval.tasks._index import TaskIndex
    from lm_eval.tasks._yaml_loader import load_yaml

    folder = tasks_folder()
    assert folder is not None  # the import above succeeded
    yield {"kind": "stage", "stage": "Reading lm-eval's tasks"}
    files = list(TaskIndex._iter_yaml_files(folder))
    index: dict[str, HarnessEntry] = {}
    for number, path in enumerate(files):
        if number % 200 == 0:
            yield {"kind": "progress", "stage": "Reading lm-eval's tasks", "done": number,
                   "total": len(files), "unit": "files"}  # fmt: skip
        try:
            config = load_yaml(path, resolve_func=False)
            TaskIndex.process_cfg(config, path, index)
        except Exception:  # as the harness does: a file that is no task is passed over
            continue
    rows = [_row(name, index[name], folder) for name in sorted(index)]
    path = catalogues() / f"{installed_version()}.json.gz"
    save(path, rows)
    yield {"kind": "result", "names": len(rows), "path": str(path)}


def save(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    """Write an index; it appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"lm_eval": installed_version(), "names": rows}, ensure_ascii=False)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    # No time in the header: the same names give the same bytes.
    half.write_bytes(gzip.compress(text.encode(), mtime=0))
    os.replace(half, path)


def _row(name: str, entry: Any, folder: Path) -> list[Any]:
    kind = {"PY_TASK": "python"}.get(entry.kind.name, entry.kind.name.lower())
    config = entry.cfg or {}
    path = entry.yaml_path.relative_to(folder).as_posix() if entry.yaml_path else ""
    told = kind == "task"
    subset = config.get("dataset_name") if told else None
    return [
        name,
        kind,
        path,
        str(config.get("output_type") or "") if told else "",
        str(config.get("dataset_path") or "") if told else "",
        str(subset) if isinstance(subset, str) else "",
        sorted(entry.tags) if kind == "tag" else [],
    ]
