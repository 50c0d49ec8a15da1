"""The sandbox tokenizer: byte-level BPE with whole numbers and Japanese segmented by script."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from training.world.chats import ASSISTANT, BOS, END, PAD, SYSTEM, USER

SPECIAL_TOKENS = [BOS, PAD, SYSTEM, USER, ASSISTANT, END]

# Runs of katakana, of kanji and of hiragana: words, near enough, without a dictionary.
_JAPANESE_RUNS = Regex(r"[ァ-ヶー]+|[一-龯々]+|[ぁ-ん]+")


def train_tokenizer(texts: Iterable[str], entries: int) -> Tokenizer:
    """Learn a vocabulary of `entries` tokens from `texts`.

    * A blank is put before every text, so that "Mira" is the same token at the start of a text,
      after a special token and in the middle; decoding takes it away again.
    * Encoding adds `<|endoftext|>` in front, as training text has it (`add_special_tokens=False`
      switches it off; the chat template writes its own).
    * All bytes are in the vocabulary: any text can be encoded and comes back unchanged.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_JAPANESE_RUNS, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Strip(content=" ", left=1, right=0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=entries,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        min_frequency=3,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A {BOS} $B",
        special_tokens=[(BOS, tokenizer.token_to_id(BOS))],
    )
    return tokenizer
