"""The kernels as machine code, which is kept between processes.

A function is compiled by numba when it is first called on a machine, and its machine code written
to a folder; a later process loads that without numba, whose import takes longer than many a merge.
Kernel modules therefore do not import numba: the names of its types are in
`merging.kernels.numbers`.

The folder is named for the content of this whole package, the file for that of the function's own
source, for numba's version and for the processor: an edit, an update or another machine never
meets machine code that was made for something else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from functools import cache, cached_property, update_wrapper
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, cast

from merging.kernels.loading import load, processor

Function = TypeVar("Function", bound=Callable[..., Any])

FOLDER = Path(__file__).parent
PREFIX = "machine-code-"
# numpy's rules: a division by zero gives inf or NaN. No fastmath: the bits must be torch's.
OPTIONS = {"nogil": True, "error_model": "numpy"}
# numba's types of what many kernels take. What is only read may be read-only memory.
VECTOR = "Array(float32, 1, 'C', readonly=True)"
MODELS = "Array(float32, 2, 'C', readonly=True)"
DIGEST_BYTES = 32
_lock = threading.RLock()


def compiled(signature: str) -> Callable[[Function], Function]:
    """Compile the function when it is first called, or load it from an earlier process.

    Args:
        signature: numba's types, such as `"void(float32[::1], int64)"`. Other arrays are refused
            when the function is called.
    """

    def later(function: Function) -> Function:
        return cast("Function", Compiled(function, signature))

    return later


def sum_of(signature: str) -> Callable[[Function], Function]:
    """A sum for compiled functions to call, whose terms LLVM may add in any order.

    A plain loop then runs at the speed of the processor's widest registers. The order is the same
    every time on one kind of processor, but not on another: for what is reported, not for weights.

    Args:
        signature: numba's types.
    """

    def later(function: Function) -> Function:
        how = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        order = {"reassoc", "contract", "nsz"}
        made = Part(lambda: _njit(signature, fastmath=order, **how)(_resolved(function)))
        return cast("Function", made)

    return later


def inlined(function: Function) -> Function:
    """A part of compiled functions, compiled into each of them."""
    return cast("Function", Part(lambda: _njit(inline="always")(_resolved(function))))


class Part:
    """What compiled functions call, made when the first of them is compiled.

    Args:
        make: gives it as numba knows it; where numba is imported.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    @cached_property
    def in_numba(self) -> Any:
        """The part as numba knows it."""
        return self._make()


class Compiled(Part):
    """A function with one signature; calling it calls its machine code.

    Args:
        function: in the part of Python that numba compiles.
        signature: its types.
    """

    def __init__(self, function: Callable[..., Any], signature: str) -> None:
        super().__init__(self._alone)
        self.function = function
        self.signature = signature
        self._call: Callable[..., Any] | None = None
        update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        """Call the machine code, made or loaded if this is the first time."""
        return (self._call or self.ready())(*arguments)

    def ready(self) -> Callable[..., Any]:
        """The function as machine code, loaded or made."""
        with _lock:
            if self._call is None:
                self._call = self._loaded() or self._made()
            return self._call

    def _loaded(self) -> Callable[..., Any] | None:
        """The function from machine code of an earlier process."""
        code = _read(self._file)
        return None if code is None else load(code, self.function.__name__)

    def _made(self) -> Callable[..., Any]:
        from merging.kernels.emitting import emit
        from merging.kernels.entry import NotAlone

        try:
            code = emit(self.in_numba)
        except NotAlone:  # slower to start, and the same otherwise
            made: Callable[..., Any] = _njit(self.signature)(_resolved(self.function))
            return made
        _write(self._file, code)
        return load(code, self.function.__name__)

    def _alone(self) -> Any:
        """The function without what would make it callable from Python."""
        how = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        return _njit(self.signature, **how)(_resolved(self.function))

    @property
    def _file(self) -> Path | None:
        """Where the machine code is kept."""
        folder = cache_folder()
        if folder is None:
            return None
        path = self.function.__code__.co_filename
        about = [_of_file(path), self.function.__qualname__, self.signature, _made_by()]
        stamp = hashlib.sha256("\n".join(about).encode()).hexdigest()[:16]
        return folder / f"{Path(path).stem}.{self.function.__name__}-{stamp}"


def _njit(*arguments: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    import numba

    decorate: Callable[[Callable[..., Any]], Any] = numba.njit(*arguments, **OPTIONS, **options)
    return decorate


def _resolved(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the parts it calls as numba knows them."""
    assert isinstance(function, FunctionType)
    known = {
        name: value.in_numba if isinstance(value, Part) else value
        for name, value in function.__globals__.items()
        if not isinstance(value, Part) or name in function.__code__.co_names
    }
    return update_wrapper(FunctionType(function.__code__, known, function.__name__), function)


def _read(file: Path | None) -> bytes | None:
    """Machine code from a file; None where there is none, or a damaged one."""
    if file is None:
        return None
    try:
        content = file.read_bytes()
    except OSError:
        return None
    digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    # the linker would end the process over a damaged file
    return body if hashlib.sha256(body).digest() == digest else None


def _write(file: Path | None, code: bytes) -> None:
    """Keep machine code; where that cannot be done, compiling again is all that is lost."""
    if file is None:
        return
    with contextlib.suppress(OSError):
        descriptor, name = tempfile.mkstemp(dir=file.parent)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(hashlib.sha256(code).digest() + code)
            os.replace(name, file)
        except OSError:
            os.unlink(name)


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


@cache
def _of_file(path: str) -> str:
    """Hash of a source file's content."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@cache
def _made_by() -> str:
    """What besides the source decides the machine code."""
    settings = [f"{name}={value}" for name, value in sorted(os.environ.items())
                if name.startswith("NUMBA_") and name != "NUMBA_CACHE_DIR"]  # fmt: skip
    return "\n".join([_version("numba"), _version("llvmlite"), processor(), *settings])


def _version(package: str) -> str:
    """What changes with a package's version, without its import or that of package metadata."""
    spec = find_spec(package)
    try:
        return Path(spec.origin or "").with_name("_version.py").read_text("utf-8") if spec else ""
    except OSError:
        from importlib.metadata import version

        return version(package)


def _remove_older(parent: Path, stamp: str) -> None:
    """Remove the machine code of earlier versions of the package."""
    for old in parent.glob(PREFIX + "*"):
        if old.name != stamp:
            shutil.rmtree(old, ignore_errors=True)
