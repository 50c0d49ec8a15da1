"""The job list and a job's own page."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from db.queries import jobs as job_rows
from tests.pages.test_shell import add_job, text_of

Open = Callable[..., AppTest]


def test_an_empty_list_offers_the_example(open_page: Open) -> None:
    app = open_page("job_list")
    assert app.button(key="jobs_example")
    assert "Nothing has been asked for" in text_of(app)


def test_the_example_starts_with_one_press(open_page: Open, sandbox: None) -> None:
    app = open_page("job_list")
    app.button(key="jobs_example").click().run()
    assert not app.exception and not app.error
    assert len(job_rows.recent()) == 5
    assert app.title[0].value == "Merge finance-chat"


def test_states_filters_and_search(open_page: Open) -> None:
    now = time.time()
    add_job(title="Merge one", state="done", started=now - 90, ended=now - 10)
    add_job(title="Merge *two*", state="failed", error="The disk is full.", ended=now)
    add_job(title="Merge three", state="running", stage="Merging", started=now, done=1, total=4)
    add_job(title="Merge four")
    text = text_of(open_page("job_list"))
    for said in ("Merge one", "Merge \\*two\\*", "The disk is full.", "took 1 min 20 s", "waiting"):
        assert said in text
    only = text_of(open_page("job_list", state="Failed"))
    assert "two" in only and "Merge one" not in only
    app = open_page("job_list")
    app.text_input(key="job_search").set_value("three").run()
    assert "Merge three" in text_of(app) and "Merge one" not in text_of(app)
    app.text_input(key="job_search").set_value("%_[nothing").run()
    assert "No job matches" in text_of(app)
    open_page("job_list", state="nonsense")  # falls back


def test_cancel_and_retry(open_page: Open) -> None:
    waiting = add_job(title="Merge a")
    failed = add_job(title="Merge b", state="failed", error="No memory.", ended=time.time())
    app = open_page("job_list")
    app.button(key=f"list_cancel_{waiting}").click().run()
    row = job_rows.job(waiting)
    assert row and row.state == "cancelled"
    app.button(key=f"list_retry_{failed}").click().run()
    row = job_rows.job(failed)
    assert row and row.state == "queued"


@pytest.mark.parametrize(
    "parameters",
    [{}, {"job": "999"}, {"job": "x"}, {"job": "-1"}, {"group": "no such"}, {"job": "9" * 30}],
)
def test_a_job_that_is_not_there(open_page: Open, parameters: dict[str, str]) -> None:
    app = open_page("job_detail", **parameters)
    assert "There is no such job" in app.warning[0].value


def test_a_running_job_shows_stage_rate_and_log(open_page: Open) -> None:
    number = add_job(
        title="Merge a", state="running", stage="Merging", done=30, total=120, unit="tensors",
        rate=15.0, started=time.time() - 2, device="cpu",
    )  # fmt: skip
    job_rows.log_path(number).write_text("\n".join(f"line {i}" for i in range(500)))
    app = open_page("job_detail", job=str(number))
    bar = next(bar.text for bar in app.main.get("progress"))
    assert "Merging" in bar and "30 of 120 tensors" in bar
    assert "15.0 tensors/s" in bar and "6 s left" in bar
    (log,) = app.code
    assert log.value.startswith("line 300\n") and log.value.endswith("line 499")
    app.button(key=f"detail_cancel_{number}").click().run()
    row = job_rows.job(number)
    assert row and row.cancel_requested


def test_a_failed_job_says_why_and_can_be_tried_again(open_page: Open) -> None:
    number = add_job(state="failed", error="The disk is full: free 3 GB.", ended=time.time())
    app = open_page("job_detail", job=str(number))
    assert app.error[0].value == "The disk is full\\: free 3 GB."
    assert app.button(key=f"detail_retry_{number}")


def test_a_group_is_shown_and_cancelled_together(open_page: Open) -> None:
    ids = [add_job(title=f"Score {i}", kind="evaluate", group="g1") for i in range(3)]
    app = open_page("job_detail", group="g1")
    assert "0 of 3 jobs" in text_of(app)
    app.button(key="job_cancel_all").click().run()
    assert all(job_rows.job(number).state == "cancelled" for number in ids)


def test_a_hostile_title_is_text(open_page: Open) -> None:
    number = add_job(title="<img src=x onerror=alert(1)> [a](javascript:b) :red[c]")
    app = open_page("job_detail", job=str(number))
    assert "\\<img" in app.title[0].value and "\\[a\\]" in app.title[0].value
