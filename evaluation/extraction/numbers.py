"""Reading amounts: ``△1億2,000万円``, ``(3.1)``, ``3割5分``, ``-210 bps``, ``$1.2 million``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["", "percent", "money"]

_DIGIT = {c: i for i, c in enumerate("〇一二三四五六七八九")} | {"零": 0}
_SMALL = {"十": 10, "百": 100, "千": 1_000}
_LARGE = {"万": 10**4, "億": 10**8, "兆": 10**12, "京": 10**16}
_WORDS = {
    "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "k": 10**3, "m": 10**6, "mn": 10**6, "b": 10**9, "bn": 10**9, "tn": 10**12,
}  # fmt: skip

_ARABIC = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_KANJI = r"[〇零一二三四五六七八九]+"
_ONE = rf"(?:{_ARABIC}|{_KANJI})"
_UNIT = r"[十百千万億兆京]"
# 1億 2,000万 joins over the blank, 3万 2024 does not: only a further unit makes it one amount.
_AMOUNT = rf"(?:{_ONE}?\s?{_UNIT}+(?:\s?{_ONE}?\s?{_UNIT}+)*{_ONE}?|{_ONE})"
_MINUS = r"(?:[-+△▲]|マイナス|minus\b|negative\b)"
_CURRENCY = r"(?:US\$|USD|JPY|EUR|GBP|[$¥€£])"
_PERCENT = r"(?:%|percent\b|per\scent\b|パーセント)"
_POINTS = rf"(?:(?:{_PERCENT}|percentage\b)?\s?(?:points?\b|ポイント)|pts?\b|pp\b)"
_BASIS = r"(?:bps?\b|basis\spoints?\b|ベーシスポイント)"
_MONEY = r"(?:円|ドル|ユーロ|元|ポンド|yen\b|(?:US\s)?dollars?\b|USD\b|JPY\b|euros?\b)"

_NUMBER = re.compile(
    rf"""
    (?P<open>\(\s*(?=[^()]*\)))? (?P<sign>{_MINUS}\s*)? (?P<currency>{_CURRENCY}\s*)?
    (?P<sign2>[-△▲]\s*)?
    (?P<parenthesis>\(\s*)?
    (?P<amount>{_AMOUNT})
    (?:\s?[×x*]\s?10\s?(?:\^|\*\*)\s?\{{?(?P<power>-?\d+)\}}?|[eE](?P<exponent>[-+]?\d+)\b)?
    (?:\s?分の\s?(?P<over>{_ONE})|\s?/\s?(?P<under>{_ARABIC})(?!\s?/))?
    (?:\s(?P<top>\d+)/(?P<bottom>\d+))?
    (?P<close>\s*\)(?P<late>\s?{_UNIT}+(?=\s?円))?)?
    (?:(?P<tenths>\s?割)(?:(?P<bu>{_ONE})\s?分)?(?:(?P<rin>{_ONE})\s?厘)?)?
    (?:\s?(?P<word>thousand|million|billion|trillion)\b|(?P<letter>(?-i:[kKMB])|bn|mn|tn)\b)?
    (?:\s?(?:(?P<basis>{_BASIS})|(?P<points>{_POINTS})|(?P<percent>{_PERCENT})|(?P<money>{_MONEY})))?
    (?P<close2>\s*\))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_FALLING = re.compile(r"\s?の?(?:減少|減|下落|低下|悪化|縮小|マイナス|decrease|decline|drop|lower)")
_FALLING_BEFORE = re.compile(
    r"(?:decreas|declin|fell|drop|down|reduc)\w*\s+(?:of|by)?\s*(?:about|approximately)?\s*$",
    re.I,
)
# Chinese characters alone are a figure only where no word can be meant: 一致, 三菱, 千葉.
_AFTER_KANJI = re.compile(
    r"\s*(?:$|[\s.,。、!?」)*]|です|である|だ|と|に|割|分の|円|ドル|%|パーセント|ポイント"
    r"|[個人本冊枚回年日歳倍匹頭台羽件社杯箱キメセグ]|時間|分)"
)
_HAN = re.compile(r"[\u4e00-\u9fff々]")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One amount as written.

    Attributes:
        figure: the number before any unit of scale: 120 of 120百万円.
        scale: what the units multiply it by, 1 for none: 1e6 for 120百万円.
        kind: "percent" for %, points and basis points (all in percent), "money", or "" for none.
        scaled: whether the text says in which units it counts (百万円, 円, million).
        falling: the words around it say that it is a decrease.
        text: what was read.
        start: where it begins in the normalised text.
        end: where it ends.
    """

    figure: float
    scale: float = 1.0
    kind: Kind = ""
    scaled: bool = False
    falling: bool = False
    text: str = ""
    start: int = 0
    end: int = 0

    @property
    def value(self) -> float:
        """The amount in ones (of currency, of percent)."""
        return self.figure * self.scale


def normalise(text: str) -> str:
    """NFKC, one kind of minus, LaTeX and Markdown taken off; what every reading starts from."""
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"\\d?frac\{([^{}]+)\}\{([^{}]+)\}", r"\1/\2", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"(?<=\d)\{,\}(?=\d)|(?<=\d)\\,(?=\d)", ",", text)
    text = re.sub(r"\\(?:approx|simeq|fallingdotseq)|[≒≃]", "≈", text)
    text = re.sub(r"\\(?:times|cdot)", "×", text)
    text = re.sub(r"\\([%$ ,;!])", r"\1", text)
    text = re.sub(r"\\[()\[\]]", " ", text)
    text = re.sub(r"\*\*|__|`", "", text)
    text = re.sub(r"[\u2212\u2010\u2011\ufe63]", "-", text)
    # A dash is a minus where a figure begins, and a range or a pause after anything else.
    return re.sub(r"(?<![\w)])[\u2012-\u2015](?=\s?[\d$¥.])", "-", text)


def quantities(text: str) -> Iterator[Quantity]:
    """Every amount of a normalised text, in order."""
    at = 0
    while match := _NUMBER.search(text, at):
        at = match.end()
        found = _read(match, text)
        if found is not None:
            yield found


def read_amount(text: str) -> Quantity | None:
    """The amount a text consists of, as a gold answer does; None when it holds none or more."""
    found = list(quantities(normalise(text)))
    if len(found) != 1:
        return None
    left = normalise(text).replace(found[0].text, "", 1)
    return None if re.search(r"\w", left) else found[0]


def _read(match: re.Match[str], text: str) -> Quantity | None:
    part = match.groupdict()
    amount = str(part["amount"])
    start, end = match.span()
    if not re.search(r"\d", amount) and not _stands_alone(text, match):
        return None
    if _inside_word(text, match):
        return None
    figure, scale = _value(amount)
    figure = _with_fraction(figure * scale, part) if _is_fraction(part) else figure
    scale = 1.0 if _is_fraction(part) else scale
    if part["power"] or part["exponent"]:
        figure *= 10.0 ** max(-300, min(300, int(part["power"] or part["exponent"])))
    if part["late"]:  # (1,234)百万円
        scale *= _value("1" + part["late"].strip())[1]
    if part["word"] or part["letter"]:
        scale *= _WORDS[str(part["word"] or part["letter"]).lower()]
    if _is_minus(match, text):
        figure = -figure
    quantity = Quantity(
        figure,
        scale,
        scaled=scale != 1.0 or bool(part["money"] or re.search("[万億兆京]", amount)),
        falling=_falls(text, start, end),
        text=_balanced(text[start:end].strip()),
        start=start,
        end=end,
    )
    return _with_unit(quantity, part)


def _with_unit(quantity: Quantity, part: dict[str, str | None]) -> Quantity:
    """The unit applied: tenths and basis points become percent."""
    if part["tenths"]:
        more = sum(
            _value(str(part[name]))[0] * share
            for name, share in (("bu", 1.0), ("rin", 0.1))
            if part[name]
        )
        figure = 10 * quantity.figure + (more if quantity.figure >= 0 else -more)
        return replace(quantity, figure=figure, kind="percent")
    if part["basis"]:
        return replace(quantity, figure=quantity.figure / 100, kind="percent")
    if part["percent"] or part["points"]:
        return replace(quantity, kind="percent")
    if part["money"] or part["currency"]:
        return replace(quantity, kind="money")
    return quantity


def _value(amount: str) -> tuple[float, float]:
    """(figure, scale) of an amount.

    The scale is the unit that is written last and alone: 120百万 is 120 in millions, while
    1億2,000万 is one figure in ones.
    """
    tokens = re.findall(rf"{_ARABIC}|{_KANJI}|{_UNIT}", amount)
    if len(tokens) > 1 and re.match(r"[\d.]", tokens[0]) and all(t in _UNITS for t in tokens[1:]):
        scale = 1.0
        for token in tokens[1:]:
            scale *= _UNITS[token]
        return _digits(tokens[0]), scale
    total, section, current = 0.0, 0.0, None
    for token in tokens:
        if token in _SMALL:
            section += (1.0 if current is None else current) * _SMALL[token]
            current = None
        elif token in _LARGE:
            total += (section + (current or 0.0) or 1.0) * _LARGE[token]
            section, current = 0.0, None
        else:
            current = _digits(token)
    return total + section + (current or 0.0), 1.0


_UNITS = _SMALL | _LARGE


def _digits(token: str) -> float:
    if token[0] in _DIGIT:
        return float("".join(str(_DIGIT[c]) for c in token))
    return float(token.replace(",", ""))


def _is_fraction(part: dict[str, str | None]) -> bool:
    return bool(part["over"] or part["under"] or part["top"])


def _with_fraction(value: float, part: dict[str, str | None]) -> float:
    """3分の2 is 2/3; 3/4; 1 1/2 is 1.5. A division by zero stays the figure before it."""
    if part["top"]:
        below = float(str(part["bottom"]))
        return value + float(part["top"]) / below if below else value
    if part["over"]:
        figure, scale = _value(part["over"])
        return figure * scale / value if value else value
    below = _digits(str(part["under"]))
    return value / below if below else value


def _is_minus(match: re.Match[str], text: str) -> bool:
    part = match.groupdict()
    sign = (part["sign"] or part["sign2"] or "").strip()
    if sign and sign != "+":
        # 10-5 is a difference and 2018-19 a range; the minus of a number follows no figure.
        before = text[: match.start("sign" if part["sign"] else "sign2")].rstrip(" ")
        bullet = str(part["sign"]).endswith(" ") and before[-1:] in ("", "\n")
        return sign != "-" or not (bullet or re.search(r"[\d)%]$", before))
    opened = part["open"] or part["parenthesis"]
    if not opened or not (part["close"] or part["close2"]):
        return False
    before = text[: match.start()].rstrip()
    after = text[match.end() :]
    # (12.3) alone is the accountant's minus; after a figure or a word it explains, before one it
    # numbers a list.
    explains = re.search(r"[\w%)]$", before) and not re.search(
        r"(?:\b(?:is|was|be|of|to)|は)$", before
    )
    return not explains and bool(re.match(r"\s*(?:$|[.,。、;!)\n]|です)", after))


def _balanced(text: str) -> str:
    """A text without the one bracket whose fellow stands outside it."""
    if text.count("(") == text.count(")"):
        return text
    return text.strip("()") if text[0] == "(" or text[-1] == ")" else text


def _stands_alone(text: str, match: re.Match[str]) -> bool:
    """Whether an amount in Chinese characters alone can be meant as one."""
    start, end = match.span("amount")
    if start and _HAN.match(text[start - 1]):
        return False
    return bool(_AFTER_KANJI.match(text, end))


def _inside_word(text: str, match: re.Match[str]) -> bool:
    """Whether the digits belong to a name: Q4, FY2024, tr_001, 第3."""
    start = match.start("amount")
    before = text[start - 1] if start else ""
    return start == match.start() and bool(re.match(r"[A-Za-z_#第]", before)) and before != "x"


def _falls(text: str, start: int, end: int) -> bool:
    return bool(
        _FALLING.match(text, end) or _FALLING_BEFORE.search(text[max(0, start - 40) : start])
    )
