"""Chat templates: well-known formats by name, and whether a text is one that can be used.

The formats are those that the models' makers document; the texts are written for this project.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from merging.errors import RecipeError

# what a template writes that is meant to be one token: <|im_start|>, [|assistant|] ...
MARKER = re.compile(r"<\|[^|<>\s{}'\"]+\|>|\[\|[a-z]+\|\]")
# beyond any real template
MOST_CHARACTERS = 100_000


class Named(NamedTuple):
    """A well-known format.

    Attributes:
        text: the template.
        end: the token that ends an answer; None where it is the tokenizer's own end.
        markers: tokens that a model must know for it, so that they are not cut into pieces.
    """

    text: str
    end: str | None
    markers: tuple[str, ...] = ()


# https://github.com/openai/openai-python/blob/v0.28.1/chatml.md
_CHATML = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""
# https://www.llama.com/docs/model-cards-and-prompt-formats/meta-llama-3/
_LLAMA3 = """\
{{- bos_token -}}
{%- for message in messages -%}
{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
{{- message['content'] | trim }}
{{- '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif -%}
"""
# https://huggingface.co/mistralai/Mistral-7B-Instruct-v0.2
# (a system message goes into the first turn)
_MISTRAL = """\
{{- bos_token -}}
{%- set ns = namespace(before='') -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{%- set ns.before = message['content'] + '\\n\\n' -%}
{%- elif message['role'] == 'user' -%}
{{ '[INST] ' + ns.before + message['content'] + ' [/INST]' }}
{%- set ns.before = '' -%}
{%- elif message['role'] == 'assistant' -%}
{{ ' ' + message['content'] | trim + eos_token }}
{%- else -%}
{{ raise_exception('The roles are system, user and assistant.') }}
{%- endif -%}
{%- endfor -%}
"""
# https://github.com/tatsu-lab/stanford_alpaca, in several turns
_ALPACA = """\
{%- if messages[0]['role'] != 'system' -%}
{{ 'Below is an instruction that describes a task. ' }}
{{- 'Write a response that appropriately completes the request.\\n\\n' }}
{%- endif -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{{ message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'user' -%}
{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'assistant' -%}
{{ '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}
{%- else -%}
{{ raise_exception('The roles are system, user and assistant.') }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '### Response:\\n' }}
{%- endif -%}
"""
# https://huggingface.co/LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct
_EXAONE = """\
{%- if messages[0]['role'] != 'system' -%}
{{ '[|system|][|endofturn|]\\n' }}
{%- endif -%}
{%- for message in messages -%}
{{ '[|' + message['role'] + '|]' + message['content'] }}
{%- if message['role'] != 'user' -%}
{{ '[|endofturn|]' }}
{%- endif -%}
{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '[|assistant|]' }}
{%- endif -%}
"""
NAMED = {
    "alpaca": Named(_ALPACA, None),
    "chatml": Named(_CHATML, "<|im_end|>", ("<|im_start|>", "<|im_end|>")),
    "exaone": Named(
        _EXAONE, "[|endofturn|]", ("[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]")
    ),
    "llama3": Named(
        _LLAMA3, "<|eot_id|>", ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    ),
    "mistral": Named(_MISTRAL, None),
}


def is_text(policy: str) -> bool:
    """Whether what a recipe gives as its chat template is the template itself."""
    return "{{" in policy or "{%" in policy


def check_text(text: str) -> None:
    """Check that a template compiles, as transformers compiles it: sandboxed, with its additions.

    Raises:
        RecipeError: it does not.
    """
    import jinja2
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
            return CallBlock(self.call_method("_whole"), [], [], body).set_lineno(line)

    if len(text) > MOST_CHARACTERS:
        raise RecipeError(f"The chat template has more than {MOST_CHARACTERS:,} characters.")
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = str
    try:
        environment.from_string(text)
    except jinja2.TemplateSyntaxError as error:
        raise RecipeError(
            f"The recipe's chat template is not valid Jinja: {error.message} (line {error.lineno})."
        ) from None
    except (jinja2.TemplateError, RecursionError, ValueError, MemoryError) as error:
        raise RecipeError(f"The recipe's chat template is not valid Jinja: {error}.") from None


def markers(text: str) -> list[str]:
    """What a template writes in the form of a special token, each once."""
    for named in NAMED.values():
        if text == named.text:
            return list(named.markers)
    return list(dict.fromkeys(MARKER.findall(text)))
