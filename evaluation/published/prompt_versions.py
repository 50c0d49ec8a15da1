"""The prompt versions of the Japanese financial harness, as facts of that benchmark.

Its rules: nothing but zero shots, and one version for all its tasks. The short instruction and
format strings below are what makes a version that version; they are from
https://github.com/pfnet-research/japanese-lm-fin-harness (MIT, Preferred Networks), revision
aeff72933aac. chABSA has no 0.1.2 and no 0.2.1: the nearest, 0.1 and 0.2, stand in, as there. Its
0.1 has an unmatched bracket, kept because published scores have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.errors import SuiteError
from evaluation.nearest import nearest

VERSIONS = ("1.0", "1.0-0.1", "1.0-0.1.2", "1.0-0.2", "1.0-0.2.1", "1.0-0.3", "1.0-0.4", "1.0-0.5",
            "1.0-0.6")  # fmt: skip
DEFAULT = "1.0-0.2.1"
CHABSA = "chabsa"
_SYSTEM = (
    "<s>[INST] <<SYS>>\nYou are a helpful, respectful and honest assistant. Always answer as "
    "helpfully as possible, while being safe. Your answers should not include any harmful, "
    "unethical, racist, sexist, toxic, dangerous, or illegal content. Please ensure that your "
    "responses are socially unbiased and positive in nature.\n\nIf a question does not make any "
    "sense, or is not factually coherent, explain why instead of answering something not correct. "
    "If you don't know the answer to a question, please don't share false information.\n<</SYS>>"
    "\n\n\n"
)
_ALPACA = (
    "以下は、タスクを説明する指示と、文脈のある入力の組み合わせです。"
    "要求を適切に満たす応答を書きなさい。\n\n### 指示:\n"
)
_BEST = "与えられた選択肢の中から、最適な答えを選んでください。"
_BEST_OF_SETS = "与えられた答えの組み合わせの選択肢の中から、最適な選択肢を選んでください。"
_BY_NUMBER = "選択肢から回答を選択してください。なお、回答は選択肢の番号(例:0)でするものとします。"
_SENTIMENT = "ターゲットのセンチメントをpositiveかnegativeで"

_QUESTIONS = {  # of cma_basics and security_sales_1, and of fp2 but for 1.0
    "1.0": "以下の問題の適切な答えを選択肢から選んでアルファベットで答えなさい。\n\n\n",
    "1.0-0.1": "[問題]に対する[答え]を[選択肢]の中から選んでください。\n\n\n",
    "1.0-0.1.2": "[問題]に対する[答え]を[選択肢]の中からアルファベットで選んでください。\n\n\n",
    "1.0-0.2": f"質問と回答の選択肢を入力として受け取り、{_BY_NUMBER}\n\n\n",
    "1.0-0.2.1": f"{_BEST}\n\n\n",
    "1.0-0.3": f"{_ALPACA}{_BEST}\n\n\n",
    "1.0-0.4": f"ユーザー: {_BEST}<NL>システム: 分かりました。<NL>",
    "1.0-0.5": f"ユーザー: {_BEST}\nシステム: 分かりました。\n\n",
    "1.0-0.6": _SYSTEM,
}
DESCRIPTIONS: Mapping[str, Mapping[str, str]] = {
    "cma_basics": _QUESTIONS,
    "security_sales_1": _QUESTIONS,
    "fp2": _QUESTIONS
    | {"1.0": "以下の問題の適切な答えを選択肢から選んで１～４の数字で答えなさい。\n\n\n"},
    "cpa_audit": {
        "1.0": "以下の問題の答えとして適切な記号の組み合わせを選択肢から選んで"
        "アルファベットで答えなさい。\n\n\n",
        "1.0-0.1": "[問題]に対する[答え]をとして適切な記号の組み合わせを[選択肢]の中から"
        "選んでください。\n\n\n",
        "1.0-0.1.2": "[問題]に対する[答え]として適切な記号の組み合わせを[選択肢]の中から"
        "アルファベットで選んでください。\n\n\n",
        "1.0-0.2": "質問とその答えとして適切な記号の組み合わせの選択肢を入力として受け取り、"
        f"{_BY_NUMBER}\n\n\n",
        "1.0-0.2.1": f"{_BEST_OF_SETS}\n\n\n",
        "1.0-0.3": f"{_ALPACA}{_BEST_OF_SETS}\n\n\n",
        "1.0-0.4": f"ユーザー: {_BEST_OF_SETS}<NL>システム: 分かりました。<NL>",
        "1.0-0.5": f"ユーザー: {_BEST_OF_SETS}\nシステム: 分かりました。\n\n",
        "1.0-0.6": _SYSTEM,
    },
    CHABSA: {
        "1.0": f"以下のセンテンスにおける、{_SENTIMENT}答えてください。\n\n\n",
        "1.0-0.1": "[センテンス]における、[ターゲット]のセンチメントをpositiveかnegativeで"
        "選んでください。\n\n\n",
        "1.0-0.2": "センテンスとターゲットを入力として受け取り、ターゲットに関するセンチメントを"
        "positiveかnegativeから選択してください。\n\n\n",
        "1.0-0.3": f"{_ALPACA}以下のセンテンスにおける、{_SENTIMENT}答えてください。\n\n\n",
        "1.0-0.4": f"ユーザー: センテンスにおける、{_SENTIMENT}答えてください。"
        "<NL>システム: 分かりました。<NL>",
        "1.0-0.5": f"ユーザー: センテンスにおける、{_SENTIMENT}答えてください。\n"
        "システム: 分かりました。\n\n",
        "1.0-0.6": _SYSTEM,
    },
}
_CHABSA_TEXTS = {
    "1.0": "センテンス: {sentence}\nターゲット: {target}\n回答:",
    "1.0-0.1": "[センテンス]: {sentence}\nターゲット]: {target}\n[答え]:",
    "1.0-0.2": "センテンス: {sentence}\nターゲット: {target}\n回答:",
    "1.0-0.3": "### 入力:\nセンテンス:{sentence}\nターゲット:{target}\n\n### 応答:\n\n",
    "1.0-0.4": "センテンス: {sentence}<NL>ターゲット: {target}<NL>システム:",
    "1.0-0.5": "センテンス: {sentence}\nターゲット: {target}\nシステム:",
    "1.0-0.6": f"与えられたセンテンスにおける、{_SENTIMENT}答えてください。\n\n"
    "センテンス: {sentence}\nターゲット: {target} [/INST]",
}


def standard(version: str) -> str:
    """A version as the harness writes it: ``0.2.1`` and ``default`` are understood."""
    text = version.strip()
    if text in ("default", "0.0", "1.0-0.0"):
        return "1.0"
    return text if text.startswith("1.0") else f"1.0-{text}"


def check_version(version: str | None, files: Mapping[str, Any], tasks: Sequence[str]) -> None:
    """Refuse a version that there is not, and one for tasks without versions.

    Args:
        version: the setting; None is fine.
        files: task files by name.
        tasks: of the suite.

    Raises:
        SuiteError: in one sentence.
    """
    if version is None:
        return
    if standard(version) not in VERSIONS:
        raise SuiteError(
            f"There is no prompt version {version!r}; there are {', '.join(VERSIONS)}."
            + nearest(standard(version), VERSIONS)
        )
    if not any(knows_versions(files[task].config) for task in tasks if task in files):
        raise SuiteError("The setting prompt_version is for the Japanese financial harness's tasks "
                         "only, and the suite has none of them.")  # fmt: skip


def knows_versions(config: Mapping[str, Any]) -> bool:
    """Whether a task YAML has prompt versions."""
    return "prompt_version" in (config.get("dataset_kwargs") or {})


def overrides(task: str, version: str) -> dict[str, str]:
    """What a version changes in the task's own YAML: instruction and delimiter."""
    version = of_task(task, version)
    blank = task == CHABSA and version != "1.0-0.3"
    return {"description": DESCRIPTIONS[task][version], "target_delimiter": " " if blank else ""}


def of_task(task: str, version: str) -> str:
    """The version that a task has: chABSA's nearest where it lacks one."""
    version = standard(version)
    nearby = {"1.0-0.1.2": "1.0-0.1", "1.0-0.2.1": "1.0-0.2"}
    return nearby.get(version, version) if task == CHABSA else version


def chabsa_text(version: str, sentence: str, target: str) -> str:
    """ChABSA's prompt of a version."""
    form = _CHABSA_TEXTS[of_task(CHABSA, version)]
    return form.replace("{sentence}", sentence).replace("{target}", target)


def question_text(task: str, version: str, row: Mapping[str, Any]) -> str:
    """The prompt of a multiple-choice question of a version.

    Args:
        task: fp2 has its choices in the question, so most versions do not list them.
        version: standard form.
        row: ``question``, ``context`` (may be empty), ``choices`` of ``id`` and ``text``.
    """
    asked = row["question"] + (f"\n{row['context']}" if row["context"] else "")
    ids = [int(one["id"]) for one in row["choices"]]
    texts = [str(one["text"]) for one in row["choices"]]
    letters = [f"{chr(65 + i)}:{text}" for i, text in zip(ids, texts, strict=True)]
    listed = task != "fp2"
    if version == "1.0":
        options = "".join(f"{chr(65 + i)}: {t}\n" for i, t in zip(ids, texts, strict=True))
        return (
            f"【問題】\n{asked}\n" + (f"\n【選択肢】\n{options}" if listed else "") + "\n【答え】\n"
        )
    if version in ("1.0-0.1", "1.0-0.1.2"):
        options = ", ".join(texts if version == "1.0-0.1" else letters)
        return f"[問題]:{asked}\n[選択肢]:[{options}]\n[答え]:"
    if version == "1.0-0.2":
        options = ",".join(f"{i}.{text}" for i, text in zip(ids, texts, strict=True))
        return f"質問:{asked}\n選択肢:{options}\n回答:"
    bullets = [f"- {text}" for text in texts]
    if version == "1.0-0.2.1":
        options = "選択肢:\n" + "\n".join(bullets) if listed else ""
        return f"質問:{asked}\n{options}\n回答:"
    if version == "1.0-0.3":
        choices = "\n".join(bullets)
        options = f"出力は以下から選択してください：\n{choices}\n" if listed else ""
        return f"### 入力:\n{asked}\n{options}\n### 応答:\n"
    if version == "1.0-0.6":
        lead = _BEST_OF_SETS if task == "cpa_audit" else _BEST
        choices = "\n".join(bullets)
        options = f"出力は以下から選択してください：\n{choices}" if listed else ""
        return f"{lead}\n\n質問：{asked}{options} [/INST] "
    end = "<NL>" if version == "1.0-0.4" else "\n"
    if not listed:
        return f"ユーザー: {asked}{end}システム: "
    return f"ユーザー: 質問：{asked}{end}選択肢：{end}{end.join(bullets)}{end}システム: "


def answers(task: str, version: str, row: Mapping[str, Any]) -> tuple[list[str], int]:
    """The choices that are scored in a version, and the place of the right one.

    The place is -1 where the right one is not among them: a bad item, which is left out by itself.
    """
    ids = [int(one["id"]) for one in row["choices"]]
    right = ids.index(int(row["answer"])) if int(row["answer"]) in ids else -1
    if version == "1.0-0.1.2" and task == "fp2":
        return [chr(65 + place) for place in range(len(ids))], right
    if version == "1.0-0.1.2" or (version == "1.0" and task != "fp2"):
        return [chr(65 + i) for i in ids], right
    if version == "1.0-0.2":
        return [str(i) for i in ids], right
    return [str(one["text"]) for one in row["choices"]], right
