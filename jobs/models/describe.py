"""What is known of a model's folder: headers, configuration, fingerprint. Needs no database."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merging.checkpoints.fingerprints import FINGERPRINT_VERSION

CHAT_WORDS = re.compile(r"(instruct|chat|[-_/]it($|[-_])|sft|dpo|rlhf|assistant)", re.IGNORECASE)
DOMAINS: Mapping[str, str] = {
    "finance": r"finance|financial|(^|[-_/])fin($|[-_])|banking",
    "math": r"math|mathematics|gsm",
    "japanese": r"japanese|(^|[-_/])(ja|jp|jpn)($|[-_])|swallow|elyza|nihongo",
    "code": r"code|coder|programming",
    "medicine": r"medical|medicine|(^|[-_/])(bio|med)($|[-_])|clinical",
    "law": r"legal|(^|[-_/])law($|[-_])",
}


def describe(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Everything the registry keeps of a folder, its weights' fingerprint included.

    A LoRA adapter has no fingerprint of its own; that of the adapter on its base is the merge's.

    Args:
        folder: a Hugging Face model folder.
        known: signature to fingerprint, of folders that were looked at before; a folder whose
            files have not changed since is not read again.

    Raises:
        ModelError: no usable weights in it.
    """
    from merging.checkpoints.sources import fingerprint
    from merging.formats.adapter_config import is_adapter

    facts = headers(folder)
    signature = facts["signature"]
    if is_adapter(folder):  # its weights are what they are on a base
        return {**facts, "fingerprint": None}
    return {**facts, "fingerprint": (known or {}).get(signature) or fingerprint(folder)}


def headers(folder: Path) -> dict[str, Any]:
    """What the headers and the configuration say; the weights themselves are not read.

    Raises:
        ModelError: no usable weights in it.
    """
    from merging.checkpoints.checkpoint import Checkpoint
    from merging.formats import adapter_config, lora

    if adapter_config.is_adapter(folder):
        config = adapter_config.read_adapter_config(folder, label=folder.name)
        checkpoint = lora.open_adapter(folder, label=folder.name)
        architecture = f"LoRA of rank {config.rank}"
    else:
        checkpoint = Checkpoint.open(folder)
        architectures = checkpoint.config.get("architectures") or []
        architecture = str(architectures[0] if architectures else "unknown")
    return {
        "signature": signature(folder),
        "architecture": architecture[:120],
        "n_parameters": int(checkpoint.n_parameters),
        "size_bytes": int(checkpoint.size_bytes),
        "dtype": str(checkpoint.dtype),
        "has_chat_template": has_chat_template(folder),
    }


def signature(folder: Path) -> str:
    """64 hex digits over names, sizes and times of a folder's files: cheap to compare."""
    listed = []
    for path in sorted(folder.iterdir()):
        # a report may be written anew at any time, and says nothing that the model depends on
        if path.suffix in (".safetensors", ".json") and path.name != "health.json":
            status = path.stat()  # through links: the Hub's cache is full of them
            listed.append(f"{path.name}:{status.st_size}:{status.st_mtime_ns}")
    version = f"version {FINGERPRINT_VERSION}"  # of what is remembered under the signature
    return hashlib.sha256("\n".join([version, str(folder), *listed]).encode()).hexdigest()


def has_chat_template(folder: Path) -> bool:
    """Whether the tokenizer brings a chat template of its own."""
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    try:
        said = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return bool(isinstance(said, dict) and said.get("chat_template"))


def guess_role(name: str, folder: Path | None) -> str:
    """Base, expert, instruct or merge, from what a folder holds and what a model is called."""
    if folder is not None and (folder / "recipe.yaml").is_file():
        return "merge"
    if folder is not None and (folder / "adapter_config.json").is_file():
        return "expert"
    last = name.rstrip("/").rsplit("/", 1)[-1]
    if CHAT_WORDS.search(last):
        return "instruct"
    if re.search(r"(^|[-_])(base|pt|pretrained)($|[-_])", last, re.IGNORECASE):
        return "base"
    if guess_domain(last) is not None:
        return "expert"
    return "instruct" if folder is not None and has_chat_template(folder) else "base"


def guess_domain(name: str) -> str | None:
    """The domain that a model's name tells, if any."""
    last = name.rstrip("/").rsplit("/", 1)[-1]
    for domain, pattern in DOMAINS.items():
        if re.search(pattern, last, re.IGNORECASE):
            return domain
    return None
