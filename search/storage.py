"""Optuna's own tables in our database, by the same URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from search.samplers import quiet

_checked: set[str] = set()  # URLs whose tables are known to be of this Optuna's format
BUSY_SECONDS = 60.0  # how long SQLite waits for another's write


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """Optuna's storage; its tables are made when they are missing.

    Args:
        url: of the database, as SQLAlchemy takes it.
    """
    from optuna import storages

    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("sqlite"):
        options["connect_args"] = {"timeout": BUSY_SECONDS}
    with quiet():
        inner = storages.RDBStorage(
            url, engine_kwargs=options, skip_compatibility_check=url in _checked
        )
    _checked.add(url)
    try:
        yield storages.get_storage(inner)
    finally:
        inner.remove_session()
        inner.engine.dispose()


def delete(url: str, names: list[str]) -> None:
    """Remove studies from Optuna's tables; those that are not there are no problem."""
    with opened(url) as storage, quiet():
        there = {one.study_name: one._study_id for one in storage.get_all_studies()}
        for name in names:
            if name in there:
                storage.delete_study(there[name])
