"""A study stopped, resumed and extended from its page says what an uninterrupted one says."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from playwright.sync_api import expect

from db.engine import close_databases
from jobs.studies import state, submit
from studies.findings import findings
from studies.pictures import PICTURES
from tests.browser.test_journey import ask, heading

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

SCALES = [round(0.1 * i, 1) for i in range(1, 13)]
MORE = [1.3, 1.4]
LONG = 400_000  # milliseconds: a busy machine may take its time


def design(name: str, scales: list[float]) -> str:
    return f"""\
name: {name}
base: sandbox/base
experts: {{finance: sandbox/finance, math: sandbox/math}}
methods:
  - {{method: task_arithmetic, grid: {{scale: {scales}}}}}
stages: [1]
suite: sandbox
tasks: [sandbox_general_people, sandbox_math_words, sandbox_finance_sentiment]
limit: 40
split: {{seed: 1, share: 0.5}}
"""


def begin(app_url: str, page: Page, text: str) -> None:
    """Type a design and start it."""
    page.goto(f"{app_url}/study_design")
    heading(page, "Design a study").wait_for()
    box = page.get_by_role("textbox", name="Design as YAML")
    box.fill(text)
    box.press("Control+Enter")
    name = re.findall(r"name: (\S+)", text)[0]
    expect(page.get_by_role("textbox", name="Name of the study")).to_have_value(name)
    page.get_by_role("button", name="Start").click()
    heading(page, name).wait_for()


def states(home: Path, name: str) -> list[str]:
    query = ("SELECT p.state FROM study_points p JOIN study_designs s ON s.id = p.study_id "
             "WHERE s.name = ?")  # fmt: skip
    return [one for (one,) in ask(home, query, name)]


def press(button: Locator) -> None:
    """Press until it has done something: the row of buttons moves while its page is drawn anew."""
    for _ in range(20):
        button.click()
        with suppress(AssertionError):
            expect(button).to_be_hidden(timeout=20_000)
            return
    pytest.fail("no press did anything")


def rows_of_scores(home: Path, name: str) -> dict[int, tuple[Any, ...]]:
    """Number of a score's row -> when it was written, and what it says."""
    query = (
        "SELECT c.id, p.key, c.task, c.created, c.value FROM point_scores c JOIN study_points p "
        "ON p.id = c.point_id JOIN study_designs s ON s.id = p.study_id WHERE s.name = ?"
    )
    return {row[0]: row[1:] for row in ask(home, query, name)}


def until(true: Callable[[], bool], what: str, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def lanes(home: Path) -> list[psutil.Process]:
    """The processes that this app's jobs run in."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if "jobs.running.zygote" in one.cmdline() and (
                one.environ().get("CRUCIBLE_HOME") == str(home)
            ):
                found += [child for child in one.children() if child.ppid() == one.pid]
    return found


@contextmanager
def held(home: Path) -> Iterator[None]:
    """Nothing is scored meanwhile, so that there is something left to stop."""
    stopped = lanes(home)
    for one in stopped:
        with suppress(psutil.NoSuchProcess):
            os.kill(one.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in stopped:
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGCONT)


def tables(name: str) -> dict[str, Any]:
    """All that a study shows in the end."""
    results = state.load(submit.study_rows.study(name).id)  # type: ignore[union-attr]
    found: dict[str, Any] = {"findings": findings(results).data()}
    for picture in PICTURES.values():
        found |= picture.tables(picture.analyse(results))
    items = {one.key: {task: x.tolist() for task, x in one.items.items()} for one in results.models}
    return found | {"items": items, "planned": results.planned}


@pytest.fixture
def at_home(app_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process reads the app's database."""
    monkeypatch.setenv("CRUCIBLE_HOME", str(app_home))
    yield
    close_databases()


@pytest.mark.usefixtures("at_home")
def test_stopped_resumed_and_extended_ends_as_one_that_was_left_alone(
    app_url: str, app_home: Path, page: Page
) -> None:
    name, n = "interrupted", 2 * len(SCALES)
    main = page.get_by_test_id("stMain")
    begin(app_url, page, design(name, SCALES))
    until(lambda: "done" in states(app_home, name), "no merge was scored")
    with held(app_home):
        main.get_by_role("button", name="Stop").click()
        asked = 'SELECT 1 FROM jobs WHERE kind = "study" AND cancel_requested'
        until(lambda: bool(ask(app_home, asked)), "the stop was not asked for")
    resume = page.get_by_role("button", name="Resume")
    resume.wait_for(timeout=LONG)
    done = states(app_home, name).count("done")
    assert 0 < done < n
    main.get_by_text(f"{done} of {n} merges scored", exact=True).wait_for()
    main.get_by_text("stopped").first.wait_for()
    kept = rows_of_scores(app_home, name)

    press(resume)
    main.get_by_text(f"{n} merges scored", exact=True).wait_for(timeout=LONG)
    now = rows_of_scores(app_home, name)
    assert {number: now.get(number) for number in kept} == kept
    assert len(now) == 3 * n

    page.get_by_role("link", name="Extend").click()
    heading(page, "Design a study").wait_for()
    grid = page.get_by_role("textbox", name="Scale").first
    expect(grid).to_have_value(re.compile("1.2$"))
    grid.fill(", ".join(map(str, [*SCALES, *MORE])))
    grid.press("Enter")
    n += 2 * len(MORE)
    page.get_by_role("heading", name=str(n), exact=True).wait_for()
    page.get_by_role("button", name="Go on with it").click()
    heading(page, name).wait_for()
    main.get_by_text(f"{n} merges scored", exact=True).wait_for(timeout=LONG)
    final = rows_of_scores(app_home, name)
    assert {number: final.get(number) for number in now} == now
    found = tables(name)

    # the same design, begun when nothing of it is there, and left alone
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    heading(page, "Studies").wait_for()
    assert not rows_of_scores(app_home, name)
    begin(app_url, page, design("left-alone", [*SCALES, *MORE]))
    main.get_by_text(f"{n} merges scored", exact=True).wait_for(timeout=LONG)
    assert not ask(app_home, "SELECT 1 FROM study_points WHERE copied")
    expected = tables("left-alone")
    assert found.keys() == expected.keys()
    for table, rows in expected.items():
        assert found[table] == rows, table
