"""Imports that the first table or picture would otherwise wait for."""

from __future__ import annotations

import contextlib
import importlib
import threading

MODULES = (
    "jobs.scores.comparison",
    "merging.recipes.recipe",
    "pandas",
    "pyarrow.parquet",
    "streamlit.elements.arrow",
    "plotly.graph_objects",
    "jobs.studies.shown",
    "studies.findings",
    "studies.pictures",
)


def begin() -> None:
    """Import them beside the server, which answers meanwhile."""
    threading.Thread(target=_import_all, daemon=True, name="warm").start()


def _import_all() -> None:
    for name in MODULES:
        with contextlib.suppress(ImportError):  # the page that needs it will say so
            importlib.import_module(name)
    with contextlib.suppress(Exception):
        from plotly import graph_objects

        graph_objects.Figure(graph_objects.Bar())  # reads its schemas at the first use
