"""Designed sets of merges with their analysis. Composes merging and evaluation, no database."""
