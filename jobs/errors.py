"""What can go wrong with jobs and registered models, said in one plain sentence."""

from __future__ import annotations


class JobError(Exception):
    """A job, a model's name or a worker cannot be what was asked for.

    Attributes:
        exit_code: 2 when the request is wrong, 1 when the machine is in the way.
    """

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
