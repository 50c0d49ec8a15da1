"""A search's trials as plain data: what is best, and what is not beaten on every objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search.trials import GRID, SAMPLED

if TYPE_CHECKING:
    from search.design import SearchDesign
    from search.trials import Trials

STATES = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        ref: its number; with a `k` before it a known good point outside of the space.
        state: "done", "pruned", "failed" or "running".
        origin: "grid" for a known good point, else "sampler".
        scale: of a known good point.
        params: of the space.
        values: one for each objective; none unless done.
        tasks: task -> score on the search items that were asked.
        steps: items of each task -> value after them.
        items: that were asked, over all tasks.
        recipe: hash of the merge, pinned.
        change: of the weights, where it was measured.
        reused: number of an earlier trial of the same merge.
        ended: when, in seconds since the epoch.
        seconds: of merging and scoring.
        text: why it failed.
    """

    ref: str
    state: str
    origin: str
    scale: float | None
    params: Mapping[str, Any]
    values: tuple[float, ...]
    tasks: Mapping[str, float]
    steps: Mapping[int, float]
    items: int
    recipe: str | None
    change: float | None
    reused: int | None
    ended: float | None
    seconds: float
    text: str | None

    @property
    def title(self) -> str:
        """For people."""
        if self.origin == GRID and self.scale is not None:
            return f"task arithmetic, λ {self.scale:g}"
        return f"trial {self.ref}"


@dataclass(frozen=True)
class SearchResults:
    """All trials of a search.

    Attributes:
        design: of the search.
        trials: in the order they were asked; the known points outside of the space first.
        target: how many trials there are to be.
        importance: parameter -> share, by objective; empty where it cannot be told.
    """

    design: SearchDesign
    trials: tuple[Trial, ...]
    target: int
    importance: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    @property
    def done(self) -> tuple[Trial, ...]:
        """Those that were scored on all search items."""
        return tuple(one for one in self.trials if one.state == "done")

    def counts(self) -> dict[str, int]:
        """How many trials are `done` (pruned ones among them), `pruned` and `failed`."""
        states = [one.state for one in self.trials]
        pruned = states.count("pruned")
        return {"done": states.count("done") + pruned, "pruned": pruned,
                "failed": states.count("failed"), "running": states.count("running")}  # fmt: skip

    def trial(self, ref: str) -> Trial | None:
        """A trial by its reference."""
        return next((one for one in self.trials if one.ref == ref), None)

    def best(self, among: Sequence[Trial] | None = None) -> Trial | None:
        """The best by the deciding objective; of equals the first."""
        place = self.design.deciding
        found = [one for one in (self.done if among is None else among) if one.values]
        return max(found, key=lambda one: one.values[place], default=None)

    @property
    def known(self) -> tuple[Trial, ...]:
        """The known good points that were scored: the grid of task arithmetic."""
        return tuple(one for one in self.done if one.origin == GRID)

    def front(self) -> list[Trial]:
        """Trials that none beats on every objective, the best by the deciding one first."""
        signs = [1 if one.direction == "maximize" else -1 for one in self.design.objectives]
        turned = [(one, [s * v for s, v in zip(signs, one.values, strict=True)])
                  for one in self.done]  # fmt: skip
        found: list[Trial] = []
        seen: set[str | None] = set()
        for one, mine in turned:
            beaten = any(
                all(a >= b for a, b in zip(other, mine, strict=True)) and other != mine
                for _, other in turned
            )
            if not beaten and one.recipe not in seen:
                seen.add(one.recipe)
                found.append(one)
        place = self.design.deciding
        return sorted(found, key=lambda one: -one.values[place])


def read(trials: Trials, *, importance: bool = False) -> SearchResults:
    """All trials as they are now.

    Args:
        trials: of the search.
        importance: whether to work out which parameter mattered, too.
    """
    found = []
    for study, prefix in ((trials.outside, "k"), (trials.main, "")):
        for one in study.get_trials(deepcopy=False):
            if one.state.name in STATES and not one.user_attrs.get("surplus"):
                found.append(_trial(one, prefix))
    target = trials.target_in_all()
    shares = importances(trials) if importance else {}
    return SearchResults(trials.design, tuple(found), target, shares)


def _trial(one: Any, prefix: str) -> Trial:
    attrs = one.user_attrs
    done = one.state.name == "COMPLETE"
    return Trial(
        ref=f"{prefix}{one.number}",
        state=STATES[one.state.name],
        origin=attrs.get("origin", SAMPLED),
        scale=attrs.get("scale"),
        params=dict(one.params),
        values=tuple(one.values) if done else (),
        tasks=attrs.get("tasks") or {},
        steps=dict(one.intermediate_values),
        items=int(attrs.get("items") or 0),
        recipe=attrs.get("recipe"),
        change=attrs.get("change"),
        reused=attrs.get("reused"),
        ended=one.datetime_complete.timestamp() if one.datetime_complete else None,
        seconds=float(attrs.get("seconds_merge") or 0.0) + float(attrs.get("seconds_score") or 0.0),
        text=attrs.get("text"),
    )


LEAST_TRIALS = 8  # fewer say nothing of what mattered


def importances(trials: Trials) -> dict[int, dict[str, float]]:
    """Objective -> parameter -> share, by Optuna's PED-ANOVA; empty where it cannot be told.

    PED-ANOVA (Watanabe, Bansal and Hutter, arXiv:2304.10255) asks how differently a parameter is
    spread over the better trials than over all; it needs no forest, as fANOVA does.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    from search.samplers import quiet

    finished = [one for one in trials.main.get_trials(deepcopy=False)
                if one.state.name == "COMPLETE"]  # fmt: skip
    found: dict[int, dict[str, float]] = {}
    if len(finished) < LEAST_TRIALS or len(trials.space.names) < 2:
        return found
    for place, one in enumerate(trials.design.objectives):
        sign = -1.0 if one.direction == "maximize" else 1.0
        if len({trial.values[place] for trial in finished}) < 2:
            continue

        def target(trial: Any, place: int = place, sign: float = sign) -> float:
            return sign * float(trial.values[place])

        try:
            with quiet():
                shares = get_param_importances(
                    trials.main,
                    evaluator=PedAnovaImportanceEvaluator(target_quantile=0.25),
                    target=target,
                )
        except (ValueError, RuntimeError, ZeroDivisionError):
            continue  # no parameter that all trials have, or no spread
        found[place] = {name: float(share) for name, share in shares.items()}
    return found
