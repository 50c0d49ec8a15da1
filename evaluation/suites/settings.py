"""How a task is asked: what a suite, or one run of it, may say beside the task's own YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation import yaml_text
from evaluation.errors import SuiteError
from evaluation.nearest import nearest


class Settings(BaseModel):
    """How a task is asked. ``None`` means: as the task's own YAML (or the tokenizer) says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_fewshot: int | None = Field(default=None, ge=0, le=100)
    add_bos_token: bool | None = None
    apply_chat_template: bool | None = None
    chat_template: str | None = None
    """Jinja file used by models that bring no chat template of their own."""
    system_instruction: str | None = None
    fewshot_as_multiturn: bool | None = None
    fewshot_seed: int | None = None
    max_gen_toks: int | None = Field(default=None, ge=1)
    strip_thinking: bool | None = None
    """False gives thoughts (``<think> ... </think>``) to extraction as part of the answer."""
    prompt_version: str | None = None
    """Of the prompts that a benchmark publishes several versions of, one for all its tasks."""

    def over(self, other: Settings) -> Settings:
        """These settings, with the gaps filled from ``other``."""
        return Settings(**{**other.model_dump(exclude_none=True), **self.given()})

    def given(self) -> dict[str, Any]:
        """Only what was said."""
        return self.model_dump(exclude_none=True)

    @property
    def strips_thinking(self) -> bool:
        """Whether thoughts are taken off before extraction; they are unless said otherwise."""
        return self.strip_thinking is not False


RUN_SETTINGS = tuple(name for name in Settings.model_fields if name != "chat_template")
"""What may be set for one run; a chat template is a file and belongs to a suite."""


def parse(given: str | Mapping[str, Any], where: str) -> Settings:
    """Settings from ``key=value,key=value``, from a JSON object, or from a mapping.

    Args:
        given: values are read as YAML reads them: ``true``, ``5``, text.
        where: whose they are, for the sentence about what is wrong.

    Raises:
        SuiteError: an unknown key, or a value that a setting cannot have.
    """
    raw = dict(given) if isinstance(given, Mapping) else _pairs(given, where)
    for key in raw:
        if key not in RUN_SETTINGS:
            raise SuiteError(
                f"{where}: there is no setting {str(key)[:80]!r}; there are "
                f"{', '.join(RUN_SETTINGS)}." + nearest(str(key), RUN_SETTINGS)
            )
    try:
        return Settings(**raw)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SuiteError(f"{where}: the setting {name}: {first['msg']}.") from error


def _pairs(text: str, where: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise SuiteError(
                f"{where}: {text[:200]!r} is not a JSON object of settings."
            ) from error
    found: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise SuiteError(f"{where}: {part[:200]!r} is not of the form key=value.")
        found[key.strip()] = read_value(key.strip(), value)
    return found


def read_value(key: str, value: str) -> Any:
    """A value as typed: a number, true or false, or text. Versions such as 1.0 stay text."""
    if key in ("prompt_version", "system_instruction"):
        return value
    try:
        return yaml_text.load(value)
    except (yaml.YAMLError, ValueError):
        return value
