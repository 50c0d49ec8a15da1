"""Does transformers load the folder, with every tensor in its place, and does the model talk?

What is heavy is imported here: transformers, and for the generation the weights.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merging.planning.checks import Check
from merging.wording import in_words, quoted, size

NEW_TOKENS = 32
TENSORS, GENERATION = "Tensors", "Generation"
# on a CPU a larger model takes minutes to load and to talk
MOST_CPU_BYTES = 2_500_000_000
# however slow the machine, nobody waits longer for the answer
MOST_SECONDS = 60.0
QUESTION = "Hello! What can you help me with?"
OPENING = "The"
NAMED = 4


@dataclass(frozen=True)
class Tried:
    """What came of loading a model.

    Attributes:
        checks: of the tensors, and of the generation when the model was asked.
        reply: what it said.
    """

    checks: tuple[Check, ...]
    reply: str = ""


def try_model(folder: Path, *, generate: bool = True, device: str = "auto") -> Tried:
    """Load a folder by transformers and let the model say 32 tokens.

    Args:
        folder: of the model.
        generate: whether the weights are read and the model is asked; else only names and shapes
            are compared.
        device: "auto", "cpu" or a torch device.
    """
    place, reason = "meta", ""
    if generate:
        place, reason = _place(folder, device)
    try:
        model, info = _load(folder, place)
    except Exception as error:  # transformers raises anything
        return Tried((_unloadable(error),))
    found = [_tensors(info)]
    if place == "meta":
        if generate:
            found.append(Check(GENERATION, "ok", f"Not tried: {reason}"))
        return Tried(tuple(found))
    try:
        check, reply = _talk(model, folder)
    except Exception as error:
        check, reply = Check(GENERATION, "bad", f"It fails: {_line(error)}"), ""
    return Tried((*found, check), reply)


def too_large(n_bytes: int, device: str, free_bytes: int) -> str:
    """Why a model of this size is not loaded for a try; empty when it is."""
    if n_bytes * 1.3 > free_bytes:
        return f"it needs {size(1.3 * n_bytes)}, {size(free_bytes)} are free."
    if device == "cpu" and n_bytes > MOST_CPU_BYTES:
        return f"{size(n_bytes)} on a CPU take minutes; chat with it to try it."
    return ""


def _place(folder: Path, device: str) -> tuple[str, str]:
    """Where the model is loaded, and why it is nowhere ("meta")."""
    import psutil
    import torch

    from merging.streaming.devices import choose_devices

    chosen = choose_devices(device)[0]
    n_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    free = int(psutil.virtual_memory().available)
    if chosen.startswith("cuda"):
        free = int(torch.cuda.mem_get_info(torch.device(chosen))[0])
    reason = too_large(n_bytes, chosen, free)
    return ("meta", reason) if reason else (chosen, "")


def _load(folder: Path, place: str) -> tuple[Any, dict[str, Any]]:
    from transformers import AutoModelForCausalLM

    with _quiet():
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto",
            device_map={"": place},
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
        )
    return model.eval(), info


def _unloadable(error: Exception) -> Check:
    return Check(
        TENSORS,
        "bad",
        f"transformers cannot load it: {_line(error)}",
        "Compare its config with the parents'.",
    )


def _tensors(info: dict[str, Any]) -> Check:
    """What transformers says was missing, superfluous or of another shape."""
    missing, extra = (
        sorted(info.get("missing_keys") or ()),
        sorted(info.get("unexpected_keys") or ()),
    )
    shapes = sorted(str(one[0] if isinstance(one, tuple) else one)
                    for one in info.get("mismatched_keys") or ())  # fmt: skip
    if missing or shapes:
        parts = [f"lacks {_some(missing)}"] if missing else []
        parts += [f"has {_some(shapes)} in another shape than its config says"] if shapes else []
        return Check(
            TENSORS,
            "bad",
            f"The model {' and '.join(parts)}; loaders put random numbers there.",
            "Copy or merge it again, with a config that fits.",
        )
    if extra:
        return Check(
            TENSORS, "warn", f"The architecture has no place for {_some(extra)}: loaders drop it."
        )
    return Check(TENSORS, "ok", "Every tensor of the architecture is there, and none besides.")


def _some(names: Iterable[str]) -> str:
    return in_words(names, most=NAMED)


def _talk(model: Any, folder: Path) -> tuple[Check, str]:
    """Let the model say something, greedily."""
    import torch
    from transformers import AutoTokenizer

    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if tokenizer.chat_template:
            given = tokenizer.apply_chat_template(
                [{"role": "user", "content": QUESTION}],
                add_generation_prompt=True,
                return_tensors="pt",
                return_dict=True,
            )
        else:
            given = tokenizer(OPENING, return_tensors="pt")
        ids = given["input_ids"].to(model.device)
        with torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                max_time=MOST_SECONDS,
                pad_token_id=tokenizer.pad_token_id or 0,
            )
    new = out[0, ids.shape[1] :].tolist()
    reply = str(tokenizer.decode(new, skip_special_tokens=True)).strip()
    return judge(new, reply, chat=bool(tokenizer.chat_template)), reply


def judge(tokens: list[int], reply: str, *, chat: bool) -> Check:
    """What a reply says about the model: empty and endlessly repeated ones are suspicious."""
    asked = "Asked through its template" if chat else "Given the beginning of a text"
    fix = "Chat with it before you trust it: the weights may have lost what the parents knew."
    if not reply:
        return Check(GENERATION, "warn", f"{asked}, it says nothing.", fix)
    if is_repetition(tokens):
        return Check(GENERATION, "warn", f"{asked}, it repeats itself: {quoted(reply)}", fix)
    return Check(GENERATION, "ok", f"{asked}, it says {quoted(reply)}")


def is_repetition(tokens: list[int]) -> bool:
    """Whether the last 16 tokens or more are one phrase of at most four, over and over."""
    if len(tokens) < 16:
        return False
    tail = tokens[-16:]
    return any(tail[period:] == tail[:-period] for period in range(1, 5))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' bars and advice off the terminal."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _line(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return text[:200].rstrip(".") + "."
