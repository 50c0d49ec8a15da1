"""How long a person waits on a study's page, in a real Chromium: 1,000 merges x 20 tasks.

    python benchmarks/study_pages.py [--merges 1000] [--tasks 20] [--items 100] [--runs 7]
                                     [--home DIR] [--views gains pareto]

Fills a home folder of its own with a study whose scores are made up (`tests.study_example`;
`--home` keeps and reuses one), starts the real app on it, and times with the browser's clock:

* every view by its address in a fresh tab, until its picture stands and the script has ended
  (asked: at most 2 s), apart from the first of each in a process, which works the numbers out,
* a change of view by the row of buttons,
* a click on a mark, until the merge's scores are there (asked: at most 1 s).

A busy machine stretches the wall's seconds, so for each view opened by its address the CPU seconds
of the server and of all of Chromium's processes stand beside them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # in place of benchmarks/, where this file's neighbour passes for `pages`

VIEWS = {
    "overview": "The best merge of each", "gains": "", "sensitivity": "", "similarity": "",
    "sheets": "", "emergence": "", "recovery": "", "independence": "", "pareto": "",
    "points": "Tick a line to open it",
}  # fmt: skip
# the heatmap of all merges is taller than any other
TALL = "() => (document.querySelector('.nsewdrag')?.getBoundingClientRect().height ?? 0) > 2000"
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def shared() -> Any:
    """What benchmarks/pages.py has for this: the server, and how lines are printed."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("page_times", ROOT / "benchmarks" / "pages.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def fill(home: Path, merges: int, tasks: int, items: int) -> None:
    """Write the study, unless the folder has one already."""
    os.environ["CRUCIBLE_HOME"] = str(home)
    from db.queries import studies
    from tests import study_example

    if studies.studies():
        return
    start = time.perf_counter()
    study_example.fill(merges, tasks, items)
    print(f"filled {home} in {time.perf_counter() - start:.0f} s", flush=True)


def ready(page: Any, text: str) -> None:
    """Until the view's own thing is there and the script has ended."""
    if text:
        page.get_by_text(text).first.wait_for(timeout=60_000)
    else:
        page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=60_000)
    page.wait_for_selector(IDLE, timeout=60_000)


class Spent:
    """CPU seconds of the server and of the browser since it was made, children included."""

    def __init__(self) -> None:
        self._before = self._now()

    def told(self) -> str:
        """In words."""
        now = self._now()
        used = [
            sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())
            for before, after in zip(self._before, now, strict=True)
        ]
        return f"server {used[0]:.2f}, browser {used[1]:.2f} CPU-s"

    @staticmethod
    def _now() -> tuple[dict[int, float], dict[int, float]]:
        import psutil

        found: tuple[dict[int, float], dict[int, float]] = ({}, {})
        for one in psutil.Process().children(recursive=True):
            try:
                times, said = one.cpu_times(), " ".join(one.cmdline())
            except psutil.Error:
                continue
            if "streamlit run" in said:
                found[0][one.pid] = times.user + times.system
            elif "chrom" in one.name():
                found[1][one.pid] = times.user + times.system
        return found


def opened(browser: Any, url: str, view: str) -> tuple[float, Any]:
    """Seconds to open a view by its address in a fresh tab."""
    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    start = time.perf_counter()
    page.goto(f"{url}/study?study=1&view={view}")
    ready(page, VIEWS[view])
    return time.perf_counter() - start, page


def switched(page: Any, titles: dict[str, str], view: str) -> float:
    """Seconds from a press on a view's button."""
    start = time.perf_counter()
    page.get_by_role("radio", name=titles[view], exact=True).click()
    page.wait_for_url(f"**view={view}*")
    ready(page, VIEWS[view])
    return time.perf_counter() - start


def clicked(page: Any, *, mean: bool = False) -> float:
    """Seconds from a click on a cell of the heatmap until the merge's scores are there.

    With `mean` in the last column: of all merges at once only that is clicked.
    """
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    x = box["x"] + (box["width"] * 0.98 if mean else 130)
    page.mouse.move(x, box["y"] + 25)
    page.wait_for_timeout(300)  # a hand rests before it clicks
    start = time.perf_counter()
    page.mouse.click(x, box["y"] + 25)
    dialog = page.get_by_role("dialog")
    dialog.get_by_test_id("stDataFrame").wait_for(timeout=60_000)
    seconds = time.perf_counter() - start
    page.wait_for_selector(IDLE, timeout=60_000)
    dialog.get_by_role("button", name="Close").click()
    dialog.wait_for(state="detached", timeout=60_000)
    page.wait_for_selector(IDLE, timeout=60_000)
    page.wait_for_timeout(500)
    return seconds


def in_browser(home: Path, runs: int) -> None:
    """Everything that needs the real app and a browser."""
    from playwright.sync_api import sync_playwright

    from jobs.studies import pictures

    times = shared()
    titles = {"overview": "Overview", **pictures.titles(), "points": "Points"}
    titles = {view: title.rsplit(" and ", 1)[-1].capitalize() if len(title) > 16 else title
              for view, title in titles.items()}  # fmt: skip
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    with times.served(home) as (url, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=times.FLAGS)
        seconds, page = opened(browser, url, "gains")
        times.spread("gains, first page of a new server", [seconds])
        page.context.close()
        for view in VIEWS:
            found, said = [], ""
            for _ in range(runs + 1):
                spent = Spent()
                seconds, page = opened(browser, url, view)
                found.append(seconds)
                said = spent.told()
                page.context.close()
            print(f"{view}, last time: {said}", flush=True)
            times.spread(f"{view}, first time in the process", found[:1])
            times.spread(f"{view}, opened by its address", found[1:], 2)
        _, page = opened(browser, url, "overview")
        presses = {view: [switched(page, titles, view) for _ in range(1)] for view in VIEWS}
        for _ in range(runs - 1):
            for view, some in presses.items():
                some.append(switched(page, titles, view))
        for view, some in presses.items():
            times.spread(f"change of view to {view}", some, 2)
        switched(page, titles, "gains")
        times.spread("click on a cell of gains", [clicked(page) for _ in range(runs)], 1)
        start = time.perf_counter()
        page.get_by_role("radio", name="All merges", exact=True).click()
        page.wait_for_function(TALL, timeout=60_000)
        page.wait_for_selector(IDLE, timeout=60_000)
        times.spread("gains of all merges, first time", [time.perf_counter() - start])
        page.wait_for_timeout(1000)
        several = [clicked(page, mean=True) for _ in range(runs)]
        times.spread("click on a row, all merges drawn", several, 1)
        browser.close()


def main() -> None:
    """Fill, serve, time, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--merges", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--views", nargs="*", choices=list(VIEWS), help="only these")
    given = parser.parse_args()
    for view in list(VIEWS) if given.views else []:
        if view not in {"overview", "gains", *given.views}:
            del VIEWS[view]
    home = given.home or Path(tempfile.mkdtemp(prefix="crucible-study-pages-"))
    home.mkdir(parents=True, exist_ok=True)
    fill(home, given.merges, given.tasks, given.items)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    try:
        in_browser(home, given.runs)
    finally:
        if given.home is None:
            shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
