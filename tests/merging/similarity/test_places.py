"""Where a tensor sits, by its name."""

from __future__ import annotations

import pytest

from merging.similarity.places import OTHER, place, rows_and_columns


@pytest.mark.parametrize(
    ("name", "row", "column"),
    [
        ("model.embed_tokens.weight", "embeddings", OTHER),
        ("model.layers.11.self_attn.q_proj.weight", "layer 11", "q_proj"),
        ("model.layers.0.self_attn.q_proj.bias", "layer 0", "q_proj bias"),
        ("model.layers.2.post_attention_layernorm.weight", "layer 2", "post_attention_layernorm"),
        ("model.layers.3.block_sparse_moe.experts.7.w1.weight", "layer 3", "experts w1"),
        ("model.layers.3.mlp.experts.7.down_proj.weight", "layer 3", "experts down_proj"),
        ("model.layers.3.mlp.shared_expert.down_proj.weight", "layer 3", "shared down_proj"),
        ("transformer.h.4.attn.c_attn.weight", "layer 4", "c_attn"),
        ("gpt_neox.layers.1.attention.query_key_value.weight", "layer 1", "query_key_value"),
        ("model.language_model.layers.5.mlp.up_proj.weight", "layer 5", "up_proj"),
        ("model.norm.weight", "final norm", OTHER),
        ("lm_head.weight", "output head", OTHER),
        ("score.weight", "score", OTHER),
        ("x", "x", OTHER),
    ],
)
def test_place(name: str, row: str, column: str) -> None:
    found = place(name)
    assert (found.row, found.column) == (row, column)


def test_rows_follow_the_forward_pass() -> None:
    names = [
        "lm_head.weight", "model.embed_tokens.weight", "model.norm.weight",
        *(f"model.layers.{i}.{part}.weight" for i in (10, 2)
          for part in ("mlp.down_proj", "self_attn.q_proj", "self_attn.odd", "input_layernorm")),
        "model.layers.2.self_attn.q_proj.bias",
    ]  # fmt: skip
    rows, columns = rows_and_columns(names)
    assert rows == ["embeddings", "layer 2", "layer 10", "final norm", "output head"]
    assert columns == ["input_layernorm", "q_proj", "q_proj bias", "down_proj", "odd", OTHER]
