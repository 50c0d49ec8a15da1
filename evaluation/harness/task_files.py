"""Reading lm-eval task YAMLs without lm-eval: their names, files and what identifies them.

lm-eval needs seconds to import and every page needs only the names, so this reads the files with
plain PyYAML. What the tasks mean is lm-eval's business alone (``evaluation.harness.tasks``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from evaluation import yaml_text
from evaluation.published.folder import data_folder, locate

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """A safe loader that keeps ``!function module.name`` as the text it is."""


def _keep_text(loader: Any, suffix: str, node: yaml.Node) -> str:
    return f"!{suffix} {node.value}"


_Loader.add_multi_constructor("!", _keep_text)


@dataclass(frozen=True)
class TaskFile:
    """One task YAML.

    Attributes:
        path: the file.
        config: its content with ``include`` followed; empty when malformed.
        problem: one sentence when the file cannot be used, else None.
    """

    path: Path
    config: Mapping[str, Any]
    problem: str | None = None

    @property
    def version(self) -> str:
        """``metadata.version`` of the task, "0" when it names none."""
        metadata = self.config.get("metadata") or {}
        return str(metadata.get("version", "0")) if isinstance(metadata, dict) else "0"

    @property
    def published(self) -> str:
        """Name of the file of the data folder that the task reads, empty for none."""
        return str((self.config.get("dataset_kwargs") or {}).get("published") or "")

    @property
    def published_at(self) -> str:
        """Where that file comes from."""
        return str((self.config.get("metadata") or {}).get("published_at", "its authors' site"))

    def data_files(self) -> dict[str, list[Path]]:
        """Split -> local files; relative names are taken from the YAML's folder.

        A file that ``dataset_kwargs.published`` names is in the data folder instead, or where the
        Hub's library keeps it.
        """
        kwargs = self.config.get("dataset_kwargs") or {}
        if self.published:
            return {"published": locate(self.published) or [data_folder() / self.published]}
        given = kwargs.get("data_files")
        if given is None:
            return {}
        if not isinstance(given, dict):
            given = {"train": given}
        return {
            split: [self._local(name) for name in ([names] if isinstance(names, str) else names)]
            for split, names in given.items()
        }

    def _local(self, name: str) -> Path:
        path = Path(name).expanduser()
        return path if path.is_absolute() else self.path.parent / path

    def content_hash(self) -> str:
        """64 hex digits over the YAML's content and its local data files.

        Two scores are comparable only when the same items were asked in the same words, so an
        edited data file is another task even when its version was not raised.
        """
        digest = hashlib.sha256(
            json.dumps(self.config, sort_keys=True, default=str, ensure_ascii=False).encode()
        )
        for split, paths in sorted(self.data_files().items()):
            for path in paths:
                digest.update(split.encode())
                digest.update(_content(path))
        return digest.hexdigest()


_LARGE_BYTES = 4_000_000


def _content(path: Path) -> bytes:
    """A file's bytes; of a large one a digest that is kept as long as the file is unchanged."""
    try:
        facts = path.stat()
        if facts.st_size <= _LARGE_BYTES:
            return path.read_bytes()
        return _digest(path, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return b"missing"


@lru_cache(maxsize=64)
def _digest(path: Path, _size_bytes: int, _changed: int) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def index_task_files(folders: Iterable[Path]) -> dict[str, TaskFile]:
    """Every task YAML below the folders, by task name; malformed files by their stem.

    Later folders win over earlier ones, as in lm-eval. Files without ``task`` are templates
    for ``include`` and are left out.
    """
    found: dict[str, TaskFile] = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.yaml")):
            file = read_task_file(path)
            name = path.stem if file.problem else file.config.get("task")
            if isinstance(name, str):
                found[name] = file
    return found


def read_task_file(path: Path) -> TaskFile:
    """Read one task YAML; a file that cannot be used comes back with ``problem`` set."""
    try:
        config = _read(path, depth=0)
        _check_shapes(config)
        return TaskFile(path, config)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        return TaskFile(path, {}, f"{path}{where}: not valid YAML.")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        return TaskFile(path, {}, f"{path}: {error}.")


def _check_shapes(config: Mapping[str, Any]) -> None:
    """What is looked at without lm-eval has the form it must have.

    Raises:
        ValueError: a phrase.
    """
    kwargs = config.get("dataset_kwargs") or {}
    for name, value in (("dataset_kwargs", kwargs), ("metadata", config.get("metadata") or {})):
        if not isinstance(value, dict):
            raise ValueError(f"`{name}` is not a mapping of keys to values")
    files = kwargs.get("data_files")
    parts = files.values() if isinstance(files, dict) else [] if files is None else [files]
    for one in parts:
        if not all(isinstance(name, str) for name in (one if isinstance(one, list) else [one])):
            raise ValueError("`data_files` names something that is no file's name")


def read_config(path: Path) -> dict[str, Any]:
    """A YAML's content with its includes, functions left as text.

    Raises:
        OSError, ValueError, yaml.YAMLError: it cannot be read.
    """
    return _read(path, depth=0)


def _read(path: Path, depth: int) -> dict[str, Any]:
    if depth > 8:
        raise ValueError("`include` goes in a circle")
    raw = yaml_text.read(path, _Loader)
    if not isinstance(raw, dict):
        raise ValueError("a task file is a mapping of keys to values")
    include = raw.pop("include", None)
    if include is None:
        return raw
    includes = include if isinstance(include, list) else [include]
    if not all(isinstance(name, str) for name in includes):
        raise ValueError("`include` names something that is no file's name")
    merged: dict[str, Any] = {}
    for name in includes:
        merged.update(_read(path.parent / str(name), depth + 1))
    return {**merged, **raw}
