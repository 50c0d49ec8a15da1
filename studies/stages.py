"""The stages of a study, and the words for models that are no experts."""

from __future__ import annotations

from typing import Literal

Stage = Literal["1", "2", "3", "instruct"]
MERGE_STAGES: tuple[Stage, ...] = ("1", "2", "3")
STAGES: tuple[Stage, ...] = (*MERGE_STAGES, "instruct")
BASE = "base"
INSTRUCT = "instruct"
