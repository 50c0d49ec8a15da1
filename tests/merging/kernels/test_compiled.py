"""Where machine code is kept, in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from merging.health import kernels as health
from merging.kernels import compiled as machine_code
from merging.kernels import convert, counting, draws
from merging.kernels.compiled import Compiled
from merging.kernels.draws import fill_words
from merging.kernels.rows import OfRows

ROOT = Path(__file__).resolve().parents[3]
CODE = """
import sys, numpy as np
from merging.kernels import compiled
from merging.kernels.draws import words
assert int(words(0, 0, 1)[0]) >> 16 == 0xE8D5
assert "torch" not in sys.modules
print(compiled.cache_folder(), "numba" in sys.modules)
"""


def run(root: Path, home: Path, **environment: str) -> tuple[str, bool]:
    """The cache folder, and whether numba was needed, of a process that runs `CODE`."""
    with start(root, home, **environment) as process:
        said, errors = process.communicate()
    assert process.returncode == 0, errors
    folder, compiled = said.split()
    return folder, compiled == "True"


def start(root: Path, home: Path, **environment: str) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")}
    kept.pop("XDG_CACHE_HOME", None)
    return subprocess.Popen(
        [sys.executable, "-c", CODE],
        cwd=root,
        env={**kept, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package without machine code, with a file in the place of its cache folder."""
    for part in ("merging/__init__.py", "merging/kernels"):
        target = tmp_path / "tree" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, target)
    return tmp_path / "tree"


def test_machine_code_lies_beside_the_source_and_changes_with_it(
    copy: Path, tmp_path: Path
) -> None:
    first = Path(run(copy, tmp_path)[0])
    assert first.parent == copy / "merging" / "kernels" / "__pycache__"
    assert list(first.glob("draws.*"))
    with (copy / "merging/kernels/election.py").open("a") as file:
        file.write("# an edit of another file\n")
    second, again = run(copy, tmp_path)
    assert Path(second) != first and not first.exists() and again


def test_a_source_that_cannot_be_written_to_uses_the_users_folder(
    copy: Path, tmp_path: Path
) -> None:
    # works for a superuser as well, whom permissions do not stop
    (copy / "merging/kernels/__pycache__").write_text("")
    folder = Path(run(copy, tmp_path)[0])
    assert (tmp_path / ".cache" / "crucible") in folder.parents


def test_no_place_at_all_means_compiling_again(copy: Path, tmp_path: Path) -> None:
    (copy / "merging/kernels/__pycache__").write_text("")
    (tmp_path / ".cache").write_text("")
    assert run(copy, tmp_path) == ("None", True)


def test_a_later_process_does_not_import_numba(copy: Path, tmp_path: Path) -> None:
    assert run(copy, tmp_path)[1]
    assert not run(copy, tmp_path)[1]
    # what numba is told in the environment decides what it makes
    assert run(copy, tmp_path, NUMBA_CPU_NAME="generic")[1]
    assert not run(copy, tmp_path, NUMBA_CPU_NAME="generic")[1]


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "a folder"])
def test_damaged_machine_code_is_made_again(copy: Path, tmp_path: Path, damage: str) -> None:
    (file,) = Path(run(copy, tmp_path)[0]).iterdir()
    good = file.read_bytes()
    if damage == "a folder":
        file.unlink()
        file.mkdir()
    else:
        middle = len(good) // 2
        changed = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
        file.write_bytes({"cut": good[:-1], "changed": changed, "empty": b""}[damage])
    assert run(copy, tmp_path)[1]
    assert run(copy, tmp_path)[1] == (damage == "a folder")  # which nobody's code is in: it stays
    assert len(list(file.parent.iterdir())) == 1


def test_processes_that_compile_at_the_same_time(copy: Path, tmp_path: Path) -> None:
    started = [start(copy, tmp_path) for _ in range(3)]
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    folder, compiled = run(copy, tmp_path)
    assert not compiled and len(list(Path(folder).iterdir())) == 1


def all_compiled() -> Iterator[tuple[str, str]]:
    """Module and name of every compiled function."""
    names = [f"merging.kernels.{path.stem}" for path in machine_code.FOLDER.glob("[a-z]*.py")]
    for module in [*sorted(names), health.__name__]:
        for name, value in vars(import_module(module)).items():
            if isinstance(value, Compiled | OfRows) and value.__module__ == module:
                yield module, name


def test_every_kernel_runs_without_numba() -> None:
    found = list(all_compiled())
    assert len(found) > 25
    for module, name in found:
        getattr(import_module(module), name).ready()
    code = (
        "import sys; from importlib import import_module\n"
        f"for module, name in {found}: getattr(import_module(module), name).ready()\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_what_is_not_what_a_kernel_was_compiled_for_is_refused() -> None:
    values, out = np.ones(4, np.float32), np.zeros(4, np.uint16)
    assert convert.narrow_bf16(values, out) and out[0] == 0x3F80
    read_only = out.copy()
    read_only.flags.writeable = False
    for wrong in (values, out[::2], out[None], read_only, out.astype(">u2"), out.data, None):
        with pytest.raises(TypeError, match="narrow_bf16"):
            convert.narrow_bf16(values, wrong)  # type: ignore[arg-type]
    read_only = values.copy()
    read_only.flags.writeable = False
    assert convert.narrow_bf16(read_only, out)
    with pytest.raises(TypeError):
        convert.narrow_bf16(values)  # type: ignore[call-arg]


def test_numbers_and_their_number_are_those_of_the_signature() -> None:
    numbers = np.array([3, 9, 5], np.int32)
    assert counting.kth_largest_of(numbers, 2) == 5
    assert type(counting.kth_largest_of(numbers, 2)) is int
    assert convert.widen_f32(np.ones(1, np.float32), np.zeros(1, np.float32)) is True
    words = np.zeros(4, np.uint32)
    fill_words(2**64 - 1, 0, words)
    assert words.tolist() == draws.words(2**64 - 1, 0, 4).tolist()
    # another number of arguments would be written to as if it were memory
    for wrong in ((), (numbers,), (numbers, 2, 0), (numbers, 2, None)):
        with pytest.raises(TypeError, match="takes 2 arguments"):
            counting.kth_largest_of(*wrong)
    with pytest.raises(TypeError, match="keyword"):
        counting.kth_largest_of(numbers, rank=2)
    for wrong_number, error in (("2", TypeError), (2.5, TypeError), (2**63, OverflowError)):
        with pytest.raises(error):
            counting.kth_largest_of(numbers, wrong_number)  # type: ignore[arg-type]


def test_nothing_is_kept_of_what_is_passed_and_returned() -> None:
    values, out = np.ones(4, np.float32), np.zeros(4, np.float32)
    before = [sys.getrefcount(one) for one in (values, out, None, True)]
    for _ in range(1000):
        convert.narrow_f32(values, out)
        fill_words(1, 0, out.view(np.uint32))
        with pytest.raises(TypeError):
            convert.narrow_f32(values, None)  # type: ignore[arg-type]
    after = [sys.getrefcount(one) for one in (values, out, None, True)]
    assert all(abs(one - other) < 100 for one, other in zip(before, after, strict=True))


def test_other_threads_run_meanwhile() -> None:
    numbers = np.zeros(1 << 18, np.int32)
    counting.kth_largest_of(numbers, 1)
    came, calls = threading.Event(), []

    def work() -> None:
        while not came.is_set() and len(calls) < 2000:
            calls.append(counting.kth_largest_of(numbers, 1))

    before = sys.getswitchinterval()
    sys.setswitchinterval(3600)  # so that nothing but the kernel lets this thread go on
    thread = threading.Thread(target=work)
    try:
        thread.start()
        came.set()
    finally:
        sys.setswitchinterval(before)
    thread.join()
    assert len(calls) < 2000


def test_memory_of_its_own() -> None:
    values = np.arange(5000, dtype=np.float32)
    low, high = (np.array([one], np.float32).view(np.int32) for one in (10, 20))
    room = np.empty((1, 5000), np.int32)
    counts = np.zeros((1, 4), np.int64)
    counting.collect_between(values, np.empty(0, np.float32), low, high, room, counts)
    assert counts.tolist() == [[4979, 1, 9, 1]]
    assert sorted(room[0, :9].view(np.float32)) == list(range(11, 20))
