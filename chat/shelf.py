"""The models that the chat process holds, at most a few, the least recently used going first."""

from __future__ import annotations

import gc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from chat.errors import ChatError

ONE_THREAD_PARAMETERS = 30_000_000
ALL_THREADS = torch.get_num_threads()


class Shelf:
    """Loaded models by folder.

    Args:
        capacity: how many stay in memory.
        device: "auto", "cpu" or "cuda".
    """

    def __init__(self, capacity: int = 2, device: str = "auto") -> None:
        self.capacity = capacity
        self.device = device
        self._loaded: OrderedDict[tuple[str, float], tuple[Any, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._loaded)

    def holds(self, folder: str) -> bool:
        """Whether the folder's model is in memory as the folder stands now."""
        return _key(folder) in self._loaded

    def take(self, folder: str, label: str, trusted_code: tuple[str, ...] = ()) -> tuple[Any, Any]:
        """The model and tokenizer of a folder, read in when they are not in memory.

        Args:
            folder: of the model.
            label: what it is called.
            trusted_code: fingerprints of model code that may run.

        Raises:
            ChatError: the folder cannot be read, or memory does not suffice.
        """
        key = _key(folder)
        if key not in self._loaded:
            while len(self._loaded) >= self.capacity:
                self._loaded.popitem(last=False)
                release_memory()
            self._loaded[key] = self._load(folder, label, trusted_code)
        self._loaded.move_to_end(key)
        use_threads(max(model.num_parameters() for model, _ in self._loaded.values()))
        return self._loaded[key]

    def clear(self) -> None:
        """Let go of every model and of the memory it took."""
        self._loaded.clear()
        release_memory()

    def _load(self, folder: str, label: str, trusted: tuple[str, ...]) -> tuple[Any, Any]:
        from evaluation.scoring.loading import load_model  # here: it imports transformers

        if not Path(folder).is_dir():
            raise ChatError(f"The folder of {label} is gone: {folder}. Add the model again.")
        try:
            model, tokenizer = load_model(folder, device=self.device, trusted_code=trusted)
        except (torch.OutOfMemoryError, MemoryError) as error:
            self.clear()
            raise ChatError(
                f"There is not enough memory for {label}. Wait for running jobs to end, "
                "or talk to one model at a time."
            ) from error
        except Exception as error:
            raise ChatError(f"{label} could not be loaded from {folder}: {error}") from error
        return model.eval(), tokenizer


def _key(folder: str) -> tuple[str, float]:
    """A folder and when its configuration was written, so that a rebuilt model is read anew."""
    config = Path(folder) / "config.json"
    return folder, config.stat().st_mtime if config.exists() else 0.0


def use_threads(n_parameters: int) -> None:
    """One thread for tiny models: handing their small products round costs more than it saves."""
    torch.set_num_threads(1 if n_parameters < ONE_THREAD_PARAMETERS else ALL_THREADS)


def release_memory() -> None:
    """Return what freed tensors held to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
