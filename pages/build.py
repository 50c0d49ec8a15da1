"""Build: choose models and a method, see that they fit, merge and benchmark."""

from __future__ import annotations

import streamlit as st

from db.queries import jobs as job_rows
from db.queries import models as model_rows
from jobs.models import names, registry
from jobs.running import api
from jobs.scores.parts import Part
from merging.errors import HubError, RecipeError
from merging.recipes.recipe import Recipe
from pages.components import gallery, links, presses, problems, start_from
from pages.components.build import fit, keys, recipe_form, recipe_yaml
from pages.components.build.draft import Draft
from pages.components.scores import planned as scores_planned
from pages.components.suites import picker as suite_picker


def main() -> None:
    """The page."""
    st.title("Build a merge", anchor=False)
    _load_from_address()
    draft = recipe_form.current() or _first_draft()
    # What is known by imported scores alone has no weights to merge.
    models = [row for row in model_rows.models() if row.source or row.recipe_yaml]
    examples = gallery.examples()
    said = f"{len(examples)} recipes to begin with"
    start_from.draw("build", "Start from an example", examples, said, recipe_yaml.load)
    left, right = st.columns([7, 5], gap="large")
    with left:
        recipe_form.draw(draft, models)
    # drawn further down, but part of the recipe: what was typed counts in this very run
    draft.name = st.session_state.get(keys.of(draft, "name"), draft.name)
    recipe, problem = _recipe(draft)
    with right:
        _start(draft, recipe, problem)
        with st.container(border=True):
            recipe_yaml.draw(recipe)


def _load_from_address() -> None:
    """A recipe that the address names, once.

    `?from=<model>` clones a merge, `?point=<study>.<key>` one of a study, `?trial=<search>.<ref>`
    one of a search; `?recipe=` is an example.
    """
    wanted = tuple(st.query_params.get(name) for name in ("from", "recipe", "point", "trial"))
    if not any(wanted) or wanted == st.session_state.get("build_loaded"):
        return
    st.session_state.build_loaded = wanted
    clone, key, point, trial = wanted
    with problems.told():
        if clone is not None:
            number = links.number("from")
            row = model_rows.model(number) if number is not None else None
            if row is None or not row.recipe_yaml:
                st.warning("The link names no merge with a recipe; this is your last draft.")
            else:
                recipe_yaml.load(row.recipe_yaml, clone=True)
        elif point is not None:
            from jobs.studies import submit  # no light import, and few come this way

            study, _, merge = point.partition(".")
            recipe_yaml.load(submit.recipe_of(links.as_number(study) or 0, merge), clone=True)
        elif trial is not None:
            from jobs.search import submit as searching

            search, _, ref = trial.partition(".")
            text = searching.recipe_of(links.as_number(search) or 0, ref)
            recipe_yaml.load(text, clone=True)
        elif key is not None:
            found = gallery.example(key)
            if found is None:
                st.warning("The link names no example recipe; this is your last draft.")
            else:
                recipe_yaml.load(found.text)


def _first_draft() -> Draft:
    """What a newcomer finds in the form: the first example."""
    examples = gallery.examples()
    if examples:
        draft = Draft.from_recipe(Recipe.from_yaml(examples[0].text))
    else:
        draft = Draft(method="task_arithmetic")
    recipe_form.put(draft)
    return draft


def _recipe(draft: Draft) -> tuple[Recipe | None, str | None]:
    """The recipe of the draft, or the sentence that says why there is none yet."""
    try:
        return draft.to_recipe(), None
    except RecipeError as error:
        return None, str(error)


def _start(draft: Draft, recipe: Recipe | None, problem: str | None) -> None:
    """Name, benchmark, checks, and the one button."""
    with st.container(border=True):
        st.subheader("Merge and benchmark", anchor=False)
        st.text_input(
            "Name of the result",
            key=recipe_form.seeded(draft, "name", draft.name),
            placeholder="made from the recipe",
            max_chars=100,
        )
        suite, limit, with_parents, part = _benchmark()
        # What is known before the start comes and goes: below the button, which stays where it is.
        place = st.container()
        name = _free_name(draft.name.strip())
        if suite:
            scores_planned.caption(suite, limit, part)
        fits = _fits(recipe, problem, name)
        with place:
            pressed = presses.button(
                "Merge and benchmark" if suite else "Merge",
                key="build_start",
                type="primary",
                icon=":material/local_fire_department:",
                # Ctrl+Enter alone applies the text beside it, and must not start anything.
                shortcut="Ctrl+Shift+Enter",
                width="stretch",
                disabled=not fits,
            )
        if pressed and recipe_yaml.holds_start():
            st.toast("The text is no recipe yet: nothing was started.", icon=":material/edit:")
        elif pressed:
            _submit(draft, name, suite, limit, with_parents, part)


def _free_name(name: str) -> str | None:
    """The name as typed, or with a number where a model has it already."""
    made_now = [job for job in job_rows.active() if job.kind == "merge"]
    for job in made_now:
        if name and job.spec.get("name") == name:
            st.caption(f"{problems.as_text(name)} is being made right now.")
            links.link("job", "Open its job", icon=":material/progress_activity:", job=job.id)
    taken = {row.name for row in model_rows.models(archived=True)}
    if name not in taken:
        return name or None
    free = names.suggest(name, taken)
    st.caption(
        f"There is a {problems.as_text(name)} already: a new merge will be called "
        f"**{problems.as_text(free)}**."
    )
    return free


def _benchmark() -> tuple[str | None, int | None, bool, Part | None]:
    """Suite, items per task, whether the parents are scored too, and which part of the items."""
    suite = suite_picker.pick("build", none="None, merge only")
    if suite is None:
        return None, None, False, None
    row = st.container(horizontal=True, vertical_alignment="bottom")  # wraps where it is narrow
    limit = row.number_input(
        "Items per task",
        min_value=1,
        max_value=1_000_000,
        value=None,
        step=10,
        placeholder="all",
        key="build_limit",
        persist_state="session",
        width=170,
        help="Fewer items are faster and less certain. Scores with different limits stand apart.",
    )
    with_parents = row.toggle(
        "With parents",
        value=True,
        key="build_parents",
        persist_state="session",
        help="Gain and Outperform Gap need them. Scores that are there already are used again.",
    )
    part = scores_planned.pick_part("build_part")
    return suite, limit, with_parents, part


def _fits(recipe: Recipe | None, problem: str | None, name: str | None) -> bool:
    """Show what is known before the start; whether nothing stands in its way."""
    if recipe is None:
        st.info(problems.as_text(problem or ""), icon=":material/edit:")
        return False
    with problems.told():
        try:
            plan = registry.compatibility(recipe, name=name)
        except HubError as error:  # not here yet: the job downloads it and looks then
            st.warning(problems.as_text(str(error)), icon=":material/cloud_download:")
            st.caption("The job downloads it first; the checks are made then.")
            return True
        fit.draw(plan)
        return plan.ok
    return False


def _submit(
    draft: Draft,
    name: str | None,
    suite: str | None,
    limit: int | None,
    with_parents: bool,
    part: Part | None,
) -> None:
    """Check everything once more (a browser may send anything) and queue the jobs."""
    with problems.told():
        group = api.merge_and_benchmark(
            draft.to_recipe(),
            name=name,
            suite=suite,
            limit=limit,
            with_parents=with_parents,
            part=part,
        )
        links.go("job", group=group)


main()
