"""Folders that appear under their final name only when they are complete."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from merging.errors import MergeFailure
from merging.wording import size

LEFTOVER = re.compile(r"\..+\.partial-\d+")


@contextlib.contextmanager
def partial_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `out` when the block ends without an exception.

    It lies beside `out` as `.<name>.partial-<pid>`. On any exception, and on SIGTERM, it is
    removed. What a killed process left behind there is removed by the next merge into the same
    place: a lock on the folder, which the system releases with the process, tells the dead from the
    living.

    Raises:
        MergeFailure: `out` exists, cannot be made, or the disk is full.
    """
    refuse_existing(out)
    with _terminate_by_exception():
        partial = out.parent / f".{out.name}.partial-{os.getpid()}"
        with failures_in_words(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(out.parent)
            lock = _make_locked(partial, out)
        try:
            with failures_in_words(out):
                yield partial
                _sync(partial)
                _rename(partial, out)
                _sync_folder(out.parent)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        finally:
            os.close(lock)


def _make_locked(partial: Path, out: Path) -> int:
    """Make the partial folder and lock it; return the lock.

    Raises:
        MergeFailure: somebody else is making the same.
    """
    if any(
        one.name.startswith(f".{out.name}.partial-") and LEFTOVER.fullmatch(one.name)
        for one in out.parent.iterdir()
    ):
        # what is left there after the dead were removed belongs to the living
        raise MergeFailure(f"Another merge is writing to {out} at this moment.")
    while True:
        try:
            partial.mkdir()
        except FileExistsError:
            raise MergeFailure(f"Another merge is writing to {out} at this moment.") from None
        lock = -1
        try:
            lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            # somebody who tidied up may have taken it for a dead one's before it was locked
            if os.stat(partial).st_ino == os.fstat(lock).st_ino:
                return lock
        except FileNotFoundError:
            pass
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if lock >= 0:
            os.close(lock)


def _rename(partial: Path, out: Path) -> None:
    """Give the folder its final name, unless something of that name is there.

    Raises:
        MergeFailure: with exit code 2, it is.
    """
    refuse_existing(out)
    try:
        _rename_without_replacing(partial, out)
    except FileExistsError:
        refuse_existing(out)
        raise


def _rename_without_replacing(source: Path, target: Path) -> None:
    """rename(2) would silently replace an empty folder that appeared a moment ago."""
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        here, no_replace = -100, 1  # AT_FDCWD, RENAME_NOREPLACE
        names = os.fsencode(source), os.fsencode(target)
        if library.renameat2(here, names[0], here, names[1], no_replace) == 0:
            return
        number = ctypes.get_errno()
        # some file systems do not know the flag
        if number not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OSError(number, os.strerror(number), str(target))
    source.rename(target)


def refuse_existing(out: Path) -> None:
    """Nothing is ever overwritten.

    Raises:
        MergeFailure: with exit code 2, something of that name is there.
    """
    if os.path.lexists(out):
        raise OutputExists(
            f"{out} exists already. Choose another name, or remove it first; nothing is "
            "overwritten."
        )


class OutputExists(MergeFailure):
    """The output folder is there already: the request is wrong, not the machine."""

    exit_code = 2


def remove_leftovers(parent: Path) -> None:
    """Remove partial folders whose process is dead."""
    for leftover in parent.iterdir():
        if not LEFTOVER.fullmatch(leftover.name) or leftover.is_symlink():
            continue
        try:
            lock = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(leftover, ignore_errors=True)
        except OSError:
            pass  # its process lives
        finally:
            os.close(lock)


@contextlib.contextmanager
def failures_in_words(out: Path) -> Iterator[None]:
    """Turn errors of the operating system while writing into one sentence."""
    try:
        yield
    except OSError as error:
        raise MergeFailure(_sentence(error, out)) from error


def _sentence(error: OSError, out: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = size(_free_bytes(out))
        return f"The disk is full: {free} are free at {out.parent}. Free some space and try again."
    if error.errno == errno.EFBIG:
        return f"A file in {out} would be larger than this system allows: use smaller shards."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"There is no permission to write to {out.parent}. Choose another folder."
    if error.errno == errno.EROFS:
        return f"{out.parent} is on a read-only disk. Choose another folder."
    if error.errno == errno.ENOTDIR:
        return f"{out.parent} is not a folder. Choose another one."
    return f"{out} cannot be written: {error.strerror or error}."


def _free_bytes(out: Path) -> int:
    """Free bytes on the disk of the nearest existing folder above `out`."""
    place = out
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def _sync(folder: Path) -> None:
    """Force the files of a folder, and their names, to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _terminate_by_exception() -> Iterator[None]:
    """Let SIGTERM end the block by an exception, so that it can clean up behind itself.

    Only in the main thread, and only where nobody else handles the signal already.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
