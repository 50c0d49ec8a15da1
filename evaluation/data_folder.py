"""The folder of public benchmark files, in the form in which their authors publish them.

Crucible ships none of them: their licences are their own. ``CRUCIBLE_DATA_DIR`` names the folder; a
relative name counts from the project's root, because jobs run in another folder than their caller.
"""

from __future__ import annotations

import os
from pathlib import Path

DATA_DIR = "CRUCIBLE_DATA_DIR"
_PROJECT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """The folder, whether it exists or not; ``data/benchmarks`` in the project by default."""
    given = os.environ.get(DATA_DIR, "").strip()
    return _PROJECT / (Path(given).expanduser() if given else Path("data/benchmarks"))


def told_missing(name: str, published_at: str) -> str:
    """One sentence about a file that is not there: which, where it was looked for, its source."""
    return (
        f"its data file {name} is not in the data folder {data_folder()}; it is published at "
        f"{published_at}, and {DATA_DIR} or --data-dir names another folder"
    )
