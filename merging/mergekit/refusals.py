"""Sentences for what cannot be carried over, in either direction."""

from __future__ import annotations

from merging.errors import RecipeError


def cannot(what: str, advice: str) -> RecipeError:
    """What this version cannot honour of mergekit's, and what to do instead."""
    return RecipeError(
        f"The mergekit recipe uses {what}; this version cannot honour that. {advice}"
    )


def cannot_say(what: str, why: str) -> RecipeError:
    """What mergekit cannot express of ours, and why."""
    return RecipeError(f"mergekit 0.1.5 cannot express {what}: {why}.")
