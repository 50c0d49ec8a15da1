"""A study in a real browser: designed, started, watched, looked at, and on into Build."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.test_journey import ask, heading

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NAME = "browser-study"
DESIGN = f"""\
name: {NAME}
base: sandbox/base
experts: {{finance: sandbox/finance, math: sandbox/math}}
methods:
  - {{method: task_arithmetic, grid: {{scale: [0.5, 1.0]}}}}
suite: sandbox
limit: 6
"""


def text_box(page: Page) -> Any:
    return page.get_by_role("textbox", name="Design as YAML")


def test_the_plan_follows_the_form(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/studies")
    heading(page, "Studies").wait_for()
    page.get_by_role("link", name="Open this design").first.click()
    heading(page, "Design a study").wait_for()
    page.get_by_role("heading", name="149", exact=True).wait_for()
    density = page.get_by_role("textbox", name="Density d").first
    density.fill("0.2")
    density.press("Enter")
    page.get_by_role("heading", name="128", exact=True).wait_for()
    expect(text_box(page)).to_have_value(re.compile(r"density: \[0\.2\]"))
    density.fill("0.2, nothing")
    density.press("Enter")
    page.get_by_text("is no number").wait_for()
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    # the text is the other view: what is broken there leaves the form as it is
    density.fill("0.2, 0.5")
    density.press("Enter")
    page.get_by_role("heading", name="135", exact=True).wait_for()
    # the plan stands a moment before the text, which takes the place of the one before it
    expect(text_box(page)).to_have_value(re.compile(r"density: \[0\.2, 0\.5\]"))
    text_box(page).fill("methods: [")
    text_box(page).press("Control+Enter")
    page.get_by_text("The form is unchanged.").wait_for()
    page.get_by_role("heading", name="135", exact=True).wait_for()


def test_a_small_study_from_start_to_build(app_url: str, app_home: Path, page: Page) -> None:
    page.goto(f"{app_url}/study_design")
    heading(page, "Design a study").wait_for()
    page.get_by_role("heading", name="149", exact=True).wait_for()
    text_box(page).fill(DESIGN)
    text_box(page).press("Control+Enter")
    expect(page.get_by_role("textbox", name="Name of the study")).to_have_value(NAME)
    page.get_by_role("button", name="Start").click()
    heading(page, NAME).wait_for()
    # a reload in the middle loses nothing
    page.reload()
    heading(page, NAME).wait_for()
    main = page.get_by_test_id("stMain")
    main.get_by_text("6 merges scored", exact=True).wait_for(timeout=400_000)
    states = ask(
        app_home,
        "SELECT p.state FROM study_points p JOIN study_designs s ON s.id = p.study_id "
        "WHERE s.name = ?",
        NAME,
    )
    assert states == [("done",)] * 6
    page.get_by_role("heading", name="What this study says of the papers' claims").wait_for()
    page.get_by_role("radio", name="Gain and OG", exact=True).click()
    page.wait_for_url("**view=gains**")
    first_cell(page)
    dialog = page.get_by_role("dialog")
    dialog.get_by_test_id("stDataFrame").wait_for()
    assert re.search(r"point=[0-9a-f]{12}", page.url)
    # the address alone opens it again
    page.reload()
    dialog.get_by_role("radio", name="Recipe", exact=True).click()
    dialog.get_by_text("method: task_arithmetic").first.wait_for()
    dialog.get_by_role("button", name="Open in Build").click()
    heading(page, "Build a merge").wait_for()
    recipe = page.get_by_role("textbox", name="Recipe as YAML")
    expect(recipe).to_have_value(re.compile("sandbox/finance"))


def first_cell(page: Page) -> None:
    """Click on the first cell of the heatmap."""
    page.locator(".js-plotly-plot .nsewdrag").first.wait_for()
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert box is not None
    dialog = page.get_by_role("dialog")
    # Plotly takes a click only for a mark that the pointer was over before
    for _ in range(20):
        page.mouse.move(box["x"] + 24, box["y"] + 32)
        page.mouse.move(box["x"] + 22, box["y"] + 30)
        page.locator(".hovertext, .hoverlayer path").first.wait_for(state="attached")
        page.mouse.click(box["x"] + 22, box["y"] + 30)
        try:
            dialog.wait_for(timeout=5_000)
            return
        except Exception as error:
            if type(error).__name__ != "TimeoutError":
                raise
    pytest.fail("no click on the heatmap opened a merge")
