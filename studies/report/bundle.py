"""The report as a zip: the page, every table as CSV, the design, and every point's recipe."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from studies.report.facts import Facts

EARLIEST = (1980, 1, 1, 0, 0, 0)


def pack(html: str, texts: Mapping[str, str], design: str, facts: Facts) -> bytes:
    """The zip's content; the same study gives the same files.

    Args:
        html: the page.
        texts: name of a table -> CSV.
        design: of the study, as YAML.
        facts: of the study; recipes are named for the keys of their points.
    """
    files = {"report.html": html, "study.yaml": design}
    files |= {f"{name}.csv": text for name, text in texts.items()}
    files |= {f"recipes/{key}.yaml": text for key, text in facts.recipes.items()}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text.encode(), zipfile.ZIP_DEFLATED, 9)
    return made.getvalue()
