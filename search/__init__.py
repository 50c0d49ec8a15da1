"""Searching for the best recipe: a space of options, trials, and what came of them."""
