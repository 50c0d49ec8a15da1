"""The likeliest next token without most of the output head's arithmetic.

The head of a small model is a quarter to a half of its work, and of its product greedy decoding
wants one entry. So the product is taken with numbers of 8 bits first, which processors multiply
several times faster, and only those entries are computed in full that can still be the largest:
how far the 8-bit product can be off is known, so the answer is the one that the whole product
gives.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import torch
from torch.nn.functional import linear

_GROUP = 64  # entries whose largest is looked at first
_PART = 2000  # entries computed in full at a time: with 128 answers, 1 MB of logits
_FEWEST = 4096  # entries of a vocabulary worth the trouble
_MOST = 64  # candidates per answer, on average; with more the whole product is as fast
_BYTES = 32 << 20  # of 8-bit products at a time


class Head:
    """An output head that tells the likeliest entry.

    Args:
        weight: shape (vocabulary, size).
        bias: shape (vocabulary,) or None.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight = weight
        self.bias = bias
        self._screen: Screen | None = None
        self._chances = 3 if self._worth_it() else 0

    def _worth_it(self) -> bool:
        return (
            self.bias is None
            and self.weight.device.type == "cpu"
            and self.weight.dtype == torch.float32
            and self.weight.shape[0] >= _FEWEST
            and eight_bits_are_fast(self.weight.shape[1])
        )

    def __call__(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and logits (NaN where any is) of the likeliest entries.

        Args:
            hidden: shape (n, size).

        Returns:
            Both of shape (n,); of equal logits the first entry's id.
        """
        if self._chances and torch.isfinite(hidden).all():
            if self._screen is None:
                self._screen = Screen.of(self.weight, hidden)
            found = self._screened(hidden, self._screen)
            if found is not None:
                return found
            # Bounds too wide for these states, or not finite: after a few times, give up.
            self._chances -= 1
            if not self._chances:
                self._screen = None
        if hidden.device.type != "cpu":
            highest, best = linear(hidden, self.weight, self.bias).max(dim=-1)
            return best, highest.float()
        return highest_of_head(hidden, self.weight, self.bias)

    def _screened(
        self, hidden: torch.Tensor, screen: Screen
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        rows = max(16, _BYTES // (4 * screen.codes.shape[0]))
        parts = []
        for part in hidden.split(rows):
            found = screen.candidates(part)
            if found is None:
                return None
            parts.append(self._best_of(part, *found))
        best, highest = zip(*parts, strict=True)
        return torch.cat(best), torch.cat(highest)

    def _best_of(
        self, hidden: torch.Tensor, rows: torch.Tensor, ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The likeliest of some candidates, ids[i] being one of rows[i]."""
        logits = (hidden[rows] * self.weight[ids]).sum(-1)
        highest = hidden.new_full((len(hidden),), -torch.inf)
        highest.scatter_reduce_(0, rows, logits, "amax")
        vocabulary = self.weight.shape[0]
        first = torch.where(logits == highest[rows], ids, vocabulary)
        best = torch.full((len(hidden),), vocabulary, dtype=torch.long)
        return best.scatter_reduce_(0, rows, first, "amin"), highest


@dataclass
class Screen:
    """A head in 8 bits, and how far that is off.

    With w = step * c + e for each entry and h = s * d + f for a state (c and d 8-bit numbers), the
    logit h.w is step * s * (d.c) + f.w + (s * d).e, and by Cauchy and Schwarz the last two are at
    most |f| max|w| + |s * d| max|e|. Columns are scaled first so that those with large states have
    small weights: their product is the same, the error less.

    Attributes:
        codes: c, shape (entries, size), zeros behind the vocabulary's end.
        vocabulary: entries that are real.
        scale: of the columns, shape (size,): weights were multiplied by it.
        step: a code of 1 as a weight.
        longest: the largest |w|.
        error: the largest |e|.
    """

    codes: torch.Tensor
    vocabulary: int
    scale: torch.Tensor
    step: float
    longest: float
    error: float

    @classmethod
    def of(cls, weight: torch.Tensor, hidden: torch.Tensor) -> Screen:
        """A head's screen, its columns scaled for states like these, shape (n, size)."""
        size = weight.shape[1]
        widest = torch.zeros(size)
        for part in weight.split(_PART):
            torch.maximum(widest, part.abs().amax(0), out=widest)
        usual = hidden.abs().amax(0)
        usual = usual.clamp(min=float(usual.max()) / 1000 + 1e-30)
        scale = (usual / widest.clamp(min=float(widest.max()) / 1000 + 1e-30)).sqrt()
        step = max(float((widest * scale).max()) / 127, 1e-30)
        entries = -(-weight.shape[0] // _GROUP) * _GROUP
        codes = torch.zeros(entries, size, dtype=torch.int8)
        longest = error = 0.0
        for start in range(0, weight.shape[0], _PART):
            part = weight[start : start + _PART] * scale
            code = (part / step).round()
            codes[start : start + len(part)] = code.to(torch.int8)
            longest = max(longest, float(part.norm(dim=-1).max()))
            error = max(error, float((part - code * step).norm(dim=-1).max()))
        return cls(codes, weight.shape[0], scale, step, longest, error)

    def candidates(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Entries that can be the likeliest, for states of shape (n, size).

        Returns:
            Rows of ``hidden`` and ids, one of each per candidate, every row having one at least;
            None when they are too many, or the head is not finite.
        """
        scaled = hidden / self.scale
        steps = scaled.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127
        codes = (scaled / steps).round()
        kept = codes * steps
        norms = torch.stack([(scaled - kept).norm(dim=-1), kept.norm(dim=-1)])
        off = norms[0] * self.longest + norms[1] * self.error
        off = off + 1e-5 * (norms.sum(0) * self.longest)  # rounding of these very sums
        products = torch._int_mm(codes.to(torch.int8), self.codes.t())
        products[:, self.vocabulary :] = torch.iinfo(torch.int32).min
        grouped = products.view(len(hidden), -1, _GROUP)
        tops = grouped.amax(-1)
        allowed = (2 * off / (steps[:, 0] * self.step)).clamp(max=2e9)
        if not torch.isfinite(allowed).all():
            return None
        least = (tops.amax(-1).double() - allowed.double()).floor()
        least = least.clamp(min=-(2**31)).to(torch.int32)
        rows, groups = (tops >= least[:, None]).nonzero(as_tuple=True)
        if len(rows) > _MOST * len(hidden):
            return None
        which, inside = (grouped[rows, groups] >= least[rows, None]).nonzero(as_tuple=True)
        ids = groups[which] * _GROUP + inside
        rows = rows[which]
        real = ids < self.vocabulary  # all, unless the limit is as low as it can be
        rows, ids = rows[real], ids[real]
        return None if len(rows) > _MOST * len(hidden) else (rows, ids)


@cache
def eight_bits_are_fast(size: int) -> bool:
    """Whether this processor multiplies 8-bit numbers exactly, and much faster than float32."""
    states = torch.full((64, size), 127, dtype=torch.int8)
    codes = torch.full((1024, size), -127, dtype=torch.int8)
    codes[::2] = 127
    try:
        products = torch._int_mm(states, codes.t())
    except (RuntimeError, AttributeError):
        return False
    # Instructions that add pairs of products in 16 bits would be off here.
    if not bool((products[:, ::2] == size * 127**2).all() & (products[:, 1::2] < 0).all()):
        return False
    wide_states, wide = states.float(), codes.float()

    def seconds(whole: bool) -> float:
        start = time.process_time()
        for _ in range(3):
            linear(wide_states, wide) if whole else torch._int_mm(states, codes.t())
        return time.process_time() - start

    seconds(True)
    return min(seconds(False) for _ in range(3)) < 0.6 * min(seconds(True) for _ in range(3))


def highest_of_head(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and logits, shape (n,), of the likeliest entries for hidden states (n, size).

    A part of the vocabulary at a time, whose logits stay in the processor's cache.
    """
    best = highest = None
    for start in range(0, weight.shape[0], _PART):
        shift = None if bias is None else bias[start : start + _PART]
        value, index = linear(hidden, weight[start : start + _PART], shift).max(dim=-1)
        if best is None or highest is None:
            best, highest = index, value
            continue
        # Not "value > highest": NaN must stay, from wherever it comes.
        better = (value > highest) | value.isnan()
        best = torch.where(better, index + start, best)
        highest = torch.where(better, value, highest)
    assert best is not None and highest is not None
    return best, highest.float()
