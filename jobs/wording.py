"""Sentences that several parts of the jobs say."""

from __future__ import annotations

import difflib

from db.queries import models as model_rows


def missing(ref: str) -> str:
    """The sentence for a model that is nowhere."""
    known = list(model_rows.names())
    close = difflib.get_close_matches(ref, known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]}?" if close else ""
    return (
        f"There is no model “{ref}”: no registered name, no folder, and no Hub id "
        f"(organisation/name).{hint}"
    )
