"""Stop strings in text that grows token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evaluation.scoring.thinking import answer_start

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class StopStrings:
    """Finds stop strings in growing token lists without decoding at every step.

    Most tokens cannot end a stop string; which ones can is remembered by token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._texts: dict[int, str] = {}
        self._special: set[int] | None = None

    def found(self, tokens: list[int], until: Sequence[str], thought: bool | None = None) -> bool:
        """Whether the decoded tokens contain a stop string that their last token completed.

        Args:
            tokens: of the reply so far.
            until: the stop strings.
            thought: None counts them anywhere; else only from the answer on, behind the thoughts
                that the reply, or with True already the prompt, begins with.
        """
        if not until:
            return False
        piece = self._text(tokens[-1])
        # A replacement character is part of a letter: what it completes is known only with it.
        if not any(stop and (stop[-1] in piece or "\ufffd" in piece) for stop in until):
            return False
        text = self.decode(tokens)
        start = 0 if thought is None else answer_start(text, opened=thought)
        return start is not None and any(stop in text[start:] for stop in until if stop)

    def decode(self, tokens: list[int]) -> str:
        """Text of tokens, special ones skipped as the harness does."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def cut(self, tokens: list[int], until: Sequence[str], thought: bool | None = None) -> str:
        """Text of tokens up to the first stop string; ``thought`` as in ``found``."""
        text = self.decode(tokens)
        start = 0 if thought is None else answer_start(text, opened=thought)
        if start is None:
            return text
        answer = text[start:]
        for stop in until:
            if stop:
                answer = answer.split(stop)[0]
        return text[:start] + answer

    def special(self, tokens: Sequence[int]) -> tuple[str, ...]:
        """The special tokens among these, each once: what ``decode`` leaves out."""
        if self._special is None:
            added = self.tokenizer.added_tokens_decoder.items()
            self._special = {i for i, token in added if token.special}
            self._special |= set(self.tokenizer.all_special_ids)
        found = dict.fromkeys(token for token in tokens if token in self._special)
        return tuple(str(self.tokenizer.convert_ids_to_tokens(token)) for token in found)

    def _text(self, token: int) -> str:
        if token not in self._texts:
            self._texts[token] = self.decode([token])
        return self._texts[token]
