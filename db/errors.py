"""What can go wrong with the database, said in one plain sentence."""

from __future__ import annotations


class DatabaseError(Exception):
    """The database cannot be opened, read or written.

    Attributes:
        exit_code: 2 when the database is of the wrong kind (a newer version, not a database),
            1 when the machine is in the way (locked, no permission, full disk).
        transient: whether the same statement may succeed later.
    """

    def __init__(self, message: str, *, exit_code: int = 1, transient: bool = False) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.transient = transient
