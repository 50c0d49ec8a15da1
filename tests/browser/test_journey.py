"""Journey 1 in a real browser: build, merge and benchmark, leaderboard, compare, chat."""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NAME = "journey-merge"


def ask(home: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of the app's own database."""
    with sqlite3.connect(f"file:{home / 'crucible.db'}?mode=ro", uri=True) as connection:
        return connection.execute(query, values).fetchall()


def heading(page: Page, name: str) -> Any:
    return page.get_by_role("heading", name=name, exact=True, level=1)


def wait_for_jobs(home: Path, name: str, seconds: float = 400) -> None:
    """Until no job of a merge's run is open; a failed one fails the test with its sentence."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        rows = ask(
            home,
            'SELECT state, title, error FROM jobs WHERE "group" IN '
            '(SELECT "group" FROM jobs WHERE title = ?)',
            f"Merge {name}",
        )
        failed = [row for row in rows if row[0] == "failed"]
        assert not failed, failed
        if rows and all(row[0] == "done" for row in rows):
            return
        time.sleep(0.5)
    pytest.fail(f"jobs still open: {rows}")


@pytest.fixture
def journey_merge(app_home: Path) -> None:
    """What the tests below look at: one reason where it is missing, not a failure of each."""
    made = "SELECT 1 FROM evaluations JOIN models ON models.id = model_id WHERE name = ?"
    if not (app_home / "crucible.db").exists() or not ask(app_home, made, NAME):
        pytest.skip("needs the merge that test_build_merge_and_benchmark makes: see there")


def test_a_deep_link_comes_first(app_url: str, page: Page) -> None:
    """The first request of a fresh server is a sub-page: our menu stands, and the page is right."""
    page.goto(f"{app_url}/leaderboard")
    heading(page, "Leaderboard").wait_for()
    for name in ("Home", "Build", "Compare", "Chat", "Models", "Jobs"):
        page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True).wait_for()
    page.get_by_role("button", name="Run the two-minute example").wait_for()


def test_build_merge_and_benchmark(app_url: str, app_home: Path, page: Page) -> None:
    page.goto(f"{app_url}/build")
    heading(page, "Build a merge").wait_for()
    page.get_by_text("checks passed").wait_for()
    # the text is a view of the form: edited there, the form follows
    text = page.get_by_role("textbox", name="Recipe as YAML")
    expect(text).to_have_value(re.compile("method: instruction_residual"))
    recipe = text.input_value()
    text.fill("method: [")
    text.press("Control+Enter")
    page.get_by_text("The form is unchanged.").wait_for()
    text.fill(recipe.replace("finance-chat", NAME))
    text.press("Control+Enter")
    name = page.get_by_role("textbox", name="Name of the result")
    expect(name).to_have_value(NAME)
    limit = page.get_by_role("spinbutton", name="Items per task")
    limit.fill("20")
    limit.press("Enter")
    page.get_by_role("button", name="Merge and benchmark").click()
    heading(page, f"Merge {NAME}").wait_for()
    # a reload in the middle loses nothing
    page.reload()
    heading(page, f"Merge {NAME}").wait_for()
    wait_for_jobs(app_home, NAME)
    page.get_by_text("5 of 5 jobs").wait_for()
    page.get_by_role("link", name="Compare with its parents").wait_for()
    shown = page.get_by_test_id("stMetricValue").first.inner_text()
    assert shown == f"{100 * mean_score(app_home, NAME):.1f} %"


def mean_score(home: Path, name: str) -> float:
    rows = ask(
        home,
        "SELECT value FROM evaluations JOIN models ON models.id = model_id WHERE name = ?",
        name,
    )
    assert len(rows) >= 20
    return float(sum(value for (value,) in rows) / len(rows))


def test_scores_are_real(app_home: Path, journey_merge: None) -> None:
    """Every model has every task, each with its answers, and the parts know different things."""
    counts = dict(
        ask(
            app_home,
            "SELECT name, count(*) FROM evaluations JOIN models ON models.id = model_id "
            "GROUP BY name",
        )
    )
    assert set(counts) == {NAME, "sandbox/base", "sandbox/finance", "sandbox/instruct"}
    assert len(set(counts.values())) == 1
    ((answers,),) = ask(app_home, "SELECT count(*) FROM answers")
    ((items,),) = ask(app_home, "SELECT sum(n) FROM evaluations")
    assert answers == items > 0
    assert (app_home / "models" / NAME / "model.safetensors").exists()
    # what the example is there to show: the merge chats about finance, and neither parent does
    chats = dict(
        ask(
            app_home,
            "SELECT name, value FROM evaluations JOIN models ON models.id = model_id "
            "WHERE task = 'sandbox_chat_finance'",
        )
    )
    assert chats[NAME] > 0.3 + max(chats["sandbox/finance"], chats["sandbox/instruct"])


def test_leaderboard_and_compare(app_url: str, page: Page, journey_merge: None) -> None:
    page.goto(f"{app_url}/leaderboard")
    heading(page, "Leaderboard").wait_for()
    page.get_by_test_id("stDataFrame").first.wait_for()
    page.goto(app_url)
    page.get_by_test_id("stMain").get_by_role("link", name="Compare", exact=True).click()
    heading(page, "Compare").wait_for()
    page.get_by_text(NAME).first.wait_for()
    page.get_by_role("tab", name="Gain and OG").click()
    page.get_by_role("tab", name="Answers").click()
    page.set_viewport_size({"width": 420, "height": 900})  # a phone: the pickers stack
    pickers = page.get_by_test_id("stMultiSelect").first
    expect(pickers).to_be_visible()
    box = pickers.bounding_box()
    assert box is not None and box["width"] > 300


def test_chat_side_by_side(app_url: str, page: Page, journey_merge: None) -> None:
    page.goto(f"{app_url}/chat?model={NAME}&beside=sandbox/instruct")
    heading(page, "Chat").wait_for()
    page.get_by_text("Settings", exact=True).click()
    length = page.get_by_role("spinbutton", name="Longest answer, in tokens")
    length.fill("12")
    length.press("Enter")
    expect(length).to_have_value("12")
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill("Question: What is the job of Emil? <b>bold</b> <|end|>")
    box.press("Enter")
    page.get_by_text("tokens/s").nth(1).wait_for(timeout=120_000)
    said = page.get_by_test_id("stChatMessage")
    assert said.count() == 3
    assert "<b>bold</b> <|end|>" in said.first.inner_text()
    assert page.locator("b", has_text="bold").count() == 0
    assert NAME in said.nth(1).inner_text()
    assert "sandbox/instruct" in said.nth(2).inner_text()


def test_a_page_change_loads_nothing_anew(app_url: str, page: Page) -> None:
    page.goto(app_url)
    page.get_by_role("heading", level=1).wait_for()
    page.evaluate("window.before = true")
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Models", exact=True).click()
    heading(page, "Models").wait_for()
    assert page.evaluate("window.before")
