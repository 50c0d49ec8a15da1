"""What a health or rebuild job has found, on the job's page."""

from __future__ import annotations

import streamlit as st

from db.queries import models as model_rows
from db.queries.jobs import JobRow
from pages.components import links, problems
from pages.components.models import health_card


def section(rows: list[JobRow]) -> None:
    """The results of the finished jobs that looked at a model, and the health of new merges."""
    for row in rows:
        if row.state != "done" or not row.result:
            continue
        if row.kind == "verify":
            show = st.success if row.result.get("same") else st.error
            icon = ":material/verified:" if row.result.get("same") else ":material/error:"
            show(problems.as_text(str(row.result.get("text", ""))), icon=icon)
        if row.kind == "health" and isinstance(row.result.get("checks"), list):
            with st.container(border=True, gap="small"):
                st.markdown(health_card.WORDS.get(str(row.result.get("state")), ""))
                health_card.checks(row.result)
        name = row.result.get("model")
        model = model_rows.model(str(name)) if name else None
        if model is None:
            continue
        if row.kind == "merge" and not row.result.get("reused"):
            health_card.of_merge(model)
        if row.kind in ("health", "verify"):
            links.link("model", f"Model {model.name}", icon=":material/deployed_code:", id=model.id)
