"""Merging: recipes, methods, checkpoints and the engine that streams one into the other.

This package knows tensors, not databases. Importing it, `merging.methods` or
`merging.recipes.recipe` does not import torch: pages read names, options and descriptions from
them at every redraw.
"""
