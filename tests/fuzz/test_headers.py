"""Safetensors headers, shard indexes and the JSON beside them, as a folder that somebody adds."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.models import describe
from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.header import MAX_DIMENSIONS, read_header
from merging.errors import ModelError
from merging.health import files as health_files
from tests.fuzz.judged import in_time, inputs, judge
from tests.fuzz.texts import broken, trees

PROJECT = Path(__file__).resolve().parents[2]
RIGHT = [
    {
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [16, 24]},
        "__metadata__": {"format": "pt"},
    },
    {"x": {"dtype": "I64", "shape": [], "data_offsets": [0, 8]}},
    {
        "x": {"dtype": "F8_E4M3", "shape": [1, 1, 3], "data_offsets": [0, 3]},
        "x_scale_inv": {"dtype": "F32", "shape": [1, 1], "data_offsets": [3, 7]},
    },
]
KEYS = ["dtype", "shape", "data_offsets", "__metadata__", "a", "b", "x"]
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
SIDE_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "adapter_config.json",
    "model.safetensors.index.json",
)
JSON_BOMBS = [
    "[" * 20_000,
    '{"a":' * 20_000,
    "1" * 10_000,
    '{"a": ' + "9" * 5000 + "}",
    '"\\ud800"',
    "NaN",
    '{"a": 1e999}',
    '{"a": 1, "a": 2}',
    "\ufeff{}",
    "",
]


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="crucible-fuzz-"))
    yield made
    shutil.rmtree(made)


def file_of(header: bytes, *, said: int | None = None, data: bytes = bytes(24)) -> bytes:
    return struct.pack("<Q", len(header) if said is None else said) + header + data


def as_json(tree: Any) -> bytes:
    return json.dumps(tree, default=str).encode("utf-8", "surrogatepass")


contents = st.one_of(
    broken(RIGHT, KEYS).map(lambda tree: file_of(as_json(tree))),
    st.sampled_from(JSON_BOMBS).map(lambda text: file_of(text.encode("utf-8", "surrogatepass"))),
    st.tuples(broken(RIGHT, KEYS), st.integers(0, 2**64 - 1), st.binary(max_size=40)).map(
        lambda one: file_of(as_json(one[0]), said=one[1], data=one[2])
    ),
    st.binary(max_size=80),
)


def test_headers(folder: Path) -> None:
    @inputs(250)
    @given(contents)
    def fuzz(content: bytes) -> None:
        file = folder / "model.safetensors"
        file.write_bytes(content)
        judge(lambda: read_header(file), "safetensors header")

    fuzz()


def test_a_shape_of_a_million_dimensions_is_refused_at_once(folder: Path) -> None:
    shape = [2**62] * 1_000_000
    file = folder / "model.safetensors"
    header = {"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}}
    file.write_bytes(file_of(as_json(header)))
    with in_time(), pytest.raises(ModelError, match="dimensions"):
        read_header(file)
    assert MAX_DIMENSIONS < 1000


def test_a_header_that_says_it_is_huge_is_not_read(folder: Path) -> None:
    file = folder / "model.safetensors"
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", 3_000_000_000))
        stream.truncate(4_000_000_000)  # a hole: it takes no space
    with in_time(1), pytest.raises(ModelError):
        read_header(file)


def test_model_folders(folder: Path, home: Path) -> None:
    """One file of a right folder is wrong: opened, described and looked at all the same."""
    right = PROJECT / "sandbox" / "instruct"
    model = folder / "model"
    shutil.copytree(right, model)
    whole = {path.name: path.read_bytes() for path in model.iterdir()}
    configs = [json.loads(whole["config.json"]), {"weight_map": {"a": "model.safetensors"}}]
    keys = [*configs[0], "auto_map", "text_config", "weight_map", "rope_scaling", "peft_type"]
    wrong = st.one_of(
        broken(configs, keys).map(as_json),
        trees.map(as_json),
        st.sampled_from(JSON_BOMBS).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.binary(max_size=40),
    )

    @inputs(60)
    @given(st.sampled_from(SIDE_FILES), wrong)
    def fuzz(name: str, content: bytes) -> None:
        for path in model.iterdir():
            if path.name not in whole:
                path.unlink()
        for known, right_bytes in whole.items():
            if not known.endswith(".safetensors"):
                (model / known).write_bytes(right_bytes)
        (model / name).write_bytes(content)
        judge(lambda: describe.headers(model), "model folder described")
        opened = judge(lambda: Checkpoint.open(model, label="m"), "model folder opened")
        if opened is not None:
            judge(lambda: list(health_files.checks(opened)), "model folder looked at")

    fuzz()


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "..",
        "",
        ".",
        "x\x00.safetensors",
    ],
)
def test_an_index_that_leaves_its_folder_is_refused(folder: Path, name: str) -> None:
    model = folder / "model"
    shutil.copytree(PROJECT / "sandbox" / "base", model)
    shutil.copy(model / "model.safetensors", folder / "outside.safetensors")
    index = {"weight_map": {"model.embed_tokens.weight": name}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError):
        Checkpoint.open(model, label="m")
