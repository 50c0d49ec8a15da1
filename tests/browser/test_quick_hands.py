"""Whoever types and clicks faster than the page is drawn loses neither the click nor the choice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PROJECT, serve
from tests.browser.test_journey import ask, heading

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

# The checks take a second, as with large models or on a slow machine; jobs are left waiting.
SLOW = f"""
import runpy, sys, time
sys.path.insert(0, {str(PROJECT)!r})
from jobs.models import registry
from jobs.running import supervise

checks = registry.compatibility

def slowly(*args, **kwargs):
    time.sleep(1)
    return checks(*args, **kwargs)

registry.compatibility = slowly
supervise.start_worker_if_needed = lambda *args, **kwargs: None
sys.argv[:1] = ["streamlit", "run", {str(PROJECT / "app.py")!r}]
runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def slow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slow-home")


@pytest.fixture(scope="module")
def slow_app(slow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with slow checks and without a worker."""
    script = tmp_path_factory.mktemp("slow-app") / "slow.py"
    script.write_text(SLOW)
    yield from serve([str(script)], slow_home)


def recipe_text(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Recipe as YAML")


def open_build(page: Page, url: str, query: str = "") -> None:
    page.goto(f"{url}/build{query}")
    page.get_by_text("checks passed").wait_for()
    expect(recipe_text(page)).to_have_value(re.compile("method: "))


@pytest.mark.parametrize(("name", "alpha"), [("first", "0.7"), ("second", "0.8"), ("third", "0.9")])
def test_a_click_right_after_typing_starts_the_merge(
    slow_app: str, slow_home: Path, page: Page, name: str, alpha: str
) -> None:
    """Text applied, a number entered, the button pressed: each while the last is being drawn."""
    open_build(page, slow_app)
    text = recipe_text(page)
    # another merge each time: of the same one there is only one
    other = re.sub(r"alpha: [\d.]+", f"alpha: {alpha}", text.input_value())
    assert f"alpha: {alpha}" in other
    text.fill(other.replace("finance-chat", name))
    text.press("Control+Enter")
    expect(page.get_by_role("textbox", name="Name of the result")).to_have_value(name)
    limit = page.get_by_role("spinbutton", name="Items per task")
    limit.fill("20")
    limit.press("Enter")
    page.get_by_role("button", name="Merge and benchmark").click()
    heading(page, f"Merge {name}").wait_for()
    rows = ask(slow_home, "SELECT count(*) FROM jobs WHERE kind = 'merge' AND title LIKE ?",
               f"%{name}")  # fmt: skip
    assert rows == [(1,)]
    specs = ask(slow_home, "SELECT spec FROM jobs WHERE kind = 'evaluate'")
    assert all('"limit": 20' in spec for (spec,) in specs)


def test_a_click_is_followed_though_something_is_chosen_after_it(slow_app: str, page: Page) -> None:
    open_build(page, slow_app)
    page.get_by_role("button", name="Merge and benchmark").click()
    page.get_by_text("With parents", exact=True).click()
    page.wait_for_url("**/job?**")


def test_applying_the_text_starts_nothing(slow_app: str, slow_home: Path, page: Page) -> None:
    before = ask(slow_home, "SELECT count(*) FROM jobs")
    open_build(page, slow_app)
    text = recipe_text(page)
    text.fill(text.input_value().replace("finance-chat", "applied"))
    text.press("Control+Enter")
    limit = page.get_by_role("spinbutton", name="Items per task")
    limit.fill("7")
    limit.press("Enter")
    expect(page.get_by_role("textbox", name="Name of the result")).to_have_value("applied")
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    expect(recipe_text(page)).to_have_value(re.compile("name: applied"))
    expect(page.get_by_role("button", name="Merge and benchmark")).to_be_visible()
    assert ask(slow_home, "SELECT count(*) FROM jobs") == before


def test_a_choice_outlasts_the_next_one(slow_app: str, page: Page) -> None:
    """The browser answers for fields that it has not been told of yet: that must not undo them."""
    open_build(page, slow_app, "?recipe=two-experts")
    page.locator("button[data-testid=stMenuButtonButton]:visible").first.click()
    page.get_by_role("menuitem", name="Over the layers").click()
    page.get_by_text("With parents", exact=True).click()
    name = page.get_by_role("textbox", name="Name of the result")
    name.fill("kept")
    name.press("Enter")
    expect(recipe_text(page)).to_have_value(re.compile("name: kept"))
    expect(recipe_text(page)).to_have_value(re.compile(r"scale: \[0"))
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    expect(recipe_text(page)).to_have_value(re.compile(r"scale: \[0"))
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
