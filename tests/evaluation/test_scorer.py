"""What the scorer does that the harness does not, and when it falls back."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from evaluation.scoring.packing import Query, common_start, pack, portions, to_tensors
from tests.evaluation.conftest import TOKENIZERS, make_model

CONTEXTS = ["Question: What is the sector of Deltor? Answer:", "The cat sat on the log; the dog"]
CHOICES = [" health and steel", " steel, not retail", " mat; the dog sat on the log."]


def ask(instances: Any) -> Any:
    pairs = [(context, choice) for context in CONTEXTS * 3 for choice in CHOICES]
    return instances("loglikelihood", pairs, [i // 3 for i in range(len(pairs))])


def queries_of(*texts: tuple[str, int], group: Any = 0) -> list[Query]:
    return [Query(i, [ord(c) for c in text], n, group) for i, (text, n) in enumerate(texts)]


def test_choices_of_one_context_share_a_row() -> None:
    (row,) = pack(queries_of(("context:abcd", 4), ("context:wxy", 3)), share=True, longest=99)
    assert "".join(map(chr, row.shared)) == "context:"
    assert ["".join(map(chr, b)) for b in row.branches] == ["abc", "wx"]
    read = {query.index: indices for query, indices in row.positions_read()}
    assert read == {0: [7, 8, 9, 10], 1: [7, 11, 12]}


def test_the_mask_keeps_choices_apart() -> None:
    rows = pack(queries_of(("contextabc", 3), ("contextxyz", 3)), share=True, longest=99)
    packed = to_tensors(rows, 0)
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 7, 8]]
    assert packed.mask is not None
    seen = packed.mask[0, 0]
    assert seen[10].nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 5, 6, 9, 10]
    assert seen[8].nonzero().flatten().tolist() == list(range(9))


def test_portions_do_not_part_an_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.scoring.packing._PORTION", 4)
    assert list(portions("aaabbbccd")) == [(0, 6), (6, 9)]
    assert list(portions("")) == []


def test_scores_do_not_depend_on_portions_or_batches(
    sandbox_pair: Any, instances: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.scoring import scorer

    whole = scorer.Scorer(*sandbox_pair).loglikelihood(ask(instances))
    monkeypatch.setattr("evaluation.scoring.packing._PORTION", 4)
    small = scorer.Scorer(*sandbox_pair, batch_tokens=40).loglikelihood(ask(instances))
    assert [v for v, _ in small] == pytest.approx([v for v, _ in whole], abs=1e-4)


def test_equal_inputs_run_once() -> None:
    (row,) = pack(queries_of(("context A", 1), ("context B", 1)), share=False, longest=0)
    assert len(row) == len("context ") and row.is_plain
    assert len(row.queries) == 2


def test_a_choice_with_another_context_gets_its_own_row() -> None:
    rows = pack(queries_of(("a long context X", 1), ("none X", 1)), share=True, longest=99)
    assert len(rows) == 2


def test_rows_do_not_grow_without_bound() -> None:
    texts = [("context!" + letter * 20, 20) for letter in "abcdef"]
    rows = pack(queries_of(*texts), share=True, longest=60)
    assert len(rows) == 3
    assert all(len(row) <= 60 for row in rows)


def test_the_common_start_ends_where_something_is_read() -> None:
    rows = pack(
        queries_of(("shots one X", 1), group=0) + queries_of(("shots two Y", 1), group=1),
        share=True,
        longest=99,
    )
    assert common_start(rows) == len("shots ")
    assert common_start(pack(queries_of(("shots", 3)), share=True, longest=99)) == 1


def test_tokens_over_the_join_are_scored_whole(instances: Any) -> None:
    """A Japanese cloze whose last letter merges with the answer: no empty or cut choices."""
    from evaluation.scoring.scorer import Scorer

    tokenizer = TOKENIZERS["llama"]()
    vocabulary = tokenizer.get_vocab()
    merged = next(
        token
        for token in sorted(vocabulary)
        if len(token) == 2
        and token[0] not in "▁<"
        and all(letter in vocabulary for letter in token)
        and token.isalpha()
    )
    context, rest = "Answer: " + merged[0], merged[1]
    warnings: list[str] = []
    scorer = Scorer(make_model(tokenizer), tokenizer, warn=warnings.append)
    asked = [(context, rest), (context, "zzz")]
    pairs = scorer.encoder.encode_pairs(asked, ["item", "item"])
    whole = scorer.encoder.encode([context + rest])[0]
    assert pairs[0].joined and pairs[1].joined
    assert pairs[0].context + pairs[0].continuation == whole
    assert pairs[0].context == pairs[1].context
    assert pairs[0].continuation
    values = scorer.loglikelihood(instances("loglikelihood", asked, [0, 0]))
    assert all(value < 0 for value, _ in values)
    assert "2 of 2 choices a token spans the join" in warnings[0]


def test_an_empty_continuation_has_probability_one(sandbox_pair: Any, instances: Any) -> None:
    from evaluation.scoring.scorer import Scorer

    asked = instances("loglikelihood", [("The cat", ""), ("The cat", " sat")])
    assert Scorer(*sandbox_pair).loglikelihood(asked)[0] == (0.0, True)


def test_there_is_never_a_second_bos(sandbox_pair: Any) -> None:
    from evaluation.scoring.encoding import Encoder

    tokenizer = sandbox_pair[1]
    bos = tokenizer.bos_token_id
    encoder = Encoder(tokenizer, add_bos_token=True)
    templated = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    plain, chat = encoder.encode(["The cat", templated])
    assert plain[0] == bos and plain.count(bos) == 1
    assert chat.count(bos) == 1 and chat == tokenizer.encode(templated, add_special_tokens=False)
    assert bos not in Encoder(tokenizer, add_bos_token=False).encode(["The cat"])[0]
    adding = TOKENIZERS["llama"]()  # its post-processor would put one before any text
    for habit in (None, True):
        (tokens,) = Encoder(adding, add_bos_token=habit).encode(["<s>The cat"])
        assert tokens.count(adding.bos_token_id) == 1


FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "qwen2": {},
    "gemma2": {"final_logit_softcapping": 2.0, "sliding_window": 64},
    "mistral": {"sliding_window": 8},
    "bloom": {"n_layer": 2, "n_head": 4},
    "mamba": {"state_size": 8, "num_hidden_layers": 2},
}
FALLBACK = {"mistral": "window slides", "mamba": "state from token to token", "bloom": "sharing"}


@pytest.mark.filterwarnings("ignore")  # transformers on missing CUDA kernels of exotic families
@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str, hflm: Any, instances: Any) -> None:
    """Whatever a family's attention, the numbers are the harness's."""
    from evaluation.scoring.scorer import Scorer

    tokenizer = TOKENIZERS["byte"]()
    model = make_model(tokenizer, family=family, **FAMILIES[family])
    warnings: list[str] = []
    scorer = Scorer(model, tokenizer, warn=warnings.append)
    reference = hflm(model, tokenizer, batch_size=1, max_length=scorer.window)
    ours = scorer.loglikelihood(ask(instances))
    theirs = reference.loglikelihood(ask(instances), disable_tqdm=True)
    for (value, greedy), (expected, flag) in zip(ours, theirs, strict=True):
        assert value == pytest.approx(expected, abs=1e-4)
        assert greedy == flag
    assert bool(warnings) == (family in FALLBACK), warnings
    if family in FALLBACK:
        assert FALLBACK[family] in warnings[0]
    asked = [(c, {"until": ["\n"], "max_gen_toks": 10, "do_sample": False}) for c in CONTEXTS]
    mine = scorer.generate_until(instances("generate_until", copy.deepcopy(asked)))
    assert mine == reference.generate_until(instances("generate_until", asked), disable_tqdm=True)


def test_eager_attention_gets_a_mask_it_understands(hflm: Any, instances: Any) -> None:
    from evaluation.scoring.scorer import Scorer

    tokenizer = TOKENIZERS["byte"]()
    model = make_model(tokenizer, attn_implementation="eager")
    warnings: list[str] = []
    ours = Scorer(model, tokenizer, warn=warnings.append).loglikelihood(ask(instances))
    theirs = hflm(model, tokenizer).loglikelihood(ask(instances), disable_tqdm=True)
    assert [v for v, _ in ours] == pytest.approx([v for v, _ in theirs], abs=1e-4)
    assert warnings == []


def test_the_self_check_catches_a_model_that_ignores_masks(
    sandbox_pair: Any, instances: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.scoring.scorer import Scorer

    expected = Scorer(*sandbox_pair, share=False).loglikelihood(ask(instances))
    warnings: list[str] = []
    scorer = Scorer(*sandbox_pair, warn=warnings.append)
    real = scorer._forward.logits

    def deaf(ids: Any, wanted: Any, **kwargs: Any) -> Any:
        kwargs.pop("attention_mask", None)
        return real(ids, wanted, **kwargs)

    monkeypatch.setattr(scorer._forward, "logits", deaf)
    ours = scorer.loglikelihood(ask(instances))
    assert [v for v, _ in ours] == pytest.approx([v for v, _ in expected], abs=1e-4)
    assert "sharing contexts changed a log-probability" in warnings[0]


def test_special_tokens_can_end_an_answer(sandbox_pair: Any, instances: Any) -> None:
    """A stop string that is a special token never shows up in the decoded text."""
    import torch

    from evaluation.scoring.scorer import Scorer

    model, tokenizer = copy.deepcopy(sandbox_pair[0]), sandbox_pair[1]
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    head = torch.nn.Linear(48, len(tokenizer))
    with torch.no_grad():  # a head that says "<|end|>" whatever it is asked
        head.weight.zero_()
        head.bias.zero_()
        head.bias[end] = 1
    model.lm_head = head
    options = {"until": ["<|end|>"], "max_gen_toks": 5}
    stream = Scorer(model, tokenizer).stream_generate_until(
        instances("generate_until", [("The cat", options)])
    )
    answers = [answer for part in stream for _, answer in part]
    assert [(a.text, a.stopped) for a in answers] == [("", "until")]


def test_a_stop_letter_made_of_several_tokens_is_found() -> None:
    from evaluation.scoring.stops import StopStrings

    tokenizer = TOKENIZERS["byte"]()
    bytes_of = [tokenizer.convert_tokens_to_ids(letter) for letter in "ãĢĤ"]  # "。" byte by byte
    assert tokenizer.decode(bytes_of) == "。"
    stops = StopStrings(tokenizer)
    start = tokenizer.encode("東京")
    assert not stops.found(start + bytes_of[:2], ["。"])
    assert stops.found(start + bytes_of, ["。"])
    assert stops.cut(start + bytes_of, ["。"]) == "東京"


def test_more_new_tokens_than_the_window_are_cut(sandbox_pair: Any, instances: Any) -> None:
    from evaluation.scoring.scorer import Scorer

    warnings: list[str] = []
    scorer = Scorer(*sandbox_pair, warn=warnings.append)
    asked = [("The cat sat. " * 100, {"until": ["qqqq"], "max_gen_toks": 1000})]
    (text,) = scorer.generate_until(instances("generate_until", asked))
    assert text
    assert "cut off after 64" in warnings[0]


def test_sampled_answers_differ_and_stop(sandbox_pair: Any, instances: Any) -> None:
    import torch

    from evaluation.scoring.scorer import Scorer

    torch.manual_seed(0)
    options = {"until": ["\n"], "max_gen_toks": 12, "do_sample": True, "temperature": 1.5}
    asked = [("The cat", dict(options)) for _ in range(6)]
    texts = Scorer(*sandbox_pair).generate_until(instances("generate_until", asked))
    assert len(set(texts)) > 1
    assert all("\n" not in text for text in texts)


def test_encoder_decoders_are_refused() -> None:
    from evaluation.errors import EvaluationFailure
    from evaluation.scoring.scorer import Scorer

    tokenizer = TOKENIZERS["byte"]()
    model = make_model(tokenizer)
    model.config.is_encoder_decoder = True
    with pytest.raises(EvaluationFailure, match="encoder-decoder"):
        Scorer(model, tokenizer)
