"""Optuna's samplers and pruners by a design's words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.design import Pruning, Sampler

STARTUP_TRIALS = 10  # of TPE and of the median, before they say anything
REDUCTION = 3  # of successive halving


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna tells of experimental arguments and of points outside of a range; we know."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def sampler(one: Sampler, seed: int) -> Any:
    """The sampler of a design.

    Args:
        one: of the design. A grid's points are given out in turn, and need none.
        seed: of this process; the design's and where the process stands.
    """
    from optuna import samplers

    with quiet():
        match one.name:
            case "tpe":
                # together and by groups, because an option may be there for one method only
                return samplers.TPESampler(
                    seed=seed, multivariate=True, group=True, n_startup_trials=STARTUP_TRIALS
                )
            case "cmaes":
                return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case "nsga2":
                return samplers.NSGAIISampler(seed=seed, population_size=20)
        return samplers.RandomSampler(seed=seed)


def pruner(one: Pruning | None) -> Any:
    """The pruner of a design."""
    from optuna import pruners

    if one is None:
        return pruners.NopPruner()
    if one.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS // 2, n_min_trials=4)
    return pruners.SuccessiveHalvingPruner(min_resource=one.items, reduction_factor=REDUCTION)


def rungs(one: Pruning, most: int | None) -> Iterator[int]:
    """After how many items of each task a trial is looked at.

    Args:
        one: of the design.
        most: items of a task that there are, None where nobody knows; the caller stops then.
    """
    items = one.items
    while most is None or items < most:
        yield items
        if one.pruner == "median":
            return
        items *= REDUCTION
