"""Which models the Similarity tab is about, kept in the address: `base=1&models=2,3,4`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from db.queries.models import ModelRow
from jobs.models import similarity
from pages.components.links import as_number

SHOWN = "similarity_shown"
BASE, MODELS = "similarity_base", "similarity_models"


@dataclass(frozen=True)
class Picked:
    """What is chosen, and the parts of the address that name no model."""

    base: ModelRow | None
    models: list[ModelRow]
    unknown: list[str]


def pick(rows: Sequence[ModelRow]) -> Picked:
    """Two pickers beside each other, filled from the address."""
    by_id = {row.id: row for row in rows}
    base, ids, unknown = _asked_for(by_id)
    if st.session_state.get(SHOWN) != (base, ids) or MODELS not in st.session_state:
        # The address wins whenever it is not what these very pickers wrote into it.
        st.session_state[BASE], st.session_state[MODELS] = base, list(ids)
        st.session_state[SHOWN] = (base, ids)
    here = [row.id for row in rows if (row.source and not row.archived) or row.id in (base, *ids)]
    names = {number: by_id[number].name for number in here}
    left, right = st.columns([3, 7], vertical_alignment="bottom")
    with left:
        chosen_base = st.selectbox(
            "Base", sorted(here, key=lambda i: (by_id[i].role != "base", names[i].casefold())),
            index=None, format_func=lambda i: names.get(i, f"model {i}"), key=BASE,
            placeholder="None: weights only",
            help="What the models were made from. With it, task vectors (model minus base) are "
            "compared as well.",
        )  # fmt: skip
    others = [number for number in here if number != chosen_base]
    st.session_state[MODELS] = [one for one in st.session_state[MODELS] if one in others]
    with right:
        chosen = st.multiselect(
            "Models", sorted(others, key=lambda i: names[i].casefold()),
            format_func=lambda i: names.get(i, f"model {i}"), key=MODELS,
            max_selections=similarity.MOST, placeholder="Choose two to eight", wrap=True,
        )  # fmt: skip
    if (chosen_base, tuple(chosen)) != (base, ids):
        write(chosen_base, chosen)
        unknown = []
    picked_base = by_id[chosen_base] if chosen_base is not None else None
    return Picked(picked_base, [by_id[number] for number in chosen], unknown)


def write(base: int | None, models: Sequence[int]) -> None:
    """Put a choice into the address."""
    st.session_state[SHOWN] = (base, tuple(models))
    for key, value in (("base", str(base or "")), ("models", ",".join(map(str, models)))):
        if value:
            st.query_params[key] = value
        else:
            st.query_params.pop(key, None)


def _asked_for(
    by_id: Mapping[int, ModelRow],
) -> tuple[int | None, tuple[int, ...], list[str]]:
    """Base and models of the address, by number or by name; and what is neither."""
    if not {"base", "models"} & set(st.query_params) and st.session_state.get(SHOWN):
        write(*st.session_state[SHOWN])  # here again from the menu: go on with what was shown last
    by_name = {row.name: row.id for row in by_id.values()}
    unknown: list[str] = []

    def number(token: str) -> int | None:
        found = as_number(token)
        found = by_name.get(token) if found is None else found
        if found is None or found not in by_id:
            unknown.append(token)
            return None
        return found

    said = st.query_params.get("base", "").strip()
    base = number(said) if said else None
    tokens = [part.strip() for part in st.query_params.get("models", "").split(",")]
    found = dict.fromkeys(number(token) for token in tokens if token)
    ids = [one for one in found if one is not None and one != base]
    return base, tuple(ids[: similarity.MOST]), unknown
