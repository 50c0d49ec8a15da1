"""The scorer gives the numbers of lm-eval's own ``hf`` model, on every kind of request."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.evaluation.conftest import TOKENIZERS, make_model

CONTEXTS = [
    "Question: What is the sector of Deltor? Answer:",
    "The cat sat on the",
    "Note: price 6, shares 5. Compute market cap.\nAnswer:",
    "日本の首都は。答え: ",
    "numbers 0 1 2 3 4 5 6 7 8 9 10 11 12 42 99 and letters A B C D, (A) (B)",
    "A",
]
CHOICES = [" health", " steel, not retail", " A", " B", " mat; the dog sat on the log."]


def requests_of(contexts: list[str], choices: list[str]) -> tuple[list[tuple[str, str]], list[int]]:
    pairs = [(context, choice) for context in contexts for choice in choices]
    return pairs, [i // len(choices) for i in range(len(pairs))]


def assert_same(ours: list[tuple[float, bool]], theirs: list[tuple[float, bool]]) -> None:
    for (value, greedy), (reference, flag) in zip(ours, theirs, strict=True):
        assert value == pytest.approx(reference, abs=1e-4)
        assert greedy == flag


@pytest.mark.parametrize("bos", [None, False])
@pytest.mark.parametrize("share", [True, False])
def test_loglikelihood(pair: Any, hflm: Any, instances: Any, bos: bool | None, share: bool) -> None:
    from evaluation.scoring.scorer import Scorer

    model, tokenizer = pair
    warnings: list[str] = []
    scorer = Scorer(model, tokenizer, add_bos_token=bos, share=share, warn=warnings.append)
    pairs, docs = requests_of(CONTEXTS, CHOICES)
    theirs = hflm(model, tokenizer, add_bos_token=bos).loglikelihood(
        instances("loglikelihood", pairs), disable_tqdm=True
    )
    ours = scorer.loglikelihood(instances("loglikelihood", pairs, docs))
    assert_same(ours, theirs)
    assert warnings == []
    assert any(flag for _, flag in theirs) or len(set(theirs)) > 20


def test_added_bos_equals_a_tokenizer_that_adds_it(hflm: Any, instances: Any) -> None:
    """``add_bos_token`` holds also where the tokenizer has no post-processor for it."""
    from tokenizers import processors

    from evaluation.scoring.scorer import Scorer

    plain = TOKENIZERS["sandbox"]()
    adding = TOKENIZERS["sandbox"]()
    adding.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", adding.bos_token_id)]
    )
    model = make_model(plain)
    pairs, docs = requests_of(CONTEXTS, CHOICES)
    theirs = hflm(model, adding, add_bos_token=True).loglikelihood(
        instances("loglikelihood", pairs), disable_tqdm=True
    )
    for tokenizer in (plain, adding):
        scorer = Scorer(model, tokenizer, add_bos_token=True)
        assert_same(scorer.loglikelihood(instances("loglikelihood", pairs, docs)), theirs)


def test_letters_share_one_position(pair: Any, hflm: Any, instances: Any) -> None:
    from evaluation.scoring.scorer import Scorer

    model, tokenizer = pair
    pairs, docs = requests_of(CONTEXTS, [" A", " B", " C", " D"])
    theirs = hflm(model, tokenizer).loglikelihood(
        instances("loglikelihood", pairs), disable_tqdm=True
    )
    ours = Scorer(model, tokenizer).loglikelihood(instances("loglikelihood", pairs, docs))
    assert_same(ours, theirs)


def test_fixed_prefix_is_run_once(pair: Any, hflm: Any, instances: Any) -> None:
    from evaluation.scoring.scorer import Scorer

    model, tokenizer = pair
    shots = "Question: The cat? Answer: mat.\n" * 3
    pairs, docs = requests_of([shots + context for context in CONTEXTS], CHOICES)
    theirs = hflm(model, tokenizer, max_length=400).loglikelihood(
        instances("loglikelihood", pairs), disable_tqdm=True
    )
    scorer = Scorer(model, tokenizer)
    scorer.window = 400
    calls: list[int] = []
    real = scorer._engine._prefix_cache
    scorer._engine._prefix_cache = lambda tokens: calls.append(len(tokens)) or real(tokens)  # type: ignore[method-assign,func-returns-value]
    assert_same(scorer.loglikelihood(instances("loglikelihood", pairs, docs)), theirs)
    assert calls and calls[0] >= 24


def test_contexts_longer_than_the_window(pair: Any, hflm: Any, instances: Any) -> None:
    from evaluation.scoring.scorer import Scorer

    model, tokenizer = pair
    pairs, docs = requests_of(["The cat sat on the log. " * 40 + "Answer:"], CHOICES)
    warnings: list[str] = []
    scorer = Scorer(model, tokenizer, warn=warnings.append)
    theirs = hflm(model, tokenizer).loglikelihood(
        instances("loglikelihood", pairs), disable_tqdm=True
    )
    assert_same(scorer.loglikelihood(instances("loglikelihood", pairs, docs)), theirs)
    assert any("window of 128" in text for text in warnings)


def test_without_context(pair: Any, hflm: Any, instances: Any) -> None:
    from evaluation.scoring.scorer import Scorer

    model, tokenizer = pair
    pairs = [("", choice) for choice in CHOICES]
    theirs = hflm(model, tokenizer).loglikelihood(
        instances("loglikelihood", pairs), disable_tqdm=True
    )
    ours = Scorer(model, tokenizer).loglikelihood(instances("loglikelihood", pairs))
    assert_same(ours, theirs)


def test_rolling(pair: Any, hflm: Any, instances: Any) -> None:
    from evaluation.scoring.scorer import Scorer

    model, tokenizer = pair
    texts = [(text,) for text in [*CONTEXTS, "The cat sat on the log. " * 40]]
    theirs = hflm(model, tokenizer).loglikelihood_rolling(
        instances("loglikelihood_rolling", texts), disable_tqdm=True
    )
    ours = Scorer(model, tokenizer).loglikelihood_rolling(instances("loglikelihood_rolling", texts))
    assert ours == pytest.approx(theirs, abs=1e-3)  # hundreds of tokens, 1e-4 each at most
    assert len(set(ours)) == len(texts)


@pytest.mark.parametrize("slots", [None, 1, 2])
@pytest.mark.parametrize("until", [["\n"], ["。", " the"], []])
def test_generate_until(
    pair: Any, hflm: Any, instances: Any, slots: int | None, until: list[str]
) -> None:
    from evaluation.scoring.scorer import Scorer

    model, tokenizer = pair
    options = {"until": until, "max_gen_toks": 24, "do_sample": False}
    asked = [(context, copy.deepcopy(options)) for context in CONTEXTS]
    reference = hflm(model, tokenizer, batch_size=1)
    theirs = reference.generate_until(instances("generate_until", asked), disable_tqdm=True)
    scorer = Scorer(model, tokenizer, slots=slots)
    ours = scorer.generate_until(instances("generate_until", asked))
    assert ours == theirs
    assert len(set(ours)) > 2


def test_generation_stops_at_every_eos(sandbox_pair: Any, hflm: Any, instances: Any) -> None:
    from evaluation.scoring.scorer import Scorer

    model, tokenizer = copy.deepcopy(sandbox_pair[0]), sandbox_pair[1]
    options = {"until": ["\n"], "max_gen_toks": 20, "do_sample": False}
    asked = [(context, copy.deepcopy(options)) for context in CONTEXTS]
    free = Scorer(model, tokenizer).generate_until(instances("generate_until", asked))
    # Make a token that the answers contain an EOS of the generation config.
    second = tokenizer.encode(free[0], add_special_tokens=False)[2]
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, second]
    theirs = hflm(model, tokenizer, batch_size=1).generate_until(
        instances("generate_until", asked), disable_tqdm=True
    )
    stop = tokenizer.decode([second])
    scorer = Scorer(model, tokenizer)
    answers: dict[int, Any] = {
        i: answer
        for part in scorer.stream_generate_until(instances("generate_until", asked))
        for i, answer in part
    }
    assert answers[0].stopped == "eos"
    # The harness leaves an EOS that is no special token in the text; the answer ends before it.
    assert theirs[0] == answers[0].text + stop
    assert len(answers[0].text) < len(free[0])


def test_repetition_penalty_goes_through_transformers(pair: Any, hflm: Any, instances: Any) -> None:
    from evaluation.scoring.scorer import Scorer

    model, tokenizer = pair
    options = {"until": ["\n"], "max_gen_toks": 16, "do_sample": False, "repetition_penalty": 1.3}
    asked = [(context, copy.deepcopy(options)) for context in CONTEXTS]
    theirs = hflm(model, tokenizer, batch_size=1).generate_until(
        instances("generate_until", asked), disable_tqdm=True
    )
    ours = Scorer(model, tokenizer).generate_until(instances("generate_until", asked))
    same = [a == b for a, b in zip(ours, theirs, strict=True)]
    assert sum(same) >= len(same) - 1  # padding counts as repeated tokens in a batch


def test_the_harness_runs_on_the_scorer(sandbox_pair: Any, hflm: Any, suite_folder: Any) -> None:
    """simple_evaluate gives the same results with Scorer and with HFLM."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from evaluation.scoring.scorer import Scorer

    model, tokenizer = sandbox_pair
    for file in (suite_folder / "tasks").glob("*.yaml"):
        text = file.read_text().replace("test: ", f"test: {suite_folder}/tasks/", 1)
        file.write_text(text)
    results = [
        simple_evaluate(
            model=lm,
            tasks=["pick", "free", "word", "rolling"],
            task_manager=TaskManager(
                include_path=str(suite_folder / "tasks"), include_defaults=False
            ),
            bootstrap_iters=0,
            verbosity=None,
        )["results"]
        for lm in (Scorer(model, tokenizer), hflm(model, tokenizer))
    ]
    for task, metrics in results[0].items():
        for name, value in metrics.items():
            reference = results[1][task][name]
            if isinstance(reference, float):
                reference = pytest.approx(reference, abs=1e-4, rel=1e-5)
            assert value == reference, (task, name)
