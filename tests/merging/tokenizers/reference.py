"""The rows of a merge, token by token from dictionaries: slow, plain, and written on its own."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tests.merging.models import Tensors


def lined_up(
    tensor: Mapping[str, torch.Tensor],
    numbers: Mapping[str, Mapping[str, int]],
    result: Mapping[str, int],
    n_rows: int,
    base: str | None,
) -> dict[str, torch.Tensor]:
    """Every parent's matrix in the rows of the result.

    Args:
        tensor: parent -> its matrix of one row per token.
        numbers: parent -> its token -> id.
        result: token -> id of the result.
        n_rows: of the result.
        base: whose row stands in for a token that a parent lacks.
    """
    found = {name: torch.full((n_rows, one.shape[1]), torch.nan) for name, one in tensor.items()}
    tokens = {place: token for token, place in result.items()}
    for row in range(n_rows):
        have = {}
        for name, matrix in tensor.items():
            if row in tokens:
                place = numbers[name].get(tokens[row], len(matrix))
            else:
                there = [token for token, number in numbers[name].items() if number == row]
                place = len(matrix) if there and there[0] in result else row
            if place < len(matrix):
                have[name] = matrix[place].float()
        for name, matrix in tensor.items():
            if name in have:
                value = have[name]
            elif base in have:
                value = have[base]
            elif have:
                value = sum(have.values()) / len(have)  # type: ignore[assignment]
            else:
                value = torch.zeros(matrix.shape[1])
            found[name][row] = value
    return found


def merged(
    parents: Mapping[str, Tensors],
    numbers: Mapping[str, Mapping[str, int]],
    result: Mapping[str, int],
    n_rows: int,
    weights: Mapping[str, float],
    *,
    tied: bool,
) -> Tensors:
    """base + sum of w_i (theta_i - base), tensor by tensor."""
    names = list(parents["base"])
    if not tied and "lm_head.weight" not in names:
        names.append("lm_head.weight")
    found = {}
    for name in names:
        own = {
            ref: tensors.get(name, tensors["model.embed_tokens.weight"]).float()
            for ref, tensors in parents.items()
        }
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            own = lined_up(own, numbers, result, n_rows, "base")
        found[name] = own["base"] + sum(w * (own[ref] - own["base"]) for ref, w in weights.items())
    return found
