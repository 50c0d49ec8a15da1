"""The lines that the chat process and its client exchange: one JSON object per line.

To the process: `{"do": "chat", "id": int, "turns": [Turn], "settings": Settings}`,
`{"do": "stop", "id": int}`, `{"do": "unload"}`.

From the process, `which` being the place of the turn in `turns`:

* `{"event": "ready"}` once, when its libraries are imported;
* `{"event": "loading", "id", "which"}` before a model is read into memory;
* `{"event": "started", "id", "which", "prompt_tokens", "dropped_turns", "device"}`;
* `{"event": "text", "id", "which", "text"}` many times;
* `{"event": "done", "id", "which", "reason", "tokens", "seconds"}`, reason one of end, length,
  stopped;
* `{"event": "error", "id", "which", "text"}`;
* `{"event": "end", "id"}` last of every request.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_CHARACTERS = 200_000  # of one message; longer text is refused before it is tokenised
MAX_NEW_TOKENS = 4096


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class Turn(BaseModel):
    """One model that is to answer: where it lies, what it is called, and what was said so far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    label: str
    messages: tuple[Message, ...]
    mode: Literal["chat", "completion"] = "chat"  # completion: the last message is continued
    trusted_code: tuple[str, ...] = ()  # fingerprints of model code that may run


class Settings(BaseModel):
    """How the next token is chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(0.0, ge=0.0, le=5.0)  # 0 takes the likeliest token
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    max_new_tokens: int = Field(256, ge=1, le=MAX_NEW_TOKENS)
    seed: int = Field(0, ge=0, lt=2**63)


def encode(message: dict[str, Any]) -> bytes:
    """One line. Newlines inside texts are escaped by JSON, lone surrogates are replaced."""
    return (json.dumps(message, ensure_ascii=True) + "\n").encode("ascii")


def request_of(line: bytes) -> dict[str, Any] | None:
    """The request on a line, its parts not yet checked; None where it is none."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("do") not in ("chat", "stop", "unload"):
        return None
    if message["do"] != "unload" and type(message.get("id")) is not int:
        return None
    if message["do"] == "chat" and not (isinstance(message.get("turns"), list)):
        return None
    return {"settings": {}, **message}


def decode(line: bytes) -> dict[str, Any]:
    """The object of one line."""
    message: dict[str, Any] = json.loads(line)
    return message
