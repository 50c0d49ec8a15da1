"""Does the chat template render? As transformers renders it: sandboxed, with its additions."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from merging.errors import ModelError
from merging.planning.checks import Check
from merging.tokenizers.chat import read_templates

TITLE = "Chat template"
WORDS = {"system": "Answer in one word.", "user": "What is the capital of France?",
         "assistant": "Paris."}  # fmt: skip


class _Refused(Exception):
    """What a template raises by itself."""


def check_template(folder: Path) -> Check:
    """Render a conversation of system, user and assistant, and the prompt for an answer."""
    try:
        text = read_templates(folder, label=folder.name).get("default")
    except ModelError as error:
        return Check(TITLE, "bad", str(error))
    if text is None:
        return Check(TITLE, "ok", "The model has no chat template: it continues text.")
    tokens = _tokens(folder)
    problem = ""
    for roles in (("system", "user", "assistant"), ("user", "assistant")):
        try:
            whole = render(text, conversation(roles), tokens, add_generation_prompt=False)
            prompt = render(text, conversation(roles[:-1]), tokens, add_generation_prompt=True)
        except _Refused as error:
            problem = problem or str(error)
            continue
        except Exception as error:  # whatever a foreign program raises
            return Check(TITLE, "bad", f"It does not render: {_line(error)}",
                         "Use the template of one of the parents.")  # fmt: skip
        return _judge(roles, whole, prompt, problem)
    return Check(
        TITLE, "bad", f"It refuses a plain conversation: {problem}", "Use a parent's template."
    )


def _judge(roles: tuple[str, ...], whole: str, prompt: str, problem: str) -> Check:
    lost = [role for role in roles if WORDS[role] not in whole]
    if lost:
        return Check(TITLE, "bad", f"It leaves out what the {lost[0]} says.",
                     "Use the template of one of the parents.")  # fmt: skip
    if WORDS[roles[-2]] not in prompt:
        return Check(TITLE, "bad", "The prompt for an answer leaves out the question.",
                     "Use the template of one of the parents.")  # fmt: skip
    if problem:
        return Check(TITLE, "ok", "It renders user and assistant, and refuses a system message.")
    return Check(TITLE, "ok", "It renders a conversation of system, user and assistant.")


def conversation(roles: tuple[str, ...]) -> list[dict[str, str]]:
    """A message of each role."""
    return [{"role": role, "content": WORDS[role]} for role in roles]


def render(text: str, messages: list[dict[str, str]], tokens: dict[str, str], **more: Any) -> str:
    """Render a template.

    Raises:
        Exception: what jinja or the template itself raises.
    """
    from jinja2.ext import Extension, loopcontrols
    from jinja2.nodes import CallBlock, Node
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`, by which templates mark what the assistant says."""

        tags = {"generation"}

        def parse(self, parser: Parser) -> Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

        def _body(self, caller: Any) -> Any:
            return caller()

    def refuse(message: str) -> None:
        raise _Refused(message)

    def to_json(value: Any, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=False, **options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime(2026, 1, 1).strftime(form)
    return str(environment.from_string(text).render(messages=messages, tools=None,
                                                    documents=None, **tokens, **more))  # fmt: skip


def _tokens(folder: Path) -> dict[str, str]:
    """The special tokens that a template may write."""
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    found = {}
    for key, value in config.items() if isinstance(config, dict) else ():
        if isinstance(value, dict):
            value = value.get("content")
        if key.endswith("_token") and isinstance(value, str):
            found[key] = value
    return found


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    line = getattr(error, "lineno", None)
    return f"{text[:200]}" + (f" (line {line})." if line else ".")
