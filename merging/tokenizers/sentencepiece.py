"""The pieces of a SentencePiece model, read from its file without the library."""

from __future__ import annotations

from collections.abc import Iterator

_LENGTH_DELIMITED = 2
# bytes that follow a field's key, by the wire type of protocol buffers
_FIXED = {1: 8, 5: 4}


def pieces(model: bytes) -> list[str]:
    """The vocabulary in the order of its ids.

    A model file is a protocol buffer (sentencepiece_model.proto): field 1, repeated, is a piece;
    its field 1 is the text.

    Args:
        model: content of the file.

    Raises:
        ValueError: these bytes are no such file.
    """
    found = []
    for number, value in _fields(model):
        if number == 1 and value is not None:
            texts = [text for field, text in _fields(value) if field == 1 and text is not None]
            if not texts:
                raise ValueError("a piece without a text")
            found.append(texts[0].decode("utf-8"))
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes | None]]:
    """(number, content) of every field; None for the content of plain numbers."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == _LENGTH_DELIMITED:
            length, place = _varint(data, place)
            end = place + length
            if end > len(data):
                raise ValueError("a field beyond the end")
            yield key >> 3, data[place:end]
            place = end
        elif kind == 0:
            _, place = _varint(data, place)
            yield key >> 3, None
        elif kind in _FIXED:
            place += _FIXED[kind]
            yield key >> 3, None
        else:
            raise ValueError("an unknown kind of field")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of variable length, and the place behind it."""
    value = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        value |= (byte & 127) << shift
        place += 1
        shift += 7
        if byte < 128:
            return value, place
    raise ValueError("a number without an end")
