"""PostgreSQL's own ways, made to keep what SQLite promises.

Writers take turns: each transaction that writes first takes one lock of the whole database, as
SQLite's does, so that what it has read is still true when it writes. Readers see one state.
Whatever text or number SQLite stores is stored here too: see `dump_json` and `_text_dumper`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

WRITERS_LOCK = 0x43727563  # "Cruc"; advisory locks are numbers, each database has its own
LOCK_TIMEOUT_MS = 30_000  # how long a writer waits for another
CONNECT_SECONDS = 10

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_SURROGATE = re.compile("[\ud800-\udfff]")


def engine(url: URL) -> Engine:
    """An engine whose connections notice a lost server, and whose writers take turns."""
    made = create_engine(
        url,
        pool_pre_ping=True,
        json_serializer=dump_json,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "crucible",
            # of a machine that has vanished without a word, both ends hear within a minute
            "keepalives_idle": 20,
            "keepalives_interval": 10,
            "keepalives_count": 4,
            "options": f"-c lock_timeout={LOCK_TIMEOUT_MS} -c tcp_keepalives_idle=20 "
            "-c tcp_keepalives_interval=10 -c tcp_keepalives_count=4 "
            + str(url.query.get("options", "")),
        },
    )
    event.listen(made, "connect", _configure)
    event.listen(made, "begin", _begin)
    return made


def _configure(connection: Any, _record: Any) -> None:
    connection.adapters.register_dumper(str, _text_dumper())


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("crucible_writes", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})")


def _text_dumper() -> type[Any]:
    from psycopg.types.string import StrDumperUnknown

    class Dumper(StrDumperUnknown):
        """Text without what PostgreSQL has no place for."""

        def dump(self, obj: str) -> Any:
            """The bytes of a text."""
            return super().dump(_storable(obj.replace("\0", "\ufffd")))

    return Dumper


def _storable(text: str) -> str:
    """A text whose halves of surrogate pairs are joined, or replaced where they are alone."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def dump_json(value: Any) -> str:
    """JSON that PostgreSQL takes: Python also writes NaN, Infinity, NUL and lone surrogates.

    Infinity becomes a number too large for a float, which Python reads as infinity again; NaN
    becomes null, and what is no character the replacement character.
    """
    text = _storable(json.dumps(value, ensure_ascii=False))
    if "NaN" in text or "Infinity" in text or "\\u0000" in text:
        return _TOKENS.sub(_allowed, text)
    return text


def _allowed(token: re.Match[str]) -> str:
    found = token.group()
    if found.startswith('"'):
        return _NUL.sub("\\1\ufffd", found)
    return {"NaN": "null", "Infinity": "1e999", "-Infinity": "-1e999"}[found]
