"""Loading a model folder for scoring."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.errors import EvaluationFailure, SuiteError
from evaluation.scoring import remote_code

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = ("float32", "bfloat16", "float16")
TOKENIZER_FILES = ("tokenizer*", "vocab*", "spiece*", "*.model", "*.tiktoken")


def load_model(
    folder: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    trusted_code: Collection[str] = (),
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model folder for scoring: safetensors only, nothing downloaded.

    Args:
        folder: a Hugging Face model folder on this disk.
        device: "cpu", "cuda", "cuda:1" or "auto" (CUDA where there is one).
        dtype: "float32", "bfloat16", "float16", or "auto": see ``scoring_dtype``.
        trusted_code: fingerprints of code that may run; a folder's own runs only if among them.

    Returns:
        The model in eval mode, and its tokenizer.

    Raises:
        SuiteError: wrong device or dtype, or a folder that holds no model.
        EvaluationFailure: the model cannot be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(folder)
    _check_folder(folder)
    target = _device(device)
    precision = getattr(torch, scoring_dtype(folder, device=device, dtype=dtype))
    code = remote_code.look(folder)
    trust = remote_code.may_run(code, trusted_code)
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trust}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
    except Exception as error:
        if code is not None and not trust:
            raise EvaluationFailure(remote_code.refusal(code)) from error
        raise EvaluationFailure(
            f"The tokenizer in {folder} cannot be loaded ({_short(error)})."
        ) from error
    try:
        with _no_progress_bar():
            model, report = AutoModelForCausalLM.from_pretrained(
                folder, dtype=precision, use_safetensors=True, output_loading_info=True, **local
            )
        _check_complete(folder, report)
        return model.eval().to(target), tokenizer
    except EvaluationFailure:
        raise
    except torch.OutOfMemoryError as error:
        raise EvaluationFailure(
            f"{folder} does not fit in the memory of {target}; free some of it, choose another "
            "device, or a smaller dtype."
        ) from error
    except Exception as error:
        if code is not None and not trust:
            raise EvaluationFailure(remote_code.refusal(code)) from error
        raise EvaluationFailure(
            f"The model in {folder} cannot be loaded ({_short(error)})."
        ) from error


def scoring_dtype(folder: str | Path, *, device: str = "auto", dtype: str = "auto") -> str:
    """The dtype that ``load_model`` would use: "float32", "bfloat16" or "float16".

    "auto" is the folder's own dtype on a GPU and float32 on a CPU, where bfloat16 is slower and
    small models lose answers to rounding.

    Raises:
        SuiteError: an unknown dtype.
    """
    if dtype != "auto":
        if dtype not in DTYPES:
            raise SuiteError(f"There is no dtype {dtype!r}; choose auto, {', '.join(DTYPES)}.")
        return dtype
    if _device(device).type == "cpu":
        return "float32"
    config = _config(Path(folder))
    text = config.get("text_config") or {}
    own = config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or "float32"
    return own if own in DTYPES else "float32"


def _device(device: str) -> Any:
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise SuiteError(f"There is no device {device!r}; choose auto, cpu or cuda.") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise SuiteError("There is no CUDA device on this machine; choose cpu or auto.")
    return chosen


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise SuiteError(f"There is no model folder {folder}.")
    if not (folder / "config.json").is_file():
        raise SuiteError(f"{folder} is not a model folder: it has no config.json.")
    if not any(folder.glob("*.safetensors")):
        pickles = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        hint = " Its weights are pickles; convert them to safetensors first." if pickles else ""
        raise SuiteError(f"{folder} has no weights in safetensors format.{hint}")
    if not any(path for pattern in TOKENIZER_FILES for path in folder.glob(pattern)):
        raise SuiteError(
            f"{folder} has no tokenizer; copy the tokenizer files of the model it was made from."
        )


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SuiteError(f"{folder}/config.json cannot be read ({_short(error)}).") from error
    return config if isinstance(config, dict) else {}


def _check_complete(folder: Path, report: dict[str, Any]) -> None:
    """Transformers fills missing tensors with random numbers; a score of those means nothing."""
    missing = sorted(report.get("missing_keys") or ())
    if missing:
        raise EvaluationFailure(
            f"{folder} lacks {_tensors(missing)} of its architecture; "
            "the folder is incomplete or its config.json belongs to another model."
        )


def _tensors(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the tensor {names[0]}{more}"


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


class _no_progress_bar:
    """transformers draws a bar for weights that load in milliseconds."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self._was_on = bool(logging.is_progress_bar_enabled())
        logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        from transformers.utils import logging

        if self._was_on:
            logging.enable_progress_bar()
