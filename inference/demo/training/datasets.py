"""Rendered scenes as files: a dataset for training and measuring, a sheet for looking.

python -m inference.demo.training.datasets --count 2000 --seed 7 --out scenes.npz
python -m inference.demo.training.datasets --count 24 --sheet scenes.png
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from inference.demo.training import scenes as scenery
from inference.demo.training.captions import describe
from inference.demo.training.glyphs import CATEGORIES, glyph_table
from inference.demo.training.rendering import Pixels, paint
from inference.demo.training.scenes import SIDE, Scene


def save_dataset(scenes: Sequence[Scene], path: Path, *, seed: int, side: int = SIDE) -> None:
    """Writes pictures, captions and labels as .npz; `python -m inference.demo.training.datasets --help` tells
    its fields.

    `side`: a divisor of 256; pictures are averaged down to it. `seed`: of the captions.
    """
    stream = random.Random(f"captions {seed}")
    glyphs = np.full((len(scenes), 3), -1, np.int16)
    categories = np.zeros((len(scenes), len(CATEGORIES)), bool)
    images = np.empty((len(scenes), side, side, 3), np.uint8)
    captions = []
    for number, scene in enumerate(scenes):
        images[number] = averaged(paint(scene), side)
        captions.append(describe(scene, stream).text)
        glyphs[number, : len(scene.subjects)] = [subject.glyph for subject in scene.subjects]
        categories[number] = [category in scene.categories for category in CATEGORIES]
    np.savez_compressed(
        path,
        images=images,
        captions=np.array(captions),
        glyphs=glyphs,
        categories=categories,
        category_names=np.array(CATEGORIES),
        glyph_names=np.array([glyph.name for glyph in glyph_table()]),
    )


def averaged(pixels: Pixels, side: int) -> Pixels:
    """The picture with blocks of pixels averaged down to `side`, which divides its own side."""
    factor = pixels.shape[0] // side
    if factor == 1:
        return pixels
    blocks = pixels.reshape(side, factor, side, factor, 3).astype(np.float32)
    small: Pixels = np.rint(blocks.mean((1, 3))).astype(np.uint8)
    return small


def save_sheet(scenes: Sequence[Scene], path: Path, *, seed: int, columns: int = 6) -> None:
    """Writes the scenes beside one another as a PNG, and prints their captions in the same order."""
    stream = random.Random(f"captions {seed}")
    rows = -(-len(scenes) // columns)
    sheet = np.full((rows * SIDE, columns * SIDE, 3), 255, np.uint8)
    for number, scene in enumerate(scenes):
        top, left = number // columns * SIDE, number % columns * SIDE
        sheet[top : top + SIDE, left : left + SIDE] = paint(scene)
        print(f"{number // columns + 1}.{number % columns + 1}  {describe(scene, stream).text}")
    Image.fromarray(sheet).save(path, optimize=True)


def main() -> None:
    """Writes scenes as a dataset or a sheet."""
    parser = argparse.ArgumentParser(
        description="Draws scenes of pictograms with their captions. Needs Pillow and Noto Color Emoji "
        "(Debian: fonts-noto-color-emoji). Equal options give equal scenes.",
        epilog="The .npz holds: images (n, side, side, 3) uint8; captions (n) str; glyphs (n, 3) int16, -1 where there "
        "are fewer subjects, numbers in glyph_names; categories (n, 5) bool in the order of category_names.",
    )
    parser.add_argument("--count", type=int, default=1000, help="scenes (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    parser.add_argument("--held-out", action="store_true", help="only combinations that training never shows")
    parser.add_argument("--side", type=int, default=SIDE, help="pixels a side; smaller is averaged (256, 128, 64)")
    parser.add_argument("--out", type=Path, help="dataset to write (.npz)")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write (.png)")
    arguments = parser.parse_args()
    if arguments.out is None and arguments.sheet is None:
        parser.error("give --out, --sheet or both")

    drawn = list(scenery.scenes(arguments.seed, arguments.count, held_out=arguments.held_out))
    if arguments.out is not None:
        save_dataset(drawn, arguments.out, seed=arguments.seed, side=arguments.side)
    if arguments.sheet is not None:
        save_sheet(drawn, arguments.sheet, seed=arguments.seed)


if __name__ == "__main__":
    main()
