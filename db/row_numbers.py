"""Whole numbers of our tables, bounded on their way into a statement."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Integer
from sqlalchemy.types import TypeDecorator

LARGEST = 2**31 - 1


class RowNumber(TypeDecorator[int]):
    """A number of 32 bits, as PostgreSQL has them.

    Numbers of rows come from addresses and commands, hence from anybody. One that is too large
    names no row; without this the database would call it an error.
    """

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> int | None:
        """The number itself, or the largest there is."""
        return None if value is None else max(-LARGEST, min(LARGEST, value))
