"""Captions as the text encoders get them in training: with stray words and capitals, tokenised, words told apart.

`Batch` also carries what each token ought to know, for `train_text`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from inference.demo.training.captions import Caption, describe
from inference.demo.training.glyphs import COLOURS, glyph_table
from inference.demo.training.scenes import GROUNDS, Scene
from inference.demo.training.tokenizers import FILLERS, T5_TOKENS

ATTRIBUTES = {
    "glyph": len(glyph_table()), "colour": len(COLOURS) + 1, "size": 3, "tilt": 3, "row": 8, "column": 8,
}  # fmt: skip
"""What a subject's words should tell, and among how many."""

_UNTOLD = -100  # torch's "ignore this" label
WIDE_WINDOWS = 0.1
"""Share of batches padded to the window to render with, whatever their captions need."""
_STRAY = 0.12
_CAPITALS = 0.2


@dataclass(frozen=True)
class Batch:
    """Token ids (n, tokens); labels per T5 token, -100 where a token tells nothing; per picture for CLIP."""

    t5_ids: torch.Tensor
    clip_ids: torch.Tensor
    told: dict[str, torch.Tensor]
    glyphs: torch.Tensor
    ground: torch.Tensor


def spoken(scene: Scene, stream: random.Random) -> Caption:
    """A caption as people may type it: now and then with capitals or with words that mean nothing here."""
    caption = describe(scene, stream)
    if stream.random() < _STRAY:
        caption = _with_stray_words(caption, stream)
    chance = stream.random()
    if chance < _CAPITALS:
        text = caption.text.title() if chance < 0.04 else caption.text[0].upper() + caption.text[1:]
        caption = Caption(text, caption.subjects, caption.ground)
    return caption


def tokenised(captions: Sequence[str], t5_tokenizer: Any, clip_tokenizer: Any, *, wide: bool) -> tuple[Any, Any]:
    """The encodings for T5 and for CLIP: of half the window to render with if all fit, of the whole one if `wide`.

    Pads count as tokens, as in FluxPipeline. Only two lengths come up, since a compiled network is made per length.
    """
    t5 = t5_tokenizer(
        list(captions), padding="max_length" if wide else "longest", pad_to_multiple_of=T5_TOKENS // 2,
        truncation=True, return_tensors="pt", return_offsets_mapping=True,
    )  # fmt: skip
    clip = clip_tokenizer(
        list(captions), padding="longest", pad_to_multiple_of=T5_TOKENS // 2, max_length=T5_TOKENS, truncation=True,
        return_tensors="pt",
    )  # fmt: skip
    return t5, clip


def batch_of(scenes: Sequence[Scene], stream: random.Random, t5_tokenizer: Any, clip_tokenizer: Any) -> Batch:
    """Captions of `scenes` with all labels."""
    captions = [spoken(scene, stream) for scene in scenes]
    texts = [caption.text for caption in captions]
    encoded, clip = tokenised(texts, t5_tokenizer, clip_tokenizer, wide=stream.random() < WIDE_WINDOWS)
    clip_ids = clip.input_ids
    told = {name: torch.full(encoded.input_ids.shape, _UNTOLD) for name in (*ATTRIBUTES, "ground")}
    glyphs = torch.zeros(len(scenes), len(glyph_table()))
    ground = torch.full((len(scenes),), _UNTOLD)
    for number, (scene, caption) in enumerate(zip(scenes, captions, strict=True)):
        begins, ends = encoded.offset_mapping[number].unbind(-1)
        for subject, (begin, end) in zip(scene.subjects, caption.subjects, strict=True):
            inside = (begins >= begin) & (ends <= end) & (ends > begins)
            told["glyph"][number, inside] = subject.glyph
            told["colour"][number, inside] = COLOURS.index(subject.colour) + 1 if subject.colour else 0
            told["size"][number, inside] = subject.size - 2
            told["tilt"][number, inside] = subject.tilt + 1
            told["row"][number, inside] = subject.row
            told["column"][number, inside] = subject.column
            glyphs[number, subject.glyph] = 1.0
        begin, end = caption.ground
        if end > begin:
            ground[number] = GROUNDS.index(scene.ground)
            told["ground"][number, (begins >= begin) & (ends <= end) & (ends > begins)] = ground[number]
    return Batch(encoded.input_ids, clip_ids, told, glyphs, ground)


def _with_stray_words(caption: Caption, stream: random.Random) -> Caption:
    """Strews words before, after and between the phrases; spans move along."""
    text, spans, ground = caption.text, list(caption.subjects), caption.ground
    for _ in range(stream.randint(1, 5)):
        word = (
            stream.choice(FILLERS) if stream.random() < 0.8 else "".join(stream.choices("abcdefghijklmnoprstuvw", k=5))
        )
        places = [0, len(text), *(end for _, end in spans)]
        at = stream.choice(places)
        added = f" {word}" if at else f"{word} "
        text = text[:at] + added + text[at:]
        spans = [_moved(span, at, len(added)) for span in spans]
        ground = _moved(ground, at, len(added))
    return Caption(text, tuple(spans), ground)


def _moved(span: tuple[int, int], at: int, by: int) -> tuple[int, int]:
    return (span[0] + by, span[1] + by) if span[0] >= at else span
