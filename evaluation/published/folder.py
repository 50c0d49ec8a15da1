"""The folder of public benchmark files, in the form in which their authors publish them.

Crucible ships none of them: their licences are their own. ``CRUCIBLE_DATA_DIR`` names the folder,
else the one chosen in the app's settings, else ``data/benchmarks`` in the project; a relative name
counts from the project's root, because jobs run in another folder than their caller. A file that
is not there may be in the Hub's own cache, where a download puts it.
"""

from __future__ import annotations

import os
from pathlib import Path

from evaluation.errors import SuiteError
from evaluation.places import PROJECT, data_setting
from evaluation.published.facts import dataset_of
from evaluation.published.hub import in_hub_cache

DATA_DIR = "CRUCIBLE_DATA_DIR"


def data_folder() -> Path:
    """The folder, whether it exists or not."""
    given = os.environ.get(DATA_DIR, "").strip() or chosen_folder()
    return PROJECT / (Path(given).expanduser() if given else Path("data/benchmarks"))


def chosen_folder() -> str:
    """The folder chosen in the app's settings, empty for none."""
    try:
        return data_setting().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def choose_folder(given: str) -> Path:
    """Keep a folder as the setting; an empty text takes the setting back.

    Raises:
        SuiteError: it is not a folder, or the setting cannot be kept.
    """
    text = given.strip()
    if text and not (PROJECT / Path(text).expanduser()).is_dir():
        raise SuiteError(f"There is no folder {text}. Create it, or name another one.")
    file = data_setting()
    try:
        if text:
            file.parent.mkdir(parents=True, exist_ok=True)
            half = file.with_name(f".{file.name}.{os.getpid()}")
            half.write_text(str(PROJECT / Path(text).expanduser()) + "\n", encoding="utf-8")
            os.replace(half, file)
        else:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise SuiteError(f"The setting cannot be kept in {file}: {error.strerror}.") from error
    return data_folder()


def locate(name: str) -> list[Path]:
    """Files of a published name: in the data folder, else in the Hub's cache; none when absent.

    Args:
        name: as a task YAML's ``dataset_kwargs.published`` has it: ``<dataset>/<file>``. Other
            names that the file is known by (``facts.yaml``) are looked for too.
    """
    plain = data_folder() / name
    if plain.is_file():
        return [plain]
    dataset = dataset_of(name)
    if dataset is None:
        return []
    folder = data_folder() / dataset.key
    for pattern in dataset.patterns(name):
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if found:
            return found
    return in_hub_cache(dataset, name)


def is_here(name: str) -> bool:
    """Whether a published file is on this machine."""
    return bool(locate(name))


def told_missing(name: str, published_at: str) -> str:
    """One sentence about a file that is not there: which, where it was looked for, its source."""
    dataset = dataset_of(name)
    hub = ""
    if dataset is not None and dataset.repo:
        hub = f" ({dataset.hub_name} on the Hub)"
    return (
        f"its data file {name} is not in the data folder {data_folder()}; it is published at "
        f"{published_at}{hub}, and {DATA_DIR} or --data-dir names another folder"
    )
