"""Loading a model folder for scoring."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_model(
    folder: str | Path, *, device: str = "auto", dtype: str = "auto"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model folder for scoring: safetensors only, no remote code, nothing downloaded.

    Args:
        folder: a Hugging Face model folder on this disk.
        device: "cpu", "cuda", "cuda:1" or "auto" (CUDA where there is one).
        dtype: "float32", "bfloat16", "float16", or "auto": see ``scoring_dtype``.

    Returns:
        The model in eval mode, and its tokenizer.

    Raises:
        SuiteError: wrong device or dtype.
        EvaluationFailure: the folder cannot be loaded.
    """
    raise NotImplementedError


def scoring_dtype(folder: str | Path, *, device: str = "auto", dtype: str = "auto") -> str:
    """The dtype that ``load_model`` would use: "float32", "bfloat16" or "float16".

    "auto" is the folder's own dtype on a GPU and float32 on a CPU, where bfloat16 is slower and
    small models lose answers to rounding.
    """
    raise NotImplementedError
