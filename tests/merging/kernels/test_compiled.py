"""Where machine code is kept, in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CODE = """
import sys, numpy as np
from merging.kernels import compiled
from merging.kernels.draws import words
assert int(words(0, 0, 1)[0]) >> 16 == 0xE8D5
assert "torch" not in sys.modules
print(compiled.cache_folder())
"""


def run(root: Path, home: Path, **environment: str) -> str:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")}
    kept.pop("XDG_CACHE_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=root,
        env={**kept, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


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
    first = Path(run(copy, tmp_path))
    assert first.parent == copy / "merging" / "kernels" / "__pycache__"
    assert list(first.rglob("*.nbi"))
    with (copy / "merging/kernels/election.py").open("a") as file:
        file.write("# an edit of another file\n")
    second = Path(run(copy, tmp_path))
    assert second != first and not first.exists()


def test_a_source_that_cannot_be_written_to_uses_the_users_folder(
    copy: Path, tmp_path: Path
) -> None:
    # works for a superuser as well, whom permissions do not stop
    (copy / "merging/kernels/__pycache__").write_text("")
    folder = Path(run(copy, tmp_path))
    assert (tmp_path / ".cache" / "crucible") in folder.parents


def test_no_place_at_all_means_compiling_again(copy: Path, tmp_path: Path) -> None:
    (copy / "merging/kernels/__pycache__").write_text("")
    (tmp_path / ".cache").write_text("")
    assert run(copy, tmp_path) == "None"
