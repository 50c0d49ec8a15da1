"""A reply that knows how it ended, which the harness's plain text does not."""

from __future__ import annotations


class Reply(str):
    """Text of a reply.

    Filters that pass the text on unchanged (``take_first``) pass this on, so a task's
    ``process_results`` can tell an answer that was cut off from one that was never given.

    Attributes:
        stopped: "eos", "until", or "length" when the limit of new tokens cut it off.
    """

    stopped: str | None

    def __new__(cls, text: str, stopped: str | None = None) -> Reply:
        """Text and how it ended."""
        reply = super().__new__(cls, text)
        reply.stopped = stopped
        return reply
