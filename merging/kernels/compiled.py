"""Compiling the kernels, and keeping the machine code between processes.

numba keeps machine code by the source file of the function alone, though functions of other files
are compiled into it. So it gets a folder named for the content of this whole package: an edit or an
update anywhere in it never meets old machine code.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

FOLDER = Path(__file__).parent
PREFIX = "machine-code-"
# numpy's rules: a division by zero gives inf or NaN. No fastmath: the bits must be torch's.
OPTIONS = {"nogil": True, "error_model": "numpy"}
# numba's types of what many kernels take. What is only read may be read-only memory.
VECTOR = "Array(float32, 1, 'C', readonly=True)"
MODELS = "Array(float32, 2, 'C', readonly=True)"
_lock = threading.Lock()


def compiled(signature: str) -> Callable[[Function], Function]:
    """Compile the function now, for one signature, or load it from an earlier process.

    Args:
        signature: numba's types, such as `"void(float32[::1], int64)"`. Other types are refused
            when the function is called, so that nothing is ever compiled in the middle of a merge.
    """

    def compile_now(function: Function) -> Function:
        folder = cache_folder()
        if folder is None:
            return _compile(function, signature, keep=False)
        with _lock:
            before = numba.config.CACHE_DIR
            numba.config.CACHE_DIR = str(folder)
            try:
                return _compile(function, signature, keep=True)
            except (OSError, RuntimeError):
                # the folder went away or the disk is full: compiling again is all that is lost
                return _compile(function, signature, keep=False)
            finally:
                numba.config.CACHE_DIR = before

    return compile_now


def inlined(function: Function) -> Function:
    """A part of compiled functions, compiled into each of them."""
    part: Function = numba.njit(inline="always", **OPTIONS)(function)
    return part


def _compile(function: Function, signature: str, *, keep: bool) -> Function:
    kernel: Function = numba.njit(signature, cache=keep, **OPTIONS)(function)
    return kernel


@cache
def cache_folder() -> Path | None:
    """The folder of the machine code, made if need be; None when no place can be written.

    Beside the source where that can be written, else in the user's cache folder. Never in a folder
    that others can write to: what is loaded from it is run.
    """
    stamp = PREFIX + _content_hash()
    given = os.environ.get("NUMBA_CACHE_DIR")
    place = hashlib.sha256(str(FOLDER).encode()).hexdigest()[:16]
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    parents = [Path(given)] if given else [FOLDER / "__pycache__", user / "crucible" / place]
    for parent in parents:
        folder = parent / stamp
        try:
            new = not folder.is_dir()
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        if new and not given:
            _remove_older(parent, stamp)
        return folder
    return None


def _content_hash() -> str:
    """16 hexadecimal digits that change with any file of this package."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _remove_older(parent: Path, stamp: str) -> None:
    """Remove the machine code of earlier versions of the package."""
    for old in parent.glob(PREFIX + "*"):
        if old.name != stamp:
            shutil.rmtree(old, ignore_errors=True)
