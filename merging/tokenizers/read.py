"""A model's tokenizer as its files say it: which token has which id, and how text is split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merging.tokenizers.sentencepiece import pieces

# files that hold a vocabulary, the most telling first
FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
)
CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
SPECIAL = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
# what a tokenizer.json says of how text becomes pieces, beside the vocabulary
SPLITTING = ("normalizer", "pre_tokenizer")
# far beyond any vocabulary
MOST_IDS = 1 << 24
# vocabularies stay in memory for the next look at the same files
_MOST_KEPT = 8
_kept: dict[bytes, Tokenizer | None] = {}


@dataclass(frozen=True)
class Tokenizer:
    """What is known of a tokenizer.

    Attributes:
        tokens: token -> id, as transformers numbers them when it loads the files.
        added: tokens beside the model's own vocabulary, in the form of a tokenizer.json (content,
            special, lstrip ...), in the order of their ids.
        kind: "BPE", "Unigram", "WordPiece", "WordLevel"; empty where the files don't say.
        n_model: size of the vocabulary without added tokens.
        splitting: normalizer and pre-tokenizer as canonical JSON, by name.
        merges: digest of a BPE's merges.
    """

    tokens: Mapping[str, int]
    added: tuple[Mapping[str, Any], ...]
    kind: str = ""
    n_model: int = 0
    splitting: Mapping[str, str] | None = None
    merges: str = ""

    @property
    def n_ids(self) -> int:
        """One more than the largest id."""
        return max(self.tokens.values(), default=-1) + 1


def tokenizer_file(folder: Path) -> Path | None:
    """The file that holds a folder's vocabulary."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """A folder's tokenizer; None when there is none, or none whose form is known."""
    texts = {name: _bytes(folder / name) for name in (*FILES, CONFIG, MAP, ADDED)}
    if not any(texts[name] for name in FILES):
        return None
    hashed = hashlib.blake2b()
    for text in texts.values():
        hashed.update(len(text or b"").to_bytes(8, "little") + (text or b""))
    key = hashed.digest()
    if key not in _kept:
        if len(_kept) >= _MOST_KEPT:
            _kept.pop(next(iter(_kept)), None)
        _kept[key] = _read(texts)
    return _kept[key]


def read_vocabulary(folder: Path) -> Mapping[str, int] | None:
    """Token -> id of a folder's tokenizer, added tokens included; None when it cannot be read."""
    tokenizer = read_tokenizer(folder)
    return None if tokenizer is None else tokenizer.tokens


def tokenizer_json(folder: Path) -> dict[str, Any] | None:
    """A folder's tokenizer.json; None when it has none that is an object."""
    return _object(_bytes(folder / "tokenizer.json"))


def model_vocabulary(data: Mapping[str, Any]) -> dict[str, int]:
    """Token -> id of the model in a tokenizer.json, without added tokens."""
    vocabulary = data["model"].get("vocab")
    if isinstance(vocabulary, dict):
        return {str(token): int(place) for token, place in vocabulary.items()}
    if isinstance(vocabulary, list):  # unigram models list [token, score]
        return {str(entry[0]): place for place, entry in enumerate(vocabulary)}
    return {}


def merges_of(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The merges of a BPE in a tokenizer.json, which come in two spellings."""
    found = []
    for merge in data["model"].get("merges") or []:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        found.append((left, right))
    return found


def number(vocabulary: Mapping[str, int], added: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The ids that added tokens really get.

    The library that loads a tokenizer.json passes over the ids written there: a token that the
    model's vocabulary has keeps that id, any other gets the next one behind all there are.

    Args:
        vocabulary: of the model.
        added: tokens with their `content`, in the order of the file.

    Returns:
        Token -> id, of vocabulary and added tokens together.
    """
    tokens = dict(vocabulary)
    largest = -1
    for token in added:
        content = str(token["content"])
        place = tokens.get(content)
        if place is None:
            place = largest + 1 if largest >= len(vocabulary) else len(vocabulary)
            tokens[content] = place
        largest = max(largest, place)
    return tokens


def _read(texts: Mapping[str, bytes | None]) -> Tokenizer | None:
    data = _object(texts["tokenizer.json"])
    try:
        if data is not None:
            found: Tokenizer | None = _of_json(data, texts)
        elif texts["tokenizer.json"] is not None:
            return None
        else:
            found = _of_older_files(texts)
        if found is not None:
            _check(found.tokens)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError):
        return None  # of a form that nobody documented
    return found


def _check(tokens: Mapping[str, int]) -> None:
    """Tokens must be text that can be written, and ids such that a model can have.

    Raises:
        ValueError: they are not.
    """
    "".join(tokens).encode("utf-8")
    if tokens and not (min(tokens.values()) >= 0 and max(tokens.values()) < MOST_IDS):
        raise ValueError("an id that no model has")


def _of_json(data: Mapping[str, Any], texts: Mapping[str, bytes | None]) -> Tokenizer:
    vocabulary = model_vocabulary(data)
    added = [one for one in data.get("added_tokens") or [] if isinstance(one, dict)]
    known = {one["content"] for one in added}
    added += [one for one in _added_elsewhere(texts) if one["content"] not in known]
    known = {*vocabulary, *(one["content"] for one in added)}
    added += [added_token(one, -1, special=True) for one in _named(texts) if one not in known]
    tokens = number(vocabulary, added)
    merges = data["model"].get("merges") or []
    spelled = "\n".join(one if isinstance(one, str) else " ".join(one) for one in merges)
    return Tokenizer(
        tokens=tokens,
        added=tuple(sorted(added, key=lambda one: tokens[one["content"]])),
        kind=str(data["model"].get("type") or ("BPE" if merges else "")),
        n_model=len(vocabulary),
        splitting={part: json.dumps(data.get(part), sort_keys=True) for part in SPLITTING},
        merges=hashlib.blake2b(spelled.encode()).hexdigest() if merges else "",
    )


def _of_older_files(texts: Mapping[str, bytes | None]) -> Tokenizer | None:
    """From the files of tokenizers without a tokenizer.json."""
    vocabulary: dict[str, int] = {}
    for name in ("tokenizer.model", "spiece.model"):
        text = texts[name]
        if text is not None:
            # a byte string that is no such model has no pieces
            vocabulary = {piece: place for place, piece in enumerate(pieces(text))}
            break
    else:
        if (listed := _object(texts["vocab.json"])) is not None:
            vocabulary = {token: int(place) for token, place in listed.items()}
        elif (lines := texts["vocab.txt"]) is not None:
            vocabulary = {line: place for place, line in enumerate(lines.decode().split("\n"))}
            vocabulary.pop("", None)
    if not vocabulary:
        return None
    added = list(_added_elsewhere(texts))
    tokens = {**vocabulary, **{one["content"]: one["id"] for one in added}}
    return Tokenizer(tokens=tokens, added=tuple(added), n_model=len(vocabulary))


def _added_elsewhere(texts: Mapping[str, bytes | None]) -> list[dict[str, Any]]:
    """Added tokens that other files than tokenizer.json name, in the order of their ids."""
    listed = (_object(texts[CONFIG]) or {}).get("added_tokens_decoder")
    found = []
    if isinstance(listed, dict) and listed:
        for place, token in listed.items():
            if isinstance(token, dict) and isinstance(token.get("content"), str):
                found.append({**token, "id": int(place)})
    elif (names := _object(texts[ADDED])) is not None:
        found = [added_token(token, place) for token, place in names.items()]
    return sorted(found, key=lambda one: int(one["id"]))


def _named(texts: Mapping[str, bytes | None]) -> list[str]:
    """Special tokens that the configuration names; transformers adds those that are missing."""
    names = {**(_object(texts[MAP]) or {}), **(_object(texts[CONFIG]) or {})}
    wanted = [names.get(f"{kind}_token") for kind in SPECIAL]
    for key in ("additional_special_tokens", "extra_special_tokens"):
        listed = names.get(key)
        wanted += listed if isinstance(listed, list) else []
    texts_of = [one.get("content") if isinstance(one, dict) else one for one in wanted]
    return list(dict.fromkeys(one for one in texts_of if isinstance(one, str) and one))


def added_token(content: str, place: int, *, special: bool = False) -> dict[str, Any]:
    """An added token in the form of a tokenizer.json."""
    return {
        "id": place,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": not special,
        "special": special,
    }


def _bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _object(text: bytes | None) -> dict[str, Any] | None:
    try:
        data = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
