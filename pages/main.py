"""The router: which pages there are, and what stands on every one of them."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator_singletons import context_dg_stack, get_default_dg_stack_value

from pages.components import links, login, presses, problems, sidebar

# Without fast reruns (.streamlit/config.toml) a run may follow a fragment's on the same thread, and
# Streamlit 1.67 would then draw the whole page where that fragment stands.
context_dg_stack.set(get_default_dg_stack_value())

ASSETS = links.FOLDER / "assets"

st.set_page_config(
    page_title="Crucible",
    page_icon=str(ASSETS / "icon.png"),  # a file: a Material icon would be fetched from the web
    layout="wide",
    menu_items={"About": "Crucible: build, benchmark and compare merges of language models."},
)
st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=str(ASSETS / "icon.svg"))
login.require()


def _page(name: str, title: str, icon: str, help: str, hidden: bool = False) -> st.Page:
    return st.Page(
        links.path(name),
        title=title,
        icon=f":material/{icon}:",
        url_path=name,
        default=name == "home",
        visibility="hidden" if hidden else "visible",
        help=help,
    )


page = st.navigation(
    {
        "": [_page("home", "Home", "home", "What Crucible is, and where your work stands.")],
        "Make": [
            _page("build", "Build", "science", "Choose models and a method, check that they fit, "
                  "then merge and benchmark."),
            _page("studies", "Studies", "biotech", "Many merges at once, in stages: recovery, "
                  "pairs, triples, instruct; what the papers claim, and what your models say."),
            _page("searches", "Search", "travel_explore", "The best recipe within the space you "
                  "give, held against what was known, on items that did not choose it."),
        ],
        "Results": [
            _page("leaderboard", "Leaderboard", "leaderboard", "Every model's scores with their "
                  "standard errors, against the best parent."),
            _page("compare", "Compare", "compare_arrows", "Two to six models side by side: tasks, "
                  "recipes, and every answer."),
            _page("judge", "Judge", "gavel", "Open answers graded or compared by a judge."),
        ],
        "Talk": [_page("chat", "Chat", "forum", "Talk with one model, or with two at once.")],
        "Manage": [
            _page("models", "Models", "deployed_code", "Every model Crucible knows; add a folder "
                  "or a Hub id."),
            _page("suites", "Suites and data", "database", "Benchmark suites, the public data they "
                  "need, and suites of your own."),
            _page("jobs", "Jobs", "list_alt", "What runs, what waits, what ended."),
            _page("study", "Study", "biotech", "One study: progress, findings, pictures.",
                  hidden=True),
            _page("study_design", "Design a study", "biotech", "Models, methods, grids, and what "
                  "they take.", hidden=True),
            _page("search", "One search", "travel_explore", "One search: trials, pictures, winner.",
                  hidden=True),
            _page("search_design", "Design a search", "travel_explore", "Space, objectives, "
                  "sampler, and what they take.", hidden=True),
            _page("model", "Model", "deployed_code", "One model: lineage, recipe and scores.",
                  hidden=True),
            _page("job", "Job", "list_alt", "One job: stage, progress and log.", hidden=True),
        ],
    },
    expanded=True,
)  # fmt: skip

with problems.told():
    presses.enter(page.url_path)
    links.arrive(page.url_path)
    sidebar.draw()
    login.draw()
    page.run()
    presses.leave()
