"""The papers' claims, each held against a study's own numbers."""
