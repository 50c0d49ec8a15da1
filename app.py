"""Starts Crucible: `streamlit run app.py` or `python app.py`, from any folder.

A launcher only. The pages are routed in `pages/main.py`: with a folder called `pages` beside the
script that Streamlit runs, Streamlit would otherwise serve a deep link without its router.
"""

import runpy
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import streamlit as st
from starlette.middleware import Middleware

from jobs.models import registry
from jobs.running import supervise
from pages.components import guard, problems, warm
from pages.components.studies import ahead

ROOT = Path(__file__).resolve().parent


def begin() -> None:
    """Open the database, register the shipped models, and start the worker unless one lives."""
    # A database that is locked or cannot grow now will do later: the worker waits for it.
    for step in (registry.ensure_sandbox, supervise.start_worker_if_needed):
        try:
            step()
        except Exception as error:
            if not problems.is_plain(error):
                raise
            print(f"Crucible: {error}", file=sys.stderr, flush=True)  # the pages say it too


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[dict[str, Any]]:
    """The worker lives as long as the server."""
    await anyio.to_thread.run_sync(begin)
    warm.begin()
    try:
        yield {}
    finally:
        await anyio.to_thread.run_sync(supervise.stop_worker)


app = st.App(
    ROOT / "pages" / "main.py",
    lifespan=lifespan,
    middleware=[Middleware(guard.Guard), Middleware(ahead.Ahead)],
    on_script_error=problems.unforeseen,
)

if __name__ == "__main__":
    # not app.run(): this way `python app.py --server.port 9000` and STREAMLIT_* settings work too
    sys.argv[:1] = ["streamlit", "run", __file__]
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
