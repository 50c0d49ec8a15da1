"""Small files in the forms in which public datasets are published; every item is made up."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

PHRASES = ["Sales of Altane rose to EUR 5 mn .@positive", "It has 30 people @ work .@neutral",
           "Profit fell by half .@negative"]  # fmt: skip
FIQA = [
    {"_id": "1", "sentence": "$ALT will climb", "target": "ALT", "aspect": "[]",
     "sentiment_score": 0.6, "type": "post"},
    {"_id": "2", "sentence": "Deltor unchanged", "target": "Deltor", "aspect": "[]",
     "sentiment_score": -0.05, "type": "headline"},
    {"_id": "3", "sentence": "Deltor falls, Altane holds", "target": "Deltor", "aspect": "[]",
     "sentiment_score": -0.7, "type": "headline"},
]  # fmt: skip
HEADLINES = [
    {"Dates": "1-1-2001", "URL": "", "News": "gold climbs as dollar slips", "Price Direction Up": 1,
     "Price Direction Constant": 0, "Price Direction Down": 0, "Asset Comparision": 1,
     "Past Information": 1, "Future Information": 0, "Price Sentiment": "positive"},
    {"Dates": "2-1-2001", "URL": "", "News": "gold may ease", "Price Direction Up": 0,
     "Price Direction Constant": 0, "Price Direction Down": 1, "Asset Comparision": 0,
     "Past Information": 0, "Future Information": 1, "Price Sentiment": "negative"},
]  # fmt: skip
FOMC = [
    {"": 0, "index": 7, "sentence": "Rates may need to rise.", "year": 2001, "label": 1, "orig": 1},
    {"": 1, "index": 8, "sentence": "Support will go on.", "year": 2002, "label": 0, "orig": 0},
    {"": 2, "index": 9, "sentence": "The committee met.", "year": 2002, "label": 2, "orig": 2},
]
CONVFINQA = [
    {
        "pre_text": ["Altane reports .", "All in millions ."],
        "post_text": ["End of page ."],
        "filename": "ALT/2001/page_1.pdf",
        "table": [["", "2001", "2000"], ["sales", "30", "20"]],
        "id": f"Single_ALT/2001/page_1.pdf-1_{turn}",
        "annotation": {
            "dialogue_break": ["what were sales in 2001?", "and in 2000?", "what is the growth?"],
            "exe_ans_list": [30.0, 20.0, 0.5],
            "cur_dial": [
                "what were sales in 2001?", "and in 2000?", "what is the growth?"
            ][: turn + 1],
            "exe_ans": [30.0, 20.0, 0.5][turn],
            "turn_ind": turn,
        },
    }
    for turn in range(3)
]  # fmt: skip
DOCMATH = [
    {"question_id": f"{i}", "source": "x", "original_question_id": "y",
     "question": "What are total sales in 2000 and 2001?",
     "paragraphs": ["Altane sells steel.", "| year | sales |\n| 2000 | 20 |\n| 2001 | 30 |"],
     "table_evidence": [1], "paragraph_evidence": [], "python_solution": "...",
     "ground_truth": 50.0}
    for i in range(2)
]  # fmt: skip
CHABSA = [
    {
        "header": {"document_id": f"E0000{n}", "document_name": "有価証券報告書"},
        "sentences": [
            {"sentence_id": 0, "sentence": "売上高は増え、費用も増えた。", "opinions": [
                {"target": "売上高", "category": "x#sales", "polarity": "positive",
                 "from": 0, "to": 3},
                {"target": "費用", "category": "x#cost", "polarity": "negative",
                 "from": 7, "to": 9},
            ]},
            {"sentence_id": 1, "sentence": "人員は変わらない。", "opinions": [
                {"target": "人員", "category": "x", "polarity": "neutral", "from": 0, "to": 2}]},
            {"sentence_id": 2, "sentence": "意見のない文。", "opinions": []},
        ],
    }
    for n in (1, 2)
]  # fmt: skip


def exam(n_choices: int = 4, context: str = "") -> dict[str, Any]:
    """A file of exam questions as the Japanese financial harness publishes them."""
    texts = ["１", "２", "３", "４"] if context else ["売る", "買う", "待つ", "休む"]
    choices = [{"id": i, "text": texts[i]} for i in range(n_choices)]
    row = {"question": "正しいものはどれか。", "context": context, "choices": choices,
           "comment": "解説"}  # fmt: skip
    return {"data-type": "choice", "data-name": "made up",
            "data": [{"id": i, **row, "answer": i % n_choices} for i in range(3)]}  # fmt: skip


AUDIT = [
    {"": 0, "question": "次のうち正しいものの組み合わせを選べ。", "ア": "監査は要る。",
     "イ": "監査は要らない。", "エ": "どちらでもない。", "a_no": 2, "abnormal_flg": 0},
    {"": 1, "question": "没問題", "ア": "x", "a_no": 1, "abnormal_flg": 1},
    {"": 2, "question": "", "a_no": 1},
    {"": 3, "question": "次は?", "ア": "はい。", "エ": "いいえ。", "a_no": 6, "abnormal_flg": 0},
]  # fmt: skip
for _row in AUDIT:
    _row |= {i + 1: ["アイ", "アウ", "アエ", "イウ", "イエ", "ウエ"][i] for i in range(6)}

HARNESS = "japanese-lm-fin-harness/jlm_fin_eval/datasets"


def write(folder: Path, name: str, content: bytes | str) -> Path:
    """A file below a folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_csv(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    path = write(folder, name, "")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    import pyarrow
    from pyarrow import parquet

    path = write(folder, name, "")
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def write_zip(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    path = write(folder, name, "")
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in files.items():
            archive.writestr(member, content)
    return path


def write_xlsx(folder: Path, name: str, rows: list[dict[Any, Any]]) -> Path:
    """A workbook as Excel writes it: shared strings, numbers, empty cells left out."""
    head = list(rows[0])
    shared: list[str] = []
    lines = []
    for number, row in enumerate([dict(zip(head, head, strict=True)), *rows], start=1):
        cells = []
        for place, key in enumerate(head):
            value = row.get(key, "")
            at = f"{chr(65 + place)}{number}"
            if value == "":
                continue
            if isinstance(value, int):
                cells.append(f'<c r="{at}"><v>{value}</v></c>')
            else:
                shared.append(value)
                cells.append(f'<c r="{at}" t="s"><v>{len(shared) - 1}</v></c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    # A reading aid stands beside the text and is no part of it.
    items = "".join(
        f'<si><r><t>{escape(t[:1])}</t></r><r><t>{escape(t[1:])}</t></r><rPh sb="0" eb="1">'
        "<t>ヨミ</t></rPh></si>"
        for t in shared
    )
    return write_zip(
        folder,
        name,
        {
            "xl/worksheets/sheet1.xml": f"<worksheet {space}><sheetData>{''.join(lines)}"
            "</sheetData></worksheet>".encode(),
            "xl/sharedStrings.xml": f"<sst {space}>{items}</sst>".encode(),
        },
    )


def write_everything(folder: Path) -> Path:
    """Every file that the suites finance-18 and japanese-finance-5 read."""
    lines = "\n".join(PHRASES).encode("latin-1")
    write_zip(folder, "fpb/FinancialPhraseBank-v1.0.zip", {
        "__MACOSX/FinancialPhraseBank-v1.0/._Sentences_50Agree.txt": b"\x00",
        "FinancialPhraseBank-v1.0/Sentences_AllAgree.txt": b"No .@neutral",
        "FinancialPhraseBank-v1.0/Sentences_50Agree.txt": lines,
    })  # fmt: skip
    write_parquet(folder, "fiqa/test.parquet", FIQA)
    write_csv(folder, "headlines/test.csv", HEADLINES)
    write_csv(folder, "fomc/test.csv", FOMC)
    write(folder, "convfinqa/dev_turn.json", json.dumps(CONVFINQA))
    for subset in ("simpshort", "simplong", "compshort", "complong"):
        write(folder, f"docmath/{subset}_testmini.json", json.dumps(DOCMATH))
    write_zip(folder, "chabsa/chABSA-dataset.zip", {
        f"chABSA-dataset/e0000{i}_ann.json": json.dumps(one, ensure_ascii=False).encode()
        for i, one in enumerate(CHABSA)
    })  # fmt: skip
    write(folder, f"{HARNESS}/cma_basics/data.json", json.dumps(exam()))
    write(folder, f"{HARNESS}/fp2/data.json", json.dumps(exam(context="１．売る\n２．買う")))
    write(folder, f"{HARNESS}/security_sales_1/data.json", json.dumps(exam(2)))
    write_xlsx(folder, f"{HARNESS}/cpa/CPA_AUDIT.xlsx", AUDIT)
    return folder
