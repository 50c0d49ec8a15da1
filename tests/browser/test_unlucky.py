"""What goes wrong in a browser: a stop in the middle, narrow screens, hostile addresses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


SANDBOX = Path(__file__).resolve().parents[2] / "sandbox"


def heading(page: Page, name: str) -> Any:
    return page.get_by_role("heading", name=name, exact=True, level=1)


def ask(page: Page, text: str) -> None:
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(text)
    box.press("Enter")


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A model that is asked to end at a token it never writes, and reads thousands of them."""
    folder = tmp_path / "endless"
    shutil.copytree(SANDBOX / "base", folder)
    for name, changes in {
        "config.json": {"max_position_embeddings": 8192, "eos_token_id": 1},
        "generation_config.json": {"eos_token_id": 1},
        "tokenizer_config.json": {"eos_token": "<|pad|>"},
    }.items():
        facts = json.loads((folder / name).read_text()) | changes
        (folder / name).write_text(json.dumps(facts))
    return folder


def test_an_answer_can_be_stopped_in_the_middle(app_url: str, page: Page, endless: Path) -> None:
    """What came before the stop stays, it says so, and the next message is answered."""
    page.goto(f"{app_url}/models")
    count = page.get_by_text("The menu of a row opens and archives it.")
    before = count.inner_text()
    page.get_by_role("button", name="Add a model").click()
    page.get_by_role("textbox", name="Folder or Hugging Face Hub id").fill(str(endless))
    page.get_by_role("button", name="Add model", exact=True).click()
    expect(count).not_to_have_text(before)
    page.goto(f"{app_url}/chat?model=endless")
    heading(page, "Chat").wait_for()
    page.get_by_text("Settings", exact=True).click()
    length = page.get_by_role("spinbutton", name="Longest answer, in tokens")
    length.fill("4096")
    length.press("Enter")
    expect(length).to_have_value("4096")
    ask(page, "Emil is a")
    answer = page.get_by_test_id("stChatMessage").nth(1)
    expect(answer).to_contain_text("▍")
    page.get_by_role("button", name=re.compile("^Stop")).first.click()
    expect(answer).to_contain_text("stopped")
    expect(answer).not_to_contain_text("tokens/s")
    expect(answer).not_to_contain_text("▍")
    kept = answer.inner_text()
    assert len(kept.splitlines()) > 3  # the model's name, some words, the note
    length.fill("8")
    length.press("Enter")
    ask(page, "Emil is a")
    expect(page.get_by_test_id("stChatMessage").nth(3)).to_contain_text("tokens/s")
    assert page.get_by_test_id("stChatMessage").nth(1).inner_text() == kept


def test_nothing_is_cut_on_the_build_page_of_a_small_laptop(app_url: str, page: Page) -> None:
    page.set_viewport_size({"width": 1024, "height": 800})
    page.goto(f"{app_url}/build")
    label = page.get_by_text("With parents", exact=True)
    label.wait_for()
    assert label.evaluate("each => each.scrollWidth <= each.clientWidth + 1")


@pytest.mark.parametrize("number", ["-1", "9" * 5000, "<b>x</b>", "1;drop table models", "٣"])
def test_a_hostile_address_is_answered(app_url: str, page: Page, number: str) -> None:
    for address in ("build?from", "compare?ids", "model?id", "job?job", "job?group"):
        page.goto(f"{app_url}/{address}={number}")
        page.get_by_role("heading", level=1).first.wait_for()
        expect(page.get_by_test_id("stApp")).to_have_attribute(
            "data-test-script-state", "notRunning"
        )
        assert page.get_by_text("unexpected").count() == 0
