"""Weights in pickles, converted once into safetensors; nothing in a pickle is ever run.

A pickle is a program: opening one can run anything. torch's restricted loader knows tensors alone,
and refuses every other one; even so a pickle is opened only when the user has agreed to it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging.checkpoints.checkpoint import HEADS, natural
from merging.checkpoints.folder import SINGLE, read_json, text_config
from merging.checkpoints.stored import STORED_NAMES
from merging.errors import ModelError
from merging.formats.adapter_config import CONFIG as ADAPTER_CONFIG
from merging.output.layout import OutputTensor
from merging.output.partial import partial_folder
from merging.streaming.sinks import FolderSink

if TYPE_CHECKING:
    from torch import Tensor

Event = dict[str, Any]
MODEL, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
ADAPTER, ADAPTER_WEIGHTS = "adapter_model.bin", "adapter_model.safetensors"
OTHERS = ("*.bin", "*.pt", "*.pth", "*.ckpt")
NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scheduler.bin")
NESTED = ("state_dict", "model_state_dict", "model", "module")
MAX_SHARD_BYTES = 5_000_000_000
CHUNK_ELEMENTS = 1 << 22
COPIED_BYTES = 100_000_000  # companions larger than this are no companions


def pickled_weights(folder: Path) -> list[Path]:
    """The pickles that a folder has instead of safetensors; none when it has those.

    Raises:
        ModelError: an index that is not readable, or names a file that is not there.
    """
    if any(folder.glob("*.safetensors")):
        return []
    if (folder / INDEX).is_file():
        return _indexed(folder)
    for single in (MODEL, ADAPTER):
        if (folder / single).is_file():
            return [folder / single]
    found = sorted({file for kind in OTHERS for file in folder.glob(kind)})
    return [file for file in found if file.name not in NO_WEIGHTS]


def convert(
    folder: Path, out: Path, *, label: str | None = None, max_shard_bytes: int = MAX_SHARD_BYTES
) -> Generator[Event, None, Path]:
    """Write a model's pickled weights as safetensors, with its other files, into a new folder.

    Call it only when the user has agreed. The files are memory-mapped where their format allows,
    so that no more than a part of one tensor is in memory.

    Args:
        folder: with pickles.
        out: the folder to make; it appears only when it is complete.
        label: what to call the model in messages; the folder's name by default.
        max_shard_bytes: tensor data per file.

    Yields:
        Events; the last is {"kind": "result", "path", "tensors", "size_bytes"}.

    Returns:
        `out`.

    Raises:
        ModelError: no pickles, or one that holds anything but tensors; nothing of it was run.
        MergeFailure: the folder cannot be written; nothing is left under `out`.
    """
    label = label or folder.name
    files = pickled_weights(folder)
    if not files:
        raise ModelError(f"{label} has no pickled weights to convert.")
    yield {"kind": "stage", "stage": "Opening the pickles"}
    tensors = _tied_once(_all_tensors(files, label), folder, label)
    outputs = {name: _output(name, tensors[name], label) for name in sorted(tensors, key=natural)}
    adapter = (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()
    with partial_folder(out) as partial:
        shard_bytes = 1 << 62 if adapter else max_shard_bytes
        metadata = {"format": "pt"}
        with FolderSink(partial, outputs, max_shard_bytes=shard_bytes, metadata=metadata) as sink:
            for done, name in enumerate(outputs, 1):
                _write(tensors[name], name, sink)
                yield {
                    "kind": "progress",
                    "stage": "Converting",
                    "done": done,
                    "total": len(outputs),
                    "unit": "tensors",
                }
        if adapter:
            (partial / SINGLE).rename(partial / ADAPTER_WEIGHTS)
        _copy_companions(folder, partial)
    size_bytes = sum(output.n_bytes for output in outputs.values())
    yield {"kind": "result", "path": str(out), "tensors": len(outputs), "size_bytes": size_bytes}
    return out


def _indexed(folder: Path) -> list[Path]:
    weight_map = read_json(folder / INDEX, label=folder.name).get("weight_map")
    names = set(weight_map.values()) if isinstance(weight_map, dict) else set()
    if not names or not all(isinstance(one, str) and Path(one).name == one for one in names):
        raise ModelError(f"{folder.name}: {INDEX} has no usable weight_map. Download it again.")
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        raise ModelError(
            f"{folder.name}: {missing[0]} is missing, although {INDEX} names it. Copy or download "
            "it."
        )
    return [folder / name for name in sorted(names)]


def _all_tensors(files: list[Path], label: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in _tensors(_load(file, label)):
            if name in found:
                raise ModelError(
                    f"{label} holds tensor {name} twice, the second time in {file.name}. Keep one "
                    "set of files in the folder."
                )
            found[name] = tensor
    if not found:
        raise ModelError(f"{label}: {files[0].name} holds no tensors by name.")
    if all(name.startswith("module.") for name in found):  # as data-parallel training saves them
        found = {name.removeprefix("module."): tensor for name, tensor in found.items()}
    return found


def _load(file: Path, label: str) -> Any:
    """What a pickle holds, by torch's loader for tensors alone."""
    import pickle

    import torch

    try:
        try:
            return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # the format before torch 1.6 cannot be mapped
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"(?:GLOBAL|function|class) `?([A-Za-z_][\w.]+)", str(error))
        what = f"asks for {asked[1]}" if asked else "is damaged, or asks for more than tensors"
        raise ModelError(
            f"{label}: the pickle {file.name} {what}, which could run code; it was not run. Use a "
            "copy of the model as safetensors."
        ) from None
    except OSError as error:
        raise ModelError(f"{label}: {file.name} cannot be read: {error.strerror}.") from None
    except Exception:
        raise ModelError(
            f"{label}: {file.name} is damaged or no pickle of tensors. Copy or download it again."
        ) from None


def _tensors(loaded: Any) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors, also where a training has wrapped them up with other things."""
    import torch

    if not isinstance(loaded, Mapping):
        return
    for key in NESTED:
        inner = loaded.get(key)
        if isinstance(inner, Mapping) and any(
            isinstance(one, torch.Tensor) for one in inner.values()
        ):
            loaded = inner
            break
    for name, value in loaded.items():
        if isinstance(name, str) and isinstance(value, torch.Tensor):
            yield name, value


def _tied_once(tensors: dict[str, Tensor], folder: Path, label: str) -> dict[str, Tensor]:
    """Without an output embedding that is the input embedding itself."""
    declared = None
    if (folder / "config.json").is_file():
        config = text_config(read_json(folder / "config.json", label=label))
        declared = config.get("tie_word_embeddings")
    for head, embedding in HEADS:
        first, second = tensors.get(head), tensors.get(embedding)
        if declared is False or first is None or second is None:
            continue
        if (first.data_ptr(), first.shape, first.stride()) == (
            second.data_ptr(), second.shape, second.stride(),
        ):  # fmt: skip
            return {name: tensor for name, tensor in tensors.items() if name != head}
    return tensors


def _output(name: str, tensor: Tensor, label: str) -> OutputTensor:
    stored = STORED_NAMES.get(str(tensor.dtype).removeprefix("torch."))
    if stored is None or tensor.layout.__str__() != "torch.strided":
        raise ModelError(
            f"{label} holds tensor {name} as {tensor.dtype} ({tensor.layout}), which cannot be "
            "written as safetensors here. Use an unquantised copy of the model."
        )
    return OutputTensor(stored, tuple(tensor.shape))


def _write(tensor: Tensor, name: str, sink: FolderSink) -> None:
    """A tensor's values in order, whatever it is a view of."""
    flat = tensor.detach().contiguous().view(-1)
    for start in range(0, flat.numel(), CHUNK_ELEMENTS):
        sink.write(name, start, flat[start : start + CHUNK_ELEMENTS])


def _copy_companions(folder: Path, out: Path) -> None:
    """Config, tokenizer, templates and card: whatever is neither weights nor code."""
    for file in sorted(folder.iterdir()):
        wanted = file.suffix in (".json", ".jinja", ".txt", ".model", ".md")
        if wanted and file.name != INDEX and file.is_file() and _is_small(file):
            shutil.copyfile(file, out / file.name)
    templates = folder / "additional_chat_templates"
    if templates.is_dir():
        shutil.copytree(templates, out / templates.name)


def _is_small(file: Path) -> bool:
    return file.stat().st_size <= COPIED_BYTES
