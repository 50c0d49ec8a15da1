"""What scores decide while a study runs: which options are carried on, which merge is the best.

Whoever chooses here gives scores on the items for choosing only (`design.split`): the winner's
score on those is flattered by luck, its score on the other items is not.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean
from typing import Any

from studies.design import Design
from studies.points import Chosen, Point
from studies.stages import INSTRUCT

Scored = Iterable[tuple[Point, float]]


def choose(design: Design, stage: str, scored: Scored) -> Chosen:
    """What is decided for a stage by the scores of the stages before it.

    Args:
        design: of the study.
        stage: the stage whose points are wanted; see `studies.points.points_of`.
        scored: points that are done, each with its mean score over the tasks on the items for
            choosing. Points of other stages than those that decide may be among them.
    """
    known = list(scored)
    options = {}
    if design.is_carried(stage):
        options = best_options(known, str(design.before(stage)))
    best = best_merge(known) if stage == INSTRUCT else None
    return Chosen(options, best)


def best_options(scored: Scored, stage: str) -> dict[str, dict[str, Any]]:
    """Per method, the options with the best mean score over a stage's constituents and seeds.

    Options of which some points have failed are compared with the others only where all have: a
    mean over the easier half is no better mean. Of equal ones the first in the order of their
    text is taken, whatever order they come in. A method without any score is left out.
    """
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for point, score in scored:
        if point.stage == stage and math.isfinite(score):
            values[point.method][_text(point)].append(score)
    best = {}
    for method, by_options in values.items():
        most = max(len(scores) for scores in by_options.values())
        complete = {text: fmean(s) for text, s in by_options.items() if len(s) == most}
        best[method] = json.loads(min(complete, key=lambda text: (-complete[text], text)))
    return best


def best_merge(scored: Scored) -> Point | None:
    """The merge of stages 1 to 3 with the best score; of equal ones that of the fewest models."""
    found = [
        (-score, len(point.constituents), point.key, point)
        for point, score in scored
        if point.stage != INSTRUCT and math.isfinite(score)
    ]
    return min(found, key=lambda one: one[:3])[-1] if found else None


def _text(point: Point) -> str:
    return json.dumps(dict(point.options), sort_keys=True)
