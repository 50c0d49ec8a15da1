"""The merge methods. Importing this package registers all of them and does not import torch."""

from merging.methods import linear, slerp, task_arithmetic, ties, dare  # noqa: F401, I001
from merging.methods import breadcrumbs, della, model_stock, nuslerp, sphere, sce  # noqa: F401
from merging.methods import arcee_fusion, widen, pcb, spectral, passthrough  # noqa: F401
from merging.methods.per_model import PerModel, each
from merging.methods.registry import METHODS, Method, OptionField, get_method, merge_method

__all__ = ["METHODS", "Method", "OptionField", "PerModel", "each", "get_method", "merge_method"]
