"""Where a reply gives its answer: after its last cue, in its conclusion, or nowhere.

Small and merged models echo their prompt, go on to invent the next question, and write "ROA: 3 %"
on the way. So what follows another question is cut off, what precedes the question itself is not
the model's, and of several cues the last that holds a figure wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from evaluation.extraction.numbers import Quantity, normalise, quantities

How = Literal["cue", "whole", "conclusion", "last"]

_NEXT = re.compile(
    r"(?:^|\n)[ \t#>*\[【]*(?:next |new |次の)?"
    r"(?:q(?=[ \t]*[:.])|"  # Q1: may be a quarter
    r"(?:(?:question|problem|exercise|example|user|human|instruction|input)(?![a-z])|"
    r"(?:問題文?|質問|設問|例題|問|指示|入力)(?![^\W\d]))[ \t]*\d*)"
    r"[ \t]*[\]】]?[ \t]*(?:[:.)]|\n)|<\|(?:user|im_start|endoftext|end)\|?>",
    re.IGNORECASE,
)
_CUE = re.compile(
    r"""
    \#\#\#\#\s* | \\boxed\{
    | (?<![A-Za-z])(?:final\s+)?answer
      (?:\s*(?:is|would\s+be|will\s+be|equals)\b)?(?:\s*[:=]|(?<=is)|(?<=be)|(?<=equals))
    | (?:^|(?<=\n))[ \t]*a(?:ns)?[ \t]*:
    | (?:最終的な|最終)?(?:答え|回答|解答|正解|結論|答|応答)[」』】\]]?\s*(?:は|[:=])
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CONCLUSION = re.compile(
    r"(?:^|(?<=[\n.。、,;]))\s*(?:(?:therefore|thus|hence|so|in conclusion)\b|したがって|従って|"
    r"よって|ゆえに|故に|以上より|以上から|その結果|つまり)[、,\s]?",
    re.IGNORECASE,
)
_NONE = re.compile(
    r"\s*(?:n/?a\b|none\b|unknown\b|(?:it )?(?:cannot|can't|can not|could not) be"
    r"|not (?:enough|given)|不明|分から|わから|該当なし"
    r"|(?:計算|算出|回答|判断)でき|求められ)",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?:19|20)\d{2}年(?:度|\d{1,2}月(?:期|末|\d{1,2}日)?)?|(?<!\d)\d{1,2}月期|第\d四半期"
    r"|\bFY\s?\d{2,4}|\b(?:fiscal(?: year)?|in|since|during|from|for)\s(?:19|20)\d{2}\b",
    re.IGNORECASE,
)
_GLOSS = re.compile(r"(?<=[\d%円倍])\s*\((?=[^()]*\d)[^()]*\)")
_TAIL = re.compile(r"\s*(?:$|[。、.,;!\n]|です|でした|である|となり|になり|と|\()")


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of a reply that answers.

    Attributes:
        text: the segment, normalised.
        how: "cue" after an answer cue, "whole" when the first line is nothing else, "conclusion"
            in a sentence that concludes, "last" for want of better.
        quantity: the amount in it, None when words are asked for.
        at_end: nothing follows it in the reply.
    """

    text: str
    how: How
    quantity: Quantity | None = None
    at_end: bool = False


def own_words(reply: str, question: str = "") -> str:
    """The reply normalised, without thoughts, the echoed prompt and whatever comes after."""
    text = normalise(reply)
    if "</think>" in text:
        text = text.rsplit("</think>", 1)[1]
    asked = normalise(question).strip()
    echoed = text.find(asked) if len(asked) >= 8 else -1
    if echoed >= 0:
        text = text[echoed + len(asked) :]
    for found in _NEXT.finditer(text):
        if text[: found.start()].strip():
            return text[: found.start()]
    return text


def find_number(text: str) -> Answer | None:
    """The amount that a reply (from ``own_words``) gives as its answer."""
    for number, (start, segment) in enumerate(_after(_CUE, text)):
        if number == 0 and _NONE.match(segment):
            return None
        quantity = pick(segment)
        if quantity is not None:
            return _answer(text, segment, start, "cue", quantity)
    return _without_cue(text)


def _without_cue(text: str) -> Answer | None:
    first = _segment(text, 0)
    plain = _blank(_GLOSS, first)
    found = next(quantities(plain), None)
    if found is not None:
        around = plain[: found.start] + plain[found.end :]
        if not re.search(r"\w", re.sub(r"約|です", "", around)):
            return _answer(text, first, 0, "whole", found)
    for start, segment in _after(_CONCLUSION, text):
        quantity = pick(segment)
        if quantity is not None:
            return _answer(text, segment, start, "conclusion", quantity)
    for line in reversed(text.splitlines()):
        quantity = pick(line, last=True)
        if quantity is not None:
            return Answer(line, "last", quantity, text.rstrip().endswith(quantity.text))
    return None


def find_words(text: str) -> Answer | None:
    """The words that a reply (from ``own_words``) gives as its answer: the line of its last cue.

    Without a cue, the first line: a prompt that ends in "Answer:" is answered there.
    """
    for _, found in _after(_CUE, text):
        segment = found.strip(" \t}」』】")
        if re.search(r"\w", segment):
            return Answer(segment, "cue")
    first = _segment(text, 0)
    return Answer(first.strip(), "whole") if re.search(r"\w", first) else None


def pick(segment: str, *, last: bool = False) -> Quantity | None:
    """The one amount that a segment is about.

    An amount that is all there is (``2.6% (0.026)``) is taken before a result after ``=`` or ``≈``,
    and that before the last amount of the first sentence. Dates are passed over while there is
    anything else.
    """
    plain = _blank(_GLOSS, segment)
    undated = _blank(_DATE, plain)
    if next(quantities(undated), None) is None:
        undated = plain
    found = list(quantities(undated))
    if not found:
        return None
    first = found[0]
    lead = undated[: first.start]
    leads = re.search(r"[^\W\d]", re.sub(r"約|およそ|approximately|about", "", lead))
    if not last and not leads and _TAIL.match(undated, first.end):
        return first
    sign = max(undated.rfind(mark) for mark in "=≈→")
    results = [one for one in found if one.start > sign >= 0]
    if results:
        return results[0]
    if last:
        return found[-1]
    stop = re.search(r"。|[.!?](?=\s|$)", undated[first.start :])
    end = first.start + stop.start() if stop else len(undated)
    return [one for one in found if one.start <= end][-1]


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """The text with what matches made blank, so that places stay the same."""
    return pattern.sub(lambda found: " " * len(found.group()), text)


def _after(cue: re.Pattern[str], text: str) -> Iterator[tuple[int, str]]:
    """(place, segment) behind each cue, the last first; a segment ends where the next cue begins.

    A reply that repeats its cue a thousand times is thus read once, not a thousand times.
    """
    end = len(text)
    for found in reversed(list(cue.finditer(text))):
        yield found.end(), _segment(text, found.end(), end)
        end = found.start()


def _segment(text: str, start: int, end: int | None = None) -> str:
    """The line at a place, or the first after it that says something."""
    for line in text[start:end].split("\n"):
        if re.search(r"\w", line):
            return line
    return ""


def _answer(text: str, segment: str, start: int, how: How, quantity: Quantity) -> Answer:
    rest = text[text.find(segment, start) :]
    at_end = rest.rstrip(" ") == segment.rstrip(" ") and segment.rstrip(" ").endswith(quantity.text)
    return Answer(segment.strip(), how, quantity, at_end)
