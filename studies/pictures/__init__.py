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

from studies.pictures import gains, sensitivity
from studies.pictures.picture import Choice, Picture, Rows
from studies.pictures.theme import CONFIG, Theme

__all__ = ["CONFIG", "PICTURES", "Choice", "Picture", "Rows", "Theme"]

_ALL = (
    Picture(
        "gains",
        "Gain and OG",
        "How far each merge is above the mean of its constituents (Gain) and above the best of "
        "them (OG), task by task; dots mark cells whose paired 95 % interval excludes zero.",
        gains.analyse,
        gains.figure,
        gains.tables,
        gains.choices,
    ),
    Picture(
        "sensitivity",
        "Sensitivity",
        "How the mean score depends on each option of a method, with 95 % bands and the parents "
        "as lines, and how much of a method's grid is worth having.",
        sensitivity.analyse,
        sensitivity.figure,
        sensitivity.tables,
        sensitivity.choices,
    ),
)

PICTURES: Mapping[str, Picture] = {one.name: one for one in _ALL}
