"""A real PostgreSQL server of the tests' own: in a temporary folder, on a unix socket.

The server refuses to run as root: it then runs as the system's user `postgres`, or `nobody`.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

# Collation of a natural language, not of bytes: what depends on the order of text would show.
COLLATION = ("--locale-provider=icu", "--icu-locale=en-US")
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB",
         "max_connections=80", "autovacuum=off", "listen_addresses=", "jit=off")  # fmt: skip
RULES = """\
local all guarded scram-sha-256
local all all trust
"""
START_SECONDS = 60.0
_numbers = itertools.count()


def programs() -> Path | None:
    """Folder of the newest PostgreSQL server on this machine, or None."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3])
    )
    if found:
        return found[-1].parent
    there = shutil.which("initdb")  # other systems than Debian
    return Path(there).resolve().parent if there else None


def require() -> Path:
    """The server's programs; without them the test is skipped, or fails where CI=true."""
    found = programs()
    if found is None:
        reason = "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Server:
    """A server with an empty cluster; `start` and `stop` may follow one another."""

    def __init__(self) -> None:
        self.bin = require()
        self.folder = Path(tempfile.mkdtemp(prefix="crucible-pg-"))
        self.account = _account()
        if self.account is not None:
            os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
        self.process: subprocess.Popen[bytes] | None = None
        self.template: str | None = None
        knows_icu = b"icu-locale" in subprocess.check_output([self.bin / "initdb", "--help"])
        self._run(
            "initdb", "--pgdata=data", "--username=crucible", "--auth=trust", "--encoding=UTF8",
            "--no-sync", "--no-instructions", "--locale=C.UTF-8", *(COLLATION if knows_icu else ()),
        )  # fmt: skip
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(RULES)
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = [part for setting in QUICK for part in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", "data", "-k", self.folder, *settings],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=_end_with_parent,
                **self._as_account(),
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log_text = (self.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start:\n{log_text}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether somebody could connect now."""
        asked = [self.bin / "pg_isready", "-h", self.folder, "-q"]
        return subprocess.run(asked, check=False).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT breaks its connections off, SIGQUIT is as a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def remove(self) -> None:
        """End the server and delete its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def sql(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run a statement outside of a transaction."""
        import psycopg

        with psycopg.connect(
            host=str(self.folder), user="crucible", dbname=database, autocommit=True
        ) as connection:
            done = connection.execute(statement)  # type: ignore[call-overload]
            return list(done.fetchall()) if done.description else []

    def url(self, database: str, user: str = "crucible", password: str = "") -> str:
        """SQLAlchemy's URL of a database."""
        who = f"{user}:{password}" if password else user
        return f"postgresql+psycopg://{who}@/{database}?host={self.folder}"

    def create(self, template: str = "template0") -> str:
        """Make a database; returns its URL."""
        name = f"c{os.getpid()}_{next(_numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def migrated(self) -> str:
        """Make a database that has our tables already; returns its URL."""
        if self.template is None:
            from db.engine import close_databases, open_database

            url = self.create()
            open_database(url)
            close_databases()
            self.template = database_of(url)
        return self.create(self.template)

    def drop(self, url: str) -> None:
        """Delete a database, whoever is connected to it."""
        if self.process is None:
            self.start()
        self.sql(f"DROP DATABASE IF EXISTS {database_of(url)} WITH (FORCE)")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([self.bin / program, *arguments], capture_output=True, text=True,
                              check=False, **self._as_account())  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")

    def _as_account(self) -> dict[str, Any]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        common: dict[str, Any] = {"cwd": self.folder, "env": kept}
        if self.account is None:
            return common
        ids = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        return {**common, **ids}


def database_of(url: str) -> str:
    """The database's name in a URL."""
    return url.split("@/")[1].split("?")[0]


def _account() -> pwd.struct_passwd | None:
    """Who runs the server when we are root; None: ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("no system user is there to run PostgreSQL as: it refuses root")


def _end_with_parent() -> None:
    """A killed test run leaves no server behind (prctl's PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, int(signal.SIGQUIT))
