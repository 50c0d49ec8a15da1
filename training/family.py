"""Builds a family of models from its specification, with progress, and resumes after a kill."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from training.cards import model_card
from training.export import load_model, new_model, save_model
from training.packing import pack
from training.spec import FamilySpec, load_spec
from training.texts import tokenizer_texts, training_texts
from training.tokenizer import train_tokenizer
from training.trainer import Rows, Schedule, shuffled, train
from training.world.chats import TEMPLATE
from training.world.tasks import write_tasks
from training.world.world import World, make_world

Event = dict[str, Any]

DEFAULT_SPEC = Path(__file__).resolve().parent.parent / "sandbox" / "family.yaml"
DEFAULT_SEED = 1
"""Seed of the family that ships with the project."""
PROGRESS_STEPS = 10


def build_family(
    spec: FamilySpec | Path | str = DEFAULT_SPEC,
    out: Path | str = DEFAULT_SPEC.parent,
    seed: int = DEFAULT_SEED,
    *,
    threads: int = 1,
    checkpoint_steps: int = 100,
) -> Iterator[Event]:
    """Train every model of `spec` and write models, tokenizer and benchmark tasks below `out`.

    Args:
        spec: a specification or the path of one.
        out: folder that receives one folder per model, `tasks/` and `chat_template.jinja`. What
            it holds is replaced only when everything is made; until then the work is in
            `out/.build`, and a second call with the same specification and seed goes on there.
        seed: world, weights and order of the data. Equal seeds give equal files on one machine
            with the same number of `threads`.
        threads: CPU threads; a model this small gains nothing from more than one.
        checkpoint_steps: how often, in optimizer steps, the running model is saved.

    Yields:
        `{"kind": "stage", "stage": str}` when a model (or "tokenizer", "tasks") begins;
        `{"kind": "progress", "stage", "done", "total", "unit": "steps", "loss": float}`;
        `{"kind": "log", "text": str}`; at the end
        `{"kind": "result", "out": str, "models": {name: folder}, "items": int, "seed": int}`.

    Raises:
        OSError: the folder cannot be written.
        ValueError: the specification is wrong.
    """
    family = spec if isinstance(spec, FamilySpec) else load_spec(spec)
    target = Path(out)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        build = _open_build(family, target / ".build", seed)
        if not build.complete.exists():
            yield from _make(build, checkpoint_steps)
        items = int(build.complete.read_text(encoding="utf-8"))
        _publish(build, target)
    finally:
        torch.set_num_threads(before)
    yield {
        "kind": "result",
        "out": str(target),
        "models": {name: str(target / name) for name in family.models},
        "items": items,
        "seed": seed,
    }


@dataclass(frozen=True)
class _Build:
    family: FamilySpec
    folder: Path
    world: World

    @property
    def complete(self) -> Path:
        """Exists once everything is made and only the move is left; holds the items' number."""
        return self.folder / "complete"

    @property
    def tokenizer_file(self) -> Path:
        return self.folder / "tokenizer.json"

    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.tokenizer_file))


def _make(build: _Build, checkpoint_steps: int) -> Iterator[Event]:
    """Everything of a family inside the work folder."""
    yield from _train_tokenizer(build)
    for name in build.family.models:
        yield from _train_model(build, name, checkpoint_steps)
    yield {"kind": "stage", "stage": "tasks"}
    items = write_tasks(build.world, build.folder / "tasks")
    (build.folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    summary = {
        "name": build.family.name,
        "seed": build.world.seed,
        "fingerprint": build.family.fingerprint(build.world.seed),
    }
    _write(build.folder / "family.json", json.dumps(summary, indent=2) + "\n")
    _write(build.complete, str(items))


def _open_build(family: FamilySpec, folder: Path, seed: int) -> _Build:
    """The work folder; one that belongs to another specification or seed is emptied first."""
    mark = folder / "fingerprint"
    fingerprint = family.fingerprint(seed)
    if not mark.exists() or mark.read_text(encoding="utf-8") != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _write(folder / ".gitignore", "*\n")
        _write(mark, fingerprint)
    return _Build(family, folder, make_world(seed))


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _train_tokenizer(build: _Build) -> Iterator[Event]:
    yield {"kind": "stage", "stage": "tokenizer"}
    if build.tokenizer_file.exists():
        yield {"kind": "log", "text": "tokenizer: already made"}
        return
    texts = tokenizer_texts(build.family, build.world)
    tokenizer = train_tokenizer(texts, build.family.tokenizer.entries)
    _write(build.tokenizer_file, tokenizer.to_str(pretty=True))
    yield {"kind": "log", "text": f"tokenizer: {tokenizer.get_vocab_size()} entries"}


def _train_model(build: _Build, name: str, checkpoint_steps: int) -> Iterator[Event]:
    yield {"kind": "stage", "stage": name}
    folder = build.folder / name
    if folder.exists():
        yield {"kind": "log", "text": f"{name}: already made"}
        return
    family, spec, tokenizer = build.family, build.family.models[name], build.tokenizer()
    rows = _rows(build, name, tokenizer)
    if spec.parent:
        # From the parent as it ships, in bfloat16: the task vector is what was learned.
        model = load_model(build.folder / spec.parent)
    else:
        model = new_model(family.architecture, tokenizer, build.world.seed)
    schedule = Schedule(
        spec.optimizer,
        spec.learning_rate,
        family.rows_per_step,
        spec.decay_share,
        checkpoint_steps,
    )
    parameters, tokens = sum(p.numel() for p in model.parameters()), rows.ids.numel()
    yield {"kind": "log", "text": f"{name}: {parameters:,} parameters, {tokens:,} tokens"}
    checkpoint = build.folder / f"{name}.checkpoint"
    recent: list[float] = []
    for done, total, loss in train(model, rows, schedule, checkpoint):
        recent.append(loss)
        if done % PROGRESS_STEPS == 0 or done == total:
            mean = sum(recent) / len(recent)
            recent.clear()
            yield {
                "kind": "progress",
                "stage": name,
                "done": done,
                "total": total,
                "unit": "steps",
                "loss": mean,
            }
    card = model_card(family, name, build.world.seed, parameters, tokens)
    save_model(model, tokenizer, spec, folder, card)
    checkpoint.unlink(missing_ok=True)


def _rows(build: _Build, name: str, tokenizer: Tokenizer) -> Rows:
    stages = training_texts(build.family, name, build.world)
    packed = [pack(tokenizer, texts, build.family.row_tokens) for texts in stages]
    return shuffled(packed, build.world.seed)


def _publish(build: _Build, target: Path) -> None:
    """Move everything to its final name; what stood there goes away last.

    A call that was stopped in here is finished by the next one.
    """
    for name in (*build.family.models, "tasks", "chat_template.jinja", "family.json"):
        new, final, old = build.folder / name, target / name, build.folder / f"{name}.old"
        if not new.exists():
            continue  # moved before the stop
        if final.is_dir():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(final, old)
        os.replace(new, final)
    shutil.rmtree(build.folder)
