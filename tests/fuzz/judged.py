"""What every fuzz test asks: an answer or a sentence, within five seconds, whatever comes in.

Without `CRUCIBLE_FUZZ` each test takes a few inputs; `CRUCIBLE_FUZZ=10000 pytest tests/fuzz` is the
long form, with so many inputs altogether, and other ones each time.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings

LONG = int(os.environ.get("CRUCIBLE_FUZZ", "0"))
QUICK_TESTS = 14  # that share the long form's inputs
MOST_SECONDS = 5
MOST_LETTERS = 2000  # of a sentence
seen: Counter[str] = Counter()
slowest: dict[str, float] = {}


class Hang(BaseException):
    """An input took longer than anybody waits; no `except Exception` swallows it."""


def inputs(few: int, *, slow: bool = False) -> settings:
    """Hypothesis' settings: a few inputs every day, a share of `CRUCIBLE_FUZZ` in the long form.

    Args:
        few: every day.
        slow: an input takes a tenth of a second or more; the long form then has a tenth of them.
    """
    many = LONG // QUICK_TESTS // (10 if slow else 1)
    return settings(
        max_examples=max(many, few),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=not LONG,  # every day the same ones: a failure is the change's, not luck's
        database=None,
        print_blob=True,
    )


def judge(call: Callable[[], Any], what: str) -> Any:
    """The result of a call; None where it refused in a sentence for the user.

    Anything else that it raises, a sentence nobody could read, and five seconds fail.
    """
    seen[what] += 1
    started = time.process_time()
    try:
        with in_time():
            return call()
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        check_sentence(str(error))
        return None
    finally:
        slowest[what] = max(slowest.get(what, 0.0), time.process_time() - started)


def check_sentence(text: str) -> None:
    """A message for a person: some words, not a dump."""
    assert text.strip() and len(text) <= MOST_LETTERS, f"{len(text)} letters: {text[:300]}"
    for sign in ("Traceback", 'File "', "object at 0x"):
        assert sign not in text, text[:500]


@contextmanager
def in_time(seconds: float = MOST_SECONDS) -> Iterator[None]:
    """Raise `Hang` when the block takes longer; CPU time, so that a busy machine fails nobody."""

    def ring(_number: int, _frame: Any) -> None:
        raise Hang(f"longer than {seconds} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
