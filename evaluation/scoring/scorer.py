"""The scorer: an lm-evaluation-harness model for a transformers model in memory.

    from lm_eval import simple_evaluate
    simple_evaluate(model=Scorer(model, tokenizer), tasks=[...])

Same numbers as lm-eval's own ``hf`` model (to 1e-4 per log-probability in float32, same greedy
flags and answers), several times faster: the context of an item's choices runs once, so does a
few-shot prefix that all items share, the output head runs only where it is read, and generation
refills the places of finished answers. ``evaluation.run`` uses the ``stream_*`` methods, which
yield answers batch by batch and can be closed at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from evaluation.errors import EvaluationFailure
from evaluation.scoring.encoding import Encoder, Pair
from evaluation.scoring.forward import Forward, window
from evaluation.scoring.generation import Generated, GenerationEngine
from evaluation.scoring.loglikelihood import LoglikelihoodEngine
from evaluation.scoring.packing import Query, portions
from evaluation.scoring.sampling import generate_with_transformers, is_plain_greedy
from evaluation.scoring.slots import Prompt
from evaluation.scoring.templates import ChatTemplate
from evaluation.scoring.thinking import opened_by

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_MAX_NEW_TOKENS = 256


class Scorer(LM):
    """Scores any causal transformers model in memory.

    Args:
        model: the model; put in eval mode, otherwise left alone.
        tokenizer: its tokenizer.
        add_bos_token: True or False to force a leading BOS, None for the tokenizer's habit.
        chat_template: Jinja fallback for a tokenizer without a template of its own.
        batch_tokens: tokens per batch, None to derive from the model's size.
        slots: answers generated together, None to derive.
        share: run shared contexts once; False scores every continuation on its own.
        warn: called with one sentence for each departure from the usual.
        thinking: stop strings end an answer, not the thoughts before it (``thinking``).
        halvings: how often less than usual is to be in memory at a time, because it ran out.
        encoder: that has encoded the same prompts before, with this tokenizer and this
            ``add_bos_token``; None for a new one.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        add_bos_token: bool | None = None,
        chat_template: str | None = None,
        batch_tokens: int | None = None,
        slots: int | None = None,
        share: bool = True,
        warn: Callable[[str], None] | None = None,
        thinking: bool = False,
        halvings: int = 0,
        encoder: Encoder | None = None,
    ) -> None:
        super().__init__()
        if getattr(model.config, "is_encoder_decoder", False):
            raise EvaluationFailure(
                "This is an encoder-decoder model; only causal language models can be scored."
            )
        self.model = model
        self.tokenizer = tokenizer
        self.encoder = encoder or Encoder(tokenizer, add_bos_token)
        self.window = window(model, tokenizer)
        self._device = model.device
        self._warned: set[str] = set()
        self._special_stops: dict[tuple[str, ...], frozenset[int]] = {}
        self._tell = warn
        self._thinking = thinking
        self._chat = ChatTemplate(tokenizer, chat_template)
        self._forward = Forward(model)
        self._engine = LoglikelihoodEngine(
            self._forward, self.warn, batch_tokens=batch_tokens, share=share, halvings=halvings
        )
        self._generator = GenerationEngine(
            self._forward, tokenizer, self._eos(), self.warn, slots=slots, halvings=halvings
        )

    def warn(self, text: str) -> None:
        """Pass a sentence on, once."""
        if self._tell is not None and text not in self._warned:
            self._warned.add(text)
            self._tell(text)

    def _eos(self) -> frozenset[int]:
        """Every token that ends an answer: the generation config's and the tokenizer's."""
        given = getattr(self.model.generation_config, "eos_token_id", None)
        ids = given if isinstance(given, list | tuple) else [given]
        return frozenset(int(i) for i in [*ids, self.tokenizer.eos_token_id] if i is not None)

    # -- log-probabilities

    def stream_loglikelihood(
        self, requests: Sequence[Instance]
    ) -> Iterator[list[tuple[int, tuple[float, bool]]]]:
        """Answer loglikelihood requests batch by batch.

        Yields:
            ``(position in requests, (log-probability, greedy))`` for each answer of a batch.

        Raises:
            EvaluationFailure: NaN, or not enough memory.
        """
        items = [_item(request) for request in requests]
        for start, end in portions(items):
            asked = [request.args for request in requests[start:end]]
            for answers in self._score_pairs(asked, items[start:end]):
                yield [(start + index, answer) for index, answer in answers]

    def _score_pairs(
        self, asked: list[tuple[str, str]], items: list[Hashable]
    ) -> Iterator[list[tuple[int, tuple[float, bool]]]]:
        pairs = self.encoder.encode_pairs(asked, items)
        self._warn_joins(pairs)
        empty = [i for i, pair in enumerate(pairs) if not pair.continuation]
        if empty:
            # The harness stops here. An empty continuation has probability one.
            yield [(i, (0.0, True)) for i in empty]
        queries = [
            self._query(i, pair.context, pair.continuation, item)
            for i, (pair, item) in enumerate(zip(pairs, items, strict=True))
            if pair.continuation
        ]
        for answers in self._engine.run(queries) if queries else ():
            yield [(index, (value, greedy)) for index, value, greedy in answers]

    def _query(
        self, index: int, context: list[int], continuation: list[int], group: Hashable
    ) -> Query:
        tokens = context + continuation
        scored = len(continuation)
        if len(tokens) > self.window + 1:
            self.warn(
                f"Some prompts are longer than the model's window of {self.window} tokens; "
                "their beginning was cut off."
            )
            tokens = tokens[-(self.window + 1) :]
            scored = min(scored, len(tokens) - 1)
        return Query(index, tokens, scored, group)

    def _warn_joins(self, pairs: Sequence[Pair]) -> None:
        joined = sum(pair.joined for pair in pairs)
        if joined:
            self.warn(
                f"In {joined} of {len(pairs)} choices a token spans the join of question and "
                "answer; these are scored from the last token that all answers share."
            )

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """(log-probability, greedy) of each request's (context, continuation)."""
        return self._gather(requests, self.stream_loglikelihood(requests))

    def stream_loglikelihood_rolling(
        self, requests: Sequence[Instance]
    ) -> Iterator[list[tuple[int, float]]]:
        """Answer rolling requests as soon as all windows of a text are scored.

        Yields:
            ``(position in requests, log-probability of the whole text)``.
        """
        texts = self.encoder.encode([request.args[0] for request in requests])
        queries: list[Query] = []
        owner: list[int] = []
        for i, tokens in enumerate(texts):
            for pair in get_rolling_token_windows(
                tokens, self.encoder.prefix_token_id, self.window, context_len=1
            ):
                context, continuation = make_disjoint_window(pair)
                queries.append(
                    Query(len(owner), context + continuation, len(continuation), len(owner))
                )
                owner.append(i)
        left = [owner.count(i) for i in range(len(texts))]
        sums = [0.0] * len(texts)
        if empty := [(i, 0.0) for i, windows in enumerate(left) if not windows]:
            yield empty
        for answers in self._engine.run(queries) if queries else ():
            done = []
            for index, value, _ in answers:
                i = owner[index]
                sums[i] += value
                left[i] -= 1
                if not left[i]:
                    done.append((i, sums[i]))
            yield done

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Log-probability of each request's whole text, in windows."""
        return self._gather(requests, self.stream_loglikelihood_rolling(requests))

    # -- generation

    def stream_generate_until(
        self, requests: Sequence[Instance]
    ) -> Iterator[list[tuple[int, Generated]]]:
        """Answer generation requests; yields (sometimes empty lists) at every decoding step.

        Yields:
            ``(position in requests, Generated)``.

        Raises:
            EvaluationFailure: NaN, or not enough memory.
        """
        tokens = self.encoder.encode([request.args[0] for request in requests])
        prompts: list[Prompt] = []
        sampled: dict[str, list[tuple[Prompt, dict[str, Any]]]] = {}
        for i, (request, ids) in enumerate(zip(requests, tokens, strict=True)):
            kwargs: dict[str, Any] = dict(
                normalize_gen_kwargs(request.args[1], DEFAULT_MAX_NEW_TOKENS)
            )
            prompt = self._prompt(i, ids, kwargs, str(request.args[0]))
            if is_plain_greedy(self.model, kwargs):
                prompts.append(prompt)
            else:
                key = repr(sorted(kwargs.items(), key=lambda pair: pair[0]))
                sampled.setdefault(key, []).append((prompt, kwargs))
        if prompts:
            for answers in self._generator.run(prompts):
                yield [(answer.index, answer) for answer in answers]
        for group in sampled.values():
            for answers in generate_with_transformers(
                self._forward, self.tokenizer, self._generator.stops, self._eos(), group
            ):
                yield [(answer.index, answer) for answer in answers]

    def _prompt(self, index: int, tokens: list[int], kwargs: dict[str, Any], text: str) -> Prompt:
        wanted = int(kwargs.pop("max_gen_toks"))
        until = tuple(kwargs.pop("until") or ())
        new = min(wanted, max(1, self.window // 2)) if wanted >= self.window else wanted
        if new < wanted:
            self.warn(
                f"The task asks for up to {wanted} new tokens, more than the model's window of "
                f"{self.window}; answers are cut off after {new}."
            )
        room = self.window - new
        if len(tokens) > room:
            self.warn(
                f"Some prompts leave no room for {new} new tokens in the model's window of "
                f"{self.window}; their beginning was cut off."
            )
        tokens = tokens[-room:] or [self.encoder.prefix_token_id]
        thought = opened_by(text) if self._thinking else None
        return Prompt(index, tokens, until, new, self._special(until), thought)

    def _special(self, until: tuple[str, ...]) -> frozenset[int]:
        """Stop strings that are special tokens, as tokens."""
        if until not in self._special_stops:
            special = set(self.tokenizer.all_special_ids) | {
                i for i, token in self.tokenizer.added_tokens_decoder.items() if token.special
            }
            ids = [self.tokenizer.convert_tokens_to_ids(stop) for stop in until]
            self._special_stops[until] = frozenset(i for i in ids if i in special)
        return self._special_stops[until]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Text that continues each request's context, greedily unless its options sample."""
        answers = self._gather(requests, self.stream_generate_until(requests))
        return [answer.text for answer in answers]

    @staticmethod
    def _gather(requests: Sequence[Any], stream: Iterator[list[tuple[int, Any]]]) -> list[Any]:
        results: list[Any] = [None] * len(requests)
        for answers in stream:
            for index, answer in answers:
                results[index] = answer
        return results

    # -- chat

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as a prompt; see ``ChatTemplate.render``."""
        return self._chat.render(chat_history, add_generation_prompt=add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template in use, for the harness's own records."""
        return self._chat.template or getattr(self.tokenizer, "chat_template", None) or ""

    @property
    def tokenizer_name(self) -> str:
        """Name of the tokenizer, for the harness's request cache."""
        return str(self.tokenizer.name_or_path).replace("/", "__")


def _item(request: Instance) -> Hashable:
    """What a request's choices have in common: the document, else the context."""
    if request.doc_id is None:
        return ("context", request.args[0])
    return (request.task_name, request.doc_id)
