"""Code that a model brings along (transformers' `trust_remote_code`), and whether it may run.

Nothing of it runs unless its fingerprint is among those that the user agreed to. The fingerprint
covers every Python file of the folder and what the configuration says of them, so that a changed
line asks again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGS = ("config.json", "tokenizer_config.json", "processor_config.json")
MOST_FILES = 200
MOST_BYTES = 4_000_000  # of all files together


@dataclass(frozen=True)
class Code:
    """The code of a folder.

    Attributes:
        files: name below the folder -> text.
        asked: what the configurations want from it, such as `modeling_x.XForCausalLM`.
        fingerprint: 64 hex digits over both.
        problem: why it is never run, as a phrase; empty where it may be agreed to.
    """

    files: dict[str, str]
    asked: tuple[str, ...]
    fingerprint: str
    problem: str = ""


def look(folder: str | Path) -> Code | None:
    """The code that a folder's configurations ask for; None where they ask for none."""
    folder = Path(folder)
    asked = tuple(sorted({one for name in CONFIGS for one in _asked(folder / name)}))
    if not asked:
        return None
    problem = ""
    if any("--" in one for one in asked):
        problem = "it lies in another repository of the Hub"
    files: dict[str, str] = {}
    found = sorted(folder.rglob("*.py"))
    size = sum(path.stat().st_size for path in found[:MOST_FILES] if path.is_file())
    if len(found) > MOST_FILES or size > MOST_BYTES:
        problem = "it is more than anybody reads"
    else:
        files = {str(path.relative_to(folder)): path.read_text("utf-8", errors="replace")
                 for path in found if path.is_file()}  # fmt: skip
    if not files and not problem:
        problem = "its files are not in the folder"
    told = json.dumps([asked, sorted(files.items())], ensure_ascii=True)
    return Code(files, asked, hashlib.sha256(told.encode()).hexdigest(), problem)


def may_run(code: Code | None, trusted: Collection[str]) -> bool:
    """Whether the user agreed to exactly this code."""
    return code is not None and not code.problem and code.fingerprint in trusted


def refusal(code: Code) -> str:
    """Why a model that needs its code cannot be loaded, as a sentence."""
    names = ", ".join(list(code.files)[:3]) or ", ".join(code.asked[:3])
    if code.problem:
        return (
            f"The model needs code of its own ({names}), which is never run here: {code.problem}."
        )
    return (
        f"The model needs code of its own ({names}), which does not run unless you agree: on the "
        "model's page, or with `python cli.py models --trust-remote-code MODEL`."
    )


def _asked(config: Path) -> list[str]:
    try:
        if config.stat().st_size > MOST_BYTES:
            return []
        data = json.loads(config.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    found = data.get("auto_map") if isinstance(data, dict) else None
    return _texts(list(found.values())) if isinstance(found, dict) else []


def _texts(value: Any) -> list[str]:
    """Names of classes; a tokenizer gives a list of them, with null for none."""
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) and value else []
