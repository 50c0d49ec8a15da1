"""A model on this disk as a judge, read by the log-probability of its verdicts.

Nothing is parsed, so nothing can be misread: the judge's text begins with ``Grade: [[`` or
``Verdict: [[``, and each way to go on is scored. A grade is the mean of 1 to 10 weighted by their
probabilities; of a pair the likeliest of A, B and C counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import exp
from typing import TYPE_CHECKING, Any

from evaluation.judge.rubrics import PAIR, PAIR_LEAD, SINGLE_LEAD, Ask
from evaluation.judge.verdict import OK, Verdict

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOO_LONG = "too long"
GRADES = tuple(str(grade) for grade in range(1, 11))
LETTERS = {"A": "A", "B": "B", "C": "tie"}
_ROOM = 8  # tokens for the verdict itself


class LocalJudge:
    """A loaded model that grades and compares.

    Args:
        model: in memory.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        from evaluation.scoring.scorer import Scorer

        self._scorer = Scorer(model, tokenizer)
        self._chats = bool(getattr(tokenizer, "chat_template", None))

    def ask_all(self, asks: Sequence[Ask]) -> Iterator[list[tuple[int, Verdict]]]:
        """Judge everything; yields batch by batch, so that it can be stopped.

        What does not fit the judge's window is not judged: its beginning, the question, would be
        cut off.

        Yields:
            ``(position in asks, verdict)``.

        Raises:
            EvaluationFailure: NaN, or not enough memory.
        """
        from lm_eval.api.instance import Instance

        prompts = [self._prompt(ask) for ask in asks]
        sizes = [len(tokens) for tokens in self._scorer.encoder.encode(prompts)]
        window = self._scorer.window
        long = [i for i, size in enumerate(sizes) if size + _ROOM > window]
        if long:
            yield [(i, Verdict(TOO_LONG, None, None, f"{sizes[i]} tokens, the judge reads at most "
                    f"{window}.")) for i in long]  # fmt: skip
        requests, owners = [], []
        for i in sorted(set(range(len(asks))) - set(long)):
            for option in _options(asks[i]):
                pair = (prompts[i], f"{option}]]")
                requests.append(Instance("loglikelihood", {}, pair, 0, ("judge", i, 1)))
                owners.append((i, option))
        found: dict[int, dict[str, float]] = {}
        for answers in self._scorer.stream_loglikelihood(requests) if requests else ():
            ready = []
            for index, (value, _) in answers:
                i, option = owners[index]
                found.setdefault(i, {})[option] = value
                if len(found[i]) == len(_options(asks[i])):
                    ready.append((i, weighed(asks[i].mode, found.pop(i))))
            yield ready

    def _prompt(self, ask: Ask) -> str:
        lead = PAIR_LEAD if ask.mode == PAIR else SINGLE_LEAD
        told = f"{ask.text}\n\n{ask.instruction}"
        if not self._chats:
            return f"{told}\n{lead}"
        return f"{self._scorer.apply_chat_template([{'role': 'user', 'content': told}])}{lead}"


def weighed(mode: str, values: dict[str, float]) -> Verdict:
    """Log-probabilities of the verdicts as one verdict; equal best letters are a tie.

    Args:
        mode: "single" or "pair".
        values: verdict -> log-probability.
    """
    highest = max(values.values())
    weights = {option: exp(value - highest) for option, value in values.items()}
    total = sum(weights.values())
    shares = {option: weight / total for option, weight in weights.items()}
    text = json.dumps({option: round(share, 4) for option, share in shares.items()})
    if mode != PAIR:
        grade = sum(int(option) * share for option, share in shares.items())
        return Verdict(OK, grade, None, text)
    best = [option for option, share in shares.items() if share == max(shares.values())]
    return Verdict(OK, None, LETTERS[best[0]] if len(best) == 1 else "tie", text)


def _options(ask: Ask) -> tuple[str, ...]:
    return tuple(LETTERS) if ask.mode == PAIR else GRADES


def judge_name(label: str) -> str:
    """How a local judge is called beside its scores."""
    return f"{label} (by log-probability)"


def identity(fingerprint: str) -> dict[str, Any]:
    """What decides a local judge's answers, for the cache."""
    return {"kind": "local", "fingerprint": fingerprint}
