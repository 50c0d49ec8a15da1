"""One evaluation's answers, looked through for every sign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evaluation.signatures.chat_format import template_pieces
from evaluation.signatures.endings import is_empty, is_endless
from evaluation.signatures.kinds import KINDS, SIGNATURES_VERSION
from evaluation.signatures.language import is_wrong_language
from evaluation.signatures.repetition import is_repetition


@dataclass(frozen=True, slots=True)
class Said:
    """One generated reply as it is stored.

    Attributes:
        doc_id: item number in the task.
        prompt: what was asked, as the model saw it.
        output: the reply.
        target: the right answer.
        stopped: "eos", "until", "length", or None where that was not kept.
        stray: special tokens in the reply, which ``output`` leaves out.
    """

    doc_id: int
    prompt: str
    output: str
    target: str = ""
    stopped: str | None = None
    stray: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counts:
    """What was found among the replies of one evaluation.

    Attributes:
        asked: item numbers of the generated replies that were looked at.
        found: kind -> item numbers that show it.
        chat: the questions were put with a chat template.
    """

    asked: tuple[int, ...] = ()
    found: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    chat: bool = False

    def as_data(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "version": SIGNATURES_VERSION,
            "chat": self.chat,
            "asked": list(self.asked),
            "found": {kind: list(items) for kind, items in self.found.items()},
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any] | None) -> Counts | None:
        """What ``as_data`` gave; None for nothing, and for what earlier rules counted."""
        if not data or data.get("version") != SIGNATURES_VERSION:
            return None
        found = {str(kind): tuple(items) for kind, items in dict(data["found"]).items()}
        return cls(tuple(data["asked"]), found, bool(data["chat"]))


def look(replies: Iterable[Said], *, chat: bool = False) -> Counts:
    """Count the replies that show each sign.

    Args:
        replies: of one evaluation.
        chat: the questions were put with a chat template.
    """
    asked: list[int] = []
    found: dict[str, list[int]] = {}
    for reply in replies:
        asked.append(reply.doc_id)
        for kind in signs_of(reply, chat=chat):
            found.setdefault(kind, []).append(reply.doc_id)
    return Counts(tuple(asked), {kind: tuple(items) for kind, items in found.items()}, chat)


def signs_of(reply: Said, *, chat: bool = False) -> list[str]:
    """The signs that one reply shows, in the order of ``KINDS``; an empty reply shows only that.

    A loop that runs into the limit is repetition, and does not count as not ending too.
    """
    pieces = template_pieces(reply.output, reply.stray, reply.target)
    if is_empty(reply.output):
        return [*(["chat_format"] if pieces else []), "empty"]
    repeated = is_repetition(reply.output, reply.target)
    endless = not repeated and is_endless(reply.output, reply.stopped)
    shown = {
        "chat_format": bool(pieces),
        "turn": endless,
        "endless": endless,
        "repetition": repeated,
        "language": is_wrong_language(reply.output, reply.prompt, reply.target),
    }
    return [name for name, kind in KINDS.items() if shown.get(name) and kind.counts(chat)]


def generated(answers: Iterable[Mapping[str, Any]]) -> list[Said]:
    """The generated replies among a score event's answers; choices that were scored are none."""
    return [
        Said(
            doc_id=int(answer["doc_id"]),
            prompt=str(answer["prompt"]),
            output=str(answer["output"]),
            target=str(answer["target"]),
            stopped=answer.get("stopped"),
            stray=tuple(answer.get("stray") or ()),
        )
        for answer in answers
        if not answer.get("choices")
    ]
