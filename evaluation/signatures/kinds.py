"""The signs there are, with the rule of thumb of each in words for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SIGNATURES_VERSION = 1
"""Raised when a rule changes: what was counted by an earlier one is then counted again."""

LEAST_ITEMS = 3
"""Fewer replies than this are no sign, whatever their share."""


@dataclass(frozen=True)
class Kind:
    """One sign.

    Attributes:
        name: short, as it is stored.
        title: as it stands on a screen.
        rule: when one reply counts.
        share: of the generated replies, from which the sign is shown.
        chat: only replies to chat templates are looked at (True), or only others (False).
    """

    name: str
    title: str
    rule: str
    share: float
    chat: bool | None = None

    @property
    def task_share(self) -> float:
        """Share of a single task's replies from which the sign is shown, too."""
        return min(0.9, 4 * self.share)

    def counts(self, chat: bool) -> bool:
        """Whether replies asked with, or without, a chat template are looked at."""
        return self.chat is None or self.chat == chat

    @property
    def threshold(self) -> str:
        """From when on it is shown, in words."""
        return (
            f"shown from {100 * self.share:.0f} % of all replies or {100 * self.task_share:.0f} % "
            f"of one task's, {LEAST_ITEMS} of them at least"
        )


_ALL = (
    Kind(
        "chat_format",
        "Chat format broken",
        "a reply holds special tokens or pieces of a chat template, such as <|im_start|>, [INST], "
        "“### Response:” or a line that begins with “User:”",
        0.05,
    ),
    Kind(
        "turn",
        "Turns without an end",
        "a reply in a chat comes to the limit of new tokens without an end of turn, or goes on "
        "with a next question of its own",
        0.20,
        chat=True,
    ),
    Kind(
        "endless",
        "Texts without an end",
        "a reply outside of a chat comes to the limit of new tokens without a stop string or end "
        "of text, or goes on with a next question of its own",
        0.20,
        chat=False,
    ),
    Kind(
        "repetition",
        "Repetition",
        "at least half of a reply is one stretch said over and over (four times in a row, three "
        "for stretches of more than eight characters), or half of its runs of six words (or "
        "kana and kanji) came before in it",
        0.05,
    ),
    Kind(
        "language",
        "Wrong language",
        "less than a fifth of a reply's letters are of the script of the question or of the "
        "expected answer, or Chinese answers a Japanese question",
        0.05,
    ),
    Kind("empty", "Empty answers", "a reply holds nothing that can be seen", 0.05),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
