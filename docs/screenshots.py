"""Make the pictures in `docs/screenshots/`: every page, light and dark, wide and narrow.

    python docs/screenshots.py                      # prepares a home of its own, a few minutes
    python docs/screenshots.py --home FOLDER        # keep or use again what was prepared
    python docs/screenshots.py --only build chat    # some pages

Starts the real app, does the shipped example and two more recipes on the sandbox, and photographs
the pages with Chromium (CRUCIBLE_CHROMIUM, else the one on the path). Needs requirements-dev.txt.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
OUT = PROJECT / "docs" / "screenshots"
RECIPES = ("1-instruct-without-instruction-data", "3-two-experts", "4-three-experts-ties")
EXPERTS = ("finance", "math", "japanese", "instruct")
SIZES = {"": (1440, 1000), "-narrow": (420, 900)}
MODES = ("light", "dark")
DATA = PROJECT / "sandbox" / "tasks" / "data"
COLOURS = 128  # of the pictures' palette: a page has few, and the files stay small


def main() -> None:
    """Prepare, start, photograph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, help="prepared CRUCIBLE_HOME (default: a new one)")
    parser.add_argument("--only", nargs="*", help="names of pages")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = (arguments.home or Path(temporary)).resolve()
        home.mkdir(parents=True, exist_ok=True)
        with running_app(home) as url:
            group = prepare(home)
            photograph(url, pages(home, group), arguments.out, arguments.only, question(home))


@contextmanager
def running_app(home: Path) -> Iterator[str]:
    """The app on a free port, working in `home`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(PROJECT / "app.py"),
         f"--server.port={port}", "--server.headless=true"],
        env={**os.environ, "CRUCIBLE_HOME": str(home)},
        start_new_session=True,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)


def prepare(home: Path) -> str:
    """Merge and score the recipes unless it was done before; return the example's group."""
    os.environ["CRUCIBLE_HOME"] = str(home)
    sys.path.insert(0, str(PROJECT))
    from jobs.models import similarity
    from jobs.running import api

    similarity.ask(similarity.choose([f"sandbox/{name}" for name in EXPERTS], "sandbox/base"))
    groups = [
        api.merge_and_benchmark((PROJECT / "recipes" / f"{name}.yaml").read_text(), suite="sandbox")
        for name in RECIPES
    ]
    while True:
        states = [state for (state,) in ask(home, "SELECT state FROM jobs")]
        if not {"queued", "running"} & set(states):
            break
        print(f"\r{states.count('done')} of {len(states)} jobs", end="", flush=True)
        time.sleep(1)
    print()
    return groups[0]


def ask(home: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of the app's database."""
    with sqlite3.connect(f"file:{home / 'crucible.db'}?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchall()


def pages(home: Path, group: str) -> dict[str, str]:
    """Name of a picture to the address of its page."""
    names = {name: number for number, name in ask(home, "SELECT id, name FROM models")}
    family = ("finance-chat", "sandbox/base", "sandbox/finance", "sandbox/instruct")
    ids = ",".join(str(names[name]) for name in family)
    experts = ",".join(str(names[f"sandbox/{name}"]) for name in EXPERTS)
    return {
        "home": "",
        "build": "build",
        "schedules": "build?recipe=mlp-from-one-attention-from-the-other",
        "leaderboard": "leaderboard",
        "compare": f"compare?ids={ids}",
        "chat": "chat?model=finance-chat&beside=sandbox/instruct",
        "models": "models",
        "similarity": f"models?tab=Similarity&base={names['sandbox/base']}&models={experts}",
        "model": f"model?id={names['finance-chat']}",
        "jobs": "jobs",
        "job": f"job?group={group}",
    }


def question(home: Path) -> str:
    """Something that the merge answered rightly and the instruct model alone did not."""
    answered = (
        "SELECT doc_id FROM answers JOIN evaluations ON evaluations.id = evaluation_id "
        "JOIN models ON models.id = model_id WHERE task = 'sandbox_chat_finance' "
    )
    rows = ask(
        home,
        f"{answered} AND name = 'finance-chat' AND correct INTERSECT "
        f"{answered} AND name = 'sandbox/instruct' AND NOT correct",
    )
    lines = (DATA / "sandbox_chat_finance.jsonl").read_text(encoding="utf-8").splitlines()
    return str(json.loads(lines[min(rows)[0] if rows else 0])["prompt"])


def photograph(
    url: str, wanted: dict[str, str], out: Path, only: list[str] | None, question: str
) -> None:
    """One picture per page, size and mode."""
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    path = os.environ.get("CRUCIBLE_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        for mode in MODES:
            for size, (width, height) in SIZES.items():
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=mode
                )
                for name, address in wanted.items():
                    if not only or name in only:
                        picture = look_at(context, f"{url}/{address}", name, question)
                        save(picture, out / f"{name}-{mode}{size}.png")
                context.close()
        browser.close()


def look_at(context: Any, address: str, name: str, question: str) -> bytes:
    """Open a page, wait until it stands, and take its picture."""
    page = context.new_page()
    page.goto(address)
    page.get_by_role("heading", level=1).first.wait_for(timeout=60_000)
    page.wait_for_timeout(1500)
    if name == "chat":
        box = page.get_by_test_id("stChatInputTextArea")
        box.fill(question)
        box.press("Enter")
        page.get_by_text("tokens/s").nth(1).wait_for(timeout=60_000)
    if name == "schedules":
        page.get_by_text("Weight of sandbox/finance").wait_for(timeout=60_000)
        page.get_by_text("When to use").evaluate("one => one.scrollIntoView()")
    # nothing runs any more: neither the script nor an animation
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_timeout(1500)
    picture: bytes = page.screenshot()
    page.close()
    return picture


def save(picture: bytes, path: Path) -> None:
    """Write a picture with a small palette."""
    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(PROJECT)}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
