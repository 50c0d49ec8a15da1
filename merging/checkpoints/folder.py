"""A model's folder: which files are its weights, and the JSON files beside them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from merging.checkpoints.header import TensorInfo
from merging.errors import ModelError
from merging.wording import in_words

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r"model-\d+-of-(\d+)\.safetensors")
# of a JSON file beside the weights; the index of the largest models has a few MB
MOST_JSON_BYTES = 64_000_000
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def weight_files(folder: Path, *, label: str) -> list[Path]:
    """The safetensors files that make up the model in a folder.

    Raises:
        ModelError: there are none (the sentence says what there is instead), or one is missing.
    """
    try:
        if not folder.is_dir():
            raise ModelError(f"{label}: there is no folder {folder}.")
        return _weight_files(folder, label)
    except OSError as error:
        raise ModelError(f"{label}: {folder} cannot be read: {error.strerror}.") from None


def _weight_files(folder: Path, label: str) -> list[Path]:
    index = folder / INDEX
    if index.is_file():
        names = sorted(set(_weight_map(index, label).values()))
    elif (folder / SINGLE).is_file():
        names = [SINGLE]
    else:
        names = sorted(file.name for file in folder.glob("*.safetensors"))
        totals = {found[1] for name in names if (found := SHARD.fullmatch(name))}
        if totals and (len(totals) > 1 or len(names) != int(next(iter(totals)))):
            raise ModelError(
                f"{label}: {len(names)} of {max(int(total) for total in totals)} shards are there, "
                f"and no {INDEX}. Copy or download the missing ones."
            )
        if not names:
            raise ModelError(f"{label} {_instead_of_weights(folder)}")
    for name in names:
        if not (folder / name).is_file():
            raise ModelError(
                f"{label}: shard {name} is missing, although {INDEX} names it. Copy or download it."
            )
    return [folder / name for name in names]


def check_links(folder: Path, *, label: str) -> None:
    """A file beside the weights that is a link to another file is not the model's.

    A merge copies tokenizer and template into its own folder, and people share that: a link to a
    key or a password would be shared with it. Links between folders that keep the file's name, and
    those of the Hub's cache, are what people make; weights are only ever read as weights.

    Raises:
        ModelError: the first such link.
    """
    home = folder.resolve()
    blobs = home.parent.parent / "blobs"  # of huggingface_hub: snapshots/<commit>/<file>
    for path in [*folder.glob("*"), *folder.glob("*/*.jinja")]:
        if not path.is_symlink() or path.suffix == ".safetensors":
            continue
        target = path.resolve()
        if not (target.name == path.name or target.is_relative_to(home) or target.parent == blobs):
            raise ModelError(
                f"{label}: {path.name} is a link to {target}, a file of another name, which a "
                "merge would take along. Put a copy in its place if it belongs to the model."
            )


def _weight_map(index: Path, label: str) -> dict[str, str]:
    """Tensor -> file of a shard index; file names must not leave the folder."""
    weight_map = read_json(index, label=label).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"{label}: {INDEX} has no weight_map. Copy or download it again.")
    for file in weight_map.values():
        if not isinstance(file, str) or Path(file).name != file or file in ("", ".", ".."):
            raise ModelError(f"{label}: {INDEX} names {file!r}, which is not a plain file name.")
    return weight_map


def check_index(folder: Path, tensors: dict[str, TensorInfo], label: str) -> None:
    """Every tensor that the index names must be where it says."""
    if not (folder / INDEX).is_file():
        return
    missing = [
        name
        for name, file in _weight_map(folder / INDEX, label).items()
        if name not in tensors or tensors[name].file.name != file
    ]
    if missing:
        raise ModelError(
            f"{label}: {INDEX} promises {in_words(missing, most=3)}, which the shards do not "
            "hold. Copy or download the folder again."
        )


def _instead_of_weights(folder: Path) -> str:
    """What a folder without safetensors holds, and what to do."""
    pickles = sorted({file.name for kind in PICKLES for file in folder.glob(kind)})
    if pickles:
        return (
            f"holds its weights as pickles ({in_words(pickles, most=2)}), which can run code when "
            "opened, and no safetensors. Agree to their being converted: tick it where you add the "
            "model, or pass --convert-pickle."
        )
    if next(folder.glob("*.gguf"), None) is not None:
        return "holds a GGUF file, which is quantised. Use the original safetensors model."
    return "has no weights: there is no safetensors file in the folder."


def read_json(file: Path, *, label: str) -> dict[str, Any]:
    """A JSON object from a model's folder.

    Raises:
        ModelError: missing, unreadable or not an object.
    """
    try:
        if file.stat().st_size > MOST_JSON_BYTES:
            raise ModelError(f"{label}: {file.name} is larger than 64 MB, which none of them is.")
        data = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{label} has no {file.name}.") from None
    except OSError as error:
        raise ModelError(f"{label}: {file.name} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise ModelError(f"{label}: {file.name} is not valid JSON.") from None
    if not isinstance(data, dict):
        raise ModelError(f"{label}: {file.name} is not a JSON object.")
    return data


def json_or_nothing(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty when there is none that can be read."""
    try:
        if file.stat().st_size > MOST_JSON_BYTES:
            return {}
        data = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The language model's part of a config (multimodal models nest it)."""
    nested = config.get("text_config")
    return {**config, **nested} if isinstance(nested, dict) else config
