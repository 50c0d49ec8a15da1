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

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.stored import ITEM_BYTES

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
    base: Checkpoint | None = None,
) -> str:
    """Fingerprint of a folder; see `fingerprint_of`.

    Args:
        folder: a model's folder.
        cache: as for `fingerprint_of`.
        label: what to call the model in messages.
        base: the opened base of an adapter; it is closed.

    Raises:
        ModelError: the folder cannot be read.
    """
    with Checkpoint.open(folder, label=label, base=base) as checkpoint:
        return fingerprint_of(checkpoint, cache=cache)


def fingerprint_of(checkpoint: Checkpoint, *, cache: MutableMapping[str, str] | None = None) -> str:
    """64 hex digits over names, dtypes, shapes and values of all tensors in the files.

    The same weights in one file or in many have the same fingerprint; it does not cover metadata,
    config or tokenizer. Of an adapter it covers the base's weights, the adapter's, and what its
    config says of how they are put together.

    Args:
        checkpoint: opened.
        cache: a mapping that outlives the process; its keys come from path, size, time and inode of
            the weight files, so a changed file is hashed again. Within a process results are
            remembered anyway.

    Raises:
        ModelError: a file cannot be read.
    """
    found = [_of_files(part, cache) for part in checkpoint.parts]
    if len(found) == 1 and not checkpoint.meaning:
        return found[0]
    return hashlib.sha256("\n".join([checkpoint.meaning, *found]).encode()).hexdigest()


def _of_files(part: Checkpoint, cache: MutableMapping[str, str] | None) -> str:
    """Fingerprint of plain files, remembered."""
    caches: list[MutableMapping[str, str]] = [_memory, *([] if cache is None else [cache])]
    key = _stat_key(part)
    found = next((one[key] for one in caches if key in one), None)
    if found is None:
        found = _content(part)
    for one in caches:
        one[key] = found
    return found


def _stat_key(part: Checkpoint) -> str:
    """Identity of the weight files without reading them."""
    parts = [f"version {FINGERPRINT_VERSION}"]
    for file in sorted({info.file for info in part.in_files.values()}):
        stat = file.stat()
        parts.append(f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _content(checkpoint: Checkpoint) -> str:
    """SHA-256 over name, dtype, shape and XXH3 of each tensor.

    Tensors are hashed each on its own, in a few threads; reading and hashing release the
    interpreter.
    """
    names = sorted(checkpoint.in_files)
    buffers = threading.local()

    def digest(name: str) -> str:
        if not hasattr(buffers, "piece"):
            buffers.piece = memoryview(bytearray(PIECE_BYTES))
        return _digest(checkpoint, name, buffers.piece)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        digests = list(pool.map(digest, names))
    whole = hashlib.sha256()
    for name, value in zip(names, digests, strict=True):
        info = checkpoint.in_files[name]
        whole.update(f"{name}\0{info.dtype}\0{info.shape}\0{value}\n".encode())
    return whole.hexdigest()


def _digest(checkpoint: Checkpoint, name: str, buffer: memoryview) -> str:
    """XXH3 (128 bits) of one tensor's stored bytes, read through `buffer`."""
    from xxhash import xxh3_128

    info = checkpoint.in_files[name]
    item = ITEM_BYTES[info.dtype]
    step = len(buffer) // item
    hashed = xxh3_128()
    for start in range(0, info.n_elements, step):
        stop = min(start + step, info.n_elements)
        piece = buffer[: (stop - start) * item]
        checkpoint.read_file(info, start, piece)
        hashed.update(piece)
    return hashed.hexdigest()
