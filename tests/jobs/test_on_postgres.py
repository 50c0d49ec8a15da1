"""A part of the tests again, on PostgreSQL: the queue's rules and the board.

All of them run there with CRUCIBLE_TEST_DATABASE=postgresql.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.db.test_leaderboard_queries import *  # noqa: F403
from tests.jobs.test_queue import *  # noqa: F403


@pytest.fixture(autouse=True)
def there(postgres_database: str, home: Path) -> None:
    """Each test has its database on PostgreSQL."""
