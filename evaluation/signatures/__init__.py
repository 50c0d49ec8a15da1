"""Signs that a merge went wrong, read off its stored answers.

Each sign is a rule of thumb about one reply; ``look`` counts the replies of an evaluation that
show it, ``weigh`` holds a merge's counts against its parents', so that a warning is about the
merge and not about what it was made from. Pure functions: no torch, no database.
"""

from evaluation.signatures.kinds import KINDS, SIGNATURES_VERSION, Kind
from evaluation.signatures.look import Counts, Said, look
from evaluation.signatures.weigh import Sign, weigh

__all__ = ["KINDS", "SIGNATURES_VERSION", "Counts", "Kind", "Said", "Sign", "look", "weigh"]
