"""Tells whether pictures show what their captions say: the judge of the pictogram FLUX.

    python -m moderation.demo_clip.training.judge --pictures samples.npz --glyphs
        inference/demo/training/glyphs.json --out judged.json

The .npz holds `images` (n, height, width, 3) uint8 and `captions` (n). Zero-shot over every
glyph's name: a caption that names k glyphs is right if these are the k glyphs whose sentences are nearest to the
picture, with nothing missing and nothing in their place. Colours, places and grounds are not judged.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import numpy.typing
import torch
from PIL import Image
from rich.progress import track

from moderation.demo_clip.training.pictures import Words, read_words
from moderation.open_clip_models import OpenedModel, open_model

Shares = numpy.typing.NDArray[numpy.float64]


def glyph_shares(opened: OpenedModel, words: Sequence[Words], images: numpy.typing.NDArray[numpy.uint8]) -> Shares:
    """(pictures, glyphs): the softmax over one sentence per glyph, at the model's own scale; rows sum to one.

    `images`: (n, height, width, 3), uint8, sRGB.
    """
    with torch.inference_mode():
        sentences = [f"a picture with {each.phrase(each.nouns[0])}" for each in words]
        said = opened.network.encode_text(opened.tokenizer(sentences), normalize=True)
        scale = opened.network.logit_scale.exp()
        rows = [
            torch.softmax(scale * opened.network.encode_image(batch, normalize=True) @ said.T, 1)
            for batch in _prepared(opened, images)
        ]
    return numpy.asarray(torch.cat(rows).double().numpy())


def likeness(pictures: Sequence[numpy.typing.NDArray[numpy.uint8]], texts: Sequence[str]) -> Shares:
    """(pictures, texts): scaled cosines by the shipped model, for callers that bring their own sentences."""
    opened = open_model("shipped:demo_clip", None)
    with torch.inference_mode():
        said = opened.network.encode_text(opened.tokenizer(list(texts)), normalize=True)
        scale = opened.network.logit_scale.exp()
        rows = [
            scale * opened.network.encode_image(batch, normalize=True) @ said.T
            for batch in _prepared(opened, numpy.stack(pictures))
        ]
    return numpy.asarray(torch.cat(rows).double().numpy())


def _prepared(opened: OpenedModel, images: numpy.typing.NDArray[numpy.uint8]) -> Iterator[torch.Tensor]:
    for start in track(range(0, len(images), 64), description="looking at pictures"):
        yield torch.stack([opened.preprocess(Image.fromarray(image)) for image in images[start : start + 64]])


def named_glyphs(caption: str, words: Sequence[Words]) -> list[int]:
    """The glyphs a caption names, in its order; the longest noun wins, so that a top hat is not a hat."""
    nouns = {noun: number for number, each in enumerate(words) for noun in (each.name, *each.nouns)}
    pattern = "|".join(re.escape(noun) for noun in sorted(nouns, key=len, reverse=True))
    found = [nouns[match] for match in re.findall(rf"\b(?:{pattern})\b", caption.lower())]
    return list(dict.fromkeys(found))


def judge(shares: Shares, captions: Sequence[str], words: Sequence[Words]) -> dict[str, Any]:
    """The verdict on every picture and on all of them. Raises `ValueError` for a caption that names no glyph."""
    rows: list[dict[str, Any]] = []
    for caption, row in zip(captions, shares, strict=True):
        wanted = named_glyphs(caption, words)
        if not wanted:
            raise ValueError("a caption names no glyph: there is nothing to judge")
        seen = numpy.argsort(-row, kind="stable")[: len(wanted)]
        rows.append(
            {
                "caption": caption,
                "wanted": [words[glyph].name for glyph in wanted],
                "shares": [round(float(row[glyph]), 4) for glyph in wanted],
                "seen": [words[glyph].name for glyph in seen],
                "recognised": [bool(glyph in seen) for glyph in wanted],
                "right": set(wanted) == set(seen.tolist()),
            }
        )
    subjects = [hit for row in rows for hit in row["recognised"]]
    return {
        "pictures": len(rows),
        "pictures_right": sum(bool(row["right"]) for row in rows) / len(rows),
        "subjects_recognised": sum(subjects) / len(subjects),
        "by_number_of_subjects": {
            str(number): sum(bool(row["right"]) for row in some) / len(some)
            for number in (1, 2, 3)
            if (some := [row for row in rows if len(row["wanted"]) == number])
        },
        "rows": rows,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m moderation.demo_clip.training.judge",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--pictures", type=Path, required=True, help="images and captions (.npz)")
    parser.add_argument("--glyphs", type=Path, required=True, help="inference/demo/training/glyphs.json")
    parser.add_argument("--model", default="shipped:demo_clip", help="default shipped:demo_clip; or a folder")
    parser.add_argument("--out", type=Path, required=True, help="where the verdicts go (.json)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    words = read_words(arguments.glyphs)
    with numpy.load(arguments.pictures) as data:
        images, captions = data["images"], data["captions"].tolist()
    result = judge(glyph_shares(open_model(arguments.model, None), words, images), captions, words)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name != "rows"}, indent=1))


if __name__ == "__main__":
    main()
