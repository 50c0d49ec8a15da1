"""Claims on the parents' weights: similarity predicts Gain and not OG, and independence."""

from __future__ import annotations

import math
from dataclasses import replace

from studies.analysis.independence import ALIKE, INDEPENDENT, Cosine, Independence, independence
from studies.analysis.intervals import LEVEL, holm
from studies.analysis.ranks import Spearman
from studies.analysis.similarity import SimilarityGains, Which, similarity
from studies.claims import words
from studies.claims.finding import FINANCE, INSTRUCT, Claim, Effect, Finding, Verdict
from studies.results import Results
from studies.vectors import MEASURES

SIMILARITY = Claim(
    "similarity",
    "The more alike two models are, the more their merge gains over their mean; over the better of "
    "them it does not",
    FINANCE,
    "Spearman's rho of similarity and Macro-Gain (of the measure with the smaller p)",
    "exact or drawn permutations of the pairs of experts, two-sided, Holm over L2 and the cosine "
    "of raw weights",
    "pairs",
)
INDEPENDENCE = Claim(
    "independence",
    "The instruct task vector and the domain task vectors are nearly independent",
    INSTRUCT,
    "cosine of the two task vectors that is farthest from zero",
    "against random vectors with the tensors' norms, two-sided, Holm over the experts",
    "weights",
)
STRONG_RHO = 0.5
FEWEST_PAIRS = 10
"""Below these the interval of rho is too rough to refute anything with."""
CLOSER = {"l2": -1, "weight_cosine": 1}
"""Measures in the claim's family, and the sign of rho that the claim predicts for them."""


def similarity_claim(results: Results) -> Finding:
    """Does similarity predict Macro-Gain, and not Macro-OG?

    Of pairs of experts only: a base and its expert are closer than two experts, and what their
    merge is held against is another kind of pair, so together they correlate for that alone.
    """
    found = similarity(results)
    if not found.tests:
        return SIMILARITY.unknown("The parents' weights were not compared, or no pair is scored.")
    told = _told(found, "experts")
    known = [(key, gain, gap) for key, (gain, gap) in told.items() if gain.rho is not None]
    if not known:
        n = max((gain.n for gain, _ in told.values()), default=0)
        text = f"{words.count(n, 'pair')} of experts cannot be ranked against anything."
        return SIMILARITY.unknown(f"{text}{_with_base(found)}")
    p = holm([gain.p or 0.0 for _, gain, _ in known])
    effects = [
        Effect(MEASURES[key], gain.rho or 0.0, _or_nan(gain.low), _or_nan(gain.high),
               gain.p or 0.0, gain.n, float(adjusted))
        for (key, gain, _), adjusted in zip(known, p, strict=True)
    ]  # fmt: skip
    place = min(range(len(known)), key=lambda i: (effects[i].p_holm, -abs(effects[i].value)))
    key, gain, gap = known[place]
    sentence = _ranked(key, gain, gap, effects[place].p_holm)
    if gain.least >= LEVEL:
        sentence += (f" So few pairs cannot show a correlation: perfect order gives "
                     f"p = {gain.least:.2g}.")  # fmt: skip
    verdict = _of_ranks(CLOSER[key], gain, gap, effects[place].p_holm)
    return SIMILARITY.found(verdict, sentence + _with_base(found), effects[place], effects)


def _with_base(found: SimilarityGains) -> str:
    """What all pairs say, those of base and expert among them."""
    told, apart = _told(found, "all").get("l2"), _told(found, "experts").get("l2")
    if told is None or told[0].rho is None or (apart and told[0].n == apart[0].n):
        return ""
    text = _ranked("l2", *told, told[0].p)
    return (
        f" With the pairs of base and expert, which are closer anyway: {text[0].lower()}{text[1:]}"
    )


def _told(found: SimilarityGains, pairs: Which) -> dict[str, tuple[Spearman, Spearman]]:
    tests = {}
    for key in CLOSER:
        gain, gap = found.test(key, "macro_gain", pairs), found.test(key, "macro_og", pairs)
        if gain is not None and gap is not None:
            tests[key] = (gain.result, gap.result)
    return tests


def _of_ranks(sign: int, gain: Spearman, gap: Spearman, p: float) -> Verdict:
    """The claim has two halves; the second is an absence, which a wide interval cannot show."""
    if gap.p is not None and gap.rho is not None and gap.p < LEVEL and sign * gap.rho > 0:
        return "not supported"  # the better of the two is predicted as well
    if gain.rho is None or gain.low is None or gain.high is None or gain.least >= LEVEL:
        return "cannot tell"
    predicts = sign * gain.rho > 0 and p < LEVEL
    most = gain.high if sign > 0 else -gain.low
    weak = most < STRONG_RHO and gain.n >= FEWEST_PAIRS
    if weak or (sign * gain.rho < 0 and p < LEVEL):
        return "not supported"
    if gap.rho is None or gap.p is None or gap.low is None or gap.high is None:
        return "cannot tell"
    return "supported" if predicts and not gap.low <= gain.rho <= gap.high else "cannot tell"


def _ranked(key: str, gain: Spearman, gap: Spearman, p: float | None) -> str:
    name = {"l2": "L2 distance", "weight_cosine": "the cosine of the raw weights"}[key]
    text = (
        f"Over {words.count(gain.n, 'pair')} {name} and Macro-Gain have rho = {gain.rho:+.2f} "
        f"({_span(gain)}{words.p_value(p)})"
    )
    if gap.rho is not None:
        text += f", and with Macro-OG rho = {gap.rho:+.2f} ({_span(gap)}{words.p_value(gap.p)})"
    return text.replace("-", "−").replace("Macro−", "Macro-") + "."


def _span(one: Spearman) -> str:
    if one.low is None or one.high is None:
        return ""
    return f"95 % interval {one.low:+.2f} to {one.high:+.2f}, "


def independence_claim(results: Results) -> Finding:
    """Are the cosines small, and did the merges keep both skills?"""
    found = independence(results)
    cosines = found.overall()
    if not cosines:
        lacking = "has no instruct model" if results.design.instruct is None else (
            "has not compared its models' weights"
        )  # fmt: skip
        return INDEPENDENCE.unknown(f"The study {lacking}, so there is no cosine to look at.")
    p = holm([one.p for one in cosines])
    effects = [_effect(one, float(adjusted)) for one, adjusted in zip(cosines, p, strict=True)]
    farthest = max(range(len(cosines)), key=lambda i: abs(cosines[i].cosine))
    one, size = cosines[farthest], abs(cosines[farthest].cosine)
    verdict: Verdict = "cannot tell"
    if size < INDEPENDENT:
        verdict = "supported"
    elif size >= ALIKE:
        verdict = "not supported"
    sentence = (
        f"The cosine farthest from zero is {one.cosine:+.3f} ({one.first} and instruct; "
        f"{'all are' if size < INDEPENDENT else 'nearly independent would be'} below "
        f"{INDEPENDENT:g}), {abs(one.z):.0f} standard deviations of random vectors "
        f"({one.sd_effective:.1g}) from zero. "
    ).replace("-0.", "−0.")
    return INDEPENDENCE.found(verdict, sentence + _skills(found), effects[farthest], effects)


def _effect(one: Cosine, p_holm: float) -> Effect:
    half = 1.96 * one.sd_effective
    made = Effect(one.first, one.cosine, one.cosine - half, one.cosine + half, one.p, one.n)
    return replace(made, p_holm=p_holm)


def _skills(found: Independence) -> str:
    """What expert + instruct - base kept, at the whole instruct vector where that was tried."""
    whole = [one for one in found.kept if one.on is None and one.alpha == 1]
    whole = [one for one in whole if one.expert_scale in (None, 1)] or whole
    told = [one for one in whole if one.domain is not None or one.chat is not None]
    if not told:
        return "What their sum keeps of both skills was not scored, or nothing was gained to keep."
    parts = []
    for one in told:
        kept = []
        if one.domain is not None:
            kept.append(f"{words.percent(one.domain)} of the domain gain"
                        f"{_between(one.domain_low, one.domain_high)}")  # fmt: skip
        if one.chat is not None:
            kept.append(f"{words.percent(one.chat)} of the chat gain"
                        f"{_between(one.chat_low, one.chat_high)}")  # fmt: skip
        parts.append(f"{one.expert} + instruct − base keeps {' and '.join(kept)}")
    return "; ".join(parts) + "."


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({words.percents(low, high)})"


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
