"""What can go wrong in an evaluation, each as one plain sentence."""

from __future__ import annotations

from typing import ClassVar


class EvaluationError(Exception):
    """Base of every error of this package; ``str(error)`` is meant for the user."""

    exit_code: ClassVar[int] = 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's own, a GPU's, or torch's on a CPU."""
    told = "can't allocate memory" in str(error) or "not enough memory" in str(error)
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or told


class SuiteError(EvaluationError):
    """Wrong input: an unknown suite or task, a malformed YAML, a limit out of range."""

    exit_code: ClassVar[int] = 2


class EvaluationFailure(EvaluationError):
    """The input was fine and the evaluation failed: an unreadable model, NaN, no memory."""

    exit_code: ClassVar[int] = 1


class TaskError(EvaluationFailure):
    """One task cannot be asked or scored; the rest of the suite can."""
