"""Answer sheets by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.analysis.sheets import GROUPS, groups_of, sheet
from studies.errors import StudyError
from tests.studies import made

ONE = [{"method": "task_arithmetic", "grid": {"scale": [1.0]}}]
TABLE = {
    #               0  1  2  3  4  5  6
    "base":        {"t": [0, 0, 0, 0, 0, 0, 0]},
    "finance":     {"t": [0, 0, 1, 1, 0, 1, 0]},
    "math":        {"t": [0, 1, 0, 1, 0, 1, 0]},
    "2 finance+math": {"t": [0, 1, 0, 1, 1, 0, np.nan]},
}  # fmt: skip


def pair(**more: object) -> tuple[object, str]:
    design = made.design(("finance", "math"), methods=ONE)
    held = [True] * 4 + [False] * 3
    results = made.results(design, [made.task("t", 7, held_out=held)], made.of_table(TABLE))
    key = next(one.key for one in results.points if one.point and one.point.stage == "2")
    return results, key


def test_groups_by_hand() -> None:
    results, key = pair()
    found = sheet(results, key, others=["base", "nobody"])  # type: ignore[arg-type]
    assert found.models == (key, "finance", "math", "base")
    by_doc = {row["doc_id"]: row["group"] for row in found.table()}
    assert by_doc == {0: "all wrong", 1: "some", 2: "missed", 3: "all right", 4: "only merge",
                      5: "lost", 6: "all wrong"}  # fmt: skip
    assert found.doc.tolist()[:4] == [4, 1, 3, 5]  # what only the merge knows is on top
    assert found.counts == {"only merge": 1, "some": 1, "all right": 1, "lost": 1, "missed": 1,
                            "all wrong": 2}  # fmt: skip
    assert next(row for row in found.table() if row["doc_id"] == 6)[key] is None


def test_parts_of_the_items() -> None:
    results, key = pair()
    assert sorted(sheet(results, key, part="report").doc) == [0, 1, 2, 3]  # type: ignore[arg-type]
    assert sorted(sheet(results, key, part="search").doc) == [4, 5, 6]  # type: ignore[arg-type]


def test_no_such_merge() -> None:
    results, _ = pair()
    with pytest.raises(StudyError, match="no scored merge nobody"):
        sheet(results, "nobody")  # type: ignore[arg-type]


@given(
    merge=st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=20),
    data=st.data(),
)
def test_every_item_is_in_the_group_that_its_name_says(
    merge: list[int], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, 3))
    row = st.lists(st.sampled_from([-1, 0, 1]), min_size=k, max_size=k)
    theirs = data.draw(st.lists(row, min_size=len(merge), max_size=len(merge)))
    found = groups_of(np.array(merge, np.int8), np.array(theirs, np.int8))
    for mark, others, group in zip(merge, theirs, found, strict=True):
        right, n = mark == 1, sum(one == 1 for one in others)
        expected = (
            ("only merge" if n == 0 else "all right" if n == k else "some") if right
            else ("all wrong" if n == 0 else "lost" if n == k else "missed")
        )  # fmt: skip
        assert GROUPS[group] == expected
