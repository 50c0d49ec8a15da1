"""The report as one HTML page that fetches nothing.

Plotly and the pictures are in the page, compressed; the browser unpacks them
(`DecompressionStream`). Everything that strangers named goes through `html.escape` here, or through
`textContent` in `page.js`; a content security policy forbids every address outside the page.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from studies.findings import Finding, Findings
from studies.pictures import naming
from studies.pictures.theme import CONFIG, darkened
from studies.report.drawn import Drawn
from studies.report.facts import Facts
from studies.results import Results

HERE = Path(__file__).parent
POLICY = ("default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline';"
          " img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'")  # fmt: skip
FLATTERED = (
    '<p class="quiet">There is no split: what is best was chosen on the very items that it is '
    "reported on, which flatters it.</p>"
)
FOLDERS = (
    "<p>Some of its models are folders, named from the home folder (<code>~</code>) or as they "
    "were given: only here, everywhere else by name. Put in your own.</p>"
)
MARKS = {"supported": "✓", "not supported": "✗", "cannot tell": "?"}


def page(
    results: Results, facts: Facts, verdicts: Findings, drawn: Sequence[Drawn],
    texts: Mapping[str, str],
) -> str:  # fmt: skip
    """The whole page.

    Args:
        results: of the study.
        facts: of the study.
        verdicts: of the study.
        drawn: its pictures.
        texts: name of a table -> CSV.
    """
    name = results.design.name
    own = {table for one in drawn for table in one.tables}
    rest = [one for one in texts if one not in own and one not in ("points", "parents")]
    sections = [
        _done(results, facts),
        _findings(verdicts),
        *(_picture(one, results.has_split) for one in drawn),
        _section("points", "All merges", _table("points", opened=True)),
        _section("tables", "Tables", "".join(_table(one) for one in rest)),
        _again(results, facts),
    ]
    payload = {
        "name": name,
        "pictures": {one.name: dict(one.figures) for one in drawn},
        "tables": dict(texts),
        "recipes": dict(facts.recipes),
        "labels": {one.key: one.label for one in results.points},
        "dark": darkened(),
        "config": dict(CONFIG),
    }
    links = [("done", "What was done"), ("findings", "Findings"),
             *((one.name, one.title) for one in drawn), ("points", "All merges"),
             ("tables", "Tables"), ("again", "Run it again")]  # fmt: skip
    menu = "".join(f'<a href="#{escape(key)}">{escape(title)}</a>' for key, title in links)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<meta name="color-scheme" content="light dark">
<title>{escape(name)}: report of a study</title>
<style>{(HERE / "page.css").read_text(encoding="utf-8")}</style>
</head>
<body>
<header><p class="kind">Report of a study</p><h1>{escape(name)}</h1>{_note(results)}</header>
<nav>{menu}</nav>
<main>
<p id="trouble" hidden></p>
{"".join(sections)}
</main>
<footer>Written {escape(facts.written)} by Crucible. The page fetches nothing.</footer>
<script type="application/octet-stream" id="plotly">{_plotly()}</script>
<script type="application/octet-stream" id="payload">{_packed(json.dumps(payload))}</script>
<script>{(HERE / "page.js").read_text(encoding="utf-8")}</script>
</body>
</html>
"""


@lru_cache(maxsize=1)
def _plotly() -> str:
    """Plotly's script, packed: the same in every report."""
    from plotly.offline import get_plotlyjs

    return _packed(get_plotlyjs())


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _section(key: str, title: str, body: str) -> str:
    return f'<section id="{escape(key)}"><h2>{escape(title)}</h2>{body}</section>'


def _note(results: Results) -> str:
    return f"<p>{escape(results.design.note)}</p>" if results.design.note else ""


def _done(results: Results, facts: Facts) -> str:
    design = results.design
    merged = f"{len(results.points):,} of {results.planned:,}"
    if results.failed:
        merged += f", {len(results.failed):,} failed"
    methods = ", ".join(dict.fromkeys(naming.method(one.method) for one in design.methods))
    seeds = sorted({one.point.seed for one in results.points if one.point and one.point.seed})
    split = "none: merges were chosen on the items that they are reported on"
    if design.split is not None:
        split = f"seed {design.split.seed}, {design.split.share:.0%} of the items for choosing"
    items = sum(one.n for one in results.tasks)
    held = sum(int(one.held_out.sum()) for one in results.tasks)
    rows = {
        "Merges scored": merged,
        "Stages": ", ".join(naming.stage(one) for one in design.stages),
        "Methods": methods,
        "Seeds of masks": ", ".join(map(str, seeds)) or "none",
        "Suite": f"{design.suite}: {len(results.tasks)} tasks, {items:,} items, {held:,} reported",
        "Split": split,
        **facts.done,
        "Versions": ", ".join(f"{name} {version}" for name, version in facts.versions.items()),
    }
    listed = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in rows.items()
    )
    body = f"<dl>{listed}</dl><h3>Models</h3>{_static(facts.parents)}{_link('parents')}"
    if facts.failed:
        body += f"<h3>Failed merges</h3>{_static(facts.failed)}"
    return _section("done", "What was done", body)


def _findings(verdicts: Findings) -> str:
    notes = "".join(f"<p class='quiet'>{escape(one)}</p>" for one in verdicts.notes)
    return _section("findings", "Findings", "".join(map(_finding, verdicts.findings)) + notes)


def _finding(one: Finding) -> str:
    kind = one.verdict.replace(" ", "-")
    told = []
    if one.test and one.p is not None:
        p = "p < 0.001" if one.p < 0.001 else f"p = {one.p:.2g}"
        told = [one.figure, one.test, p, f"n = {one.n:,} {one.unit}" if one.n else ""]
    aside = " · ".join(filter(None, [*told, one.source]))
    return (
        f'<article class="finding {kind}"><h3><span class="verdict">{MARKS[one.verdict]} '
        f"{escape(one.verdict)}</span> {escape(one.title)}</h3>"
        f'<p>{escape(one.sentence)}</p><p class="quiet">{escape(aside)}</p></article>'
    )


def _picture(one: Drawn, has_split: bool) -> str:
    selects = "".join(
        f"<label>{escape(choice.title)} <select>"
        + "".join(f'<option value="{escape(value)}">{escape(choice.values[value])}</option>'
                  for value in choice.reported)
        + "</select></label>"
        for choice in one.choices
    )  # fmt: skip
    body = (
        f"<p>{escape(one.about)}</p>{'' if has_split else FLATTERED}"
        f"<div class='choices'>{selects}</div>"
        f'<div class="picture" data-name="{escape(one.name)}" role="img" '
        f'aria-label="{escape(one.title)}: the tables below have its numbers"><div></div></div>'
        f'<div class="picked" hidden></div>{"".join(_table(name) for name in one.tables)}'
    )
    return _section(one.name, one.title, body)


def _table(name: str, *, opened: bool = False) -> str:
    state = " open" if opened else ""
    title = escape(name.replace("_", " "))
    return (f'<details class="table" data-table="{escape(name)}"{state}><summary>Table: {title}'
            f"</summary><div class='cells'></div>{_link(name)}</details>")  # fmt: skip


def _link(name: str) -> str:
    return f'<button type="button" data-csv="{escape(name)}">Save {escape(name)}.csv</button>'


def _static(rows: Iterable[Mapping[str, Any]]) -> str:
    """A small table that is there without any script."""
    known = list(rows)
    columns = list(dict.fromkeys(name for row in known for name in row))
    head = "".join(f"<th>{escape(one.replace('_', ' '))}</th>" for one in columns)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(_word(row.get(one)))}</td>" for one in columns) + "</tr>"
        for row in known
    )
    return f"<div class='cells'><table><tr>{head}</tr>{lines}</table></div>"


def _word(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _again(results: Results, facts: Facts) -> str:
    design = results.design
    folders = any(one.model.startswith(("/", "~")) for one in design.models.values())
    body = (
        "<p>Save the design as <code>study.yaml</code> where the models above are registered, "
        "and run</p><pre>python cli.py study study.yaml --report report.html</pre>"
        "<p>Merges that are scored already are not scored again.</p>"
        f"{FOLDERS if folders else ''}"
        f"<pre>{escape(design.to_yaml())}</pre>"
        '<button type="button" id="save-design">Save study.yaml</button>'
    )
    return _section("again", "Run it again", body)
