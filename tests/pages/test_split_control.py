"""The seed and the share of a split are chosen where its part is, stored, and said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from db.engine import session
from db.queries import models as model_rows
from db.tables import Job
from tests.pages.test_leaderboard import said

Open = Callable[..., AppTest]


@pytest.mark.parametrize(
    ("page", "key"), [("build", "build_part"), ("model_detail", "detail_part")]
)
def test_seed_and_share_go_into_the_queue(
    open_page: Open, sandbox: None, page: str, key: str
) -> None:
    model = model_rows.model("sandbox/base")
    assert model is not None
    app = open_page(page, **({"id": str(model.id)} if page == "model_detail" else {}))
    shown = {widget.key for widget in app.number_input}
    assert f"{key}_seed" not in shown  # all items: there is nothing to split
    app.selectbox(key=key).select("held-out").run()
    assert "held-out part of the split with seed 1 and 50 % for searching" in said(app)
    app.number_input(key=f"{key}_seed").set_value(7).run()
    app.number_input(key=f"{key}_share").set_value(30).run()
    assert "held-out part of the split with seed 7 and 30 % for searching" in said(app)
    label = "Merge and benchmark" if page == "build" else "Start"
    next(button for button in app.button if button.label == label).click().run()
    with session() as s:
        specs = [job.spec for job in s.scalars(select(Job).where(Job.kind == "evaluate"))]
    assert specs
    assert all(spec["part"] == {"name": "held-out", "seed": 7, "share": 0.3} for spec in specs)
