"""One job, or all jobs of one press: live stage, progress, log, and where the results are."""

from __future__ import annotations

import streamlit as st

from db.queries import jobs as job_rows
from db.queries import models as model_rows
from db.queries.jobs import JobRow
from jobs.running import memory
from pages.components import job_actions, job_view, links, problems, words
from pages.components.models import verify_result
from pages.components.scores import card as score_card
from pages.components.scores import signatures_card

POLL_SECONDS = 1.0
LOG_LINES = 200
LOG_BYTES = 60_000


def main() -> None:
    """The page: `?group=<name>` or `?job=<number>`."""
    group, number = st.query_params.get("group"), links.number("job")
    rows = _rows(group, number)
    if not rows:
        st.title("Job", anchor=False)
        st.warning("There is no such job. It may belong to another CRUCIBLE_HOME.")
        links.link("jobs", "All jobs", icon=":material/list_alt:")
        return
    live = any(row.open for row in rows)
    st.fragment(_live, run_every=POLL_SECONDS if live else None)(group, number)


def _rows(group: str | None, number: int | None) -> list[JobRow]:
    if group:
        return job_rows.group(group)
    row = job_rows.job(number) if number is not None else None
    return [row] if row else []


def _live(group: str | None, number: int | None) -> None:
    """Everything that changes while jobs run."""
    rows = _rows(group, number)
    is_open = any(row.open for row in rows)
    st.title(_title(rows), anchor=False)
    _summary(rows, group)
    needs = job_rows.needed_by([row.id for row in rows])
    for row in rows:
        _job(row, needs.get(row.id, []), alone=len(rows) == 1)
    if len(rows) == 1 and rows[0].group and not group:
        links.link("job", "All jobs of this run", icon=":material/stacks:", group=rows[0].group)
    _results(rows)
    verify_result.section(rows)
    if st.session_state.get("job_was_open") and not is_open:
        st.session_state.job_was_open = False
        st.rerun()  # stop polling, and let the sidebar know
    st.session_state.job_was_open = is_open


def _title(rows: list[JobRow]) -> str:
    return problems.as_text(rows[0].title)


def _summary(rows: list[JobRow], group: str | None) -> None:
    """How many are done, how long it took, and a way to stop all of them."""
    ended = sum(not row.open for row in rows)
    started = [row.started for row in rows if row.started]
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(rows) > 1:
            st.markdown(f"**{ended} of {len(rows)} jobs** ended", width="content")
        if started and any(row.open for row in rows):
            st.caption(f"started {words.ago(min(started))}", width="content")
        if group and any(row.open for row in rows):
            job_actions.whole_group(group, rows)


def _job(row: JobRow, needs: list[JobRow], *, alone: bool) -> None:
    with st.container(border=True, gap="small"):
        kind = job_view.KINDS.get(row.kind, row.kind)
        with job_view.row_of_parts():
            name = "" if alone else f"**{problems.as_text(row.title)}** "
            st.markdown(f"{job_view.badge(row)} {name}:gray[{kind} · {job_view.line(row, needs)}]",
                        width="content")  # fmt: skip
            with st.container(horizontal=True, width="content"):
                job_actions.actions(row, "detail")
        for needed in needs:
            if needed.group != row.group:
                links.link("job", f"Waits for {needed.title}", icon=":material/hourglass:",
                           job=needed.id)  # fmt: skip
        if row.state == "running":
            job_view.progress(row)
        elif (row.result or {}).get("reused"):
            st.caption(problems.as_text(row.stage))
        if starved := memory.told(row.kind, row.result):
            st.caption(f":material/memory: {starved}")
        if row.error:
            st.error(problems.as_text(row.error), icon=":material/error:")
        if alone or row.state in ("running", "failed"):
            _log(row)


def _log(row: JobRow) -> None:
    text = job_rows.log_tail(row.id, LOG_BYTES)
    with st.expander("Log", icon=":material/article:", expanded=row.state == "failed"):
        if not text.strip():
            st.caption("The log is empty so far.")
            return
        lines = text.splitlines()[-LOG_LINES:]
        st.code("\n".join(lines), language=None, height=320, wrap_lines=True)
        st.caption(f"The last {len(lines)} lines of {job_rows.log_path(row.id)}")


def _results(rows: list[JobRow]) -> None:
    """What came out so far, and where to look at it."""
    for row in rows:
        if row.kind == "similarity" and row.state == "done":
            ids = [model_rows.model(one["name"]) for one in row.spec["models"]]
            base = model_rows.model(row.spec["base"]["name"]) if row.spec.get("base") else None
            links.link(
                "models", "Show the comparison", icon=":material/join_inner:", tab="Similarity",
                models=",".join(str(one.id) for one in ids if one),
                **({"base": base.id} if base else {}),
            )  # fmt: skip
    for row in rows:
        if row.kind == "judge" and row.state == "done":
            links.link("judge", "Show what the judge said", icon=":material/gavel:",
                       set=str(row.spec["set_name"]))  # fmt: skip
    ids = {
        int(row.result["model_id"]): row
        for row in rows
        if row.state == "done" and row.result and row.result.get("model_id")
    }
    found = [row for row in map(model_rows.model, ids) if row]
    if not found:
        return
    st.subheader("Results", anchor=False)
    _figures([row.id for row in found if ids[row.id].kind == "evaluate"])
    with st.container(horizontal=True, gap="medium"):
        for merge in [row for row in found if row.is_merge]:
            links.link("model", f"Model {merge.name}", icon=":material/deployed_code:", id=merge.id)
            links.link("chat", "Chat with it", icon=":material/forum:", model=merge.name)
            score_card.compare_link(merge, "Compare with its parents")
        for made in [row for row in found if ids[row.id].kind == "extract"]:
            held = 100 * float((ids[made.id].result or {}).get("captured", 0))
            label = f"Adapter {made.name}: holds {held:.1f} % of the squared difference"
            links.link("model", label, icon=":material/compress:", id=made.id)
        scored = [row for row in rows if row.kind == "evaluate" and row.state == "done"]
        if scored:
            suite = str(scored[0].spec.get("suite_name") or scored[0].spec.get("suite") or "")
            links.link("leaderboard", "Leaderboard", icon=":material/leaderboard:", suite=suite)


def _figures(model_ids: list[int]) -> None:
    """Mean score of every model that has been scored by now."""
    boards = score_card.boards() if model_ids else []
    found = [(number, score_card.newest(number, boards)) for number in model_ids]
    shown = [pair for _, pair in found if pair]
    for start in range(0, len(shown), 4):
        for column, (board, scored) in zip(st.columns(4), shown[start : start + 4], strict=False):
            with column:
                score_card.figure(scored.entry.name, board, scored)
    signatures_card.of_job(shown)


main()
