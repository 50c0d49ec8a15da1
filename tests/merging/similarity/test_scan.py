"""The pass over all models: its numbers against plain numpy, its blocks, and what it refuses."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from merging.checkpoints.checkpoint import Checkpoint
from merging.errors import ModelError
from merging.similarity import kernels, measures, scan
from merging.similarity.notes import sentences
from merging.similarity.result import Similarity
from tests.merging import models

LABELS = ("base", "a", "b", "c", "d", "e", "f", "g", "h", "i")
DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def write(folder: Path, tensors: dict[str, torch.Tensor], **changes: Any) -> Path:
    folder.mkdir(parents=True)
    models.write(folder / "config.json", models.config(**changes))
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "model.safetensors")
    return folder


def compare(folders: Sequence[Path], *, based: bool = True, **options: Any) -> Similarity:
    opened = [
        Checkpoint.open(folder, label=label)
        for folder, label in zip(folders, LABELS if based else LABELS[1:], strict=False)
    ]
    try:
        events = list(scan.scan(opened[based:], opened[0] if based else None, **options))
    finally:
        for one in opened:
            one.close()
    assert events[0] == {"kind": "stage", "stage": scan.STAGE}
    similarity: Similarity = events[-1]["similarity"]
    return similarity


def by_key(similarity: Similarity, key: str, i: int, j: int) -> float:
    return measures.overall(similarity, measures.MEASURES[key], i, j)


def test_by_hand(tmp_path: Path) -> None:
    base = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    deltas = [torch.tensor([[1.0, 2.0], [0.0, -2.0]]), torch.tensor([[-1.0, 2.0], [5.0, -1.0]])]
    name = "model.layers.0.mlp.up_proj.weight"
    folders = [write(tmp_path / "base", {name: base})]
    folders += [write(tmp_path / str(i), {name: base + d}) for i, d in enumerate(deltas)]
    found = compare(folders)
    assert by_key(found, "task_cosine", 1, 2) == pytest.approx(5 / (3 * 31**0.5))
    assert by_key(found, "sign_conflict", 1, 2) == pytest.approx(1 / 3)
    assert by_key(found, "weighted_conflict", 1, 2) == pytest.approx(1 / 7)
    assert by_key(found, "relative_norm", 1, 0) == pytest.approx(3 / 5)
    assert by_key(found, "task_norm", 2, 0) == pytest.approx(31**0.5)
    assert by_key(found, "task_ratio", 1, 2) == pytest.approx(3 / 31**0.5)
    assert by_key(found, "task_ratio", 2, 1) == pytest.approx(31**0.5 / 3)
    assert by_key(found, "distance", 1, 2) == pytest.approx(30**0.5)
    assert by_key(found, "distance", 0, 1) == pytest.approx(3)
    # (4, 6, 0, -2) and (2, 6, 5, -1)
    assert by_key(found, "weight_cosine", 1, 2) == pytest.approx(46 / (56 * 66) ** 0.5)
    assert by_key(found, "weight_cosine", 0, 2) == pytest.approx(30 / (5 * 66**0.5))


def reference(stored: Sequence[torch.Tensor], based: bool) -> dict[tuple[str, int, int], float]:
    """Every measure by its definition, in float64 but for the difference, which merges round."""
    values = [one.to(torch.float32).numpy().ravel() for one in stored]
    found = {}
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            a, b = (one.astype(np.float64) for one in (values[i], values[j]))
            found["weight_cosine", i, j] = a @ b / np.sqrt(a @ a * (b @ b))
            if not based or i == 0:
                found["distance", i, j] = float(
                    np.linalg.norm((values[j] - values[i]).astype(np.float64))
                    if i == 0
                    else np.linalg.norm(a - b)
                )
    if not based:
        return found
    tau = [(one - values[0]).astype(np.float64) for one in values]
    for i in range(1, len(values)):
        found["relative_norm", i, 0] = np.linalg.norm(tau[i]) / np.linalg.norm(
            values[0].astype(np.float64)
        )
        for j in range(i + 1, len(values)):
            p = tau[i] * tau[j]
            found["task_cosine", i, j] = p.sum() / np.linalg.norm(tau[i]) / np.linalg.norm(tau[j])
            found["sign_conflict", i, j] = (p < 0).sum() / (p != 0).sum()
            found["weighted_conflict", i, j] = -p[p < 0].sum() / np.abs(p).sum()
            found["distance", i, j] = np.linalg.norm(tau[i] - tau[j])
    return found


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shape=st.sampled_from([(1,), (7,), (3, 5), (129, 128), (1024, 17), (16385,), (40000,)]),
    dtypes=st.lists(st.sampled_from(DTYPES), min_size=2, max_size=9),
    based=st.booleans(),
)
def test_against_plain_numpy(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    shape: tuple[int, ...],
    dtypes: list[torch.dtype],
    based: bool,
) -> None:
    if not based:
        dtypes = dtypes[:8]
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=generator) + 0.1
    stored = [
        (base + 0.03 * i * torch.randn(shape, generator=generator)).to(dtype)
        for i, dtype in enumerate(dtypes)
    ]
    root = tmp_path_factory.mktemp("models")
    found = compare(
        [write(root / str(i), {"model.w": one}) for i, one in enumerate(stored)],
        based=based, threads=2,
    )  # fmt: skip
    for (key, i, j), value in reference(stored, based).items():
        measured = measures.per_tensor(found, measures.MEASURES[key], i, j)[0]
        assert measured == pytest.approx(value, rel=1e-6, abs=1e-9, nan_ok=True), (key, i, j)


def test_chunks_and_threads_change_no_bit(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {f"model.w{i}": torch.randn(n, generator=generator)
               for i, n in enumerate((100_001, 16_384, 16_385, 5, 70_000))}  # fmt: skip
    folders = [
        write(tmp_path / str(i), {k: (t * (1 + i / 9)).bfloat16() for k, t in tensors.items()})
        for i in range(4)
    ]
    whole = compare(folders, threads=1, chunk=1 << 20)
    for threads, chunk in ((1, 1), (2, 16_384), (3, 50_000)):
        again = compare(folders, threads=threads, chunk=chunk)
        assert again.sums.tobytes() == whole.sums.tobytes()


def test_the_order_of_models_matters_to_no_measure(tmp_path: Path) -> None:
    folders = [write(tmp_path / str(i), models.weights(i)) for i in range(3)]
    one = compare(folders)
    other = compare([folders[0], folders[2], folders[1]])
    for key in ("task_cosine", "sign_conflict", "distance", "weight_cosine"):
        assert by_key(one, key, 1, 2) == by_key(other, key, 2, 1)


def test_every_byte_is_read_once_in_small_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"model.a": torch.randn(70_000), "model.b": torch.randn(300, 200)}
    folders = [write(tmp_path / str(i), tensors) for i in range(3)]
    seen: list[tuple[str, str, int, int]] = []
    read = Checkpoint.read_into

    def noted(self: Checkpoint, name: str, start: int, stop: int, buffer: memoryview) -> None:
        seen.append((self.label, name, start, stop))
        read(self, name, start, stop, buffer)

    monkeypatch.setattr(Checkpoint, "read_into", noted)
    compare(folders, chunk=1 << 14)
    assert max(stop - start for *_, start, stop in seen) == 1 << 14
    assert len(set(seen)) == len(seen)
    assert sum(stop - start for *_, start, stop in seen) == 3 * 130_000


def test_equal_models_are_exactly_zero_apart(tmp_path: Path) -> None:
    base, tuned = models.weights(0), models.tuned(models.weights(0), 1)
    folders = [write(tmp_path / str(i), one) for i, one in enumerate((base, tuned, tuned, base))]
    found = compare(folders)
    assert by_key(found, "distance", 1, 2) == 0
    assert by_key(found, "task_cosine", 1, 2) == pytest.approx(1)
    assert by_key(found, "sign_conflict", 1, 2) == 0
    # a task vector of zero has no direction
    assert np.isnan(by_key(found, "task_cosine", 1, 3))
    assert np.isnan(by_key(found, "sign_conflict", 1, 3))
    assert by_key(found, "relative_norm", 3, 0) == 0


def test_nearly_equal_models_are_told_apart(tmp_path: Path) -> None:
    """Differences are summed as differences: none of |a|^2 + |b|^2 - 2ab's lost digits."""
    values = torch.full((1000,), 1000.0)
    near = values.clone()
    near[7] += 2.0**-13
    folders = [write(tmp_path / str(i), {"w": one}) for i, one in enumerate((values, near))]
    assert by_key(compare(folders, based=False), "distance", 0, 1) == 2.0**-13


def test_embeddings_of_different_rows_are_compared_in_the_common_ones(tmp_path: Path) -> None:
    small, large = models.weights(0), models.weights(0, vocabulary=51)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        large[name][:48] = small[name] + 1
    found = compare([write(tmp_path / "s", small), write(tmp_path / "l", large)])
    row = found.names.index("model.embed_tokens.weight")
    assert found.shapes[row] == (48, models.HIDDEN)
    distance = measures.per_tensor(found, measures.MEASURES["distance"], 0, 1)[row]
    assert distance == pytest.approx((48 * models.HIDDEN) ** 0.5)
    said = sentences(found.notes, ["base", "expert"])
    assert any("base has 48 and expert has 51" in s and "the first 48" in s for s in said)


def test_nan_is_named_and_left_out(tmp_path: Path) -> None:
    good = models.weights(0)
    bad = {name: tensor.clone() for name, tensor in good.items()}
    bad["model.norm.weight"][3] = float("nan")
    worse = models.tuned(good, 1)
    worse["lm_head.weight"][0, 0] = float("inf")
    found = compare([write(tmp_path / str(i), one) for i, one in enumerate((good, bad, worse))])
    said = sentences(found.notes, ["base", "finance", "math"])
    assert "model.norm.weight holds NaN or infinity in finance" in " ".join(said)
    assert "lm_head.weight holds NaN or infinity in math" in " ".join(said)
    assert np.isnan(found.sums[found.names.index("model.norm.weight")]).all()
    assert np.isfinite(by_key(found, "distance", 0, 2))


def test_whole_numbers_and_absent_tensors_are_noted(tmp_path: Path) -> None:
    base = {**models.weights(0), "model.positions": torch.arange(5)}
    expert = {**models.tuned(models.weights(0), 1), "model.positions": torch.arange(5),
              "model.extra": torch.ones(3)}  # fmt: skip
    found = compare([write(tmp_path / "b", base), write(tmp_path / "e", expert)])
    said = " ".join(sentences(found.notes, ["base", "finance"]))
    assert "model.positions: whole numbers" in said
    assert "model.extra left out, because base lacks it" in said
    assert "model.positions" not in found.names and "model.extra" not in found.names


def test_tied_beside_untied(tmp_path: Path) -> None:
    tied, untied = models.weights(0, tied=True), models.weights(0)
    both = compare([
        write(tmp_path / "t", tied, tie_word_embeddings=True), write(tmp_path / "u", untied)
    ])  # fmt: skip
    assert "lm_head.weight" in both.names
    two = compare([write(tmp_path / f"t{i}", tied, tie_word_embeddings=True) for i in range(2)])
    assert "lm_head.weight" not in two.names


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one", models.weights(0))
    other = write(tmp_path / "other", models.weights(0), architectures=["Qwen3ForCausalLM"])
    with pytest.raises(ModelError, match="base is a LlamaForCausalLM, a a Qwen3ForCausalLM"):
        compare([one, other])
    wider = models.weights(0)
    wider["model.norm.weight"] = torch.ones(17)
    with pytest.raises(ModelError, match=r"model.norm.weight is \[16\] in base and \[17\] in a"):
        compare([one, write(tmp_path / "wider", wider)])
    with pytest.raises(ModelError, match="1 models were given"):
        compare([one], based=False)
    with pytest.raises(ModelError, match="9 models were given"):
        compare([one] * 9, based=False)
    with pytest.raises(ModelError, match="no tensor in common"):
        compare([one, write(tmp_path / "strange", {"x": torch.ones(3)})])


def test_a_file_that_shrinks_ends_it_in_words_and_in_all_threads(tmp_path: Path) -> None:
    folders = [write(tmp_path / str(i), models.weights(i)) for i in range(2)]
    opened = [Checkpoint.open(folder) for folder in folders]
    file = folders[1] / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ModelError, match="became shorter"):
        list(scan.scan(opened, threads=2))
    for one in opened:
        one.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("similarity")]


def test_stopping_ends_the_threads_between_two_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [write(tmp_path / str(i), {"w": torch.ones(50 * kernels.BLOCK)}) for i in range(2)]
    opened = [Checkpoint.open(folder) for folder in folders]
    started, go_on = threading.Event(), threading.Event()
    reads = []
    read = Checkpoint.read_into

    def held(self: Checkpoint, name: str, start: int, stop: int, buffer: memoryview) -> None:
        reads.append(start)
        started.set()
        go_on.wait(20)
        read(self, name, start, stop, buffer)

    monkeypatch.setattr(Checkpoint, "read_into", held)
    events = scan.scan(opened, threads=1, chunk=kernels.BLOCK)
    next(events)
    next(events)
    assert started.wait(20)
    threading.Timer(0.2, go_on.set).start()
    events.close()
    assert len(reads) < 10
    assert not [t for t in threading.enumerate() if t.name.startswith("similarity")]
    for one in opened:
        one.close()


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    folders = [write(tmp_path / str(i), models.weights(i)) for i in range(2)]
    opened = [Checkpoint.open(folder) for folder in folders]
    last = [e for e in scan.scan(opened) if e["kind"] == "progress"][-1]
    assert last["done"] == last["total"] == sum(one.size_bytes for one in opened) / 1e6
    for one in opened:
        one.close()


def test_file(tmp_path: Path) -> None:
    found = compare([write(tmp_path / str(i), models.weights(i)) for i in range(3)])
    found = dataclasses.replace(found, notes=({"kind": "integers", "tensor": "x{0}"},))
    path = tmp_path / "kept.npz"
    found.save(path)
    again = Similarity.load(path)
    assert again.sums.tobytes() == found.sums.tobytes()
    assert (again.names, again.shapes, again.notes) == (found.names, found.shapes, found.notes)
    assert sorted(p.name for p in tmp_path.glob("*kept*")) == ["kept.npz"]
    for content in (path.read_bytes()[:-100], b"", b"nonsense"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="damaged"):
            Similarity.load(path)
    with pytest.raises(FileNotFoundError):
        Similarity.load(tmp_path / "never.npz")
