"""Compare, last tab: what the models cost to keep and to score."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.components.scores.picks import Comparison


def draw(comparison: Comparison) -> None:
    """One line per model."""
    rows = comparison.rows
    data = pd.DataFrame(
        {
            "Model": [r.entry.name for r in rows],
            "Parameters": [r.entry.n_parameters for r in rows],
            "Size (MB)": [r.entry.size_bytes / 1e6 if r.entry.size_bytes else None for r in rows],
            "Dtype": [r.entry.dtype for r in rows],
            "Seconds": [r.seconds for r in rows],
            "Items": [r.n_items for r in rows],
            "ms per item": [1000 * r.seconds / r.n_items if r.n_items else None for r in rows],
        }
    )
    number = st.column_config.NumberColumn
    st.dataframe(
        data,
        hide_index=True,
        height="content",
        key="cost",
        column_config={
            "Parameters": number(format="compact"),
            "Size (MB)": number(format="%.1f"),
            "Seconds": number("Scoring (s)", format="%.1f"),
            "ms per item": number(format="%.1f"),
        },
        alt="Size and scoring time of each model",
    )
    st.download_button(
        "CSV", lambda: data.to_csv(index=False), "cost.csv", "text/csv", key="cost_csv",
        on_click="ignore", type="tertiary", icon=":material/download:",
    )  # fmt: skip
    st.caption("Scoring time is what the tasks shown took when they were scored, on whatever else "
               "the machine was doing then.")  # fmt: skip
