"""Full disks, missing permissions, kills: one sentence, and nothing under the final name."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from merging.engine import merge_to_folder
from merging.errors import MergeFailure
from merging.partial import partial_folder
from merging.recipe import Recipe
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
import torch
from merging.engine import merge_to_folder
from merging.errors import MergeFailure
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


@pytest.mark.parametrize("seed", range(3))
def test_sigkill_leaves_nothing_under_the_final_name(
    seed: int, family: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(family, out)
    time.sleep(random.Random(seed).uniform(0, 0.3))
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    left = list(tmp_path.iterdir())
    assert [path.name for path in left] == [f".out.partial-{process.pid}"]
    # the next merge cleans up, and works
    finish(merge_to_folder(RECIPE, family, out))
    assert list(tmp_path.iterdir()) == [out]
    assert models.stored(out).keys() == models.stored(family["base"]).keys()


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
