"""From a task's documents to the requests that ask them; documents that cannot be are named.

One bad document costs a task that document, not the others: it is left out, with its number and
what is wrong with it. The rules look at the document alone wherever they can, so that every model
is asked the same items.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from evaluation.errors import TaskError
from evaluation.harness.examples import own_examples
from evaluation.scoring.scorer import Scorer
from evaluation.suites import Settings

MOST_TOLD = 3
ITEMS_AT_ONCE = 100


@dataclass
class Item:
    """One document of a task with the requests that ask it.

    Attributes:
        doc_id: number in the task's data, from 0.
        doc: the document.
        requests: lm-eval instances; their ``resps`` are filled by the scorer.
    """

    doc_id: int
    doc: dict[str, Any]
    requests: list[Any]


@dataclass(frozen=True)
class LeftOut:
    """A document that is not asked, or not scored, and why, in words without a full stop."""

    doc_id: int
    text: str


class _BadItem(Exception):
    """What is wrong with a document."""


def build_items(
    task: Any,
    scorer: Scorer,
    settings: Settings,
    limit: int | None,
    keep: Collection[int] | None = None,
) -> Iterator[tuple[list[Item], list[LeftOut]]]:
    """Ask the task for the requests of its documents, a hundred documents at a time.

    With ``keep`` only documents of these numbers are asked, and the limit counts among them. A
    document that is left out counts as one of the limit's.

    Raises:
        TaskError: too few examples for the number of shots.
    """
    chat = bool(settings.apply_chat_template)
    multiturn = chat and settings.fewshot_as_multiturn is not False
    docs = task.doc_iterator(limit=None if keep is not None else limit)
    if keep is not None:  # (the harness's own `samples` would number them anew)
        wanted = set(keep)
        docs = islice((one for one in docs if one[0] in wanted), limit)
    examples = own_examples(task, keep)
    items: list[Item] = []
    bad: list[LeftOut] = []
    for doc_id, doc in docs:
        try:
            check(task, doc)
            examples.about(doc)
            context = task.fewshot_context(
                doc,
                num_fewshot=task.config.num_fewshot or 0,
                system_instruction=settings.system_instruction,
                apply_chat_template=chat,
                fewshot_as_multiturn=multiturn,
                chat_template=scorer.apply_chat_template if chat else None,
                gen_prefix=task.doc_to_prefix(doc),
            )
            requests = task.construct_requests(
                doc=doc,
                ctx=context,
                metadata=(task.config["task"], doc_id, task.config.repeats),
                apply_chat_template=chat,
                chat_template=scorer.apply_chat_template if chat else None,
            )
        except TaskError:
            raise
        except Exception as error:  # whatever a task's own code raises is that document's problem
            bad.append(LeftOut(doc_id, explain(error)))
        else:
            asked = requests if isinstance(requests, list) else [requests]
            items.append(Item(doc_id, doc, asked))
        if len(items) + len(bad) == ITEMS_AT_ONCE:
            yield items, bad
            items, bad = [], []
    if items or bad:
        yield items, bad


def faults(task: Any, docs: Collection[Any]) -> list[LeftOut]:
    """What is wrong with documents, of those where something is."""
    bad = []
    for number, doc in enumerate(docs):
        try:
            check(task, doc)
        except Exception as error:  # whatever a task's own code raises
            bad.append(LeftOut(number, explain(error)))
    return bad


def told(left_out: Sequence[LeftOut], asked: int, verb: str = "asked") -> str:
    """``2 of 200 items could not be asked: item 3 (...), item 9 (...)``."""
    whole = f"{len(left_out):,} of {asked:,} item{'s' if asked > 1 else ''} could not be {verb}"
    if len({one.text for one in left_out}) == 1 and len(left_out) > 1:
        numbers = ", ".join(str(one.doc_id) for one in left_out[:MOST_TOLD])
        more = f" and {len(left_out) - MOST_TOLD:,} more" if len(left_out) > MOST_TOLD else ""
        return f"{whole}: items {numbers}{more} ({left_out[0].text})"
    each = ", ".join(f"item {one.doc_id} ({one.text})" for one in left_out[:MOST_TOLD])
    more = f", and {len(left_out) - MOST_TOLD:,} more" if len(left_out) > MOST_TOLD else ""
    return f"{whole}: {each}{more}"


def check(task: Any, doc: Mapping[str, Any]) -> None:
    """Refuse a document that the harness would ask, and every model answer wrongly.

    Raises:
        Exception: whatever is wrong with it; ``explain`` puts it into words.
    """
    task.doc_to_text(doc)
    target = task.doc_to_target(doc)
    if task.OUTPUT_TYPE == "multiple_choice":
        _check_choices(task, doc, target)
    elif target is None and not callable(getattr(task.config, "process_results", None)):
        raise _BadItem("it has no target")
    _check_fields(task, doc)


def _check_choices(task: Any, doc: Mapping[str, Any], target: Any) -> None:
    choices = task.doc_to_choice(doc)
    if not isinstance(choices, list | tuple):
        raise _BadItem(f"its choices are {_kind(choices)} and no list")
    if len(choices) < 2:
        raise _BadItem(
            f"a multiple-choice item needs at least two choices and this one has {len(choices)}"
        )
    if any(not str(choice) for choice in choices):
        raise _BadItem("one of its choices is empty")
    if any(not isinstance(choice, str) for choice in choices):
        raise _BadItem("one of its choices is no text")
    if callable(getattr(task.config, "process_results", None)):
        return  # what its target means is its own code's business
    if getattr(task, "multiple_input", 0):
        target = task.doc_to_text(doc)
    targets = target if isinstance(target, list | tuple) else [target]
    if not targets:
        raise _BadItem("it has no target")
    for one in targets:
        _check_target(one, choices)


def _check_target(target: Any, choices: Sequence[str]) -> None:
    if isinstance(target, bool) or not isinstance(target, int | str):
        raise _BadItem("it has no target" if target is None else f"its target is {_kind(target)}")
    if isinstance(target, str) and target not in choices:
        raise _BadItem(f"its target {target[:60]!r} is none of its choices")
    if isinstance(target, int) and not 0 <= target < len(choices):
        raise _BadItem(f"its target is {target} and its choices are 0 to {len(choices) - 1}")


def _check_fields(task: Any, doc: Mapping[str, Any]) -> None:
    """A field that is missing must not be asked as the word None.

    Files are read into tables, where a field that a line lacks is empty, and a template prints an
    empty field as ``None``. A template that provides for it (``{{ hint or '' }}``) prints nothing.
    Only files of one's own are looked at so: of published data the harness's words are the ones
    that are quoted.
    """
    if not getattr(task, "own_file", False):
        return
    text, target = task.doc_to_text(doc), task.doc_to_target(doc)
    for name in [name for name, value in doc.items() if value is None]:
        marked = {**doc, name: _MARK}
        try:
            asked = [task.doc_to_text(marked), task.doc_to_target(marked)]
        except Exception:  # it is looked into, so it is not merely printed
            continue
        for value, plain in zip(asked, (text, target), strict=True):
            printed = isinstance(value, str) and _MARK in value
            if printed and value.replace(_MARK, "None") == str(plain):
                raise _BadItem(f"its field {name!r} is missing or empty")


_MARK = "\ue000field\ue001"  # of the private use area: no template knows it


def _kind(value: Any) -> str:
    return "missing" if value is None else f"of the kind {type(value).__name__}"


def explain(error: Exception) -> str:
    """An exception as a clause: our own words as they are, others with their kind."""
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, _BadItem) or type(error).__module__.startswith("evaluation."):
        return text
    if isinstance(error, KeyError):
        return f"its field {text} is missing"
    if isinstance(error, AssertionError) and text.startswith("Context is not a string! :"):
        return f"its text is {text.removeprefix('Context is not a string! :').strip()[:60]!r}"
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
