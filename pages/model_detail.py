"""One model: what it is, where it comes from, how it scores, and what to do with it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from db.queries import leaderboard
from db.queries import models as model_rows
from db.queries.board import Board, Row
from db.queries.models import ModelRow
from jobs.models import registry, weights
from jobs.running import api
from merging.recipes.recipe import Recipe
from pages.components import links, presses, problems, words
from pages.components.build import mergekit_download
from pages.components.models import extract_lora, health_card, remote_code
from pages.components.scores import planned as scores_planned
from pages.components.scores import signatures_card
from pages.components.suites import picker as suite_picker

CARD_BYTES = 200_000


def main() -> None:
    """The page: `?id=<number>` or `?name=<registered name>`."""
    row = _asked_for()
    if row is None:
        st.title("Model", anchor=False)
        st.warning("There is no such model. It may have been deleted, or the link is incomplete.")
        links.link("models", "All models", icon=":material/deployed_code:")
        return
    st.title(problems.as_text(row.name), anchor=False)
    _badges(row)
    if Path(row.source).is_absolute() and not Path(row.source).is_dir():
        st.warning(
            f"The folder {problems.as_text(row.source)} is gone: the scores are kept, but nobody "
            "can chat with the model or benchmark it. Put the folder back"
            + (", or clone the recipe and merge again." if row.recipe_yaml else "."),
            icon=":material/folder_off:",
        )
    _actions(row)
    _facts(row)
    health_card.section(row)
    remote_code.section(row)
    left, right = st.columns([7, 5], gap="large")
    with left:
        _scores(row)
    with right:
        _lineage(row)
        _recipe(row)
    _card(row)


def _asked_for() -> ModelRow | None:
    number, name = links.number("id"), st.query_params.get("name")
    if number is not None:
        return model_rows.model(number)
    return model_rows.model(name) if name else None


def _badges(row: ModelRow) -> None:
    parts = [f":blue-badge[{row.role}]"]
    parts += [f":violet-badge[{problems.as_text(row.domain)}]"] if row.domain else []
    parts += [f":orange-badge[{problems.as_text(row.method)}]"] if row.method else []
    if row.has_chat_template is not None:
        parts.append(":gray-badge[chat template]" if row.has_chat_template else
                     ":gray-badge[no chat template]")  # fmt: skip
    parts += [":gray-badge[:material/archive: archived]"] if row.archived else []
    st.markdown(" ".join(parts))


def _actions(row: ModelRow) -> None:
    with st.container(horizontal=True, gap="small"):
        if row.recipe_yaml:
            if presses.button(
                "Clone recipe", key="detail_clone", icon=":material/science:", type="primary"
            ):
                links.go("build", **{"from": row.id})
            st.download_button(
                "Download recipe",
                row.recipe_yaml,
                file_name=f"{row.name}.yaml".replace("/", "-"),
                mime="application/yaml",
                icon=":material/download:",
                on_click="ignore",
            )
        if row.source and presses.button("Chat", key="detail_chat", icon=":material/forum:"):
            links.go("chat", model=row.name)
        if row.parents and presses.button(
            "Compare with parents", key="detail_compare", icon=":material/compare_arrows:"
        ):
            ids = dict.fromkeys([row.id, *(parent.model_id for parent in row.parents)])
            links.go("compare", ids=",".join(map(str, list(ids)[:6])))
        if row.parents and row.source and presses.button(
            "Weights beside parents", key="detail_weights", icon=":material/join_inner:",
            help="Distances, cosines and sign conflicts by layer and module.",
        ):  # fmt: skip
            _beside_parents(row)
        with st.popover("Benchmark", icon=":material/speed:"):
            _benchmark(row)
        extract_lora.draw(row)
        with st.popover("More", icon=":material/more_horiz:"):
            _more(row)


def _beside_parents(row: ModelRow) -> None:
    """Leave for the comparison of the weights of a merge and what it was made from."""
    bases = [parent.model_id for parent in row.parents if parent.role == "base"]
    ids = dict.fromkeys(p.model_id for p in row.parents if p.model_id not in bases)
    base = {"base": bases[0]} if bases else {}
    links.go("models", tab="Similarity", models=",".join(map(str, [row.id, *ids][:8])), **base)


def _benchmark(row: ModelRow) -> None:
    suite = suite_picker.pick("detail", "Suite")
    limit = st.number_input(
        "Items per task", 1, 1_000_000, None, 10, placeholder="all", key="detail_limit"
    )
    part = scores_planned.pick_part("detail_part")
    if suite:
        scores_planned.caption(suite, limit, part)
    if presses.button("Start", key="detail_start", disabled=not suite) and suite:
        with problems.told():
            links.go("job", group=api.benchmark([row.name], suite, limit=limit, part=part))


def _more(row: ModelRow) -> None:
    label = "Restore to the lists" if row.archived else "Archive (scores stay)"
    if presses.button(label, icon=":material/archive:", key="detail_archive"):
        with problems.told():
            registry.archive(row.name, archived=not row.archived)
            st.rerun()
    if presses.button("Delete …", icon=":material/delete:", key="detail_delete"):
        _confirm_delete(row)


@st.dialog("Delete this model?")
def _confirm_delete(row: ModelRow) -> None:
    st.markdown(
        f"**{problems.as_text(row.name)}** and its {words.plural(row.n_evaluations, 'task score')} "
        "leave the registry. This cannot be undone."
    )
    files = row.is_merge and bool(row.source)
    if files:
        files = st.checkbox(f"Delete its files too: {words.size(row.size_bytes)} come back", True)
    if presses.button("Delete", type="primary", icon=":material/delete:", key="detail_delete_sure"):
        with problems.told():
            registry.delete_model(row.name, files=files)
            links.go("models")


def _facts(row: ModelRow) -> None:
    facts = [
        ("Parameters", words.count(row.n_parameters)),
        ("Size", words.size(row.size_bytes)),
        ("Number format", row.dtype or "–"),
        ("Architecture", row.architecture or "–"),
        ("Added", words.ago(row.created)),
    ]
    with st.container(border=True):
        with st.container(horizontal=True, gap="large"):
            for title, value in facts:
                with st.container(width="content", gap=None):
                    st.caption(title)
                    st.markdown(problems.as_text(value))
        st.caption(
            (
                problems.as_text(words.place(row.source))
                if row.source or row.recipe_yaml
                else "scores only, imported: the model itself is not here"
            )
            + (f" · fingerprint {row.fingerprint[:16]}" if row.fingerprint else "")
        )


def _scores(row: ModelRow) -> None:
    st.subheader("Scores", anchor=False)
    found = [
        (board, scored)
        for board in map(leaderboard.board, leaderboard.suites_with_scores())
        for scored in board.rows_of(row.id)
    ]
    if not found:
        st.markdown("Not scored yet. **Benchmark** above does it.")
    signatures_card.section(found)
    for board, scored in found:
        _board(board, scored)


def _board(board: Board, scored: Row) -> None:
    """Domain means of the model beside its parents', under one configuration."""
    parents = board.parent_rows(scored)
    rows = [scored, *parents]
    st.caption(f"{board.suite} · {scored.configuration}" if scored.configuration else board.suite)
    table = [
        {"Domain": domain, **{each.entry.name: _percent(each, domain) for each in rows}}
        for domain in board.domains
    ]
    whole = {e.entry.name: None if e.macro is None else 100 * e.macro for e in rows}
    table.append({"Domain": "all tasks", **whole})
    st.dataframe(
        table,
        hide_index=True,
        alt=f"Mean score per domain of {scored.entry.name} and its parents, in percent",
        column_config={
            each.entry.name: st.column_config.NumberColumn(format="%.1f") for each in rows
        },
    )
    missing = len(scored.missing(board.tasks))
    if missing:
        st.caption(f":orange-badge[partial] {words.plural(missing, 'task')} of the suite missing")


def _percent(row: Row, domain: str) -> float | None:
    value = row.domains.get(domain)
    return None if value is None else 100 * value


def _lineage(row: ModelRow) -> None:
    children = model_rows.children(row.id)
    if not row.parents and not children:
        return
    st.subheader("Lineage", anchor=False)
    for parent, weight in zip(row.parents, weights.of_parents(row), strict=True):
        said = f" · {weights.in_words(weight)}" if weight is not None else ""
        links.link("model", f"{parent.name} ({parent.role}{said})",
                   icon=":material/north_west:", id=parent.model_id)  # fmt: skip
    if children:
        st.caption("Went into")
        for child in children[:12]:
            links.link("model", child.name, icon=":material/south_east:", id=child.id)


def _recipe(row: ModelRow) -> None:
    if row.recipe_yaml:
        st.subheader("Recipe", anchor=False)
        st.code(row.recipe_yaml, language="yaml")
        with problems.told():
            mergekit_download.draw(Recipe.from_yaml(row.recipe_yaml))


def _card(row: ModelRow) -> None:
    """The folder's own card, as text: somebody else's Markdown may load pictures from anywhere."""
    path = Path(row.source) / "README.md" if row.source else None
    if path is None or not path.is_absolute() or not path.is_file():
        return
    with st.expander("Model card", icon=":material/article:"):
        text = path.read_bytes()[:CARD_BYTES].decode("utf-8", errors="replace")
        st.code(text, language="markdown", wrap_lines=True)


main()
