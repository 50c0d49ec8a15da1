"""The address of an endpoint, and the name of the variable with its key: what may stand there."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import SplitResult, urlsplit

from evaluation.judge.errors import JudgeError

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def checked(base_url: str) -> SplitResult:
    """An address as its parts, without a slash at its end.

    Raises:
        JudgeError: it is none, or carries a name, a password, a query: places where keys hide.
    """
    text = base_url.strip().rstrip("/").removesuffix("/chat/completions")
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError as error:
        raise JudgeError(
            "The base URL cannot be read; give one such as http://127.0.0.1:8000/v1."
        ) from error
    if url.scheme not in ("http", "https") or not url.hostname or re.search(r"[\s\x00-\x1f]", text):
        raise JudgeError(
            "The base URL must begin with http:// or https://, such as http://127.0.0.1:8000/v1."
        )
    if url.username or url.password or url.query or url.fragment:
        raise JudgeError(
            "The base URL must hold no name, password or query: put the key into an environment "
            "variable and give the variable's name."
        )
    return url


def is_local(base_url: str) -> bool:
    """Whether an address is on this very machine, so that no text leaves it.

    Raises:
        JudgeError: it is no address.
    """
    host = checked(base_url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def key_from(variable: str) -> str | None:
    """The key in an environment variable; None when no variable is named.

    Raises:
        JudgeError: no such name, no such variable, or an empty one. What was given is not repeated:
            it may be the key itself.
    """
    if not variable:
        return None
    if not VARIABLE.fullmatch(variable):
        raise JudgeError(
            "The key's environment variable must be a name of letters, digits and underscores. Do "
            "not put the key itself there."
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise JudgeError(
            "The environment variable that was named for the judge's key is not set where Crucible "
            "runs. Set it, restart Crucible, and try again."
        )
    if not key.isascii() or not key.isprintable():
        raise JudgeError("The judge's key holds characters that no HTTP header may hold.")
    return key
