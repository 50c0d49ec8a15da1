"""What the pages let one do with the queue, and what every page tells of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from db.engine import transaction
from db.queries import jobs as job_rows
from db.queries.jobs import JobRow
from db.tables import Dependency, Job
from jobs.running import api
from pages.components import job_actions, queue_news
from tests.pages.test_shell import add_job, text_of

Open = Callable[..., AppTest]


def row(number: int) -> JobRow:
    found = job_rows.job(number)
    assert found is not None
    return found


def toasts(app: AppTest) -> list[str]:
    return [str(toast.value) for toast in app.toast]


def test_pause_and_resume_one_job_and_the_whole_queue(open_page: Open) -> None:
    job = add_job(title="Merge a")
    app = open_page("job_list")
    app.button(key=f"list_pause_{job}").click().run()
    assert row(job).paused and ":material/pause_circle: paused" in text_of(app)
    app.button(key=f"list_resume_{job}").click().run()
    assert not row(job).paused
    app.button(key="queue_pause").click().run()
    assert job_rows.queue_paused()
    assert any("queue is paused" in one.value for one in app.sidebar.warning)
    other = open_page("home")  # said on every page, and undone there
    assert any("queue is paused" in one.value for one in other.sidebar.warning)
    other.button(key="queue_resume").click().run()
    assert not job_rows.queue_paused()
    api.pause_queue()
    app.run()
    app.button(key="queue_go_on").click().run()
    assert not job_rows.queue_paused()


def test_the_order_is_that_of_the_queue_and_can_be_changed(open_page: Open) -> None:
    a, b = add_job(title="Merge a"), add_job(title="Merge b")
    ended = add_job(title="Merge z", state="done", ended=time.time())
    with transaction() as opened:
        opened.add(Dependency(job_id=b, needs_id=a))
    app = open_page("job_list")
    text = text_of(app)
    assert text.index("Merge a") < text.index("Merge b") < text.index("Merge z")
    assert "waits for “Merge a”" in text
    assert f"list_order_{a}" in str(app.main) and f"list_order_{ended}" not in str(app.main)
    for name, (_, action) in job_actions.MENU.items():
        action(b)
        assert name in ("first", "earlier", "later", "last") or row(b).priority in (0, 1)
    api.set_priority(b, 4)
    app.run()
    text = text_of(app)
    assert text.count("priority 4") == 2  # what it needs is as urgent


def test_what_an_order_refuses_is_said(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(job_actions.st, "toast", lambda text, **_: said.append(text))
    ended = add_job(state="done", ended=time.time())
    job_actions._told(job_actions.MENU["first"][1], ended)
    assert said == ["Job 1 is done\\: its order can't be changed any more."]
    with pytest.raises(ZeroDivisionError):
        job_actions._told(lambda _: 1 // 0, ended)


def test_history_by_kind_model_and_page(open_page: Open) -> None:
    now = time.time()
    for number in range(45):
        add_job(title=f"Old {number:02}", state="done", kind="evaluate", created=now - 1000,
                ended=now - 900)  # fmt: skip
    add_job(title="Of the base", state="done", spec={"model": "sandbox/base"}, ended=now)
    app = open_page("job_list")
    assert "1 to 20 of 46 jobs" in text_of(app) and "Old 44" in text_of(app)
    assert "Old 10" not in text_of(app)
    app.multiselect(key="job_kinds").set_value(["merge"]).run()
    assert "1 to 1 of 1 job" in text_of(app) and "Of the base" in text_of(app)
    app.multiselect(key="job_kinds").set_value([]).run()
    app.text_input(key="job_search").set_value("old #3").run()
    assert "No job matches" not in text_of(app)
    app.text_input(key="job_search").set_value("#46").run()
    assert "Of the base" in text_of(app) and "1 to 1 of 1 job" in text_of(app)


def test_a_group_is_paused_and_resumed_together(open_page: Open) -> None:
    ids = [add_job(title=f"Score {i}", kind="evaluate", group="g1") for i in range(3)]
    app = open_page("job_detail", group="g1")
    app.button(key="job_pause_all").click().run()
    assert all(row(number).paused for number in ids)
    app.button(key="job_resume_all").click().run()
    assert not any(row(number).paused for number in ids)


def test_what_failed_elsewhere_is_told_with_a_link(open_page: Open) -> None:
    app = open_page("suites")
    first = add_job(title="Merge a", group="g", state="done", ended=time.time())
    second = add_job(title="Score a", group="g", state="running", started=time.time())
    app.run()
    assert toasts(app) == []  # the press is not over
    with transaction() as opened:
        job = opened.get_one(Job, second)
        job.state, job.error, job.ended = "failed", "No disk.", time.time()
    app.run()
    assert toasts(app) == [f"**Score a** failed. [Open](job?job={second})"]
    app.run()
    assert toasts(app) == [] and first
    assert toasts(open_page("home")) == []  # another tab begins with what it is told from now on


def test_a_late_word_of_a_slow_clock_is_told_too(open_page: Open) -> None:
    app = open_page()
    now = time.time()
    add_job(title="Merge a", state="done", ended=now + 5)
    app.run()
    add_job(title="Merge b", state="done", ended=now + 1)  # written later, by a slower clock
    app.run()
    assert toasts(app) == ["**Merge b** is done. [Open](job?job=2)"]
    app.run()
    assert toasts(app) == []


def test_many_ends_at_once_are_few_toasts(open_page: Open) -> None:
    app = open_page()
    for number in range(30):
        add_job(title=f"Merge {number}", state="done", ended=time.time() + number / 100)
    app.run()
    assert len(toasts(app)) == queue_news.MOST_TOASTS + 1
    assert "27 more have ended" in toasts(app)[-1]


def test_the_machine_is_on_every_page(open_page: Open) -> None:
    for name in ("home", "build", "job_list"):
        said = [caption.value for caption in open_page(name).sidebar.caption]
        assert any("CPU" in text and "memory" in text for text in said)
        assert any("free" in text for text in said)
