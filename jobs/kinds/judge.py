"""Let models answer a prompt set and a judge read what they said."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from jobs.kinds import Event
from jobs.kinds.parents import find, locate
from jobs.kinds.threads import use_threads
from jobs.models.describe import describe

Texts = dict[tuple[str, int], str]


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Answer, then judge; what was answered or judged before is used again.

    Args:
        spec: `set`, `limit`, `max_new_tokens`, `device`, `judge` (how it is reached), `subjects`
            (one model, or two to compare, as `prepare.subject` gives them, each with its
            `replies` from before), `known` (the judge's answers from before).

    Yields:
        "model", "replies", "judgement" and, last, "judging" and "result" events.

    Raises:
        JudgeError, JudgeFailure, EvaluationError, ModelError: in one sentence.
    """
    from evaluation.judge.run import judge_pair, judge_single
    from evaluation.judge.sets import load_set

    prompts = load_set(spec["set"])
    questions = prompts.first(spec.get("limit"))
    asked: list[tuple[dict[str, Any], Texts]] = []
    for subject in spec["subjects"]:
        asked.append((yield from _answered(spec, subject, prompts.hash, questions)))
    judge = yield from _judge(spec)
    (first, ours), *rest = asked
    events = (
        judge_pair(judge, questions, ours, rest[0][1], spec["known"])
        if rest
        else judge_single(judge, questions, ours, spec["known"])
    )
    other = rest[0][0] if rest else None
    for event in events:
        if event["kind"] != "judged":
            yield event
            continue
        yield {
            "kind": "judging", "model_id": first["model_id"],
            "model_fingerprint": first["fingerprint"],
            "other_id": other["model_id"] if other else None,
            "other_fingerprint": other["fingerprint"] if other else None,
            "set_name": prompts.name, "set_hash": prompts.hash,
            "mode": "pair" if rest else "single", "judge": judge.name,
            "rubric": judge.rubric("pair" if rest else "single"),
            "config": {**first["config"], "limit": spec.get("limit")},
            "selection": prompts.selection, "summary": event["summary"], "items": event["items"],
        }  # fmt: skip
        yield {"kind": "result", "model": first["name"], "judged_model_id": first["model_id"],
               "set": prompts.name, "judge": judge.name}  # fmt: skip


def _answered(
    spec: Mapping[str, Any], subject: Mapping[str, Any], set_hash: str, questions: Sequence[Any]
) -> Generator[Event, None, tuple[dict[str, Any], Texts]]:
    """A model's replies, those from before included; it is loaded only when some are missing."""
    from evaluation.judge import replies as talk

    name, device = subject["model"], spec.get("device", "auto")
    fingerprint, dtype, load = yield from _looked_at(subject, device)
    config = talk.reply_config(max_new_tokens=spec["max_new_tokens"], dtype=dtype)
    mark = talk.config_hash(config)
    told = {"name": name, "model_id": subject["model_id"], "fingerprint": fingerprint,
            "config": config}  # fmt: skip
    texts: Texts = {
        (str(one["question_id"]), int(one["turn"])): str(one["text"])
        for one in subject["replies"]
        if one["model_fingerprint"] == fingerprint and one["config_hash"] == mark
    }
    if all((q.id, turn) in texts for q in questions for turn in range(len(q.turns))):
        yield {"kind": "stage", "stage": f"{name} has answered already"}
        return told, texts
    model, tokenizer = yield from load()
    new: list[Event] = []
    shared = {"kind": "replies", "model_id": subject["model_id"], "fingerprint": fingerprint,
              "set_hash": set_hash, "config_hash": mark}  # fmt: skip
    for event in talk.generate(model, tokenizer, questions, known=texts,
                               max_new_tokens=spec["max_new_tokens"], label=name):  # fmt: skip
        if event["kind"] == "reply":
            new.append(event)
            texts[event["question_id"], event["turn"]] = event["text"]
            continue
        if new:
            yield {**shared, "replies": new}
            new = []
        yield event
    del model
    _free()
    return told, texts


def _looked_at(
    subject: Mapping[str, Any], device: str
) -> Generator[Event, None, tuple[str, str, Any]]:
    """Fingerprint and dtype of a model, and a generator function that loads it."""
    from evaluation.run import scoring_dtype

    name = subject["model"]
    yield {"kind": "stage", "stage": f"Loading {name}"}
    if subject["source"]:
        folder = yield from find(subject["source"], subject.get("revision"))
        facts = describe(folder, subject["known"])
        yield {"kind": "model", "model_id": subject["model_id"], **facts}
        dtype = scoring_dtype(folder, device=device)

        def loaded() -> Generator[Event, None, tuple[Any, Any]]:
            from evaluation.run import load_model

            yield {"kind": "stage", "stage": f"Loading {name}"}
            use_threads([folder])
            return load_model(
                folder, device=device, dtype=dtype, trusted_code=subject.get("trusted_code", ())
            )

        return str(facts["fingerprint"]), dtype, loaded
    return (yield from _merged(subject, device))


def _merged(
    subject: Mapping[str, Any], device: str
) -> Generator[Event, None, tuple[str, str, Any]]:
    """The same of a merge that was never written: what stands for its content is its recipe."""
    from evaluation.run import scoring_dtype
    from merging.formats.bases import config_folder
    from merging.in_memory import merge_to_model

    recipe, folders = yield from locate(subject)
    yield {"kind": "model", "model_id": subject["model_id"], "fingerprint": recipe.hash}
    donor = config_folder(recipe.config_donor, folders, recipe_base=recipe.base)
    dtype = scoring_dtype(donor, device=device)

    def loaded() -> Generator[Event, None, tuple[Any, Any]]:
        import torch

        yield {"kind": "stage", "stage": f"Merging {subject['model']} in memory"}
        use_threads(folders.values())
        merging = merge_to_model(recipe, folders, device=device)
        while True:
            try:
                event = next(merging)
            except StopIteration as stop:
                model, tokenizer = stop.value
                return model.to(getattr(torch, dtype)), tokenizer
            if event.get("kind") != "result":
                yield event

    return recipe.hash, dtype, loaded


def _judge(spec: Mapping[str, Any]) -> Generator[Event, None, Any]:
    from evaluation.judge.asking import Judge

    told = spec["judge"]
    if told["kind"] == "endpoint":
        return _endpoint(told)
    from evaluation.judge.local import LocalJudge, identity, judge_name

    subject = told["subject"]
    fingerprint, _, load = yield from _looked_at(subject, spec.get("device", "auto"))
    model, tokenizer = yield from load()
    return Judge(judge_name(subject["model"]), identity(fingerprint), LocalJudge(model, tokenizer))


def _endpoint(told: Mapping[str, Any]) -> Any:
    """The endpoint, its key read from the environment now and kept nowhere."""
    from evaluation.judge.address import key_from
    from evaluation.judge.asking import Judge
    from evaluation.judge.endpoint import Endpoint, EndpointOptions

    options = EndpointOptions(
        told["base_url"],
        told["model"],
        timeout_seconds=float(told["timeout_seconds"]),
        attempts=int(told["attempts"]),
        max_tokens=int(told["max_tokens"]),
    )
    endpoint = Endpoint(options, key_from(told.get("key_variable", "")))
    identity = {"kind": "endpoint", "base_url": options.base_url.rstrip("/"),
                "model": options.model, "max_tokens": options.max_tokens,
                "temperature": options.temperature}  # fmt: skip
    return Judge(told["name"], identity, endpoint, int(told["concurrency"]))


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
