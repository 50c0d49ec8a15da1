"""Any vocabularies, any rows: every parent's rows are those that a plain search finds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.checkpoints.checkpoint import Checkpoint
from merging.tokenizers.planning import plan_vocabulary
from tests.merging import models
from tests.merging.models import tokenizer_json
from tests.merging.tokenizers import reference

WORDS = ["<s>", "<p>", "<e>", *"abcdefgh"]
EMBEDDING = "model.embed_tokens.weight"

parent = st.tuples(
    st.permutations(WORDS), st.integers(3, len(WORDS)), st.integers(0, 4), st.booleans()
)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(parent, min_size=1, max_size=4),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([None, 1, 4]),
)
def test_rows_against_a_plain_search(
    drawn: list[tuple[list[str], int, int, bool]], donor: int, with_base: bool, pad: int | None
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        parents, matrices, numbers = {}, {}, {}
        for place, (order, count, padding, in_order) in enumerate(drawn):
            words = (WORDS if in_order else order)[:count]
            ref = f"m{place}"
            matrix = torch.randn(count + padding, 3)
            models.write_model(root / ref, {EMBEDDING: matrix}, dtype=None, tokenizer=False)
            models.write(root / ref / "tokenizer.json", tokenizer_json(words))
            parents[ref] = Checkpoint.open(root / ref)
            matrices[ref], numbers[ref] = matrix, {word: i for i, word in enumerate(words)}
        taken = f"m{donor % len(drawn)}"
        base = "m0" if with_base else None
        found = plan_vocabulary(parents, taken, None, pad, base=base)
        assert found.tokens == numbers[taken] and found.n_rows is not None
        assert found.n_rows >= len(matrices[taken]) and found.n_rows % (pad or 1) == 0
        expected = reference.lined_up(matrices, numbers, found.tokens, found.n_rows, base)
        for ref, one in parents.items():
            view = found.rows_view(one, EMBEDDING)
            ours = np.empty(found.n_rows * 3, np.float32)
            if view is None:
                one.values_into(EMBEDDING, 0, ours.size, ours)
            else:
                view.values_into(0, ours.size, ours)
            ours = ours.reshape(-1, 3)
            # rows that nobody has are zeros in the plain search, here the mean of tokens' rows
            nobody = ~expected[ref].any(dim=1)
            expected[ref][nobody] = expected[ref][: len(found.tokens)].mean(dim=0)
            np.testing.assert_allclose(ours, expected[ref].numpy(), rtol=1e-5, atol=1e-6)
            one.close()
