"""What stands on every page: the router, the queue in the sidebar, plain errors, the theme."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
import tomllib
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from db.engine import transaction
from db.tables import Job
from pages.components import links, problems, words

PROJECT = Path(__file__).resolve().parents[2]
Open = Callable[..., AppTest]


def text_of(app: AppTest) -> str:
    """Everything that the page says."""
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.warning, app.error, app.info)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def add_job(**values: Any) -> int:
    with transaction() as opened:
        job = Job(**{"kind": "merge", "title": "Merge a", "spec": {}, **values})
        opened.add(job)
        opened.flush()
        return job.id


@pytest.mark.parametrize("name", sorted(links.FILES))
def test_every_page_opens_on_an_empty_home(open_page: Open, name: str) -> None:
    app = open_page(links.FILES[name].removesuffix(".py"))
    assert app.title or app.subheader
    assert not app.error


def test_no_page_hides_a_package() -> None:
    """Streamlit puts `pages/` in front of the import path while a page runs."""
    names = {path.stem for path in (PROJECT / "pages").glob("*.py")}
    packages = {p.name for p in PROJECT.iterdir() if p.is_dir()} | {"app", "cli"}
    assert not names & packages
    assert not names & set(sys.stdlib_module_names)


def test_pages_stay_light() -> None:
    """What the pages import brings no torch, transformers or lm-eval into the web process."""
    lines: list[str] = []
    for path in sorted((PROJECT / "pages").rglob("*.py")):
        lines += [
            ast.unparse(node)
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            and "__future__" not in ast.unparse(node)
        ]
    lines.append("import sys; print(*{'torch', 'transformers', 'lm_eval'} & set(sys.modules))")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(dict.fromkeys(lines))],
        check=True, cwd=PROJECT, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""


def test_an_idle_queue_says_so(open_page: Open) -> None:
    app = open_page()
    assert "Nothing is running" in text_of(app)


def test_a_running_job_is_on_every_page(open_page: Open) -> None:
    add_job(state="running", stage="Merging", done=3, total=12, rate=2.0, started=time.time())
    add_job(title="Merge b")
    for name in ("home", "build", "job_list"):
        app = open_page(name)
        said = [bar.text for bar in app.sidebar.get("progress")]
        assert any("Merging" in text and "left" in text for text in said)
        assert any("1 job waiting" in link.value for link in app.sidebar.page_link)


def test_a_finished_job_is_announced_once(open_page: Open) -> None:
    app = open_page()
    job = add_job(state="done", ended=time.time() + 1, started=time.time())
    app.run()
    assert [toast.value for toast in app.toast] == [f"**Merge a** is done. [Open](job?job={job})"]
    app.run()
    assert not app.toast


def test_hostile_names_are_text_in_the_sidebar(open_page: Open) -> None:
    title = "Merge ![x](http://evil/x.png) :red[y]"
    app = open_page()
    add_job(title=title, state="running", stage=title, started=time.time(), total=2, done=1)
    add_job(title=title, state="done", ended=time.time() + 1)
    app.run()
    labels = [link.value for link in app.sidebar.page_link]
    labels += [bar.text for bar in app.sidebar.get("progress")] + [t.value for t in app.toast]
    hostile = [label for label in labels if "evil" in label]
    assert len(hostile) == 3
    assert all("!\\[x\\](" in label for label in hostile)


def test_a_dead_worker_is_said_and_can_be_started(open_page: Open) -> None:
    app = open_page()
    assert any("No worker" in warning.value for warning in app.sidebar.warning)
    assert app.button(key="start_worker")


@pytest.mark.sqlite
def test_a_newer_database_is_one_sentence(open_page: Open, home: Path) -> None:
    import sqlite3

    from db.engine import close_databases

    close_databases()
    with sqlite3.connect(home / "crucible.db") as connection:
        connection.execute("PRAGMA user_version = 9999")
    app = open_page()
    assert len(app.error) == 1
    assert "newer" in app.error[0].value


def test_text_is_shown_as_it_stands() -> None:
    hostile = "<b>*x*</b> [a](http://e) :red[x] $y$ `z` # & ~"
    shown = problems.as_text(hostile)
    assert shown.replace("\\", "") == hostile
    assert "\\<b\\>" in shown and "\\:red\\[" in shown and "\\$" in shown


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.size(None), "–"),
        (words.size(999), "999 B"),
        (words.size(3_670_000), "3.7 MB"),
        (words.size(999_960), "1.0 MB"),
        (words.count(934_016), "934 k"),
        (words.count(7_240_000_000), "7.2 B"),
        (words.duration(59.6), "1 min 0 s"),
        (words.duration(4330), "1 h 12 min"),
        (words.ago(100, now=110), "just now"),
        (words.ago(0, now=3600), "1 h ago"),
        (words.ago(0, now=200_000), "2 days ago"),
        (words.plural(1, "job"), "1 job"),
    ],
)
def test_numbers_read_well(shown: str, expected: str) -> None:
    assert shown == expected


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_theme_has_enough_contrast(mode: str) -> None:
    """WCAG AA: 4.5:1 for text on every surface, and for white on the primary button."""
    theme = tomllib.loads((PROJECT / ".streamlit" / "config.toml").read_text())["theme"][mode]
    sidebar = theme["sidebar"]
    surfaces = [theme["backgroundColor"], theme["secondaryBackgroundColor"],
                sidebar["backgroundColor"], sidebar["secondaryBackgroundColor"]]  # fmt: skip
    texts = ["textColor", "linkColor", *(key for key in theme if key.endswith("TextColor"))]
    for key in texts:
        on = list(surfaces)
        own = key.replace("Text", "Background")
        if own != key and own in theme and key != "textColor":
            on.append(theme[own])
        for surface in on:
            assert contrast(theme[key], surface) >= 4.5, (key, surface)
    assert contrast("#ffffff", theme["primaryColor"]) >= 4.5


def test_nothing_is_fetched_from_elsewhere() -> None:
    text = (PROJECT / ".streamlit" / "config.toml").read_text()
    assert "http" not in text
    config = tomllib.loads(text)
    assert config["browser"]["gatherUsageStats"] is False
    assert config["server"]["address"] == "127.0.0.1"
    assert "localhost" in config["server"]["allowedHosts"]


def test_a_full_disk_is_said_on_every_page(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker waits then, and goes on by itself: somebody has to say why nothing moves."""
    assert "is full" not in text_of(open_page())
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 12_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert any("12.0 kB are free" in each.value for each in open_page().sidebar.warning)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "٣", "<b>", "9" * 5000, "1;drop table models"])
def test_what_is_no_number_names_no_row(text: str) -> None:
    assert links.as_number(text) is None


@pytest.mark.sqlite
def test_a_deleted_database_is_said_on_every_page(open_page: Open, home: Path) -> None:
    """The open connection still answers, and everything written to it dies with the server."""
    assert not open_page().sidebar.error
    (home / "crucible.db").unlink()
    (error,) = open_page().sidebar.error
    assert "deleted or moved" in error.value and "restart Crucible" in error.value
