"""The health of a model's folder: its numbers, its files, and whether it loads and talks."""
