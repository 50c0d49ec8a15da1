"""Claims on what merging does: recovery, complementarity, emergence, interference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studies.analysis.chosen import Pick, best, groups, picks
from studies.analysis.emergence import emergence
from studies.analysis.emergent import MergeEmergence
from studies.analysis.intervals import LEVEL, Mask, contrast, holm, moments
from studies.analysis.recovery import GENERAL, Forgetting, Recovered, recovering, recovery
from studies.claims import words
from studies.claims.finding import FINANCE, Claim, Effect, Finding, Verdict, corrected, decide
from studies.results import BASE, Results

RECOVERY = Claim(
    "recovery",
    "Merging an expert with its base brings back general knowledge that its training had cost",
    FINANCE,
    "general score of the merge - of the expert",
    "paired by item over the general tasks, Holm over the experts that forgot",
)
COMPLEMENTARITY = Claim(
    "complementarity",
    "Merging two experts gives more than either of them",
    FINANCE,
    "mean score of the merge - of the better expert",
    "paired by item over all tasks, Holm over the pairs",
)
EMERGENCE = Claim(
    "emergence",
    "Merged experts can do what none of them can (pairs and triples; not with the instruct model)",
    FINANCE,
    "share of items that only the merge has right, beyond luck",
    "guessing and merges of a part of the parents (both), Sidak over tasks, Holm over the merges",
)
INTERFERENCE = Claim(
    "interference",
    "Three experts interfere: the merge is below that of two",
    FINANCE,
    "mean score of the best pair - of the triple",
    "paired by item over all tasks, Holm over the triples",
)


def n_items(results: Results, tasks: Mask | None = None) -> int:
    """Reported items of some tasks."""
    columns = np.flatnonzero(results.shared if tasks is None else tasks)
    return int(sum(results.tasks[i].mask("report").sum() for i in columns))


def difference(
    results: Results, name: str, plus: Pick, minus: int, penalty: int | None = None
) -> Effect:
    """A chosen merge against another model on the mean score over the shared tasks."""
    found = moments(results, contrast(results, [plus.row], [minus]))
    value, low, high, p = found.estimate()
    p = min(1.0, p * (plus.penalty if penalty is None else penalty))
    return Effect(name, value, low, high, p, n_items(results), key=plus.model.key)


def recovery_claim(results: Results) -> Finding:
    """Did the chosen stage-1 merges bring back what their experts had lost?"""
    found = recovery(results)
    lost = [one for one in found.forgotten if one.domain == GENERAL]
    if not lost:
        return RECOVERY.unknown(_no_general(results))
    p = holm([1.0 if one.p is None else one.p for one in lost])
    forgot = [
        one for one, adjusted in zip(lost, p, strict=True) if one.lost > 0 and adjusted < LEVEL
    ]
    if not forgot:
        told = ", ".join(f"{one.expert} {words.points(-one.lost)}" for one in lost)
        return RECOVERY.unknown(
            f"No expert is below the base on the general tasks beyond noise ({told}), so there is "
            "nothing to bring back."
        )
    effects = []
    for one in forgot:
        back = found.best(one.expert)
        pick = recovering(results, one.expert)
        if pick and back and back.back_low is not None and back.back_high is not None:
            tested = pick.p(1.0 if back.back_p is None else back.back_p)
            effects.append(Effect(one.expert, back.back, back.back_low, back.back_high, tested,
                                  n_items(results, results.general), key=back.key))  # fmt: skip
    if not effects:
        return RECOVERY.unknown("No merge of the base with an expert that forgot is scored yet.")
    effects = corrected(effects)
    verdict, decisive = decide(effects, "most")
    loss = next(one for one in forgot if one.expert == decisive.name)
    back = found.best(decisive.name)
    sentence = "" if back is None else _recovered(loss, back, decisive)
    if len(effects) > 1:
        n = sum(one.sure for one in effects)
        sentence += f" Of {len(effects)} experts that forgot, {n} got something back beyond noise."
    return RECOVERY.found(verdict, sentence, decisive, effects)


def _no_general(results: Results) -> str:
    if BASE not in results.row:
        return "The base is not scored, so what the experts lost is not known."
    if not results.experts:
        return "No expert is scored yet."
    return "The suite has no general tasks, so what the experts forgot cannot be seen."


def _recovered(loss: Forgetting, back: Recovered, decisive: Effect) -> str:
    low, high = loss.low or 0.0, loss.high or 0.0
    text = (
        f"The {loss.expert} expert lost {words.points(loss.lost, signed=False)} on "
        f"{words.count(loss.n_tasks, 'general task')} ({words.span(low, high)}); {back.label} "
        f"against the expert there: {words.effect(decisive)}"
    )
    if back.share is not None and back.share_low is not None and back.share_high is not None:
        text += (f", which is {words.percent(back.share)} of the loss "
                 f"({words.percents(back.share_low, back.share_high)})")  # fmt: skip
    if back.kept is not None:
        text += f", and keeps {words.percent(back.kept)} of what the expert had gained at its own"
    return text + "."


def complementarity_claim(results: Results) -> Finding:
    """Does the chosen merge of any pair beat the better of the two?"""
    effects = []
    for group, pick in picks(results, "2").items():
        parents = [one for key in group[1] if (one := results.model(key)) is not None]
        better = best(results, parents)
        if better is not None and len(parents) == len(group[1]):
            name = " + ".join(group[1])
            effects.append(difference(results, name, pick, better.row))
    effects = corrected([one for one in effects if np.isfinite(one.p)])
    if not effects:
        return COMPLEMENTARITY.unknown(_no_stage(results, "2", "pairs"))
    verdict, decisive = decide(effects, "any")
    n = sum(one.sure for one in effects)
    return COMPLEMENTARITY.found(
        verdict,
        f"Of {words.count(len(effects), 'pair')}, {n} "
        f"{'is' if n == 1 else 'are'} above the better expert beyond noise; "
        f"{_label(results, decisive)} against its better expert: {words.effect(decisive)}.",
        decisive,
        effects,
    )


def emergence_claim(results: Results) -> Finding:
    """Does any chosen merge of two or three experts know more than luck gives?"""
    chosen = {
        pick.model.key: pick for stage in ("2", "3") for pick in picks(results, stage).values()
    }
    if not chosen:
        return EMERGENCE.unknown(_no_stage(results, "2", "pairs or triples"))
    found = {one.key: one for one in emergence(results, only=chosen).merges}
    tested = [one for one in found.values() if one.p is not None and one.n]
    if not tested:
        return EMERGENCE.unknown(
            "No right-or-wrong task has a chance level or merges to compare with, so luck cannot "
            "be told from skill."
        )
    effects = corrected([_beyond_luck(one, chosen[one.key]) for one in tested])
    # a small p in one task is emergence, even where the sum over tasks is below what luck gives
    low = [one for one in effects if one.p_holm < LEVEL]
    beyond = [one.key for one in low if found[one.key or ""].found]
    if beyond:
        some = [one for one in effects if one.key in beyond]
        decisive = min(some, key=lambda one: (one.p_holm, -one.value))
        verdict: Verdict = "supported"
    else:
        refuted = not low and all(one.refuted for one in effects)
        verdict = "not supported" if refuted else "cannot tell"
        decisive = min(effects, key=lambda one: (one.p_holm, -one.value))
    sentence = _emerged(found[decisive.key or ""], decisive)
    sentence += (f" Of {words.count(len(effects), 'chosen merge')}, {len(beyond)} "
                 f"{'has' if len(beyond) == 1 else 'have'} more than luck gives."
                 f"{_with_instruct(results)}")  # fmt: skip
    return EMERGENCE.found(verdict, sentence, decisive, effects)


def _with_instruct(results: Results) -> str:
    """What the picture shows of the instruct stage, which the claim is not about."""
    chosen = {pick.model.key: pick for pick in picks(results, "instruct").values()}
    tested = [one for one in emergence(results, only=chosen).merges if one.p is not None and one.n]
    if not tested:
        return ""
    effects = corrected([_beyond_luck(one, chosen[one.key]) for one in tested])
    n = sum(one.p_holm < LEVEL and merge.found for one, merge in zip(effects, tested, strict=True))
    return (f" No part of the claim: of {words.count(len(tested), 'chosen merge')} with the "
            f"instruct model, {n} {'has' if n == 1 else 'have'}.")  # fmt: skip


def _beyond_luck(one: MergeEmergence, pick: Pick) -> Effect:
    excess = one.tested - (one.expected or 0.0)
    low, high = (one.low or 0.0) / one.n, (one.high or 0.0) / one.n
    p = pick.p(1.0 if one.p is None else one.p)
    return Effect(one.label, excess / one.n, low, high, p, one.n, key=one.key)


def _emerged(one: MergeEmergence, decisive: Effect) -> str:
    text = (
        f"Of {one.pool:,} items that the base and its parents all have wrong, {one.label} has "
        f"{one.tested:,} right, where luck gives {one.expected or 0.0:.1f} "
        f"({words.p_value(decisive.p_holm)}"
    )
    if one.best is not None:
        text += f"; most clearly in {one.best.task}, with {one.best.new} of {one.best.pool}"
        if one.best.most_control is not None:
            text += f", where a merge without all of its parents has {one.best.most_control}"
    if one.p_redrawn is not None:
        text += f"; the same items come back with other masks: {words.p_value(one.p_redrawn)}"
    return text + ")."


def interference_claim(results: Results) -> Finding:
    """Is the chosen merge of three below the best merge of two of them?"""
    by_group = groups(results)
    effects = []
    for group, triple in picks(results, "3").items():
        pairs = [one for other, some in by_group.items()
                 if other[0] == "2" and set(other[1]) < set(group[1]) for one in some]  # fmt: skip
        pair = best(results, pairs)
        if pair is not None:
            effects.append(difference(results, " + ".join(group[1]), pair, triple.row))
    effects = corrected([one for one in effects if np.isfinite(one.p)])
    if not effects:
        return INTERFERENCE.unknown(_no_stage(results, "3", "triples"))
    verdict, decisive = decide(effects, "most")
    below = "below" if decisive.value > 0 else "above"
    n = sum(one.sure for one in effects)
    return INTERFERENCE.found(
        verdict,
        f"The best merge of {decisive.name} is {below} the best merge of two of them, "
        f"{_label(results, decisive)}, which leads by {words.effect(decisive)}; "
        f"{n} of {words.count(len(effects), 'triple')} "
        f"{'is' if n == 1 else 'are'} below beyond noise.",
        decisive,
        effects,
    )


def _label(results: Results, one: Effect) -> str:
    model = results.model(one.key or "")
    return one.name if model is None else model.label


def _no_stage(results: Results, stage: str, what: str) -> str:
    stages: Sequence[str] = results.design.stages
    if stage not in stages:
        return f"The study has no stage {stage}, so there are no {what} to look at."
    return f"No comparable merge of stage {stage} is scored yet."
