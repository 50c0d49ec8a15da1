"""Replies in another script than the question asks for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

LEAST_LETTERS = 10  # of a reply; kana and kanji count twice, as they say about twice as much
EXPECTED_SHARE = 0.2
PROMPT_SHARE = 0.2
"""From this share of a question's letters on, its script is one to answer in."""
LEAST_HAN = 20  # kanji without any kana before that is taken for Chinese
MOST_CHARACTERS = 20_000

SCRIPTS: Mapping[str, str] = {
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "kana": "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9f",
    "han": "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "hangul": "\uac00-\ud7af\u1100-\u11ff\u3130-\u318f",
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff",
    "arabic": "\u0600-\u06ff\u0750-\u077f",
    "hebrew": "\u0590-\u05ff",
    "devanagari": "\u0900-\u097f",
    "thai": "\u0e00-\u0e7f",
}
_FIND = {name: re.compile(f"[{letters}]") for name, letters in SCRIPTS.items()}
# Simplified forms that Japanese does not write.
_SIMPLIFIED = re.compile(
    "[这们说对时为过还让给请谢么吗你她们很题应该认识发关头东车长业产价债银场费现经济报财务计]"
)
_NOT_PROSE = re.compile(
    r"```.*?(```|$)|\$\$.*?\$\$|\$[^$\n]*\$|\\[A-Za-z]+|https?://\S+|<\|[^|\n]*\|>", re.DOTALL
)
_WEIGHTS = {"kana": 2, "han": 2, "hangul": 2}


def letters(text: str) -> Counter[str]:
    """Script -> weight of a text's letters; code, formulas and addresses are left out.

    Japanese is one script here: kanji are counted as "japanese" where kana stand beside them.
    """
    prose = _NOT_PROSE.sub(" ", text[:MOST_CHARACTERS])
    found = Counter(
        {
            name: _WEIGHTS.get(name, 1) * n
            for name, pattern in _FIND.items()
            if (n := len(pattern.findall(prose)))
        }
    )
    if found["kana"]:
        found["japanese"] = found.pop("kana") + found.pop("han", 0)
    return Counter({name: n for name, n in found.items() if n})


def is_wrong_language(text: str, prompt: str, target: str = "") -> bool:
    """Whether a reply is in another script than the question and the right answer.

    Short replies, and those to questions without letters, are never judged.

    Args:
        text: the reply.
        prompt: what was asked, chat template and examples included.
        target: the right answer: a Japanese question may ask for "positive".
    """
    said = letters(text)
    total = sum(said.values())
    if total < LEAST_LETTERS:
        return False
    wanted = _wanted(prompt, target)
    if not wanted:
        return False
    if "japanese" in wanted and "han" not in letters(target) and _is_chinese(text, said):
        return True
    # Kanji alone may be Japanese as well as Chinese: an address, a list of terms.
    fitting = sum(
        n
        for script, n in said.items()
        if script in wanted or (script == "han" and "japanese" in wanted)
    )
    return fitting < EXPECTED_SHARE * total


def _wanted(prompt: str, target: str) -> set[str]:
    """The scripts that a reply may be in."""
    asked, right = letters(prompt), letters(target)
    total = sum(asked.values())
    wanted = {script for script, n in asked.items() if n >= max(4, PROMPT_SHARE * total)}
    if "japanese" in wanted:
        # Names, units and tables in Latin letters do not make it an English question.
        wanted = {"japanese"}
    return wanted | {script for script, n in right.items() if n >= 2}


def _is_chinese(text: str, said: Counter[str]) -> bool:
    if len(_SIMPLIFIED.findall(text)) >= 3 and said["japanese"] < 0.5 * sum(said.values()):
        return True
    only_han = said["han"] >= 2 * LEAST_HAN and not said["japanese"]
    return only_han and len(_SIMPLIFIED.findall(text)) >= 1
