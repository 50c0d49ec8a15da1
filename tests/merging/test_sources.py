"""Where models come from: names, folders, and a Hub that is good, bad, silent or offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.sources import resolve
from merging.errors import HubError, ModelError
from tests.merging import models
from tests.merging.hub_server import COMMIT, HubServer

PROJECT = Path(__file__).resolve().parents[2]
ASK = """
import json, sys, warnings
warnings.simplefilter("ignore")
from merging.errors import MergingError
from merging.checkpoints.sources import resolve
for ref, options in json.loads(sys.argv[1]):
    try:
        print(json.dumps({"path": str(resolve(ref, {}, **options))}))
    except MergingError as error:
        print(json.dumps({"type": type(error).__name__, "code": error.exit_code,
                          "text": str(error)}))
"""


def ask(
    endpoint: str, home: Path, *asked: tuple[str, dict[str, Any]], **environment: str
) -> list[dict[str, Any]]:
    """Resolve references in a process that knows the endpoint from its start."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(asked)],
        cwd=PROJECT,
        env={
            **os.environ,
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_names_come_first_then_folders(family: dict[str, Path], tmp_path: Path) -> None:
    names = {"mine": str(family["base"]), "gone": str(tmp_path / "gone")}
    assert resolve("mine", names) == family["base"]
    assert resolve(str(family["math"]), names) == family["math"]
    with pytest.raises(ModelError, match='folder of the registered model "gone" is gone'):
        resolve("gone", names)


@pytest.mark.parametrize(
    ("ref", "part"),
    [
        ("/nowhere/model", "no folder"),
        ("./model", "no folder"),
        ("a/b/c", "no folder"),
        ("../../nowhere", "no folder"),
        ("bad name", "no folder"),
        ("~nobody-of-this-name/model", "no folder"),
        ("x" * 5000, "no folder"),
        ("a\0b", "no folder"),
        ("minne", 'Did you mean the registered model "mine"'),
        ("sandbox/financ", 'Did you mean the registered model "sandbox/finance"'),
    ],
)
def test_what_is_nowhere(ref: str, part: str) -> None:
    with pytest.raises(ModelError, match=part):
        resolve(ref, {"mine": "/tmp", "sandbox/finance": "/tmp"})


def test_offline_mode_is_said() -> None:
    """The tests run with HF_HUB_OFFLINE=1."""
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set") as caught:
        resolve("org/model", {})
    assert caught.value.exit_code == 1


def test_a_hub(family: dict[str, Path], tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    model = models.write_model(tmp_path / "model", models.weights(0), shards=2, chat=True)
    for unwanted in ("pytorch_model.bin", "code.py", "consolidated.safetensors"):
        (model / unwanted).write_bytes(b"x")
    (model / "original").mkdir()
    (model / "original" / "big.safetensors").write_bytes(b"x")
    with HubServer({"org/model": model, "org/pickled": pickled}) as hub:
        found = ask(
            hub.url,
            tmp_path / "hub",
            ("org/model", {}),
            ("org/model", {"revision": COMMIT}),
            ("org/model", {"revision": "no-such"}),
            ("org/absent", {}),
            ("org/gated", {}),
            ("org/private", {}),
            ("org/forbidden", {}),
            ("org/down", {}),
            ("org/pickled", {}),
            ("org/other", {"download": False}),
        )
    good, again, *bad = found
    folder = Path(good["path"])
    assert again["path"] == good["path"]
    with Checkpoint.open(folder) as checkpoint, Checkpoint.open(model) as original:
        assert checkpoint.read("model.norm.weight").equal(original.read("model.norm.weight"))
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert {"config.json", "tokenizer.json", "chat_template.jinja"} <= names
    assert not names & {
        "pytorch_model.bin",
        "code.py",
        "consolidated.safetensors",
        "original/big.safetensors",
    }
    expected = [
        ("HubError", 2, 'org/model has no revision "no-such"'),
        ("HubError", 2, "There is no model org/absent on the Hub"),
        ("HubError", 2, "org/gated is gated: accept its terms"),
        ("HubError", 2, "There is no model org/private on the Hub, or it is private"),
        ("HubError", 2, "The Hub refuses access to org/forbidden (HTTP 403)"),
        ("HubError", 1, "The Hub answered org/down with HTTP 503"),
        ("ModelError", 2, "org/pickled has no safetensors weights"),
        ("HubError", 2, "neither a registered model, nor a folder, nor in the Hub's cache"),
    ]
    for answer, (kind, code, text) in zip(bad, expected, strict=True):
        assert answer.get("type") == kind and answer["code"] == code, answer
        assert text in answer["text"] and "\n" not in answer["text"], answer

    # what was fetched once is there without the Hub
    cached, absent = ask(
        "http://127.0.0.1:9", tmp_path / "hub", ("org/model", {}), ("org/absent", {})
    )
    assert cached["path"] == good["path"]
    assert absent["code"] == 1 and "127.0.0.1:9 is out of reach" in absent["text"], absent
