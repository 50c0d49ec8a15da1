"""Write a study's report."""

from __future__ import annotations

from pathlib import Path

from studies.errors import StudyError
from studies.findings import findings
from studies.report import tables
from studies.report.bundle import pack
from studies.report.drawn import draw
from studies.report.facts import Facts
from studies.report.page import page
from studies.results import Results

SUFFIXES = (".html", ".zip")


def write(results: Results, path: Path, facts: Facts) -> None:
    """Write the report of a study, whole or still running.

    Args:
        results: of the study.
        path: of the file; `.html`: one page that works offline; `.zip`: the page, the CSVs of all
            tables and the design.
        facts: of the study.

    Raises:
        StudyError: another suffix, or a file that cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise StudyError(f"A report is a file .html or .zip, not {path.name}.")
    drawn, verdicts = draw(results), findings(results)
    every = tables.of_study(results, facts, verdicts)
    for one in drawn:
        every |= one.tables
    texts = {name: tables.to_csv(rows) for name, rows in every.items()}
    html = page(results, facts, verdicts, drawn, texts)
    design = results.design.to_yaml()
    content = html.encode() if path.suffix.lower() == ".html" else pack(html, texts, design, facts)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StudyError(f"The report {path} cannot be written: {error.strerror}.") from error
