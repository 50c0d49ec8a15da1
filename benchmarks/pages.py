"""How long a person waits for a page, in a real Chromium, with 10,000 evaluations stored.

    python benchmarks/pages.py [--models 500] [--tasks 20] [--items 100] [--runs 7] [--home DIR]

Fills a home folder of its own with plausible scores (a minute or so; `--home` keeps and reuses
one), starts the real app on it, and times with the browser's clock, from the action to the moment
when the page says that its script has ended *and* shows what was asked for:

* the first page after the server answers (asked: at most 3 s),
* a change of page from the menu (at most 1 s),
* the leaderboard redrawn after a change of order and after a search (at most 1 s), and the same
  redraw on the server alone.

What is done once per process (imports, the first paired intervals) is shown apart.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # in place of benchmarks/, where this file would pass for `pages`

IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def spread(name: str, seconds: list[float], limit: float | None = None) -> None:
    """Print one line: median, least and most, and the limit that was asked for."""
    asked = f"   asked: at most {limit:g} s" if limit else ""
    print(
        f"{name:<44} median {statistics.median(seconds):6.2f} s   "
        f"({min(seconds):.2f} to {max(seconds):.2f}, {len(seconds)} runs){asked}",
        flush=True,
    )


def fill(home: Path, models: int, tasks: int, items: int) -> None:
    """Write the scores, unless the folder has some already."""
    os.environ["CRUCIBLE_HOME"] = str(home)
    from db.queries import leaderboard
    from tests import scores_example

    if leaderboard.suites_with_scores():
        return
    start = time.perf_counter()
    scores_example.fill_many(models, tasks, items)
    print(f"filled {home} in {time.perf_counter() - start:.0f} s", flush=True)


def draw_on_server(runs: int) -> tuple[float, list[float]]:
    """Seconds of the leaderboard's script alone: the first draw in a process, then redraws."""
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=120)
    app.run()
    app.switch_page("leaderboard.py")
    seconds = []
    for run in range(runs + 1):
        if run:
            app.selectbox(key="sort").set_value(("name", "score")[run % 2])
        start = time.perf_counter()
        app.run()
        seconds.append(time.perf_counter() - start)
        assert not app.exception, app.exception
    return seconds[0], seconds[1:]


@contextmanager
def served(home: Path) -> Iterator[tuple[str, float]]:
    """The real app on a free port; gives its address and the seconds until it answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"),
               f"--server.port={port}", "--server.headless=true"]  # fmt: skip
    start = time.perf_counter()
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env={**os.environ, "CRUCIBLE_HOME": str(home)}, stdout=log, stderr=log
        )
        try:
            while not answers(f"http://127.0.0.1:{port}/_stcore/health"):
                if server.poll() is not None or time.perf_counter() - start > 120:
                    sys.exit(f"The app did not start; see {home / 'server.log'}.")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}", time.perf_counter() - start
        finally:
            server.terminate()
            server.wait(30)


def answers(url: str) -> bool:
    """Whether a server is there and well."""
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def timed(page: Any, action: Callable[[], object], shown: str) -> float:
    """Seconds from an action until the text `shown` is there and the script has ended."""
    start = time.perf_counter()
    action()
    page.get_by_text(shown).first.wait_for(timeout=60_000)
    page.wait_for_selector(IDLE, timeout=60_000)
    return time.perf_counter() - start


def heading(page: Any, action: Callable[[], object], title: str) -> float:
    """As `timed`, for a page's heading."""
    start = time.perf_counter()
    action()
    page.get_by_role("heading", name=title, level=1).wait_for(timeout=60_000)
    page.wait_for_selector(IDLE, timeout=60_000)
    return time.perf_counter() - start


def first_pages(browser: Any, url: str, runs: int) -> list[float]:
    """Opening the app in a fresh browser context, nothing cached."""
    seconds = []
    for _ in range(runs):
        page = browser.new_context().new_page()
        start = time.perf_counter()
        page.goto(url)
        page.get_by_role("heading", level=1).first.wait_for(timeout=60_000)
        page.wait_for_selector(IDLE, timeout=60_000)
        seconds.append(time.perf_counter() - start)
        page.context.close()
    return seconds


def changes(page: Any, runs: int) -> dict[str, list[float]]:
    """From page to page by the menu, back and forth."""
    found: dict[str, list[float]] = {"Leaderboard": [], "Compare": [], "Models": []}
    for _ in range(runs):
        for title, seconds in found.items():
            link = page.get_by_role("link", name=title, exact=True).first
            seconds.append(heading(page, link.click, title))
    return found


def redraws(page: Any, models: int, runs: int) -> list[float]:
    """The leaderboard after typing a search, each of another length."""
    box = page.get_by_role("searchbox")
    seconds = []
    for run in range(runs):
        number = run % 10
        expected = sum(f"{i:04d}".endswith(str(number)) for i in range(models - 5))

        def search(number: int = number) -> None:
            box.fill(f"{number}-")
            box.press("Enter")

        seconds.append(timed(page, search, f"{expected} of {models} rows shown."))
        timed(page, lambda: (box.fill(""), box.press("Enter")), "Score: mean over tasks")
        page.get_by_text("rows shown.").wait_for(state="detached", timeout=60_000)
    return seconds


def main() -> None:
    """Fill, serve, time, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--home", type=Path, default=None)
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="crucible-pages-"))
    home.mkdir(parents=True, exist_ok=True)
    fill(home, given.models, given.tasks, given.items)
    print(f"{given.models * given.tasks:,} evaluations of {given.items} items; "
          f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")  # fmt: skip
    try:
        first, again = draw_on_server(given.runs)
        spread("leaderboard, server alone, first draw", [first])
        spread("leaderboard, server alone, redraw", again, 1)
        in_browser(home, given.models, given.runs)
    finally:
        if given.home is None:
            shutil.rmtree(home, ignore_errors=True)


def in_browser(home: Path, models: int, runs: int) -> None:
    """Everything that needs the real app and a browser."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    with served(home) as (url, start_seconds), sync_playwright() as playwright:
        spread("server answers", [start_seconds])
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        opened = first_pages(browser, url, runs)
        spread("first page, new server", opened[:1], 3)
        spread("first page, fresh browser", opened[1:] or opened, 3)
        page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
        page.goto(url)
        page.wait_for_selector(IDLE, timeout=60_000)
        first = changes(page, 1)
        spread("leaderboard, first time (imports, intervals)", first["Leaderboard"])
        for title, seconds in changes(page, runs).items():
            spread(f"change of page to {title}", seconds, 1)
        heading(page, page.get_by_role("link", name="Leaderboard").first.click, "Leaderboard")
        spread("leaderboard redrawn after a search", redraws(page, models, runs), 1)
        browser.close()


if __name__ == "__main__":
    main()
