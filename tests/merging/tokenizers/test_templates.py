"""Named chat templates against the formats as their makers write them; templates of one's own."""

from __future__ import annotations

import pytest

from merging.errors import RecipeError
from merging.recipes.recipe import Recipe
from merging.tokenizers.templates import NAMED, check_text, markers

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
]
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately "
    "completes the request.\n\n"
)
# with a system message, and without one
EXPECTED = {
    "chatml": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    ),
    "llama3": (
        "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "mistral": (
        "<s>[INST] Be brief.\n\nHi [/INST] Hello</s>[INST] Bye [/INST]",
        "<s>[INST] Hi [/INST]",
    ),
    "alpaca": (
        "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello</s>\n\n"
        "### Instruction:\nBye\n\n### Response:\n",
        f"{ALPACA}### Instruction:\nHi\n\n### Response:\n",
    ),
    "exaone": (
        "[|system|]Be brief.[|endofturn|]\n[|user|]Hi\n[|assistant|]Hello[|endofturn|]\n"
        "[|user|]Bye\n[|assistant|]",
        "[|system|][|endofturn|]\n[|user|]Hi\n[|assistant|]",
    ),
}


def render(template: str, messages: list[dict[str, str]]) -> str:
    """As transformers renders it."""
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, _ = render_jinja_template(
        [messages],
        chat_template=template,
        add_generation_prompt=True,
        bos_token="<s>",
        eos_token="</s>",
    )
    text: str = texts[0]
    return text


@pytest.mark.parametrize("name", NAMED)
def test_named_templates(name: str) -> None:
    assert render(NAMED[name].text, TALK) == EXPECTED[name][0]
    assert render(NAMED[name].text, TALK[1:2]) == EXPECTED[name][1]


@pytest.mark.parametrize("name", NAMED)
def test_their_markers_and_their_end_are_what_they_write(name: str) -> None:
    named, text = NAMED[name], EXPECTED[name][0]
    assert all(marker in text for marker in named.markers)
    assert named.end is None or (named.end in named.markers and text.count(named.end) > 1)
    assert markers(named.text) == list(named.markers)
    check_text(named.text)


def test_texts_that_transformers_can_use_are_accepted() -> None:
    check_text("{% generation %}{{ messages | tojson(indent=2) }}{% endgeneration %}")
    check_text("{% for m in messages %}{% if m %}{% continue %}{% endif %}{% endfor %}")
    check_text("{{ strftime_now('%Y') }}{{ raise_exception('no') }}")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{% for m in messages %}{{ m }}", "line 1"),
        ("{{ m", "not valid Jinja"),
        ("{% include_everything %}", "not valid Jinja"),
        ("{{ m | nofilter }}", "not valid Jinja"),
        ("{{ '" + "x" * 100_001 + "' }}", "100,000 characters"),
    ],
)
def test_texts_that_are_no_template_are_refused(text: str, part: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check_text(text)
    assert part in str(caught.value)


def test_a_recipe_refuses_them_when_it_is_made() -> None:
    def make(template: str) -> Recipe:
        models = [{"model": "a"}, {"model": "b"}]
        return Recipe(method="linear", models=models, chat_template=template)

    assert make("{{ messages }}").chat_template == "{{ messages }}"
    assert make("chatml").chat_template == "chatml"
    with pytest.raises(RecipeError, match="not valid Jinja"):
        make("{{ messages }")
    with pytest.raises(RecipeError, match="chatml"):
        make("chatlm")


def test_markers_of_a_text() -> None:
    assert markers("{{ '<|im_start|>' + m['role'] }}<|im_end|><|im_start|> [|user|]") == [
        "<|im_start|>",
        "<|im_end|>",
        "[|user|]",
    ]
    assert markers("{{ '<|' + m['role'] + '|>' }} a <| b |>") == []
