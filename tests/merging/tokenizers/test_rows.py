"""Which row of which parent an embedding row of the merge is, and reading them in pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from merging.checkpoints.checkpoint import Checkpoint
from merging.errors import RecipeError
from merging.tokenizers.planning import plan_vocabulary
from merging.tokenizers.rows import MEAN, OWN_MEAN, ZERO, Gather, Place, choose_fills, gather
from merging.tokenizers.view import RowsView
from merging.tokenizers.vocabulary import Vocabulary
from merging.tokenizers.wishes import read_wishes
from tests.merging import models
from tests.merging.models import tokenizer_json

WORDS = models.VOCABULARY
EMBEDDING = "model.embed_tokens.weight"


class Matrix:
    """A view of values in memory; counts how often it is read."""

    def __init__(self, values: NDArray[np.float32], stored: str | None = "F32") -> None:
        self.values = values
        self.label = "matrix"
        self.shape = values.shape
        self.stored = stored
        self.reads = 0

    def read_into(self, start: int, stop: int, buffer: memoryview) -> None:
        self.reads += 1
        buffer[:] = self.values.reshape(-1)[start:stop].tobytes()

    def values_into(self, start: int, stop: int, out: NDArray[np.float32]) -> None:
        self.reads += 1
        out[:] = self.values.reshape(-1)[start:stop]


def rows(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def plan(root: Path, parents: dict[str, tuple[list[str], int]], **wanted: Any) -> Vocabulary:
    """A vocabulary planned from (words, embedding rows) of each parent."""
    opened = {}
    for name, (words, count) in parents.items():
        models.write_model(root / name, models.weights(0, vocabulary=count), tokenizer=False)
        if words:
            models.write(root / name / "tokenizer.json", tokenizer_json(words))
        opened[name] = Checkpoint.open(root / name)
    wanted["tokens"] = read_wishes(wanted.get("tokens", {}), list(parents))
    wanted.setdefault("pad", None)
    return plan_vocabulary(opened, wanted.pop("tokenizer", "auto"), **wanted)


def placed(vocabulary: Vocabulary, name: str) -> list[tuple[int, int]]:
    """(parent, row) of every row."""
    found = vocabulary.gathers[name]
    return list(zip(found.parents.tolist(), found.rows.tolist(), strict=True))


def test_one_vocabulary_costs_nothing(tmp_path: Path) -> None:
    parents = {name: (WORDS, 64) for name in ("base", "expert")}
    found = plan(tmp_path, parents, base="base")
    assert found.gathers == {} and found.n_rows == 64
    one = found.parents["base"]
    assert found.rows_view(one, EMBEDDING) is None
    assert found.shape(one, EMBEDDING) == (64, 16)
    assert [check.detail for check in found.checks] == ["All have the same tokenizer."]


def test_tokens_that_the_instruct_model_added(tmp_path: Path) -> None:
    longer = [*WORDS, "<|a|>", "<|b|>"]
    parents = {"base": (WORDS, 48), "expert": (WORDS, 48), "instruct": (longer, 50)}
    found = plan(tmp_path, parents, base="base", instruct="instruct")
    assert found.stem == found.speaker == "instruct" and found.n_rows == 50
    assert "instruct" not in found.gathers  # read as it lies
    assert placed(found, "base") == [*((0, i) for i in range(48)), (2, 48), (2, 49)]
    assert placed(found, "expert") == [*((1, i) for i in range(48)), (2, 48), (2, 49)]
    assert [check.detail for check in found.checks] == [
        "The embeddings have these numbers of rows: 48 in base, 48 in expert and 50 in instruct. "
        "The merge has 50.",
        "base and expert lack 2 tokens (<|a|> and <|b|>) of the merge's tokenizer, and get the "
        "embedding of instruct there.",
    ]


def test_added_tokens_in_rows_that_the_base_has_as_padding(tmp_path: Path) -> None:
    """The base's row at that place was never trained for the token: it has none."""
    parents = {"base": (WORDS, 64), "instruct": ([*WORDS, "<|a|>"], 64)}
    found = plan(tmp_path, parents, base="base", instruct="instruct")
    assert placed(found, "base")[47:50] == [(0, 47), (1, 48), (0, 49)]
    # with the base's tokenizer that row is padding, merged by its place
    assert plan(tmp_path / "b", parents, base="base", tokenizer="base").gathers == {}


def test_rows_of_padding_go_by_their_place(tmp_path: Path) -> None:
    parents = {"base": (WORDS, 50), "expert": (WORDS, 52), "instruct": (WORDS, 54)}
    found = plan(tmp_path, parents, base="base", instruct="instruct")
    assert found.n_rows == 54
    base, expert = placed(found, "base"), placed(found, "expert")
    # behind the base's rows: the mean of those who have one, else the only one
    assert base[50:] == [(MEAN, -1), (MEAN, -1), (2, 52), (2, 53)]
    assert expert[50:] == [(1, 50), (1, 51), (2, 52), (2, 53)]
    assert found.gathers["base"].means[51] == (Place(1, 51), Place(2, 51))
    assert found.gathers["expert"].means == {}


def test_rows_do_not_shrink_to_the_tokenizer(tmp_path: Path) -> None:
    parents = {"base": (WORDS, 64), "expert": (WORDS, 48)}
    found = plan(tmp_path, parents, base="base", tokenizer="base")
    assert found.n_rows == 64
    found = plan(tmp_path / "b", parents, base="base", tokenizer="base", pad=48)
    assert found.n_rows == 96
    assert placed(found, "base")[64:] == [(OWN_MEAN, -1)] * 32


def test_other_ids(tmp_path: Path) -> None:
    moved = [*WORDS[:3], *reversed(WORDS[3:])]
    parents = {"base": (WORDS, 48), "expert": (moved, 48)}
    found = plan(tmp_path, parents, base="base")
    assert "base" not in found.gathers
    assert placed(found, "expert") == [(1, moved.index(word)) for word in WORDS]
    assert found.translate("expert", 5) == WORDS.index(moved[5])
    assert found.translate("base", 5) == 5


def test_the_base_s_row_comes_first_wherever_it_stands(tmp_path: Path) -> None:
    longer = [*WORDS, "<|a|>"]
    parents = {"expert": (WORDS, 48), "other": (longer, 49), "base": (longer, 49)}
    found = plan(tmp_path, parents, base="base", tokenizer="base")
    assert placed(found, "expert")[48] == (2, 48)
    # without a base it is the mean of those that have one
    found = plan(tmp_path / "b", parents, tokenizer="other")
    assert found.gathers["expert"].means[48] == (Place(1, 48), Place(2, 48))


def test_a_row_of_a_token_is_nobody_s_padding(tmp_path: Path) -> None:
    """The expert keeps a word where the base has padding: that row goes with the word."""
    plan(tmp_path, {"base": (WORDS, 52), "expert": (WORDS, 52)})
    data = tokenizer_json(WORDS)
    data["model"]["vocab"]["word44"] = 50
    models.write(tmp_path / "expert" / "tokenizer.json", data)
    opened = {name: Checkpoint.open(tmp_path / name) for name in ("base", "expert")}
    found = plan_vocabulary(opened, "base", base="base")
    assert placed(found, "expert")[46:] == [
        (1, 46),
        (1, 50),
        *((1, i) for i in (48, 49)),
        (0, 50),
        (1, 51),
    ]


def test_a_token_beyond_its_parent_s_rows_is_no_token_of_it(tmp_path: Path) -> None:
    longer = [*WORDS, "<|a|>"]
    parents = {"base": (longer, 48), "expert": (longer, 49)}
    found = plan(tmp_path, parents, base="base")
    assert found.n_rows == 49 and placed(found, "base")[48] == (1, 48)
    # where nobody has a row for it none is made up: all stay as they are
    parents = {"base": (longer, 48), "expert": (longer, 48)}
    found = plan(tmp_path / "b", parents, base="base")
    assert found.n_rows == 48 and not found.gathers
    assert [check.state for check in found.checks] == ["warn"]
    assert "1 token (<|a|>) without an embedding" in found.checks[0].detail


def test_without_tokenizers_equal_rows_merge_and_others_do_not(tmp_path: Path) -> None:
    found = plan(tmp_path, {"base": ([], 48), "expert": ([], 48)})
    assert found.gathers == {} and [check.state for check in found.checks] == ["warn"]
    found = plan(tmp_path / "b", {"base": ([], 48), "expert": ([], 50)})
    assert [check.state for check in found.checks] == ["warn", "bad"]
    assert "base has 48 and expert has 50" in found.checks[1].detail


def test_a_parent_without_a_tokenizer_has_the_donor_s(tmp_path: Path) -> None:
    found = plan(tmp_path, {"base": ([], 48), "expert": (WORDS, 50)})
    assert found.stem == "expert" and found.n_rows == 50
    assert placed(found, "base")[47:] == [(0, 47), (1, 48), (1, 49)]


def test_an_output_embedding_of_other_rows_is_refused(tmp_path: Path) -> None:
    tensors = models.weights(0)
    tensors["lm_head.weight"] = models.weights(0, vocabulary=64)["lm_head.weight"]
    parents = {"base": (WORDS, 48), "expert": (WORDS, 50)}
    plan(tmp_path, parents)
    (tmp_path / "base" / "model.safetensors").unlink()
    models.write_model(tmp_path / "made", tensors)
    (tmp_path / "made" / "model.safetensors").rename(tmp_path / "base" / "model.safetensors")
    opened = {name: Checkpoint.open(tmp_path / name) for name in parents}
    found = plan_vocabulary(opened, "expert")
    assert any("lm_head.weight of base has other rows" in one.detail for one in found.checks)


# ------------------------------------------------------------- what a recipe says of single tokens


def test_wishes(tmp_path: Path) -> None:
    parents = {"base": (WORDS, 48), "expert": ([*WORDS, "<|a|>"], 49)}
    tokens = {
        "<|a|>": {"source": {"model": "base", "token": "word3"}},
        "word0": {"source": "expert", "force": True},
        "word1": {"source": "expert"},
        "<|new|>": {"source": "zero"},
        "<|id|>": {"source": {"kind": "model_token", "model": "expert", "token_id": 7}},
    }
    found = plan(tmp_path, parents, base="base", tokenizer="expert", tokens=tokens)
    told = [check.detail for check in found.checks]
    assert told[1:] == [
        "The recipe says where 5 tokens (<|a|>, word0, word1 and 2 more) get their embeddings from."
    ]
    assert found.tokens is not None
    assert [found.tokens[one] for one in ("<|a|>", "<|new|>", "<|id|>")] == [48, 49, 50]
    base, expert = placed(found, "base"), placed(found, "expert")
    assert base[48:] == [(0, WORDS.index("word3")), (ZERO, -1), (1, 7)]
    assert expert[48:] == [(1, 48), (ZERO, -1), (1, 7)]
    assert base[3] == expert[3] == (1, 3)  # forced
    assert base[4] == (0, 4)  # has one of its own


@pytest.mark.parametrize(
    ("tokens", "part"),
    [
        ({"word0": 3}, "must be keys and values"),
        ({"word0": {"sauce": "base"}}, 'Did you mean "source"?'),
        ({"word0": {"source": "nobody"}}, '"nobody", which is no model of the recipe'),
        ({"word0": {"source": {"model": "base"}}}, "source must be"),
        ({"word0": {"source": {"model": "base", "token": "x", "token_id": 1}}}, "must be"),
        ({"word0": {"source": {"model": "base", "token_id": True}}}, "must be"),
        ({"word0": {"source": {"kind": "ones"}}}, "must be"),
        ({"word0": {"force": True}}, "has no source"),
        ({"word0": {"source": "base", "force": 1}}, "true or false"),
        ({"": {"source": "base"}}, "the text of a token"),
    ],
)
def test_wishes_of_another_form(tokens: Any, part: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_wishes(tokens, ["base"])
    assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("tokens", "part"),
    [
        ({"<|n|>": {}}, "no model has that token"),
        ({"<|n|>": None}, "no model has that token"),
        ({"<|n|>": {"source": "base"}}, "which has no such token"),
        ({"word0": {"source": {"model": "base", "token": "x"}}}, '"x" from base'),
        ({"word0": {"source": {"model": "base", "token_id": 48}}}, '"number 48" from base'),
    ],
)
def test_wishes_that_cannot_be(tokens: Any, part: str, tmp_path: Path) -> None:
    found = plan(tmp_path, {"base": (WORDS, 48)}, tokens=tokens)
    bad = [check.detail for check in found.checks if check.state == "bad"]
    assert len(bad) == 1 and part in bad[0], bad


# ------------------------------------------------------------------------------------- fills, views


def test_fills_by_hand() -> None:
    own = [rows(0, 1, -1, -1, 4, -1), rows(5, -1, 7, -1, -1, -1), rows(2, -1, 1, -1, -1, 3)]
    found = choose_fills(own, 5, base=None, wishes={}, forced=())
    assert found.parents[1:].tolist() == [0, MEAN, ZERO, 0, 2]
    assert found.means == {2: (Place(1, 7), Place(2, 1))}
    found = choose_fills(own, 3, base=1, wishes={0: None, 1: Place(2, 9)}, forced=[0])
    assert found.parents.tolist() == [ZERO, 2, 1, OWN_MEAN, 0, 2]
    assert found.rows.tolist() == [-1, 9, 7, -1, 4, 3] and found.means == {}
    first = gather(0, own[0], found, 3)
    assert first.parents.tolist() == [ZERO, 0, 1, OWN_MEAN, 0, 2]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_view_is_its_rows_in_any_pieces(data: st.DataObject) -> None:
    """Against picking every row by itself."""
    width = data.draw(st.integers(1, 5))
    counts = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    source = np.random.default_rng(0)
    matrices = [source.normal(size=(n, width)).astype(np.float32) for n in counts]
    n_rows = data.draw(st.integers(1, 20))
    n_tokens = data.draw(st.integers(1, n_rows))
    owners, places, means, expected = [], [], {}, np.zeros((n_rows, width), np.float32)
    step = st.sampled_from(["next", "next", "jump", "zero", "mean"])
    last = Place(0, -1)
    for row in range(n_tokens):
        kind = data.draw(step)
        if kind == "next" and last.row + 1 < counts[last.parent]:
            last = Place(last.parent, last.row + 1)
        elif kind in ("next", "jump"):
            parent = data.draw(st.integers(0, len(counts) - 1))
            last = Place(parent, data.draw(st.integers(0, counts[parent] - 1)))
        if kind in ("next", "jump"):
            owners.append(last.parent)
            places.append(last.row)
            expected[row] = matrices[last.parent][last.row]
        else:
            owners.append(ZERO if kind == "zero" else MEAN)
            places.append(-1)
        if kind == "mean":
            means[row] = tuple(Place(i, n - 1) for i, n in enumerate(counts))
            total = np.zeros(width, np.float32)
            for matrix in matrices:
                total += matrix[-1]
            expected[row] = total / np.float32(len(matrices))
    for row in range(n_tokens, n_rows):
        owners.append(OWN_MEAN)
        places.append(-1)
        expected[row] = expected[:n_tokens].astype(np.float64).sum(axis=0) / n_tokens
    found = Gather(np.array(owners, np.int16), rows(*places), means, n_tokens)
    view = RowsView("x", {i: Matrix(one) for i, one in enumerate(matrices)}, found)
    assert view.shape == (n_rows, width)
    flat = expected.reshape(-1)
    start = data.draw(st.integers(0, flat.size))
    stop = data.draw(st.integers(start, flat.size))
    out = np.full(stop - start, np.nan, np.float32)
    view.values_into(start, stop, out)
    np.testing.assert_allclose(out, flat[start:stop], rtol=1e-6)
    plain = not means and n_tokens == n_rows and any(one >= 0 for one in owners)
    assert (view.stored == "F32") == plain
    if view.stored:
        raw = bytearray(b"\xff" * out.nbytes)
        view.read_into(start, stop, memoryview(raw))
        assert bytes(raw) == flat[start:stop].tobytes()


def test_consecutive_rows_are_read_at_once() -> None:
    matrix = Matrix(np.zeros((1000, 8), np.float32))
    order = np.concatenate([np.arange(500, 1000), np.arange(500), [3]])
    found = Gather(np.zeros(1001, np.int16), order, {}, 1001)
    view = RowsView("x", {0: matrix}, found)
    view.values_into(0, 8008, np.empty(8008, np.float32))
    assert matrix.reads == 3


def test_parents_of_other_dtypes_are_values() -> None:
    a, b = Matrix(np.ones((2, 2), np.float32), "BF16"), Matrix(np.ones((2, 2), np.float32), "F32")
    found = Gather(np.array([0, 1], np.int16), rows(0, 0), {}, 2)
    assert RowsView("x", {0: a, 1: b}, found).stored is None
    found = Gather(np.array([0, ZERO], np.int16), rows(0, -1), {}, 2)
    assert RowsView("x", {0: a, 1: b}, found).stored == "BF16"


def test_embeddings_of_an_unknown_name_merge_where_nothing_moves(tmp_path: Path) -> None:
    def write(name: str, words: list[str]) -> Checkpoint:
        models.write_model(tmp_path / name, {"tower.words": torch.randn(48, 4)}, tokenizer=False)
        models.write(tmp_path / name / "tokenizer.json", tokenizer_json(words))
        return Checkpoint.open(tmp_path / name)

    parents = {"base": write("base", WORDS), "same": write("same", WORDS)}
    assert all(check.state != "bad" for check in plan_vocabulary(parents).checks)
    parents["other"] = write("other", [*WORDS[:3], *reversed(WORDS[3:])])
    found = [check for check in plan_vocabulary(parents).checks if check.state == "bad"]
    assert "no embedding of a known name" in found[0].detail


def test_other_architectures_and_a_bias_are_lined_up(tmp_path: Path) -> None:
    def write(name: str, count: int) -> Checkpoint:
        tensors = {
            "transformer.wte.weight": torch.randn(count, 4),
            "transformer.wpe.weight": torch.randn(8, 4),
            "lm_head.bias": torch.randn(count),
        }
        models.write_model(tmp_path / name, tensors, tokenizer=False)
        models.write(tmp_path / name / "tokenizer.json", tokenizer_json(WORDS[:count]))
        return Checkpoint.open(tmp_path / name)

    parents = {"base": write("base", 30), "expert": write("expert", 32)}
    found = plan_vocabulary(parents, "expert")
    base = parents["base"]
    assert found.rows_view(base, "transformer.wpe.weight") is None
    bias = found.rows_view(base, "lm_head.bias")
    assert bias is not None and bias.shape == (32,)
    out = np.empty(32, np.float32)
    bias.values_into(0, 32, out)
    expected = [*base.read("lm_head.bias")[:30], *parents["expert"].read("lm_head.bias")[30:]]
    np.testing.assert_array_equal(out, [float(one) for one in expected])
