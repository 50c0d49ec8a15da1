"""Markup in names, answers, notes, tasks, titles is text: on pages, in pictures, in reports.

The browser's own protection (the server's Content-Security-Policy) is switched off here, so that
what would get through to a browser without it is seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import String, Text, delete, select, update

from db.engine import transaction
from db.tables import Answer, Evaluation, Job, Model, Prompt, Study, StudyPoint
from jobs.studies import report
from tests import scores_example, study_example
from tests.chromium import TIMEOUT_MS
from tests.security.conftest import PROJECT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
FOREIGN = "198.51.100.7"  # nobody's address
EVIL = (
    f'<img src="http://{FOREIGN}/i" onerror="window.hit=1"><script>window.hit=1</script>'
    f'<a href="javascript:window.hit=1">a</a><a href="http://{FOREIGN}/a">b</a>'
    f"![p](http://{FOREIGN}/p)[l](http://{FOREIGN}/l)<b>bold</b>"
)
SHORT = f'<img src="//{FOREIGN}/s" onerror=window.hit=1><a href=//{FOREIGN}/t>t</a>'
LINK = f"<a href=//{FOREIGN}>x</a>"
LOOK = """
() => {
  const bad = [];
  const seek = (root) => {
    for (const one of root.querySelectorAll("*")) {
      // an address that stands there as itself is a link to itself, as in any chat
      if (one.tagName === "A" && /^https?:/.test(one.textContent)) continue;
      if (one.shadowRoot) seek(one.shadowRoot);
      for (const name of ["src", "href", "xlink:href", "srcset", "style", "data"]) {
        const value = one.getAttribute(name) || "";
        if (/^(https?:)?\\/\\/FOREIGN|^javascript:|url\\([^)]*FOREIGN/.test(value))
          bad.push(one.outerHTML.slice(0, 200));
      }
      for (const attribute of one.attributes)
        if (attribute.name.startsWith("on") && attribute.value.includes("window.hit"))
          bad.push(one.outerHTML.slice(0, 200));
      if (one.tagName === "SCRIPT" && one.textContent.startsWith("window.hit")) bad.push("script");
    }
    for (const frame of root.querySelectorAll("iframe"))
      if (frame.contentDocument) seek(frame.contentDocument);
  };
  seek(document);
  if (window.hit) bad.push("it ran");
  return bad;
}
""".replace("FOREIGN", FOREIGN)


@pytest.fixture(scope="module")
def hostile(served: tuple[str, Path]) -> dict[str, Any]:
    """A database full of scores in which every text that a stranger may choose is markup."""
    _, home = served
    url = f"sqlite:///{home / 'crucible.db'}"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CRUCIBLE_HOME", str(home))
        patched.setenv("CRUCIBLE_DATABASE_URL", url)
        with transaction() as opened:
            opened.execute(delete(Model))  # those that the app has registered
        ids = scores_example.fill_family(items=6)
        with transaction() as opened:  # the same family, as the study finds it
            for name in ("base", "finance", "math", "japanese", "instruct"):
                opened.execute(
                    update(Model)
                    .where(Model.name == f"sandbox/{name}")
                    .values(source=str(PROJECT / "sandbox" / name))
                )
        study = study_example.fill(
            20,
            3,
            10,
            name="hostile" + SHORT[:60],
            note=EVIL,
            instruct_stage={"alpha": [0, 1.0]},
            experts={f"{one}{LINK}": f"sandbox/{one}" for one in ("finance", "math")},
        )
        with transaction() as opened:
            opened.execute(
                update(Model)
                .where(Model.name.notlike("sandbox/%"))
                .values(name=Model.name + EVIL[:150], domain=SHORT[:80], note=EVIL)
            )
            opened.execute(update(Prompt).values(text=Prompt.text + EVIL))
            opened.execute(update(Answer).values(output=EVIL, extracted=EVIL, target=EVIL))
            opened.execute(
                update(Evaluation)
                .where(Evaluation.task == "gen_people")
                .values(task="gen_people" + SHORT, domain=SHORT[:80])
            )
            opened.add(
                Job(
                    kind="merge",
                    title="Merge " + EVIL,
                    spec={},
                    state="failed",
                    stage=EVIL,
                    error=EVIL,
                )
            )
            opened.execute(update(Study).values(note=EVIL))
            opened.execute(update(StudyPoint).where(StudyPoint.stage == "2").values(error=EVIL))
            job = opened.scalar(select(Job.id).order_by(Job.id.desc()))
    return {"ids": ids, "study": study, "job": job}


@pytest.fixture
def bare(browser: Browser) -> Iterator[Page]:
    """A tab without the server's policy."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, bypass_csp=True)
    context.set_default_timeout(TIMEOUT_MS)
    opened = context.new_page()
    asked: list[str] = []
    opened.on("request", lambda one: asked.append(one.url) if FOREIGN in one.url else None)
    opened.on("dialog", lambda one: one.dismiss())
    yield opened
    context.close()
    assert not asked


def settled(page: Page) -> None:
    """Until the app has drawn the page."""
    page.get_by_test_id("stApp").wait_for()
    page.locator("[data-test-script-state=notRunning]").wait_for(state="attached")
    page.get_by_test_id("stSkeleton").first.wait_for(state="detached")


def test_the_look_finds_what_it_is_for(browser: Browser) -> None:
    opened = browser.new_page()
    opened.route(lambda url: FOREIGN in url, lambda route: route.abort())
    opened.set_content(f"<p>{EVIL}</p>")
    opened.wait_for_function("window.hit")
    assert len(opened.evaluate(LOOK)) >= 4
    opened.close()


def test_pages(served: tuple[str, Path], hostile: dict[str, Any], bare: Page) -> None:
    url, _ = served
    ids = hostile["ids"]
    merge, other = ids["finance-math-ties"], ids["finance-instruct"]
    suite = scores_example.SUITE
    places = [
        "",
        "models",
        f"model?id={merge}",
        f"leaderboard?suite={suite}",
        "jobs",
        f"job?id={hostile['job']}",
        f"compare?ids={merge},{other},{ids['sandbox/finance']}",
        f"build?from={merge}",
        "chat",
        "judge",
        "studies",
        f"study?study={hostile['study']}&view=gains",
    ]
    wrong: list[str] = []
    for place in places:
        bare.goto(f"{url}/{place}")
        settled(bare)
        if place.startswith("study?"):
            bare.locator(".js-plotly-plot").first.wait_for()
        found = bare.evaluate(LOOK)
        wrong += [f"{place}: {one}" for one in found]
        assert bare.get_by_test_id("stException").count() == 0
    assert not wrong, "\n".join(wrong)


def test_report(
    served: tuple[str, Path], hostile: dict[str, Any], bare: Page, tmp_path: Path
) -> None:
    _, home = served
    path = tmp_path / "report.html"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CRUCIBLE_HOME", str(home))
        patched.setenv("CRUCIBLE_DATABASE_URL", f"sqlite:///{home / 'crucible.db'}")
        report.write(hostile["study"], path)
    bare.goto(path.as_uri())
    bare.locator("html[data-ready]").wait_for(state="attached")
    for table in bare.locator("details.table > summary").all()[:6]:
        table.click()
    assert not bare.evaluate(LOOK)
    text = re.sub(r"<script.*?</script>", "", path.read_text("utf-8"), flags=re.DOTALL)
    assert "<img src" not in text


def test_every_text_column_was_thought_of() -> None:
    """A column that is added later has to be looked at here."""
    known = {
        "name",
        "domain",
        "note",
        "text",
        "output",
        "extracted",
        "target",
        "task",
        "title",
        "stage",
        "error",
    }
    texts = {
        column.name
        for table in (Model, Prompt, Answer, Evaluation, Job, Study)
        for column in table.__table__.columns
        if isinstance(column.type, Text | String)
    }
    ours = {
        "source",
        "revision",
        "role",
        "method",
        "fingerprint",
        "signature",
        "architecture",
        "dtype",
        "recipe_yaml",
        "recipe_hash",
        "hash",
        "doc_hash",
        "prompt_hash",
        "stopped",
        "state",
        "model_fingerprint",
        "suite",
        "task_version",
        "metric",
        "config_hash",
        "prompts_hash",
        "kind",
        "group",
        "content",
        "device",
        "worker",
        "unit",
        "design_hash",
    }
    assert texts <= known | ours, texts - known - ours
