"""Everything of a model's folder but the weights: config, tokenizer, template, generation."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from merging.checkpoints.folder import read_json
from merging.checkpoints.parents import Parents
from merging.recipes.layers import with_layers
from merging.streaming.program import output_layers
from merging.tokenizers import special_tokens
from merging.tokenizers.chat import Templates, choose_templates, write_templates
from merging.tokenizers.write import write_json, write_tokenizer


def write_companions(parents: Parents, folder: Path) -> None:
    """Write config, generation config, tokenizer and chat template of the merge into `folder`.

    config.json is the base's (without a base the instruct model's, else the first model's) with
    dtype, tied head, rows and special tokens set right; the rest is the instruct model's when there
    is one, as the recipe's `tokenizer` and `chat_template` say. Token ids are written in the
    numbers of the result's tokenizer, whosever they were.

    Raises:
        ModelError: a parent's JSON file is not readable.
        MergeFailure: a tokenizer with added tokens does not load as planned.
    """
    vocabulary = parents.vocabulary
    templates = choose_templates(parents)
    write_tokenizer(vocabulary, folder)
    write_templates(templates, folder)
    reference = parents.reference.label
    speaker = vocabulary.speaker or reference
    config = _in_result(parents, reference, result_config(parents))
    said = _in_result(parents, speaker, _generation(parents, speaker))
    generation = dict(said) or _in_result(parents, reference, _generation(parents, reference))
    special_tokens.settle(
        config,
        generation,
        says=(said, _in_result(parents, speaker, parents.by_ref[speaker].config)),
        tokenizer_folder=folder,
        ends=_ends(parents, templates),
    )
    nested = config.get("text_config")
    if isinstance(nested, dict):
        keys = [f"{kind}_token_id" for kind in special_tokens.KINDS]
        nested.update({key: config[key] for key in keys if key in nested and key in config})
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", generation)


def result_config(parents: Parents) -> dict[str, Any]:
    """The reference's config with what the merge changes: dtype, tied head, rows, origin."""
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
        _set(config, "tie_word_embeddings", parents.tied)
        config["tie_word_embeddings"] = parents.tied
    if parents.vocabulary.n_rows is not None:
        _set(config, "vocab_size", parents.vocabulary.n_rows)
    return config


def _set(config: dict[str, Any], key: str, value: Any) -> None:
    """Set a key where the config has it: in the text part of a multimodal one, or itself."""
    nested = config.get("text_config")
    if isinstance(nested, dict) and key in nested:
        nested[key] = value
        if key not in config:
            return
    config[key] = value


def _in_result(parents: Parents, ref: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A parent's settings with its token ids in the numbers of the result."""
    translate = functools.partial(parents.vocabulary.translate, ref)
    found = special_tokens.translated(settings, translate)
    nested = found.get("text_config")
    if isinstance(nested, dict):
        found["text_config"] = special_tokens.translated(nested, translate)
    return found


def _ends(parents: Parents, templates: Templates) -> Iterator[int]:
    """Ids that end an answer in the format of the chat template."""
    vocabulary = parents.vocabulary
    if templates.end is not None and templates.end in (vocabulary.tokens or {}):
        yield (vocabulary.tokens or {})[templates.end]
    giver = templates.giver
    if giver is not None and giver != vocabulary.speaker and vocabulary.tokens is not None:
        one = parents.by_ref[giver]
        for place in special_tokens.ends_of(one.folder, _generation(parents, giver), one.config):
            there = vocabulary.translate(giver, place)
            if there is not None:
                yield there


def _generation(parents: Parents, ref: str) -> dict[str, Any]:
    """A model's generation config without its origin; empty when it has none."""
    file = parents.by_ref[ref].folder / "generation_config.json"
    data = read_json(file, label=ref) if file.is_file() else {}
    return {key: value for key, value in data.items() if key != "_from_model_config"}
