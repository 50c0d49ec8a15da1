"""Watching what a process and all that it starts say to the world, and what they keep.

`environment` puts a start-up hook before every Python process: it notes each name that is looked
up and each address that is connected to, unless it is this machine. Forked processes keep the
hook. Compiled libraries that open sockets without Python's are not seen.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

HOOK = """
import json, os, sys

def _here(host):
    if host is None:
        return True
    text = host.decode("latin-1") if isinstance(host, bytes) else str(host)
    return text in ("", "localhost", "::1", "0.0.0.0") or text.startswith("127.")

def _note(**said):
    line = json.dumps({"pid": os.getpid(), "argv": sys.argv[:3], **said}) + "\\n"
    file = os.open(os.environ["WATCH_OUTGOING"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, line.encode())
    os.close(file)

def _look(event, values):
    if event in ("socket.connect", "socket.sendto"):
        address = values[1]
        if isinstance(address, tuple) and not _here(address[0]):
            _note(event=event, to=str(address))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not _here(values[0]):
        _note(event=event, to=str(values[0]))

sys.addaudithook(_look)
_note(event="born", to=None)
"""
# What must never be written anywhere: planted in the environment of the watched processes.
CANARIES = {
    "HF_TOKEN": "hf_CanaryTokenThatNobodyMayKeep0001",
    "HUGGING_FACE_HUB_TOKEN": "hf_CanaryTokenThatNobodyMayKeep0002",
    "OPENAI_API_KEY": "sk-CanaryKeyThatNobodyMayKeep0003",
    "WANDB_API_KEY": "CanaryKeyThatNobodyMayKeep0004",
    "AWS_SECRET_ACCESS_KEY": "CanaryKeyThatNobodyMayKeep0005",
}


def environment(folder: Path) -> dict[str, str]:
    """Variables that have a process and its children watched; `folder` keeps the notes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(HOOK)
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(path),
        "WATCH_OUTGOING": str(folder / "notes"),
        "HF_HUB_OFFLINE": "0",  # nothing may be asked because nobody asks, not because it can't
        **CANARIES,
    }


def notes(folder: Path) -> list[dict[str, object]]:
    """Everything noted so far."""
    file = folder / "notes"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def calls(folder: Path) -> list[dict[str, object]]:
    """What was said to the world."""
    return [one for one in notes(folder) if one["event"] != "born"]


def kept(home: Path) -> list[str]:
    """Where a planted secret lies below a folder, as `file: NAME`."""
    found = []
    for file in sorted(path for path in home.rglob("*") if path.is_file()):
        content = file.read_bytes()
        found += [f"{file}: {name}" for name, text in CANARIES.items() if text.encode() in content]
    return found
