"""Tokens and their ids as the files say them, against the libraries that load them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Library

from merging.tokenizers.read import number, read_tokenizer, read_vocabulary
from merging.tokenizers.sentencepiece import pieces
from tests.merging.models import VOCABULARY, tokenizer_json, write
from tests.merging.tokenizers import family


def token(content: str, place: int) -> dict[str, Any]:
    return {
        "id": place,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


@pytest.mark.parametrize(
    "added",
    [
        [("<a>", 2048)],
        [("<a>", 2060)],  # a gap, which the library closes
        [("<b>", 2049), ("<a>", 2048)],  # not in order: the file's order counts
        [("<a>", 5000), ("<|pad|>", 1), ("<b>", 4000)],
        [],
    ],
)
def test_ids_are_those_that_the_library_gives(added: list[tuple[str, int]], tmp_path: Path) -> None:
    data = family.plain()
    data["added_tokens"] += [token(*one) for one in added]
    write(tmp_path / "tokenizer.json", data)
    assert read_vocabulary(tmp_path) == Library.from_str(json.dumps(data)).get_vocab(True)


def test_ids_behind_a_vocabulary_with_gaps(tmp_path: Path) -> None:
    data = tokenizer_json(VOCABULARY)
    data["model"]["vocab"]["far"] = 90
    data["added_tokens"] += [token("<a>", 91), token("<b>", 92)]
    write(tmp_path / "tokenizer.json", data)
    assert read_vocabulary(tmp_path) == Library.from_str(json.dumps(data)).get_vocab(True)
    assert number({"x": 7}, [{"content": "y"}, {"content": "x"}, {"content": "z"}]) == {
        "x": 7,
        "y": 1,
        "z": 8,
    }


@pytest.mark.parametrize("form", ["decoder", "added_tokens.json", "named", "listed", "map"])
def test_tokens_that_other_files_add_as_transformers_does(form: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    plain = {key: value for key, value in token("<new>", 0).items() if key != "id"}
    if form == "decoder":
        config["added_tokens_decoder"] = {"48": plain}
    elif form == "named":
        config["pad_token"] = "<new>"
    elif form == "listed":
        config["additional_special_tokens"] = ["<new>", VOCABULARY[0]]
    elif form == "map":
        write(tmp_path / "special_tokens_map.json", {"eos_token": {"content": "<new>"}})
    else:
        write(tmp_path / "added_tokens.json", {"<new>": 48})
    write(tmp_path / "tokenizer.json", tokenizer_json(VOCABULARY))
    write(tmp_path / "tokenizer_config.json", config)
    theirs = AutoTokenizer.from_pretrained(tmp_path).get_vocab()
    assert read_vocabulary(tmp_path) == theirs
    assert theirs["<new>"] == 48


def proto(*texts: str) -> bytes:
    """A SentencePiece model with these pieces, each with a score and a type, and a trainer part."""
    found = b""
    for text in texts:
        raw = text.encode()
        piece = b"\x0a" + bytes([len(raw)]) + raw + b"\x15\x00\x00\x80\xbf" + b"\x18\x01"
        found += b"\x0a" + bytes([len(piece)]) + piece
    return found + b"\x12\x03abc"


def test_pieces_of_a_sentencepiece_model(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(proto("<unk>", "▁the", "日本"))
    write(tmp_path / "added_tokens.json", {"<pad>": 3})
    assert read_vocabulary(tmp_path) == {"<unk>": 0, "▁the": 1, "日本": 2, "<pad>": 3}


# 16 is where the first piece ends
@pytest.mark.parametrize("end", [*range(1, 16), *range(17, 20)])
def test_broken_sentencepiece_models_are_unknown(end: int, tmp_path: Path) -> None:
    whole = proto("<unk>", "▁the")
    (tmp_path / "tokenizer.model").write_bytes(whole[:end])
    assert read_tokenizer(tmp_path) is None
    with pytest.raises(ValueError, match="a "):
        pieces(whole[:end])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"model": "x"}',
        '{"model": {"vocab": 3}, "added_tokens": 3}',
        '{"model": {"vocab": {"a": "b"}}}',
        '{"model": {"vocab": {"a": -1}}}',
        '{"model": {"vocab": {"a": 1e400}}}',
        '{"model": {"vocab": {"a": 1000000000}}}',
        '{"model": {"vocab": {"\\ud800": 1}}}',
        '{"model": {"vocab": {}}, "added_tokens": [{"id": 1}]}',
        '{"model": {"vocab": {}, "merges": [3]}}',
        "[" * 100_000,
    ],
)
def test_files_of_no_known_form_are_unknown(text: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    assert read_vocabulary(tmp_path) is None


def test_older_files(tmp_path: Path) -> None:
    write(tmp_path / "vocab.json", {"a": 0, "b": 1})
    assert read_vocabulary(tmp_path) == {"a": 0, "b": 1}
    (tmp_path / "vocab.json").unlink()
    (tmp_path / "vocab.txt").write_text("[PAD]\nthe\n##s\n")
    assert read_vocabulary(tmp_path) == {"[PAD]": 0, "the": 1, "##s": 2}


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "vocab.json", {"a": 0})
    assert read_vocabulary(tmp_path) == {"a": 0}
    write(tmp_path / "vocab.json", {"b": 0})
    assert read_vocabulary(tmp_path) == {"b": 0}
