"""Our scorer against lm-eval's `hf` model: `python benchmarks/scorer_vs_lm_eval.py --share 0.2`.

Both in this process, on the same random model of 19 M parameters and the same requests, taking
turns; lm-eval at the batch size that is its best on a part of the case. Printed: medians of
CPU seconds (wall seconds in brackets), how many times less, and whether the numbers are the same.
Peak memory: `--memory`, each model in a process of its own.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: E402

from evaluation.scoring.scorer import Scorer  # noqa: E402

VOCABULARY = 32_000
BATCH_SIZES = (1, 8, 32)
NEW_TOKENS = 64
Case = tuple[str, list[tuple[Any, ...]], list[int]]  # kind, arguments, document of each
DRAW = random.Random(0)


def build() -> tuple[Any, Any]:
    """(model, tokenizer): 8 layers of 320, grouped-query attention 8/4, a word a token."""
    words = {"<s>": 0, "<unk>": 1} | {f"w{i}": i for i in range(2, VOCABULARY)}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="<s>", pad_token="<s>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=320, intermediate_size=864, num_hidden_layers=8,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=2048,
        tie_word_embeddings=True, initializer_range=0.1, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).float().eval(), tokenizer


def text(n_tokens: int) -> str:
    """So many words."""
    return " ".join(f"w{DRAW.randrange(2, VOCABULARY)}" for _ in range(n_tokens))


def choices(n: int, context: Callable[[], str], n_choices: int, n_tokens: int) -> Case:
    """Questions with several choices each; of one token, the same choices everywhere."""
    letters = [" " + text(1) for _ in range(n_choices)]
    arguments: list[tuple[Any, ...]] = []
    for _ in range(n):
        asked = context()
        given = letters if n_tokens == 1 else [" " + text(n_tokens) for _ in range(n_choices)]
        arguments += [(asked, choice) for choice in given]
    return "loglikelihood", arguments, [i // n_choices for i in range(len(arguments))]


def cases(share: float) -> dict[str, Case]:
    """The four cases of the table, each with this share of its questions."""

    def n(full: int) -> int:
        return max(4, round(full * share))

    prefix = text(800)
    options = {"until": ["w0"], "max_gen_toks": NEW_TOKENS, "do_sample": False}
    lengths = [20 + 180 * i // n(200) for i in range(n(200))]
    DRAW.shuffle(lengths)
    prompts: Case = (
        "generate_until",
        [(text(length), dict(options)) for length in lengths],
        list(range(n(200))),
    )
    return {
        "150-token contexts, 4 text choices": choices(n(200), lambda: text(150), 4, 7),
        "fixed prefix of 800 tokens": choices(n(80), lambda: f"{prefix} {text(40)}", 4, 7),
        "letter answers": choices(n(200), lambda: text(150), 4, 1),
        f"generation, {NEW_TOKENS} new tokens": prompts,
    }


def ask(lm: Any, case: Case) -> tuple[list[Any], float, float]:
    """(answers, CPU seconds, wall seconds); requests are made anew, they remember answers."""
    kind, arguments, docs = case
    requests = [
        Instance(kind, {}, arguments=given, idx=0, metadata=("case", doc, 1))  # type: ignore[arg-type]
        for given, doc in zip(arguments, docs, strict=True)
    ]
    more = {} if isinstance(lm, Scorer) else {"disable_tqdm": True}
    cpu, wall = time.process_time(), time.perf_counter()
    answers = getattr(lm, kind)(requests, **more)
    return answers, time.process_time() - cpu, time.perf_counter() - wall


def best_batch_size(pair: tuple[Any, Any], case: Case) -> int:
    """The batch size at which lm-eval's model is fastest on the first documents."""
    kind, arguments, docs = case
    part = [i for i, doc in enumerate(docs) if doc < max(4, len(set(docs)) // 4)]
    small: Case = (kind, [arguments[i] for i in part], [docs[i] for i in part])
    return min(BATCH_SIZES, key=lambda size: ask(theirs(pair, size), small)[1])


def theirs(pair: tuple[Any, Any], batch_size: int) -> Any:
    """lm-eval's own model around ours in memory."""
    return HFLM(pretrained=pair[0], tokenizer=pair[1], batch_size=batch_size, device="cpu")


def same(ours: list[Any], reference: list[Any], docs: list[int]) -> str:
    """How far the two agree, in words."""
    if isinstance(ours[0], str):
        equal = sum(a == b for a, b in zip(ours, reference, strict=True))
        return f"{equal} of {len(ours)} texts the same"
    off = max(abs(a[0] - b[0]) for a, b in zip(ours, reference, strict=True))
    flags = sum(a[1] == b[1] for a, b in zip(ours, reference, strict=True))
    answered = sum(
        max((i for i in range(len(docs)) if docs[i] == doc), key=lambda i: ours[i][0])
        == max((i for i in range(len(docs)) if docs[i] == doc), key=lambda i: reference[i][0])
        for doc in set(docs)
    )
    return (
        f"log-probabilities to {off:.1e}, {flags} of {len(ours)} flags and "
        f"{answered} of {len(set(docs))} answers the same"
    )


def compare(name: str, case: Case, pair: tuple[Any, Any], repeats: int) -> None:
    """Measure one case, the two taking turns, and print its line."""
    size = best_batch_size(pair, case)
    scorer, harness = Scorer(*pair), theirs(pair, size)
    seconds: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    answers: dict[str, list[Any]] = {}
    for _ in range(repeats):
        for who, lm in (("ours", scorer), ("theirs", harness)):
            answers[who], cpu, wall = ask(lm, case)
            seconds[who].append((cpu, wall))
    cpu_of = {who: statistics.median(one[0] for one in runs) for who, runs in seconds.items()}
    wall_of = {who: statistics.median(one[1] for one in runs) for who, runs in seconds.items()}
    print(
        f"| {name}, {len(set(case[2]))} questions | {cpu_of['ours']:.1f} ({wall_of['ours']:.1f}) | "
        f"{cpu_of['theirs']:.1f} ({wall_of['theirs']:.1f}) at {size} | "
        f"{cpu_of['theirs'] / cpu_of['ours']:.1f} | "
        f"{same(answers['ours'], answers['theirs'], case[2])} |",
        flush=True,
    )


def peak_alone(who: str, case: Case, pair: tuple[Any, Any]) -> None:
    """Answer a case ("ours", lm-eval's batch size, or "nobody"); print this process's peak.

    That is its largest resident size so far, in MB, as Linux tells it.
    """
    if who != "nobody":
        ask(Scorer(*pair) if who == "ours" else theirs(pair, int(who)), case)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024)


def compare_memory(name: str, share: float, threads: int) -> None:
    """Print a case's line of peak memory: a process for us and for each batch size of theirs."""
    peaks = {}
    for who in ("ours", *map(str, BATCH_SIZES), "nobody"):
        command = [sys.executable, __file__, f"--share={share}", f"--threads={threads}"]
        told = subprocess.run(
            [*command, f"--only={name}", f"--alone={who}"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        peaks[who] = int(told.stdout)
    row = [f"{peaks['ours']}", *(f"{peaks[str(size)]}" for size in BATCH_SIZES)]
    print(f"| {name} | {' | '.join(row)} | {peaks['nobody']} |", flush=True)


def main() -> None:
    """Read the options, run the cases."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--share", type=float, default=1.0, help="of the questions")
    options.add_argument("--only", default="", help="cases whose name has this in it")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--memory", action="store_true", help="peak memory instead of time")
    options.add_argument("--alone", default="", help=argparse.SUPPRESS)
    given = options.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(given.threads)
    chosen = {n: case for n, case in cases(given.share).items() if given.only in n}
    if given.memory:
        sizes = " | ".join(f"lm-eval at {size}" for size in BATCH_SIZES)
        print(f"MB\n| case | ours | {sizes} | the model alone |\n|---|---|---|---|---|---|")
        for name in chosen:
            compare_memory(name, given.share, given.threads)
        return
    pair = build()
    if given.alone:
        with torch.inference_mode():
            peak_alone(given.alone, next(iter(chosen.values())), pair)
        return
    n = sum(p.numel() for p in pair[0].parameters())
    print(f"{n / 1e6:.1f} M parameters, threads: {given.threads}, medians of {given.repeats}")
    print("| case | ours, CPU s (wall) | lm-eval's `hf` (at its best batch size) | times | same |")
    print("|---|---|---|---|---|")
    with torch.inference_mode():
        for name, case in chosen.items():
            compare(name, case, pair, given.repeats)


if __name__ == "__main__":
    main()
