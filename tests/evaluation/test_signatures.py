"""Signs of failure: golden tables of awkward replies, Japanese and English, and the weighing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.signatures import KINDS, Counts, Said, look, weigh
from evaluation.signatures.chat_format import template_pieces
from evaluation.signatures.endings import is_empty, is_endless
from evaluation.signatures.general import general_tasks
from evaluation.signatures.language import is_wrong_language
from evaluation.signatures.look import signs_of
from evaluation.signatures.repetition import is_repetition, loop_share, run_share
from evaluation.statistics.uncertainty import mcnemar

JA = "質問: 東京証券取引所の取引時間について説明してください。\n答え:"
EN = "Question: What does a widening credit spread tell an investor?\nAnswer:"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the cat the cat the cat the cat the cat", True),
        ("売上高が増加しました。売上高が増加しました。売上高が増加しました。", True),
        ("ああああああああああああああああ", True),
        ("Profit rose by 12 %. " * 6, True),
        ("営業利益は、営業利益は、営業利益は、営業利益は、", True),
        # a loop that comes after an honest beginning, and takes over
        ("The answer is 42 because the ratio holds. " + "so it is, " * 12, True),
        # numbered lines that differ only in their number: no exact period
        (" ".join(f"{i}. Buy bonds and hold them until they mature." for i in range(1, 15)), True),
        ("ha ha ha", False),
        ("1000000000", False),
        ("| Year | Sales |\n| --- | --- |\n| 2022 | 10 |\n| 2023 | 12 |\n| 2024 | 15 |", False),
        ("----------------------------------------------\nTotal 5", False),
        ("売上高は前年比で増加し、営業利益も増加した。純利益は減少した。", False),
        ("Revenue grew, costs grew, and profit grew: growth everywhere, but not in cash.", False),
        ("12 + 13 = 25. 25 + 14 = 39. 39 + 15 = 54. So the sum is 54.", False),
        ("", False),
        ("あ", False),
    ],
)
def test_repetition(text: str, expected: bool) -> None:
    assert is_repetition(text) is expected


def test_a_reply_may_repeat_what_the_right_answer_repeats() -> None:
    text = "tick tock tick tock tick tock tick tock"
    assert is_repetition(text)
    assert not is_repetition(text, target="tick tock tick tock tick tock tick tock")


def test_loop_share_by_hand() -> None:
    # 12 of 16 characters: "abc" four times, then four others.
    assert loop_share("abcabcabcabcwxyz") == 12 / 16
    assert loop_share("abcdabcdabcdwxyz") == 0.0  # three times is enough for longer stretches only
    assert loop_share("abcdefghi" * 3 + "z") == 27 / 28


def test_run_share_by_hand() -> None:
    words = "one two three four five six seven eight nine ten eleven twelve"
    # 24 words are 19 runs of six; the first 12 begin different ones, the last 7 were there before.
    assert run_share(f"{words} {words}") == pytest.approx(1 - 12 / 19)
    assert run_share(words) == 0.0


@given(st.text(alphabet="abあ漢 .", min_size=3, max_size=12), st.integers(8, 30))
def test_anything_said_often_enough_is_repetition(unit: str, times: int) -> None:
    visible = "".join(unit.split()).replace(".", "")
    if len(visible) * times >= 12:
        assert is_repetition(unit * times)


@given(st.text(max_size=400))
def test_no_text_is_too_odd(text: str) -> None:
    assert 0.0 <= loop_share(text) <= 1.0
    assert 0.0 <= run_share(text) <= 1.0
    signs_of(Said(0, text, text, stopped="length", stray=("<|x|>",)))


@pytest.mark.parametrize(
    ("prompt", "text", "target", "expected"),
    [
        (JA, "The exchange opens at nine and closes in the afternoon.", "9時から15時半", True),
        (JA, "午前は九時から、午後は十二時半から取引されます。", "", False),
        (JA, "交易所的交易时间为上午九点到十一点半，下午从十二点半开始。这是规定。", "", True),
        (JA, "Торговая сессия начинается утром.", "", True),
        (JA, "거래 시간은 오전 아홉 시부터입니다.", "", True),
        (JA, "positive", "positive", False),  # asked for a label
        (JA, "positive outlook overall", "positive", False),
        (JA, "東京都中央区日本橋兜町二番一号東京証券取引所", "", False),  # an address, no kana
        (JA, "ROE 12%", "", False),  # too few letters to tell
        (JA, "EBITDA は 12 億円、EV/EBITDA 倍率は 8 倍でした。", "", False),
        (JA, "15:30", "", False),
        (JA, "```python\nprint('nine o clock in the morning')\n```", "", False),
        (EN, "A widening spread says that lenders ask more for the same risk.", "", False),
        (EN, "スプレッドの拡大は信用不安の高まりを示しています。", "", True),
        (EN, "价差扩大说明投资者要求更高的风险补偿。", "", True),
        (EN, "\\frac{1}{2}", "", False),
        (
            "Translate into Japanese: the market fell.",
            "市場は下落しました。",
            "相場は下げた。",
            False,
        ),
        ("12 * 7 =", "Der Wert ist vierundachtzig.", "84", False),  # a question without letters
        ("Beantworte die Frage: Was ist eine Anleihe?", "Eine Anleihe ist ein Kredit.", "", False),
        ("", "Anything at all may be said here.", "", False),
    ],
)
def test_wrong_language(prompt: str, text: str, target: str, expected: bool) -> None:
    assert is_wrong_language(text, prompt, target) is expected


@pytest.mark.parametrize(
    ("text", "stray", "target", "pieces"),
    [
        ("Rates rise.<|im_end|>", (), "", ["<|im_end|>"]),
        ("Rates rise. [/INST] And then", (), "", ["[/INST]"]),
        ("Rates rise.\n### Response:\nThey fall.", (), "", ["### Response:"]),
        ("金利は上がります。\n### 応答:\n下がります。", (), "", ["### 応答:"]),
        ("金利は上がります。\nユーザー: では株は？\nアシスタント: 下がります。", (), "",
         ["ユーザー:", "アシスタント:"]),
        ("assistant\n\nRates rise.", (), "", ["assistant"]),
        ("Rates rise.\nUser: and stocks?", (), "", ["User:"]),
        ("Rates rise.", ("<|user|>",), "", ["<|user|>"]),
        ("<think>Hm.</think>Rates rise.", ("<think>", "</think>"), "", []),
        ("The user: a person who pays. Assistants help.", (), "", []),
        ("## Summary\nRates rise.\n### Outlook\nThey fall.", (), "", []),
        ("if a <b> and c </s", (), "", []),
        ("It ends with </s> as you asked.", (), "It ends with </s>", []),
        ("a < |b| > c", (), "", []),
    ],
)  # fmt: skip
def test_chat_format(text: str, stray: tuple[str, ...], target: str, pieces: list[str]) -> None:
    assert template_pieces(text, stray, target) == pieces


@pytest.mark.parametrize("text", ["", "  \n\t", "\u3000\u200b\ufeff", "\x00\x07"])
def test_empty(text: str) -> None:
    assert is_empty(text)


@pytest.mark.parametrize("text", [".", "0", "無", "…", "\ufffd"])
def test_not_empty(text: str) -> None:
    assert not is_empty(text)


@pytest.mark.parametrize(
    ("text", "stopped", "expected"),
    [
        ("Rates rise because", "length", True),
        ("Rates rise.", "eos", False),
        ("Rates rise.", None, False),
        ("Rates rise.\n\nQuestion: And stocks?\nAnswer: They fall.", "until", True),
        ("42\nQ: What is 6 times 8?\nA: 48", "eos", True),
        ("上がります。\n質問: 株価はどうなりますか。\n答え: 下がります。", "eos", True),
        ("上がります。\n\n問題2: 株価は？", "eos", True),
        ("Question: what do rates do?\nAnswer: they rise.", "eos", False),  # its own preamble
        ("The question: is it worth it? Yes.", "eos", False),
    ],
)
def test_endless(text: str, stopped: str | None, expected: bool) -> None:
    assert is_endless(text, stopped) is expected


def test_one_reply_one_cause() -> None:
    loop = Said(0, EN, "so it is, " * 40, stopped="length")
    assert signs_of(loop) == ["repetition"]
    assert signs_of(Said(0, JA, "", stopped="length")) == ["empty"]
    cut = Said(0, EN, "Lenders ask more because", stopped="length")
    assert signs_of(cut) == ["endless"]
    assert signs_of(cut, chat=True) == ["turn"]
    assert set(KINDS) == {"chat_format", "turn", "endless", "repetition", "language", "empty"}


def replies(n_bad: int, n: int, *, start: int = 0) -> Counts:
    return look(Said(i, EN, "" if start <= i < start + n_bad else "Lenders ask.") for i in range(n))


def test_counts_survive_json_and_other_versions_are_unknown() -> None:
    counts = replies(2, 5)
    assert (counts.asked, dict(counts.found)) == ((0, 1, 2, 3, 4), {"empty": (0, 1)})
    assert Counts.from_data(counts.as_data()) == counts
    assert Counts.from_data({**counts.as_data(), "version": 0}) is None
    assert Counts.from_data(None) is None


def test_two_items_are_no_sign_and_nor_is_a_small_share() -> None:
    assert weigh("m", {"t": replies(2, 10)}) == []
    assert weigh("m", {"t": replies(4, 100)}) == []
    assert [s.kind for s in weigh("m", {"t": replies(5, 100)})] == ["empty"]


def test_one_broken_task_shows_among_many_good_ones() -> None:
    tasks = {f"t{i}": replies(0, 100) for i in range(9)} | {"bad": replies(20, 100)}
    (sign,) = weigh("m", tasks)
    assert (sign.here.n, sign.here.of, sign.here.worst) == (20, 1000, "bad")
    assert sign.items == {"bad": tuple(range(20))}


def test_whose_sign_it_is() -> None:
    bad, good = {"t": replies(30, 100)}, {"t": replies(1, 100)}
    assert weigh("m", bad)[0].verdict == "alone"
    assert weigh("m", bad, [("p", good)])[0].verdict == "new"
    assert weigh("m", bad, [("p", {"u": replies(30, 100)})])[0].verdict == "alone"
    same = weigh("m", bad, [("p", good), ("q", {"t": replies(28, 100)})])[0]
    assert (same.verdict, [one.model for one in same.alike]) == ("inherited", ["q"])
    # 30 against 10 of the same items: 20 only here, 0 only there
    worse = weigh("m", bad, [("q", {"t": replies(10, 100)})])[0]
    assert mcnemar(20, 0) < 0.05 and worse.verdict == "worse"
    # as many, on other items: noise, however different the items are
    moved = weigh("m", bad, [("q", {"t": replies(30, 100, start=40)})])[0]
    assert moved.verdict == "inherited"


def test_a_chat_is_weighed_against_chats_only() -> None:
    cut = [Said(i, EN, "Lenders ask more", stopped="length") for i in range(10)]
    fine = [Said(i, EN, "Lenders ask more.", stopped="eos") for i in range(90)]
    tasks = {"chat": look(cut, chat=True), "plain": look(fine)}
    (sign,) = weigh("m", tasks)
    assert (sign.kind, sign.here.n, sign.here.of) == ("turn", 10, 10)


def test_general_tasks() -> None:
    tasks = {"a": "general", "b": "finance", "c": "math"}
    assert general_tasks(tasks, ["finance"]) == ["a"]
    assert general_tasks({"b": "finance", "c": "math"}, ["finance"]) == ["c"]
    assert general_tasks({"b": "finance"}, ["finance"]) == []
