"""Results of other programs in, ours out: lm-eval's files, CSV, llm-comparator's JSON.

Plain data on both sides: no database, no torch, no lm-eval.
"""
