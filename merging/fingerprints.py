"""Fingerprints of weights: a hash of their content, however they are distributed over files.

They tell weights apart, cheaply enough to be taken before every merge; they are no proof against
somebody who forges weights on purpose (the hash of each tensor's bytes is XXH3, not SHA).
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from merging.checkpoint import Checkpoint
from merging.folder import weight_files
from merging.stored import ITEM_BYTES

# counts when the same weights get another fingerprint than before; part of every cache key
FINGERPRINT_VERSION = 2
# stays in a core's cache, so that hashing a piece does not read it from memory again
PIECE_BYTES = 1 << 20
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
    parts = [f"version {FINGERPRINT_VERSION}"]
    for file in weight_files(folder, label=label):
        stat = file.stat()
        parts.append(f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _content(checkpoint: Checkpoint) -> str:
    """SHA-256 over name, dtype, shape and XXH3 of each tensor.

    Tensors are hashed each on its own, in a few threads; reading and hashing release the
    interpreter.
    """
    names = sorted(checkpoint.tensors)
    buffers = threading.local()

    def digest(name: str) -> str:
        if not hasattr(buffers, "piece"):
            buffers.piece = memoryview(bytearray(PIECE_BYTES))
        return _digest(checkpoint, name, buffers.piece)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        digests = list(pool.map(digest, names))
    whole = hashlib.sha256()
    for name, value in zip(names, digests, strict=True):
        info = checkpoint.tensors[name]
        whole.update(f"{name}\0{info.dtype}\0{info.shape}\0{value}\n".encode())
    return whole.hexdigest()


def _digest(checkpoint: Checkpoint, name: str, buffer: memoryview) -> str:
    """XXH3 (128 bits) of one tensor's stored bytes, read through `buffer`."""
    from xxhash import xxh3_128

    item = ITEM_BYTES[checkpoint.tensors[name].dtype]
    n_elements, step = checkpoint.tensors[name].n_elements, len(buffer) // item
    hashed = xxh3_128()
    for start in range(0, n_elements, step):
        stop = min(start + step, n_elements)
        piece = buffer[: (stop - start) * item]
        checkpoint.read_into(name, start, stop, piece)
        hashed.update(piece)
    return hashed.hexdigest()
