"""Everything of a model's folder but the weights: config, tokenizer, template, generation."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merging.errors import ModelError
from merging.folder import read_json
from merging.layers import with_layers
from merging.parents import Parents
from merging.program import output_layers
from merging.tokenizers import special_tokens

# what belongs to a tokenizer, in all its forms
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
TEMPLATE = "chat_template.jinja"
MORE_TEMPLATES = "additional_chat_templates"
TEMPLATE_NAME = re.compile(r"[\w-]{1,64}")


def write_companions(parents: Parents, folder: Path) -> None:
    """Write config, generation config, tokenizer and chat template of the merge into `folder`.

    config.json is the base's (without a base the instruct model's, else the first model's) with
    dtype, tied head and special tokens set right; the rest is the instruct model's when there is
    one, as the recipe's `tokenizer` and `chat_template` say.

    Raises:
        ModelError: a parent's JSON file is not readable.
    """
    recipe = parents.recipe
    tokenizer_donor = parents.by_ref[donor(parents, recipe.tokenizer)]
    _write_tokenizer(tokenizer_donor.folder, folder)
    _write_templates(_templates(parents), folder)
    config = result_config(parents)
    generation = _generation(tokenizer_donor.folder) or _generation(parents.reference.folder)
    special_tokens.settle(
        config,
        generation,
        donor_config=tokenizer_donor.config,
        donor_generation=_generation(tokenizer_donor.folder),
        tokenizer_folder=folder,
    )
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", generation)


def donor(parents: Parents, policy: str) -> str:
    """The reference of the model that a policy names."""
    recipe = parents.recipe
    instruct = next((one.model for one in recipe.models if one.role == "instruct"), None)
    if policy in parents.by_ref:
        return policy
    if policy == "base" and recipe.base is not None:
        return recipe.base
    return instruct or recipe.config_donor


def result_config(parents: Parents) -> dict[str, Any]:
    """The reference's config with what the merge changes: dtype, tied head, origin."""
    config: dict[str, Any] = json.loads(json.dumps(parents.reference.config))
    if parents.recipe.slices:
        config = with_layers(config, output_layers(parents))
    for key in ("_name_or_path", "auto_map", "quantization_config"):
        config.pop(key, None)
    if parents.recipe.dtype is not None:
        for part in (config, config.get("text_config")):
            if isinstance(part, dict):
                keys = [key for key in ("dtype", "torch_dtype") if key in part]
                part.update(dict.fromkeys(keys, parents.recipe.dtype))
        if "dtype" not in config and "torch_dtype" not in config:
            config["dtype"] = parents.recipe.dtype
    if parents.reference.head is not None and parents.tied != parents.reference.is_tied:
        nested = config.get("text_config")
        if isinstance(nested, dict) and "tie_word_embeddings" in nested:
            nested["tie_word_embeddings"] = parents.tied
        config["tie_word_embeddings"] = parents.tied
    return config


def write_json(file: Path, data: Mapping[str, Any]) -> None:
    """JSON as transformers writes it."""
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)
    file.write_text(text + "\n", "utf-8")


def read_templates(folder: Path, *, label: str) -> dict[str, str]:
    """A model's chat templates by name, the usual one being "default".

    transformers 5 keeps them in chat_template.jinja (and additional_chat_templates/), older
    versions in tokenizer_config.json, there as a text or as a list of names and texts.
    """
    found: dict[str, str] = {}
    config = folder / "tokenizer_config.json"
    if config.is_file():
        value = read_json(config, label=label).get("chat_template")
        if isinstance(value, str):
            found["default"] = value
        elif isinstance(value, list):
            for entry in value:
                if isinstance(entry, dict) and isinstance(entry.get("template"), str):
                    found[str(entry.get("name"))] = entry["template"]
    if (folder / TEMPLATE).is_file():
        found["default"] = _read_text(folder / TEMPLATE, label)
    for file in sorted((folder / MORE_TEMPLATES).glob("*.jinja")):
        found[file.stem] = _read_text(file, label)
    return {name: text for name, text in found.items() if TEMPLATE_NAME.fullmatch(name)}


def _read_text(file: Path, label: str) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise ModelError(f"{label}: {file.name} is not UTF-8 text.") from None
    except OSError as error:
        raise ModelError(f"{label}: {file.name} cannot be read: {error.strerror}.") from None


def _templates(parents: Parents) -> dict[str, str]:
    """The merge's chat templates; "auto" looks for one in instruct, base and the others."""
    policy = parents.recipe.chat_template
    if policy == "none":
        return {}
    first = donor(parents, policy)
    order = [first, *parents.by_ref] if policy == "auto" else [first]
    for ref in order:
        found = read_templates(parents.by_ref[ref].folder, label=ref)
        if found:
            return found
    return {}


def _write_tokenizer(source: Path, folder: Path) -> None:
    """Copy tokenizer files byte for byte, but for the chat template, which has its own donor."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    config = folder / "tokenizer_config.json"
    if config.is_file():
        data = read_json(config, label=source.name)
        kept = {key: value for key, value in data.items() if key not in _NOT_COPIED}
        if kept != data:
            write_json(config, kept)


# code of a model's own is not run, and a template has its own place
_NOT_COPIED = frozenset({"chat_template", "auto_map", "name_or_path", "_name_or_path"})


def _write_templates(templates: Mapping[str, str], folder: Path) -> None:
    for name, text in templates.items():
        if name == "default":
            (folder / TEMPLATE).write_text(text, "utf-8")
        else:
            (folder / MORE_TEMPLATES).mkdir(exist_ok=True)
            (folder / MORE_TEMPLATES / f"{name}.jinja").write_text(text, "utf-8")


def _generation(folder: Path) -> dict[str, Any]:
    """A model's generation config without its origin; empty when it has none."""
    file = folder / "generation_config.json"
    data = read_json(file, label=folder.name) if file.is_file() else {}
    return {key: value for key, value in data.items() if key != "_from_model_config"}
