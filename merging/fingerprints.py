"""Fingerprints of weights: a hash of their content, however they are distributed over files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from merging.checkpoint import Checkpoint
from merging.folder import weight_files
from merging.header import TensorInfo

PIECE_BYTES = 1 << 22
# stat of the files -> fingerprint, for this process
_memory: dict[str, str] = {}


def fingerprint(
    folder: str | Path,
    *,
    cache: MutableMapping[str, str] | None = None,
    label: str | None = None,
) -> str:
    """64 hex digits over names, dtypes, shapes and values of all tensors.

    The same weights in one file or in many have the same fingerprint; it does not cover metadata,
    config or tokenizer.

    Args:
        folder: a model's folder.
        cache: a mapping that outlives the process; its keys come from path, size, time and inode of
            the weight files, so a changed file is hashed again. Within a process results are
            remembered anyway.
        label: what to call the model in messages.

    Raises:
        ModelError: the folder cannot be read.
    """
    folder = Path(folder)
    caches: list[MutableMapping[str, str]] = [_memory, *([] if cache is None else [cache])]
    key = _stat_key(folder, label or folder.name)
    found = next((one[key] for one in caches if key in one), None)
    if found is None:
        with Checkpoint.open(folder, label=label) as checkpoint:
            found = _content(checkpoint)
    for one in caches:
        one[key] = found
    return found


def _stat_key(folder: Path, label: str) -> str:
    """Identity of the weight files without reading them."""
    parts = []
    for file in weight_files(folder, label=label):
        stat = file.stat()
        parts.append(f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _content(checkpoint: Checkpoint) -> str:
    """Hash the tensors, each on its own, in a few threads; hashing releases the interpreter."""
    names = sorted(checkpoint.tensors)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        digests = list(pool.map(lambda name: _digest(checkpoint.tensors[name]), names))
    whole = hashlib.sha256()
    for name, digest in zip(names, digests, strict=True):
        info = checkpoint.tensors[name]
        whole.update(f"{name}\0{info.dtype}\0{info.shape}\0{digest}\n".encode())
    return whole.hexdigest()


def _digest(info: TensorInfo) -> str:
    """SHA-256 of one tensor's bytes."""
    digest = hashlib.sha256()
    with info.file.open("rb", buffering=0) as stream:
        stream.seek(info.offset)
        left = info.n_bytes
        while left:
            piece = stream.read(min(left, PIECE_BYTES))
            if not piece:
                break
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()
