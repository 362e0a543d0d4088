"""Rendered scenes as files: a dataset for training and measuring, a sheet for looking."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from inference.demo.training.captions import describe
from inference.demo.training.glyphs import CATEGORIES, glyph_table
from inference.demo.training.rendering import Pixels, paint
from inference.demo.training.scenes import SIDE, Scene


def save_dataset(scenes: Sequence[Scene], path: Path, *, seed: int, side: int = SIDE) -> None:
    """Writes pictures, captions and labels as .npz; its fields are told by `python -m
        inference.demo.training.scenes --help`.

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
