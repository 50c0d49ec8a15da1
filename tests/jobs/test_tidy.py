"""A merge that was killed in the middle leaves no folder, not even a hidden one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jobs.running import tidy
from tests.jobs.conftest import PROJECT, wait_for

WRITER = """
import sys, time
from pathlib import Path
from merging.output.partial import partial_folder
with partial_folder(Path(sys.argv[1])) as folder:
    print("writing", flush=True)
    time.sleep(600)
"""


def writer(out: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(out)], cwd=PROJECT,
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


def test_what_a_killed_process_wrote_goes_and_what_others_write_stays(tmp_path: Path) -> None:
    killed, alive = writer(tmp_path / "a"), writer(tmp_path / "b")
    assert len(list(tmp_path.iterdir())) == 2
    killed.kill()
    killed.communicate()
    thread = tidy.after({"out": str(tmp_path / "a")})
    assert thread is not None
    thread.join(30)
    (left,) = tmp_path.iterdir()
    assert "b" in left.name and alive.poll() is None
    alive.kill()
    alive.communicate()


def test_jobs_without_a_folder_leave_nothing(tmp_path: Path) -> None:
    assert tidy.after({"model": "x"}) is None
    thread = tidy.after({"out": str(tmp_path / "gone" / "x")})
    assert thread is not None
    thread.join(30)
    wait_for(lambda: not thread.is_alive())
