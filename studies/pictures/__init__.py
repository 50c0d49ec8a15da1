"""A study's pictures: one list for the pages and for the report.

    for picture in PICTURES.values():
        found = picture.analyse(results)
        switches = {one.name: one.default for one in picture.choices(found)}
        figure = picture.figure(found, "dark", **switches)
        rows = picture.tables(found)  # name of a CSV -> rows

Plotly is loaded with this package, so import it inside functions where start-up counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from studies.pictures import (
    emergence,
    gains,
    independence,
    pareto,
    recovery,
    sensitivity,
    sheets,
    similarity,
)
from studies.pictures.picture import Choice, Picture, Rows
from studies.pictures.theme import CONFIG, Theme

__all__ = ["CONFIG", "PICTURES", "Choice", "Picture", "Rows", "Theme"]


def _picture(name: str, room: ModuleType, title: str, about: str) -> Picture:
    return Picture(name, title, about, room.analyse, room.figure, room.tables, room.choices)


_ALL = (
    _picture(
        "gains", gains, "Gain and OG",
        "How far each merge is above the mean of its constituents (Gain) and above the best of "
        "them (OG), task by task; dots mark cells whose paired 95 % interval excludes zero.",
    ),
    _picture(
        "sensitivity", sensitivity, "Sensitivity",
        "How the mean score depends on each option of a method, with 95 % bands and the parents "
        "as lines, and how much of a method's grid is worth having.",
    ),
    _picture(
        "similarity", similarity, "Similarity",
        "Whether the more alike of two parents make the better merges: their distance or cosine "
        "against Macro-Gain and Macro-OG, with Spearman's ρ over pairs.",
    ),
    _picture(
        "sheets", sheets, "Answer sheets",
        "Which items a merge and its constituents have right, sorted so that what only the merge "
        "knows stands first.",
    ),
    _picture(
        "emergence", emergence, "Emergence",
        "Items that a merge has right and none of the models it was made from, against the number "
        "that luck alone gives. Rings mark those above it after a correction over all merges shown "
        "here; the verdict is of each pair's and triple's chosen merge, and corrects over these.",
    ),
    _picture(
        "recovery", recovery, "Forgetting and recovery",
        "What each expert lost against the base, and what share of it its stage-1 merges brought "
        "back; for its own domain, what share of its gain they kept.",
    ),
    _picture(
        "independence", independence, "Independence",
        "The cosine between the instruct and the domain task vectors, by layer and module, against "
        "what random vectors give; and what the merges kept of both skills.",
    ),
    _picture(
        "pareto", pareto, "Pareto",
        "Domain score against general score of every model; the line joins those that no other "
        "beats on both.",
    ),
)  # fmt: skip

PICTURES: Mapping[str, Picture] = {one.name: one for one in _ALL}
