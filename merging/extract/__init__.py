"""A LoRA out of two models: what an expert differs by from its base, in few numbers."""

from merging.extract.engine import extract_to_folder

__all__ = ["extract_to_folder"]
