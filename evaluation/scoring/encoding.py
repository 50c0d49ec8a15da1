"""Text to tokens, by lm-evaluation-harness's rules.

Which special tokens a text gets, and where a continuation starts in the tokens of context plus
continuation, decide a score as much as the model does; so this follows ``HFLM`` (lm-eval 0.4.13)
to the token. Two departures, both where its numbers are accidents:

* ``add_bos_token=True`` always yields a leading BOS. HFLM only asks the tokenizer for special
  tokens, and a tokenizer without a post-processor silently adds none.
* A token that spans the join of context and continuation (common in Japanese, where no space
  protects the join) is scored as a whole, from the last token that all continuations of an item
  share. HFLM cuts such a continuation wrongly, or stops the run when nothing is left of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Rust tokenizes a list several times faster than single texts; the bound keeps cancelling prompt.
_TEXTS_AT_ONCE = 2_000


@dataclass(frozen=True)
class Pair:
    """A context and one continuation, as tokens.

    Attributes:
        context: token ids the model is shown, never empty.
        continuation: token ids that are scored.
        joined: a token spanned the join, so ``continuation`` starts inside the context's text.
    """

    context: list[int]
    continuation: list[int]
    joined: bool = False


class Encoder:
    """A tokenizer with the harness's rules for special tokens.

    Args:
        tokenizer: of the model.
        add_bos_token: True or False to force, None for the tokenizer's own habit.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, add_bos_token: bool | None) -> None:
        self.tokenizer = tokenizer
        self.add_bos_token = add_bos_token
        bos = tokenizer.bos_token_id
        self.prefix_token_id = int(bos if bos is not None else tokenizer.eos_token_id or 0)
        self._prefix_text = str(tokenizer.decode([self.prefix_token_id]))

    def encode(self, texts: Sequence[str], special: bool | None = None) -> list[list[int]]:
        """Tokens of each text.

        Args:
            texts: any number of them.
            special: add special tokens; None: as ``add_bos_token`` says, and not to a text that
                already starts with BOS (a rendered chat template).

        Returns:
            One list of token ids per text.
        """
        result: list[list[int]] = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            result += self._encode(list(texts[start : start + _TEXTS_AT_ONCE]), special)
        return result

    def _encode(self, texts: list[str], special: bool | None) -> list[list[int]]:
        if special is not None:
            return self._call(texts, special)
        has_bos = [bool(self._prefix_text) and t.startswith(self._prefix_text) for t in texts]
        bare = iter(self._call([t for t, has in zip(texts, has_bos, strict=True) if has], False))
        rest = self._call(
            [t for t, has in zip(texts, has_bos, strict=True) if not has], self.add_bos_token
        )
        if self.add_bos_token and self.tokenizer.bos_token_id is not None:
            bos = int(self.tokenizer.bos_token_id)
            rest = [tokens if tokens[:1] == [bos] else [bos, *tokens] for tokens in rest]
        others = iter(rest)
        return [next(bare) if has else next(others) for has in has_bos]

    def _call(self, texts: list[str], special: bool | None) -> list[list[int]]:
        if not texts:
            return []
        kwargs = {} if special is None else {"add_special_tokens": special}
        encoded = self.tokenizer(
            texts, return_attention_mask=False, return_token_type_ids=False, **kwargs
        )
        return [list(map(int, tokens)) for tokens in encoded["input_ids"]]

    def encode_pairs(
        self, pairs: Sequence[tuple[str, str]], items: Sequence[Hashable]
    ) -> list[Pair]:
        """Tokens of (context, continuation) pairs; continuations may be empty of tokens.

        Args:
            pairs: texts. Blanks at a context's end move to the continuation, as in the harness.
            items: for each pair, the item it belongs to: when a token spans the join in one
                choice of an item, all its choices are scored from the same token.

        Returns:
            One Pair per pair.
        """
        moved = [_move_blanks(context, continuation) for context, continuation in pairs]
        whole = self.encode([context + continuation for context, continuation in moved])
        distinct = list(dict.fromkeys(context for context, _ in moved if context))
        contexts = dict(zip(distinct, self.encode(distinct), strict=True))
        shared = _stable_lengths(
            ((item, context), contexts[context], tokens)
            for item, (context, _), tokens in zip(items, moved, whole, strict=True)
            if context
        )
        result = []
        for item, (context, continuation), tokens in zip(items, moved, whole, strict=True):
            if context:
                length = shared[item, context]
                joined = length < len(contexts[context])
                result.append(Pair(tokens[:length], tokens[length:], joined))
            else:
                result.append(self._alone(continuation))
        return result

    def _alone(self, continuation: str) -> Pair:
        """A continuation without context is scored after BOS (or EOS where there is none)."""
        (tokens,) = self.encode([continuation], special=False)
        if tokens[:1] == [self.prefix_token_id]:
            return Pair(tokens[:1], tokens[1:])
        return Pair([self.prefix_token_id], tokens)


class KeptEncoder(Encoder):
    """An encoder that keeps what it has encoded: for the same questions to many models.

    What it gives must not be changed by who gets it. It holds the tokens of everything it was ever
    asked for, a few bytes per token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, add_bos_token: bool | None) -> None:
        super().__init__(tokenizer, add_bos_token)
        self._kept: dict[Hashable, list[list[int]]] = {}
        self._kept_pairs: dict[Hashable, list[Pair]] = {}

    def encode(self, texts: Sequence[str], special: bool | None = None) -> list[list[int]]:
        """As `Encoder.encode`."""
        key = (tuple(texts), special)
        if key not in self._kept:
            self._kept[key] = super().encode(texts, special)
        return self._kept[key]

    def encode_pairs(
        self, pairs: Sequence[tuple[str, str]], items: Sequence[Hashable]
    ) -> list[Pair]:
        """As `Encoder.encode_pairs`."""
        key = (tuple(pairs), tuple(items))
        if key not in self._kept_pairs:
            plain = Encoder(self.tokenizer, self.add_bos_token)
            self._kept_pairs[key] = plain.encode_pairs(pairs, items)
        return self._kept_pairs[key]


def _move_blanks(context: str, continuation: str) -> tuple[str, str]:
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation


def _stable_lengths(
    encoded: Iterable[tuple[Hashable, list[int], list[int]]],
) -> dict[Hashable, int]:
    """Key -> number of leading context tokens that every continuation of the key leaves alone.

    At least one token stays in front: a model cannot score its first token.
    """
    lengths: dict[Hashable, int] = {}
    for key, context, whole in encoded:
        stable = common_prefix(context, whole)
        lengths[key] = max(1, min(stable, lengths.get(key, len(context))))
    return lengths


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Number of leading tokens that two sequences share."""
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    return next(i for i in range(n) if a[i] != b[i])
