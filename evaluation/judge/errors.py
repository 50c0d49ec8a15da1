"""What can go wrong with a judge, each as one plain sentence; no key ever stands in one."""

from __future__ import annotations

from evaluation.errors import EvaluationFailure, SuiteError


class JudgeError(SuiteError):
    """Wrong input: an unknown set, a malformed question, an address, a missing consent."""


class JudgeFailure(EvaluationFailure):
    """The input was fine and the judge could not be asked: no answer, refused, not its format."""
