"""A gradient on lambda: set it, see it drawn, merge, and find it on the model's page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.test_journey import ask, heading, wait_for_jobs

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NAME = "gradient-merge"


def picture(page: Page) -> Locator:
    return page.get_by_test_id("stPlotlyChart").first


def switch(page: Page, place: int, mode: str) -> None:
    """Choose from the menu beside a setting."""
    page.locator("button[data-testid=stMenuButtonButton]:visible").nth(place).click()
    page.get_by_role("menuitem", name=mode).click()


def idle(page: Page) -> None:
    """Until the page is drawn: a key press while it runs would go to a widget that is replaced."""
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()


def test_a_gradient_from_the_form_to_the_models_page(
    app_url: str, app_home: Path, page: Page
) -> None:
    page.goto(f"{app_url}/build?recipe=two-experts")
    heading(page, "Build a merge").wait_for()
    page.get_by_text("checks passed").wait_for()
    switch(page, 0, "Over the layers")
    expect(picture(page)).to_have_attribute("aria-label", "Scale λ by layer: 0 → 0.6")
    page.get_by_role("button", name="Hill").click()
    expect(picture(page)).to_have_attribute("aria-label", "Scale λ by layer: 0 → 0.6 → 0")
    page.get_by_role("button", name="Remove the last").click()
    expect(picture(page)).to_have_attribute("aria-label", "Scale λ by layer: 0 → 0.6")
    idle(page)
    first = page.get_by_role("slider", name="First layer")
    first.focus()
    page.keyboard.press("ArrowRight")
    expect(picture(page)).to_have_attribute("aria-label", "Scale λ by layer: 0.05 → 0.6")
    text = page.get_by_role("textbox", name="Recipe as YAML")
    expect(text).to_have_value(re.compile(r"scale: \[0\.05, 0\.6\]"))
    # a weight by module beside it
    idle(page)
    switch(page, 1, "By module")
    second = page.get_by_test_id("stPlotlyChart").nth(1)
    expect(second).to_have_attribute(
        "aria-label", "Weight of sandbox/finance by layer: self_attn 1, mlp 1, else 1"
    )
    idle(page)
    value = page.get_by_role("textbox", name="Value").first
    value.fill("0.5, 1")
    value.press("Tab")
    expect(second).to_have_attribute(
        "aria-label", "Weight of sandbox/finance by layer: self_attn 0.5 → 1, mlp 1, else 1"
    )
    idle(page)
    name = page.get_by_role("textbox", name="Name of the result")
    name.fill(NAME)
    name.press("Tab")
    expect(text).to_have_value(re.compile(f"name: {NAME}"))
    idle(page)
    page.get_by_role("combobox", name="Benchmark suite").click()
    page.get_by_role("option", name="None, merge only").click()
    idle(page)
    page.get_by_test_id("stMain").get_by_role("button", name=re.compile("^Merge")).click()
    heading(page, f"Merge {NAME}").wait_for()
    wait_for_jobs(app_home, NAME)
    ((number,),) = ask(app_home, "SELECT id FROM models WHERE name = ?", NAME)
    page.goto(f"{app_url}/model?id={number}")
    heading(page, NAME).wait_for()
    said = "sandbox/finance (expert · weight self_attn 0.5 → 1, mlp 1, else 1)"
    page.get_by_role("link", name=said).wait_for()
    page.get_by_text("scale: [0.05, 0.6]").first.wait_for()
    card = (app_home / "models" / NAME / "README.md").read_text()
    assert "0.05 → 0.6" in card and "self_attn 0.5 → 1" in card


def test_on_a_phone_nothing_is_wider_than_the_screen(app_url: str, page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 900})
    page.goto(f"{app_url}/build?recipe=mlp-from-one-attention-from-the-other")
    page.get_by_text("checks passed").wait_for()
    expect(page.get_by_test_id("stPlotlyChart")).to_have_count(2)
    for chart in page.get_by_test_id("stPlotlyChart").all():
        box = chart.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 400
