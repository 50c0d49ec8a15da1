"""A model's health as a card: what was looked at, what was found, and how to look again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from db.queries.models import ModelRow
from jobs.models import health
from pages.components import links, presses, problems

MARKS = {
    "ok": (":material/check_circle:", "green"),
    "warn": (":material/info:", "orange"),
    "bad": (":material/error:", "red"),
}
WORDS = {
    "ok": ":green-badge[:material/favorite: in order]",
    "warn": ":orange-badge[:material/info: worth a look]",
    "bad": ":red-badge[:material/error: not in order]",
}
LAYER = re.compile(r"^(.*?\.)(\d+)\.(.+?)(?:\.weight)?$")


def section(row: ModelRow) -> None:
    """The card on the model's page, with a way to look (again) and to rebuild."""
    if not row.source:
        return
    data = health.find(row)
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"**Health** {WORDS.get(str(data['state']), '') if data else ''}", width="content"
            )
            _buttons(row, looked=data is not None)
        if data:
            checks(data)
            _figures(data)
        else:
            st.caption(
                "Nobody has looked at this model yet: its numbers, its files, whether it loads and "
                "talks."
            )


def of_merge(row: ModelRow) -> None:
    """The card at the end of a merge's job."""
    data = health.find(row)
    if data:
        with st.container(border=True, gap="small"):
            st.markdown(f"**Health of {problems.as_text(row.name)}** "
                        f"{WORDS.get(str(data['state']), '')}")  # fmt: skip
            checks(data)


def checks(data: Mapping[str, Any]) -> None:
    """What is not in order, worst first, and what the model said; the rest is folded away."""
    order = ["bad", "warn", "ok"]
    found = [one for one in data["checks"] if one.get("state") in order]
    found.sort(key=lambda one: order.index(one["state"]))
    folded = [one for one in found if one["state"] == "ok" and one["title"] != "Generation"]
    for one in found:
        if one not in folded:
            st.markdown(_line(one))
    if folded:
        titles = ", ".join(str(one["title"]).lower() for one in folded)
        with st.expander(f"In order: {problems.as_text(titles)}", icon=":material/checklist:"):
            for one in folded:
                st.markdown(_line(one))


def _line(one: Mapping[str, Any]) -> str:
    icon, color = MARKS[one["state"]]
    text = problems.as_text(f"{one['detail']} {one.get('fix', '')}".strip())
    return f":{color}[{icon}] **{problems.as_text(one['title'])}** {text}"


def _buttons(row: ModelRow, *, looked: bool) -> None:
    there = not Path(row.source).is_absolute() or Path(row.source).is_dir()
    label = "Look again" if looked else "Look at it"
    if presses.button(label, key="health_look", icon=":material/stethoscope:", disabled=not there):
        with problems.told():
            links.go("job", group=health.ask("health", row))
    if row.recipe_yaml and _verify(disabled=not there):
        with problems.told():
            links.go("job", group=health.ask("verify", row))


def _verify(*, disabled: bool) -> bool:
    return presses.button(
        "Rebuild and verify",
        key="health_verify",
        icon=":material/fact_check:",
        help="Merges again by the recipe, writes nothing, and compares every byte.",
        disabled=disabled,
    )


def _figures(data: Mapping[str, Any]) -> None:
    """Norm ratios by layer and module, and the share lost to rounding."""
    rows, lost = _ratios(data.get("tensors") or {})
    if not rows:
        return
    reference = problems.as_text(str(data.get("reference") or "the first parent"))
    with st.expander("Norms by layer", icon=":material/table_chart:"):
        st.caption(f"Norm of each tensor, divided by that of {reference}.")
        st.dataframe(
            rows,
            hide_index=True,
            alt=f"Norm of each tensor relative to {reference}, by layer and module",
            column_config={
                key: st.column_config.NumberColumn(format="%.3f")
                for key in {name for row in rows for name in row} - {"Layer"}
            },
        )
        if lost:
            st.caption("Share of the changed weights that rounding takes back, by module, in %.")
            st.dataframe(
                lost,
                hide_index=True,
                alt="Share of changed weights lost to rounding, by module",
                column_config={"Lost": st.column_config.NumberColumn(format="%.2f")},
            )


def _ratios(
    tensors: Mapping[str, Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row per layer (and per tensor outside of them), and per module what was lost."""
    rows: dict[str, dict[str, Any]] = {}
    sums: dict[str, list[float]] = {}
    for name, one in tensors.items():
        found = LAYER.match(name)
        layer = found[2] if found else name.removesuffix(".weight")
        module = found[3] if found else "itself"
        if one.get("reference"):
            row = rows.setdefault(layer, {"Layer": layer})
            row[module] = float(one["norm"]) / float(one["reference"])
        if one.get("changed"):
            both = sums.setdefault(found[3] if found else layer, [0.0, 0.0])
            both[0] += float(one["lost"])
            both[1] += float(one["changed"])
    lost = [{"Module": module, "Lost": 100 * a / b} for module, (a, b) in sums.items()]
    return list(rows.values()), sorted(lost, key=lambda row: -float(row["Lost"]))
