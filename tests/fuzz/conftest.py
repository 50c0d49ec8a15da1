"""What a fuzz run came to: inputs by kind, and the slowest of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz import judged

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """A table, in the long form alone."""
    if not judged.LONG:
        return
    terminalreporter.section("fuzzing")
    for what, count in sorted(judged.seen.items()):
        slowest = judged.slowest.get(what, 0.0)
        terminalreporter.write_line(f"{what:28} {count:6,} inputs, slowest {slowest:.2f} CPU s")
    terminalreporter.write_line(f"{sum(judged.seen.values()):,} calls judged")
