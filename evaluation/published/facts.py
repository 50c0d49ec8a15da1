"""What is known of the public datasets behind the suites: source, terms, files.

The facts stand in ``facts.yaml``; nothing here downloads or reads data.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

_FACTS = Path(__file__).resolve().parent / "facts.yaml"


class Dataset(BaseModel):
    """One public dataset.

    Attributes:
        key: its folder in the data folder.
        title: its name.
        licence: its terms, in words.
        non_commercial: the terms forbid or restrict commercial use.
        source: address of the authors' publication.
        repo: dataset repository on the Hub; empty when it is published elsewhere only.
        revision: commit of that repository; empty when none could be established: then the first
            download's commit is kept with the scores.
        gated: the Hub gives it only to an account that agreed to its conditions.
        files: published name (without the folder) -> other names of the same file, as glob
            patterns below the dataset's folder.
        hub_files: published name -> patterns of the file in the Hub's repository.
        note: what a user should know before getting it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    title: str
    licence: str
    non_commercial: bool = False
    source: str
    repo: str = ""
    revision: str = ""
    gated: bool = False
    files: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    hub_files: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    note: str = ""

    @property
    def hub_name(self) -> str:
        """Repository and, where one is pinned, its commit."""
        return f"{self.repo}@{self.revision[:12]}" if self.revision else self.repo

    def patterns(self, name: str) -> tuple[str, ...]:
        """Other places of a published file below the dataset's folder."""
        return self.files.get(self._own(name), ()) + self.hub_patterns(name)

    def hub_patterns(self, name: str) -> tuple[str, ...]:
        """The file's places in the Hub's repository."""
        return self.hub_files.get(self._own(name), ())

    def _own(self, name: str) -> str:
        return name.removeprefix(f"{self.key}/")


@lru_cache(maxsize=1)
def datasets() -> dict[str, Dataset]:
    """Every known dataset by its folder's name."""
    raw = yaml.safe_load(_FACTS.read_text(encoding="utf-8"))
    return {key: Dataset(key=key, **facts) for key, facts in raw.items()}


def dataset_of(name: str) -> Dataset | None:
    """The dataset of a published file's name (``<dataset>/<file>``)."""
    return datasets().get(name.split("/", 1)[0])
