"""Full disks, missing permissions, kills: one sentence, and nothing under the final name."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import merging.output.partial as partial_module
from merging.engine import merge_to_folder
from merging.errors import MergeFailure, MergingError, ModelError
from merging.kernels import reading
from merging.output.partial import partial_folder, remove_leftovers
from merging.recipes.recipe import Recipe
from tests.merging import models
from tests.merging.models import finish

RECIPE = Recipe(method="ties", base="base", models=[{"model": "finance"}, {"model": "math"}])
PROJECT = Path(__file__).resolve().parents[2]


def test_an_output_that_exists_is_left_alone(family: dict[str, Path], tmp_path: Path) -> None:
    for name in ("folder", "file", "link"):
        out = tmp_path / name
        if name == "folder":
            out.mkdir()
        elif name == "file":
            out.write_text("precious")
        else:
            out.symlink_to("nowhere")
        with pytest.raises(MergeFailure, match="exists already") as caught:
            finish(merge_to_folder(RECIPE, family, out))
        assert caught.value.exit_code == 2
    assert (tmp_path / "file").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_closed_generator_leaves_nothing(
    threads: int, family: dict[str, Path], tmp_path: Path
) -> None:
    events = merge_to_folder(RECIPE, family, tmp_path / "out", threads=threads)
    for event in events:
        if event["kind"] == "progress" and event["done"] == 3:
            assert len(list(tmp_path.iterdir())) == 1
            break
    events.close()
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@contextlib.contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_larger_than_the_system_allows(family: dict[str, Path], tmp_path: Path) -> None:
    with file_size_limit(5000), pytest.raises(MergeFailure, match="use smaller shards"):
        finish(merge_to_folder(RECIPE, family, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 KB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(place)], capture_output=True
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("mounting a small disk needs more rights")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(family: dict[str, Path], small_disk: Path) -> None:
    wide = Recipe(**{**RECIPE.model_dump(), "dtype": "float32"})
    with pytest.raises(MergeFailure, match=r"The disk is full: .* are free"):
        finish(merge_to_folder(wide, family, small_disk / "out"))
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_up_at_the_end(family: dict[str, Path], small_disk: Path) -> None:
    """The weights fit, the tokenizer does not."""
    fill = small_disk / "fill"
    with pytest.raises(MergeFailure, match="The disk is full"):
        for event in merge_to_folder(RECIPE, family, small_disk / "out"):
            if event == {"kind": "stage", "stage": "Finishing"}:
                with contextlib.suppress(OSError):
                    fill.write_bytes(bytes(1 << 20))
    assert list(small_disk.iterdir()) == [fill]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(family: dict[str, Path], tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(MergeFailure, match="no permission to write"):
        finish(merge_to_folder(RECIPE, family, closed / "out"))


@pytest.mark.skipif(os.geteuid() != 0, reason="the same for root, who has to give rights away")
def test_no_permission_for_another_user(family: dict[str, Path]) -> None:
    with tempfile.TemporaryDirectory() as name:
        shared = Path(name)
        for model in ("base", "finance", "math"):
            shutil.copytree(family[model], shared / model)
        for path in (shared, *shared.rglob("*")):
            path.chmod(0o755)
        code = f"""
import os
from pathlib import Path
# what is imported later: the other user may not be able to read the virtual environment
import torch, xxhash
import merging.kernels.linear, merging.health.kernels
from merging.engine import merge_to_folder
from merging.errors import MergeFailure, MergingError, ModelError
from merging.kernels import reading
from tests.merging.test_faults import RECIPE
os.setgroups([]); os.setgid(65534); os.setuid(65534)
shared = Path({name!r})
try:
    list(merge_to_folder(RECIPE, {{one.name: one for one in shared.iterdir()}}, shared / "out"))
except MergeFailure as error:
    print(error)
"""
        done = run(code)
        assert f"There is no permission to write to {shared}" in done.stdout, done.stderr
        assert not (shared / "out").exists()


@pytest.mark.parametrize("place", ["/proc/here", "/dev/null/here"])
def test_places_that_cannot_hold_a_folder(place: str, family: dict[str, Path]) -> None:
    with pytest.raises(MergeFailure) as caught:
        finish(merge_to_folder(RECIPE, family, Path(place)))
    assert "\n" not in str(caught.value)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=100
    )


# merges, slowly, and says on its output how far it is
SLOW = """
import sys, time
from pathlib import Path
from merging.engine import merge_to_folder
from tests.merging.test_faults import RECIPE
folders = {name: Path(sys.argv[1]) / name for name in ("base", "finance", "math")}
for event in merge_to_folder(RECIPE, folders, Path(sys.argv[2])):
    print(event["kind"], flush=True)
    time.sleep(0.02)
"""


def start(family: dict[str, Path], out: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(family["base"].parent), str(out)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("progress"):
            break
    return process


def end(process: subprocess.Popen[str], number: int) -> int:
    process.send_signal(number)
    code = process.wait(timeout=60)
    assert process.stdout is not None
    process.stdout.close()
    return code


PHASES = "reading", "merging", "finishing", "syncing", "renaming", "ended"
PAUSE = 0.01


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fork_merge(family: dict[str, Path], out: Path) -> tuple[int, int]:
    """Merge in a forked child that tells each step (a letter for its phase) and then pauses.

    Returns:
        Its process id, and the end of a pipe to read the letters from.
    """
    told, tell = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads that are not used here
        pid = os.fork()
    if pid:
        os.close(tell)
        return pid, told
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

        def step(phase: str) -> None:
            os.write(tell, phase[0].encode())
            time.sleep(PAUSE)

        def slow(name: str, phase: str) -> None:
            real = getattr(partial_module, name)

            def slowed(*given: Any) -> Any:
                step(phase)
                return real(*given)

            setattr(partial_module, name, slowed)

        slow("_sync", "syncing")
        slow("_rename", "renaming")
        slow("_rename_without_replacing", "renaming")
        slow("_sync_folder", "ended")
        phase = "reading"
        for event in merge_to_folder(RECIPE, family, out):
            if event["kind"] == "stage":
                phase = {"Merging": "merging", "Finishing": "finishing"}.get(event["stage"], phase)
            step("ended" if event["kind"] == "result" else phase)
    finally:
        os._exit(0)


def letters(told: int) -> Iterator[str]:
    while found := os.read(told, 1):
        yield found.decode()


@pytest.fixture(scope="module")
def undisturbed(
    family: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], str]:
    """What a merge writes when nobody kills it, and the letters of its steps."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    pid, told = fork_merge(family, out)
    steps = "".join(letters(told))
    os.close(told)
    os.waitpid(pid, 0)
    assert set(steps) == {phase[0] for phase in PHASES}
    return contents(out), steps


def kill_at(seed: int, family: dict[str, Path], folder: Path, steps: str) -> bool:
    """Kill a merge at a random moment of the phase that the seed says; whether it was finished."""
    chance = random.Random(seed)
    phase = PHASES[seed % len(PHASES)][0]
    wanted = chance.choice([place for place, letter in enumerate(steps) if letter == phase])
    pid, told = fork_merge(family, folder / "out")
    for place, _ in enumerate(letters(told)):
        if place == wanted:
            break
    time.sleep(chance.uniform(0, 1.5 * PAUSE))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(told)
    return (folder / "out").exists()


def kill_and_merge_again(
    seed: int, family: dict[str, Path], folder: Path, undisturbed: tuple[dict[str, bytes], str]
) -> None:
    finished = kill_at(seed, family, folder, undisturbed[1])
    for left in folder.iterdir():
        assert left.name == "out" or left.name.startswith(".out.partial-")
    out = folder / "out"
    if finished:  # what has the final name is whole
        assert contents(out) == undisturbed[0]
        shutil.rmtree(out)
    finish(merge_to_folder(RECIPE, family, out))
    assert list(folder.iterdir()) == [out]
    assert contents(out) == undisturbed[0]


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_merge_leaves_nothing_bad_and_the_next_one_is_whole(
    seed: int,
    family: dict[str, Path],
    tmp_path: Path,
    undisturbed: tuple[dict[str, bytes], str],
) -> None:
    kill_and_merge_again(seed, family, tmp_path, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6, 56))
def test_fifty_killed_merges(
    seed: int,
    family: dict[str, Path],
    tmp_path: Path,
    undisturbed: tuple[dict[str, bytes], str],
) -> None:
    kill_and_merge_again(seed, family, tmp_path, undisturbed)


def test_sigterm_removes_the_partial_folder(family: dict[str, Path], tmp_path: Path) -> None:
    process = start(family, tmp_path / "out")
    assert end(process, signal.SIGTERM) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_writes_is_not_touched(
    family: dict[str, Path], tmp_path: Path
) -> None:
    process = start(family, tmp_path / "slow")
    try:
        finish(merge_to_folder(RECIPE, family, tmp_path / "out"))
        assert (tmp_path / f".slow.partial-{process.pid}").is_dir()
    finally:
        end(process, signal.SIGTERM)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_an_output_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(MergeFailure, match="exists already"), partial_folder(out) as partial:
        (partial / "x").write_text("mine")
        out.mkdir()
        (out / "x").write_text("theirs")
    assert (out / "x").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [out]


def test_an_empty_folder_that_appears_at_the_last_moment_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rename(2) takes the place of an empty folder; somebody may have made it to keep it."""
    out = tmp_path / "out"
    real = partial_module._rename_without_replacing

    def late(source: Path, target: Path) -> None:
        out.mkdir()
        real(source, target)

    monkeypatch.setattr(partial_module, "_rename_without_replacing", late)
    with pytest.raises(MergeFailure, match="exists already"), partial_folder(out) as partial:
        (partial / "x").write_text("mine")
    assert list(tmp_path.iterdir()) == [out]
    assert list(out.iterdir()) == []


def test_two_merges_to_one_name(family: dict[str, Path], tmp_path: Path) -> None:
    """The second is told at once, not when it is done; the first is not disturbed."""
    out = tmp_path / "out"
    process = start(family, out)
    try:
        with pytest.raises(MergeFailure, match="Another merge is writing"):
            finish(merge_to_folder(RECIPE, family, out))
    finally:
        end(process, signal.SIGTERM)
    first = merge_to_folder(RECIPE, family, out)
    assert next(event for event in first if event["kind"] == "progress")
    with pytest.raises(MergeFailure, match="Another merge is writing"):
        finish(merge_to_folder(RECIPE, family, out))
    finish(first)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("module, name", [(os, "open"), (fcntl, "flock")])
def test_a_folder_is_not_taken_for_a_leftover_before_it_is_locked(
    module: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making it and locking it, another merge may tidy up."""
    real, tidied = getattr(module, name), []

    def tidy_first(*given: Any, **more: Any) -> Any:
        if not tidied and list(tmp_path.glob(".out.partial-*")):
            tidied.append(1)
            remove_leftovers(tmp_path)
        return real(*given, **more)

    monkeypatch.setattr(module, name, tidy_first)
    with partial_folder(tmp_path / "out") as partial:
        (partial / "x").write_text("here")
    assert tidied
    assert (tmp_path / "out" / "x").read_text() == "here"


@pytest.fixture
def own(family: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Parents that a test may spoil."""
    return {
        name: Path(shutil.copytree(family[name], tmp_path / "parents" / name))
        for name in ("base", "finance", "math")
    }


def refused(
    own: dict[str, Path], tmp_path: Path, pattern: str, *, code: int = 2, **options: Any
) -> str:
    """The sentence with which a merge ends that leaves nothing behind."""
    out = tmp_path / "outputs" / "out"
    with pytest.raises(MergingError, match=pattern) as caught:
        finish(merge_to_folder(RECIPE, own, out, **options))
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
    return str(caught.value)


@pytest.mark.parametrize("seed", range(8))
def test_a_shard_truncated_at_a_random_place(
    seed: int, own: dict[str, Path], tmp_path: Path
) -> None:
    shard = own["math"] / "model.safetensors"
    size = shard.stat().st_size
    os.truncate(shard, random.Random(seed).randrange(size))
    refused(own, tmp_path, "math/model.safetensors (has|is|cannot)")


def test_headers_that_lie_about_sizes(own: dict[str, Path], tmp_path: Path) -> None:
    shard = own["math"] / "model.safetensors"
    whole = shard.read_bytes()
    for lie in (
        whole.replace(b"[16,24]", b"[24,24]", 1),
        whole.replace(b"[16,24]", b"[99999999,24]", 1),
        (2**62).to_bytes(8, "little") + whole[8:],
        whole + b"more",
    ):
        assert lie != whole
        shard.write_bytes(lie)
        refused(own, tmp_path, "The file is damaged or incomplete")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_parents_with_nan(value: float, own: dict[str, Path], tmp_path: Path) -> None:
    shard = own["math"] / "model.safetensors"
    tensors = load_file(shard)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = value
    save_file(tensors, shard)
    text = refused(own, tmp_path, "math holds (NaN|an infinite value) in tensor")
    assert "model.layers.1.mlp.up_proj.weight" in text


def test_a_shard_that_cannot_be_read(
    own: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad sector: the system says so in the middle of a file."""
    real, reads = os.preadv, []

    def fails_later(*given: Any) -> int:
        reads.append(1)
        if len(reads) > 100:
            raise OSError(5, "Input/output error")
        return real(*given)

    monkeypatch.setattr(os, "preadv", fails_later)
    # where compiled code cannot read, Python's reading says why
    monkeypatch.setattr(reading, "read_rows", lambda *given: False)
    refused(own, tmp_path, "cannot be read: Input/output error")


def replace(folder: Path) -> None:
    """Another file under the name, of the same size and time of modification."""
    shard = folder / "model.safetensors"
    before = shard.stat()
    other = shard.with_name("other")
    other.write_bytes(shard.read_bytes())
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(shard)


def overwrite(folder: Path) -> None:
    shard = folder / "model.safetensors"
    before = shard.stat()
    with shard.open("r+b") as stream:
        stream.seek(-2, os.SEEK_END)
        stream.write(b"\0\0")
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))


def shorten(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 3000)


def other_config(folder: Path) -> None:
    models.change_json(folder / "config.json", rope_theta=1.0)


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize("change", [replace, overwrite, shorten, other_config, remove])
@pytest.mark.parametrize("when", ["Merging", "in the middle", "Finishing"])
@pytest.mark.parametrize("model", ["base", "math"])
def test_a_parent_that_changes_meanwhile(
    model: str, when: str, change: Callable[[Path], None], own: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "outputs" / "out"
    done = False
    with pytest.raises(ModelError, match=rf"^{model}: .*(was changed|went away|shorter|read)"):
        for event in merge_to_folder(RECIPE, own, out):
            now = event.get("stage") == when and event["kind"] == "stage"
            if not done and (now or (when == "in the middle" and event.get("done") == 4)):
                done = True
                change(own[model])
    assert done
    assert list(out.parent.iterdir()) == []


@pytest.fixture
def large(tmp_path: Path) -> dict[str, Path]:
    """Models of one tensor of 24 million elements: merging it takes many chunks."""
    found = {}
    for name in ("base", "finance", "math"):
        folder = tmp_path / "parents" / name
        folder.mkdir(parents=True)
        tensors = {"model.embed_tokens.weight": torch.zeros(24_000, 1000, dtype=torch.bfloat16)}
        save_file(tensors, folder / "model.safetensors")
        models.write(folder / "config.json", models.config(vocab_size=24_000))
        found[name] = folder
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "sce"])
def test_sigterm_in_the_middle_of_a_large_tensor(
    method: str,
    threads: int,
    large: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No further chunk is read than those in hand, and nothing is left."""
    recipe = Recipe(**{**RECIPE.model_dump(), "method": method, "options": {}})
    after: list[int] = []
    merging = threading.Event()

    def counted(real: Callable[..., Any], n_reads: int) -> Callable[..., Any]:
        def terminated_once(*given: Any) -> Any:
            if merging.is_set():
                before = len(after)
                after.extend([1] * n_reads)
                if before < 5 <= len(after):
                    os.kill(os.getpid(), signal.SIGTERM)
            return real(*given)

        return terminated_once

    monkeypatch.setattr(os, "preadv", counted(os.preadv, 1))
    # compiled code reads a chunk of all three parents in one call
    monkeypatch.setattr(reading, "read_rows", counted(reading.read_rows, 3))
    with pytest.raises(SystemExit) as caught:
        for event in merge_to_folder(recipe, large, tmp_path / "outputs" / "out", threads=threads):
            if event == {"kind": "stage", "stage": "Merging"}:
                merging.set()
    assert caught.value.code == 128 + signal.SIGTERM
    # with more threads it takes a moment until the main thread, which waits, is heard
    whole = 2 * 3 * 24_000_000 // (1 << 16)
    assert len(after) < (13 if threads == 1 else whole // 3)
    assert list((tmp_path / "outputs").iterdir()) == []


def test_a_read_only_disk(family: dict[str, Path], small_disk: Path) -> None:
    remounted = subprocess.run(
        ["mount", "-o", "remount,ro", str(small_disk)], capture_output=True, check=False
    )
    if remounted.returncode != 0:
        pytest.skip("making a disk read-only needs more rights")
    with pytest.raises(MergeFailure, match="is on a read-only disk"):
        finish(merge_to_folder(RECIPE, family, small_disk / "out"))
    assert list(small_disk.iterdir()) == []


def test_a_disk_without_room_where_no_disk_may_be_mounted(
    family: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sentence when the system finds out only while writing."""

    def unknown(*given: Any) -> None:
        raise OSError(95, "Operation not supported")

    writes: list[int] = []
    real = os.pwrite

    def full(file: int, data: Any, place: int) -> int:
        writes.append(1)
        if len(writes) > 9:
            raise OSError(28, "No space left on device")
        return real(file, data, place)

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(MergeFailure, match=r"The disk is full: .* are free"):
        finish(merge_to_folder(RECIPE, family, tmp_path / "outputs" / "out", threads=2))
    assert list((tmp_path / "outputs").iterdir()) == []
