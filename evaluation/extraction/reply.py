"""A reply that knows how it ended, which the harness's plain text does not."""

from __future__ import annotations


class Reply(str):
    """Text of a reply.

    Filters that pass the text on unchanged (``take_first``) pass this on, so a task's
    ``process_results`` can tell an answer that was cut off from one that was never given.

    Attributes:
        stopped: "eos", "until", or "length" when the limit of new tokens cut it off.
        said: all that the model wrote; the text may be without the thoughts before its answer.
    """

    stopped: str | None
    said: str

    def __new__(cls, text: str, stopped: str | None = None, said: str | None = None) -> Reply:
        """Text, how it ended, and what else was said."""
        reply = super().__new__(cls, text)
        reply.stopped = stopped
        reply.said = text if said is None else said
        return reply

    @property
    def unfinished(self) -> bool:
        """Whether it is nothing but a thought that never ended."""
        return not self and bool(self.said.strip()) and self.stopped == "length"
