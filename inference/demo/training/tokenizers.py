"""Tokenizers for the small text encoders: FLUX.1's own classes, with the captions' words as single tokens.

Words that no caption uses are spelled in shorter pieces down to single characters, so every prompt has tokens. What
alphabet is not covered (T5's table only) becomes one unknown token.
"""

import json
import random
import string
from collections import Counter
from typing import Any

from inference.demo.training.architecture import CLIP_TOKENS
from inference.demo.training.captions import describe, every_word
from inference.demo.training.scenes import scenes

T5_TOKENS = 48
"""Text window to render with. Captions take 10 to 30 tokens; the rest is for spelling words that none uses."""

_CAPTIONS = 6000

_STRAY_WORDS = """
    and are as at be beautiful best black bright by can close colourful colorful cute day detailed digital dark do drawn
    eating every family few flying for fantasy from full funny girl boy good great hand happy has have he her here high
    his holding hot house how in into is it its just landscape laughing like line little long looking lovely magic man
    many me minimal modern more most my new nice no not now of old one only or our out people person photograph
    playing pretty quality quick realistic rendered round running sad scene sharp she simple sitting sleeping smiling
    so soft some standing street strong style sweet tall that their them then there these they thing this time to two
    three up very vintage walking want was watercolour watercolor we what where which white who wide wild will wise wish
    without woman wonderful world you young your city mountain forest river kitchen room school office art cartoon
    icon emoji portrait logo sticker 3d 4k hd
    """
FILLERS = tuple(_STRAY_WORDS.split())
"""Words that captions do not use and prompts do; training strews them in, so that they change little."""


def new_t5_tokenizer() -> Any:
    """T5's class with a unigram table: words of captions, then fillers, pieces of two and three letters, characters."""
    from transformers import T5Tokenizer

    spoken = (*every_word(), *FILLERS)
    # The class cannot fold case, so each word is there twice.
    words = sorted({"▁" + word for plain in spoken for word in (plain, plain.capitalize())})
    pieces = Counter(word[at : at + size] for word in spoken for size in (2, 3) for at in range(len(word)))
    common = sorted({piece for piece, count in pieces.items() if count >= 4 and len(piece) > 1 and piece.isalpha()})
    letters = sorted(set(string.printable.strip()) | {chr(code) for code in range(0xC0, 0x180)} | {"▁"})
    table = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    # Scores only rank: one word beats its pieces, and few pieces beat many.
    table += [(word, -4.0) for word in words]
    table += [(piece, -9.0) for piece in common if "▁" + piece not in words]
    table += [(letter, -10.0) for letter in letters]
    return T5Tokenizer(vocab=table, extra_ids=0, model_max_length=T5_TOKENS)


def new_clip_tokenizer(seed: int) -> Any:
    """CLIP's class with byte pairs learned from captions: every text has tokens, none is unknown."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    learner.decoder = decoders.BPEDecoder(suffix="</w>")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False, min_frequency=2
    )
    stream = random.Random(seed)
    captions = [describe(scene, stream).text for scene in scenes(seed, _CAPTIONS)]
    learner.train_from_iterator([*captions, *(" ".join(FILLERS),) * 3], trainer)
    learned = learner.to_str()
    merges = [tuple(pair) for pair in json.loads(learned)["model"]["merges"]]
    letters = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    pieces = [*letters, *("".join(pair) for pair in merges), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CLIP_TOKENS)
