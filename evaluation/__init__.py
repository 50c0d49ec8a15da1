"""Suites, tasks, the scorer and its statistics. Scores any loaded model; knows no database.

Importing this package is cheap: torch, transformers and lm-eval are imported when first needed.
"""
