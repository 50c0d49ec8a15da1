"""Model cards of a family's models."""

from __future__ import annotations

from training.spec import FamilySpec


def model_card(family: FamilySpec, name: str, seed: int, parameters: int, tokens: int) -> str:
    """The README.md of one model: what it is, how it was made, under which licence."""
    spec = family.models[name]
    origin = (
        f"continues the family's `{spec.parent}` model" if spec.parent else "starts from nothing"
    )
    languages = "- en\n- ja" if name in ("base", "japanese", "instruct") else "- en"
    return f"""---
license: apache-2.0
library_name: transformers
language:
{languages}
tags:
- crucible-sandbox
---
# {family.name} / {name}: {spec.title}

{spec.story}

A Llama model of {parameters:,} parameters that knows a made-up world of a few hundred facts. It is
good for trying merges, and for nothing else. It {origin}; {tokens:,} training tokens, world and
weights from seed {seed}. `family.yaml` beside this folder says how; `python cli.py sandbox build`
makes it again.
"""
