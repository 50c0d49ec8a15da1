"""A search's trials: what is tried next, and what came of it. Kept by Optuna, in its own tables.

Two of Optuna's studies belong to a search: one of the space, and one of known good points outside
of it, which a sampler cannot learn from. Several processes may ask at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search import samplers
from search.samplers import quiet
from search.space import METHOD, Parameter, SearchSpace

if TYPE_CHECKING:
    from merging.recipes.recipe import Recipe
    from search.design import SearchDesign

MOST_DEATHS = 2  # a trial that took its process with it so often is not tried again
ORPHAN_SECONDS = 60.0  # a trial that nobody has put a name to for so long belongs to nobody
KILLED = (
    "The process was killed each time this merge was made or scored, which is often for lack of "
    "memory."
)
OUTSIDE = " (known points)"
GRID, SAMPLED = "grid", "sampler"


@dataclass(frozen=True)
class Asked:
    """A trial to be made and scored.

    Attributes:
        ref: names it in the search: its number, with a `k` before it outside of the space.
        trial: Optuna's.
        recipe: of the merge.
        params: of the space; none outside of it.
        origin: "grid" for a known good point, else "sampler".
        scale: of a known good point.
    """

    ref: str
    trial: Any
    recipe: Recipe
    params: Mapping[str, Any]
    origin: str
    scale: float | None

    @property
    def label(self) -> str:
        """For people."""
        if self.scale is not None:
            return f"known point, lambda {self.scale:g}"
        return f"trial {self.ref}"


class Trials:
    """The trials of one search, as one process sees them.

    Args:
        storage: of Optuna.
        name: of the study in it.
        design: of the search.
        lane: number of this process.
    """

    def __init__(self, storage: Any, name: str, design: SearchDesign, lane: int = 0) -> None:
        import optuna

        self.design = design
        self.lane = lane
        self.space = SearchSpace(design)
        directions = [one.direction for one in design.objectives]
        with quiet():
            made = {"storage": storage, "directions": directions, "load_if_exists": True}
            self.main = optuna.create_study(
                study_name=name, pruner=samplers.pruner(design.prune), **made
            )
            self.outside = optuna.create_study(study_name=name + OUTSIDE, **made)
        seed = (design.sampler.seed * 1_000_003 + lane * 7_919 + len(self._all())) % 2**32
        self.main.sampler = samplers.sampler(design.sampler, seed)

    # -- before and after -------------------------------------------------------------------

    def enter_known(self) -> None:
        """Have the known good points tried first; those that were are not tried again."""
        if not self.design.recipe.get("base"):
            return
        there = {
            one.user_attrs.get("scale")
            for study in (self.main, self.outside)
            for one in study.get_trials(deepcopy=False)
            if one.state.name != "FAIL"
        }
        for scale in self.design.grid:
            if scale in there:
                continue
            params = self.space.params_of(scale)
            study = self.outside if params is None else self.main
            with quiet():
                study.enqueue_trial(params or {}, user_attrs={"origin": GRID, "scale": scale})

    def recover(self, lane: int | None = None) -> int:
        """Fail what a process left when it died, and have it tried again; returns how many.

        Args:
            lane: whose; None for everybody's, when no process of the search runs.
        """
        from optuna.trial import TrialState

        found = 0
        for study in (self.main, self.outside):
            for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if lane is not None and not _is_left(one, lane):
                    continue
                found += 1
                deaths = int(one.user_attrs.get("deaths", 0)) + (lane is not None)
                params = one.system_attrs.get("fixed_params") or dict(one.params)
                attrs: dict[str, Any] = {
                    k: one.user_attrs[k] for k in ("origin", "scale") if k in one.user_attrs
                }
                given_up = deaths >= MOST_DEATHS
                with quiet():
                    if given_up:
                        study._storage.set_trial_user_attr(one._trial_id, "text", KILLED)
                    study.tell(one.number, state=TrialState.FAIL)
                    if (params or "scale" in attrs) and not given_up:
                        study.enqueue_trial(params, user_attrs={**attrs, "deaths": deaths})
        return found

    def count(self) -> dict[str, int]:
        """How many trials are `done` (pruned ones among them), `pruned`, `failed`, `running`."""
        states = [
            one.state.name
            for study in (self.main, self.outside)
            for one in study.get_trials(deepcopy=False)
            if not one.user_attrs.get("surplus")
        ]
        pruned = states.count("PRUNED")
        return {"done": states.count("COMPLETE") + pruned, "pruned": pruned,
                "failed": states.count("FAIL"), "running": states.count("RUNNING")}  # fmt: skip

    def target_in_all(self) -> int:
        """How many trials the search is to have, known points and all."""
        if self.design.sampler.name == "grid":
            known = len(self.design.grid) if self.design.recipe.get("base") else 0
            inside = sum(self.space.params_of(one) is not None for one in self.design.grid)
            return (self.space.combinations() or 0) + known - (inside if known else 0)
        return self.design.trials

    # -- asking -----------------------------------------------------------------------------

    def ask(self) -> Asked | None:
        """The next trial; None when there are enough, or a grid has no more points."""
        from optuna.trial import TrialState

        while self.outside.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            trial = self._begin(self.outside)
            scale = trial.user_attrs.get("scale")
            if scale is None:  # another process took the last one meanwhile
                self._drop(self.outside, trial)
                continue
            recipe = self.space.arithmetic(scale)
            return Asked(f"k{trial.number}", trial, recipe, {}, GRID, float(scale))
        if self._taken(None) >= self._target():
            return None
        if self.design.sampler.name == "grid" and not self._enqueue_next():
            return None
        trial = self._begin(self.main)
        if self._taken(trial.number) >= self._target():  # others asked at the same moment
            self._drop(self.main, trial)
            return None
        with quiet():
            params = self._suggest(trial)
        scale, origin = trial.user_attrs.get("scale"), trial.user_attrs.get("origin", SAMPLED)
        return Asked(f"{trial.number}", trial, self.space.recipe(params), params, origin, scale)

    def same(self, recipe_hash: str) -> Any:
        """A finished trial of the same merge; None when there is none."""
        for study in (self.main, self.outside):
            for one in study.get_trials(deepcopy=False):
                if one.state.name == "COMPLETE" and one.user_attrs.get("recipe") == recipe_hash:
                    return one
        return None

    def report(self, asked: Asked, value: float, items: int) -> bool:
        """Say what a trial's first items come to; whether it is to be left there."""
        with quiet():
            asked.trial.report(value, items)
            return bool(asked.trial.should_prune())

    def done(self, asked: Asked, values: list[float], facts: Mapping[str, Any]) -> None:
        """A trial is scored."""
        self._end(asked, "COMPLETE", values, facts)

    def pruned(self, asked: Asked, facts: Mapping[str, Any]) -> None:
        """A trial was left after its first items."""
        self._end(asked, "PRUNED", None, facts)

    def failed(self, asked: Asked, text: str) -> None:
        """A trial could not be made or scored."""
        self._end(asked, "FAIL", None, {"text": text[:1000]})

    # -- inside -----------------------------------------------------------------------------

    def _begin(self, study: Any) -> Any:
        with quiet():
            trial = study.ask()
            trial.set_user_attr("lane", self.lane)
        return trial

    def _drop(self, study: Any, trial: Any) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr("surplus", True)
        study.tell(trial, state=TrialState.FAIL)

    def _end(
        self, asked: Asked, state: str, values: list[float] | None, facts: Mapping[str, Any]
    ) -> None:
        from optuna.trial import TrialState

        study = self.outside if asked.ref.startswith("k") else self.main
        with quiet():
            for name, value in facts.items():
                asked.trial.set_user_attr(name, value)
            study.tell(asked.trial, values, state=TrialState[state])

    def _all(self) -> list[Any]:
        return list(self.main.get_trials(deepcopy=False))

    def _target(self) -> int:
        """How many trials of the space there are to be."""
        from optuna.trial import TrialState

        failed = (TrialState.FAIL,)
        trials = self.outside.get_trials(deepcopy=False)
        outside = sum(one.state not in failed for one in trials)
        if self.design.sampler.name == "grid":
            return 1 << 40  # its points are its end
        return max(0, self.design.trials - outside)

    def _taken(self, before: int | None) -> int:
        """Trials of the space that are finished or under way, those before a number alone."""
        return sum(
            one.state.name in ("COMPLETE", "PRUNED", "RUNNING")
            and (before is None or one.number < before)
            for one in self._all()
        )

    def _enqueue_next(self) -> bool:
        """Have the grid's next point tried; False when none is left."""
        trials = self._all()
        if any(one.state.name == "WAITING" for one in trials):
            return True
        there = {
            _params_key(one.system_attrs.get("fixed_params") or one.params)
            for one in trials
            if one.state.name != "FAIL" or "text" in one.user_attrs
        }
        for params in self.space.grid():
            if _params_key(params) not in there:
                with quiet():
                    self.main.enqueue_trial(params, user_attrs={"origin": SAMPLED})
                return True
        return False

    def _suggest(self, trial: Any) -> dict[str, Any]:
        """A value for each parameter that the trial's method has."""
        found: dict[str, Any] = {}
        if len(self.space.methods) > 1:
            found[METHOD] = trial.suggest_categorical(METHOD, list(self.space.methods))
        method = found.get(METHOD, self.space.methods[0])
        for one in self.space.active(method):
            found[one.name] = _suggested(trial, one)
        return found


def _suggested(trial: Any, one: Parameter) -> Any:
    given = one.range
    if given.values is not None:
        return trial.suggest_categorical(one.name, list(given.values))
    assert given.low is not None
    if one.whole:
        low, step = int(given.low), int(given.step or 1)
        return trial.suggest_int(one.name, low, int(given.top), step=step)
    return trial.suggest_float(one.name, given.low, given.top, step=given.step, log=given.log)


def _is_left(one: Any, lane: int) -> bool:
    """Whether a running trial was this lane's before it died, or nobody's for long."""
    whose = one.user_attrs.get("lane")
    if whose is not None:
        return bool(whose == lane)
    return one.datetime_start is not None and (
        time.time() - one.datetime_start.timestamp() > ORPHAN_SECONDS
    )


def _params_key(params: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str:
    rounded = {k: round(v, 9) if isinstance(v, float) else v for k, v in dict(params).items()}
    return json.dumps(rounded, sort_keys=True)
