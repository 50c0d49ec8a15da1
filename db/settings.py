"""Where everything that a run writes lives.

Two environment variables decide: `CRUCIBLE_HOME` (a folder, default `data/` in the project) and
`CRUCIBLE_DATABASE_URL` (a SQLite file or PostgreSQL; default: a file in that folder). A third one,
`CRUCIBLE_RAY_ADDRESS`, says whose machines run the jobs. They are read at each call, so that tests
and scripts may change them between calls.
"""

from __future__ import annotations

import os
from pathlib import Path

from db.errors import DatabaseError

PROJECT = Path(__file__).resolve().parent.parent


def home() -> Path:
    """Folder under which everything is written, absolute, created when missing.

    Raises:
        DatabaseError: the folder cannot be created.
    """
    value = os.environ.get("CRUCIBLE_HOME", "").strip()
    folder = Path(value).expanduser() if value else PROJECT / "data"
    return _folder(Path(os.path.abspath(folder)))


def database_url() -> str:
    """SQLAlchemy URL of the database, its driver named; a relative SQLite file is made absolute."""
    url = os.environ.get("CRUCIBLE_DATABASE_URL", "").strip()
    if not url:
        return f"sqlite:///{home() / 'crucible.db'}"
    for prefix in ("postgres://", "postgresql://"):  # as others write it, who have one driver
        if url.startswith(prefix):
            return f"postgresql+psycopg://{url.removeprefix(prefix)}"
    # Worker and jobs run in another folder than the caller's: a relative path would be another's.
    file = url.removeprefix("sqlite:///")
    if file != url and file and not file.startswith(("/", ":memory:", "file:")):
        return f"sqlite:///{os.path.abspath(file)}"
    return url


def ray_address() -> str:
    """Ray cluster whose nodes run the jobs (`auto` or host:port); empty: this machine runs them."""
    return os.environ.get("CRUCIBLE_RAY_ADDRESS", "").strip()


def is_new() -> bool:
    """Whether there is no database yet, as far as that can be told without opening it."""
    file = database_url().removeprefix("sqlite:///")
    return file.startswith("/") and not os.path.exists(file)


def absolute() -> dict[str, str]:
    """The environment that gives a process in another folder the same home and database."""
    return {"CRUCIBLE_HOME": str(home()), "CRUCIBLE_DATABASE_URL": database_url()}


def models_folder() -> Path:
    """Folder of the merged models, one folder each."""
    return _folder(home() / "models")


def logs_folder() -> Path:
    """Folder of the jobs' logs, `<job id>.log` each."""
    return _folder(home() / "logs")


def cache_folder() -> Path:
    """Folder of what can be deleted at any time: data set caches and the like."""
    return _folder(home() / "cache")


def log_path(job_id: int) -> Path:
    """File that a job's standard output and errors go to."""
    return logs_folder() / f"{int(job_id)}.log"


def _folder(path: Path) -> Path:
    if path.is_dir():
        return path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(
            f"The folder {path} cannot be created ({error.strerror or error}). Set CRUCIBLE_HOME "
            "to a folder that you may write to."
        ) from error
    return path
