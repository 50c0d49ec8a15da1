"""Where evaluation keeps what a user sets or makes: under ``CRUCIBLE_HOME``.

The same rule as the database's (``db.settings``), said once more because this package imports
nothing of ours. Nothing is created by looking.
"""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def home() -> Path:
    """The folder under which everything is written; ``data/`` in the project by default."""
    value = os.environ.get("CRUCIBLE_HOME", "").strip()
    return Path(os.path.abspath(Path(value).expanduser() if value else PROJECT / "data"))


def own_suites() -> Path:
    """Folder of the suites that the user has made, a YAML file each."""
    return home() / "suites"


def catalogues() -> Path:
    """Folder of the indexes of lm-eval's task names, a file for each version."""
    return home() / "cache" / "lm-eval"


def data_setting() -> Path:
    """File with one line: the folder of public benchmark files that was chosen in the app."""
    return home() / "data_folder.txt"
