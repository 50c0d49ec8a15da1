"""What a judge's verdicts come to: means with errors, win rates, and what to doubt about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.statistics.uncertainty import standard_error, wilson

Item = Mapping[str, Any]
_SCORED = ("ok", "empty")
_DECIDED = ("ok", "empty", "same")


def single(items: Sequence[Item]) -> dict[str, Any]:
    """Mean grade over all, by category and by turn; standard errors clustered by conversation.

    Items without a grade (unparsed, failed, too long) are counted, and are in no mean.

    Args:
        items: with ``question_id``, ``category``, ``turn``, ``state`` and ``score``.
    """
    scored = [item for item in items if item["score"] is not None and item["state"] in _SCORED]
    categories = dict.fromkeys(item["category"] for item in items)
    turns = sorted({item["turn"] for item in items})
    return {
        "mode": "single",
        "n": len(items),
        "n_scored": len(scored),
        "states": _states(items),
        **_mean(scored),
        "categories": {
            name: _mean([item for item in scored if item["category"] == name])
            for name in categories
        },
        "turns": {str(t + 1): _mean([i for i in scored if i["turn"] == t]) for t in turns},
        "characters": _average([item["characters"][0] for item in items]),
    }


def pair(items: Sequence[Item]) -> dict[str, Any]:
    """Wins, ties and losses, how often the order changed the verdict, and what length alone says.

    The win rate counts a tie as half. Its interval is Wilson's, of wins among decided pairs.
    ``length`` is a judge that always prefers the longer answer: its win rate over the same pairs,
    and how often the real judge's decided pairs agree with it.

    Args:
        items: with ``category``, ``state``, ``outcome``, ``flipped``, ``orders``, ``characters``.
    """
    judged = [item for item in items if item["state"] in _DECIDED]
    categories = dict.fromkeys(item["category"] for item in items)
    asked = [item for item in judged if item["state"] == "ok"]
    return {
        "mode": "pair",
        "n": len(items),
        "n_judged": len(judged),
        "states": _states(items),
        **_rates(judged),
        "flip_rate": _share([bool(item["flipped"]) for item in asked]),
        "first_rate": _first(asked),
        "length": _length(judged),
        "categories": {
            name: _rates([item for item in judged if item["category"] == name])
            for name in categories
        },
        "characters": [_average([item["characters"][i] for item in items]) for i in (0, 1)],
    }


def _states(items: Sequence[Item]) -> dict[str, int]:
    return dict(Counter(str(item["state"]) for item in items))


def _mean(items: Sequence[Item]) -> dict[str, Any]:
    scores = [float(item["score"]) for item in items]
    if not scores:
        return {"mean": None, "stderr": None, "n_scored": 0}
    error = standard_error(scores, [item["question_id"] for item in items])
    return {"mean": sum(scores) / len(scores), "stderr": error, "n_scored": len(scores)}


def _rates(items: Sequence[Item]) -> dict[str, Any]:
    outcomes = Counter(item["outcome"] for item in items)
    wins, ties, losses = outcomes["win"], outcomes["tie"], outcomes["loss"]
    n, decided = len(items), wins + losses
    interval = list(wilson(wins, decided)) if decided else None
    return {
        "wins": wins,
        "ties": ties,
        "losses": losses,
        "win_rate": (wins + ties / 2) / n if n else None,
        "tie_rate": ties / n if n else None,
        "decided": wins / decided if decided else None,
        "decided_interval": interval,
    }


def _length(items: Sequence[Item]) -> dict[str, Any]:
    """The judge that only counts characters."""
    longer = [_compare(*item["characters"]) for item in items]
    decided = [
        said == item["outcome"]
        for item, said in zip(items, longer, strict=True)
        if item["outcome"] != "tie" and said != "tie"
    ]
    n = len(items)
    points = sum({"win": 1.0, "tie": 0.5, "loss": 0.0}[said] for said in longer)
    return {"win_rate": points / n if n else None, "agreement": _share(decided), "n": len(decided)}


def _compare(ours: int, theirs: int) -> str:
    return "tie" if ours == theirs else "win" if ours > theirs else "loss"


def _first(items: Sequence[Item]) -> float | None:
    """Share of the decided verdicts that went to the answer shown first; 0.5 without bias."""
    firsts = []
    for item in items:
        forward, backward = item["orders"]
        firsts += [forward == "win"] if forward in ("win", "loss") else []
        firsts += [backward == "loss"] if backward in ("win", "loss") else []
    return _share(firsts)


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _average(values: Sequence[int]) -> float | None:
    return sum(values) / len(values) if values else None
