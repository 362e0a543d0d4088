"""Finds glyphs in a picture by comparing it with rendered ones: a judge that shares nothing with the models.

Every box of the picture (two sizes, every 8 pixels) is compared with every glyph as it would look there on the ground
that the caption names, in all its colours, upright and tilted. Compared is what differs from the bare ground, a in the
picture and b in the glyph: 2 a·b / (|a|² + |b|² + noise), which is near 1 only if shape, colours and contrast agree,
and near 0 where there is nothing to see. Works on pictures averaged down to 64 pixels a side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt

from inference.demo.training.datasets import averaged
from inference.demo.training.glyphs import COLOURS, glyph_table
from inference.demo.training.rendering import LEAN_DEGREES, Pixels, ground_picture, sprite
from inference.demo.training.scenes import CELL, SIDE, Scene

_SCALE = 4
_STRIDE = 2  # 8 pixels of the picture
_SIZES = (2, 4)
_NOISE = 6.0
"""Of 255: a ground drawn this far off is still nothing to see."""
_OVERLAP = 0.25
"""Two finds may share this part of the smaller box."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Find:
    """A glyph found at a box (pixels). `likeness`: to the rendered glyph, near 1 for the very same."""

    glyph: int
    colour: str | None
    top: int
    left: int
    side: int
    likeness: float


@dataclass(frozen=True, slots=True)
class _Templates:
    kinds: tuple[tuple[int, str | None], ...]
    colours: Array
    cover: Array


def find_glyphs(pixels: Pixels, ground: str, morning: bool, count: int) -> tuple[Find, ...]:
    """The `count` likeliest glyphs in boxes apart from each other, likeliest first.

    `pixels`: (256, 256, 3), uint8. `ground`: what lies behind, see `scenes.GROUNDS`.
    """
    picture = averaged(pixels, SIDE // _SCALE).astype(np.float32)
    behind = averaged(np.rint(ground_picture(ground, morning)).astype(np.uint8), SIDE // _SCALE).astype(np.float32)
    tables = {size: _likeness(picture, behind, size) for size in _SIZES}
    finds: list[Find] = []
    while len(finds) < count:
        finds.append(max((_best(tables[size], size) for size in _SIZES), key=lambda find: find.likeness))
        for size in _SIZES:
            _strike_out(tables[size], size, finds[-1])
    return tuple(finds)


def names_are_found(scene: Scene, finds: Sequence[Find], *, floor: float = 0.6) -> bool:
    """Whether the finds are just the subjects of the scene, in the colours that were named, all at least `floor`."""
    wanted = {subject.glyph: subject.colour for subject in scene.subjects}
    if {find.glyph for find in finds} != wanted.keys() or min(find.likeness for find in finds) < floor:
        return False
    return all(wanted[find.glyph] in (None, find.colour or _own_colour(find.glyph)) for find in finds)


@cache
def _own_colour(glyph: int) -> str | None:
    """The colour word that comes nearest to how the font draws the glyph, None for glyphs of one colour."""
    if not glyph_table()[glyph].recoloured:
        return None
    drawn, _ = sprite(glyph, None, CELL, 0.0)
    return min(COLOURS, key=lambda colour: float(np.abs(sprite(glyph, colour, CELL, 0.0)[0] - drawn).sum()))


def _likeness(picture: Array, behind: Array, size: int) -> Array:
    """Likenesses, (rows, columns, templates)."""
    templates = _templates(size)
    boxes, grounds = _boxes(picture, size), _boxes(behind, size)
    rows, columns = boxes.shape[:2]
    seen, ground = (part.reshape(rows * columns, -1) for part in (boxes, grounds))
    colours, cover = templates.colours, templates.cover
    seen = seen - ground
    # A template at a place is colours + (1 - cover) * ground; less the ground, colours - cover * ground.
    shared = seen @ colours.T - (seen * ground) @ cover.T
    drawn = (colours**2).sum(1)[None] - 2 * ground @ (colours * cover).T + (ground**2) @ (cover**2).T
    nothing = _NOISE**2 * seen.shape[1]
    likeness = 2 * shared / ((seen**2).sum(1)[:, None] + drawn + nothing)
    table: Array = likeness.reshape(rows, columns, -1).astype(np.float32)
    return table


def _boxes(picture: Array, size: int) -> Array:
    side = size * CELL // _SCALE
    windows = np.lib.stride_tricks.sliding_window_view(picture, (side, side), axis=(0, 1))
    return np.ascontiguousarray(windows[::_STRIDE, ::_STRIDE].transpose(0, 1, 3, 4, 2))


@cache
def _templates(size: int) -> _Templates:
    kinds: list[tuple[int, str | None]] = []
    colours, covers = [], []
    for number, glyph in enumerate(glyph_table()):
        choices = (None, *COLOURS) if glyph.recoloured else (None,)
        for colour, tilt in product(choices, (0, 1, -1)):
            drawn, cover = sprite(number, colour, size * CELL, tilt * LEAN_DEGREES)
            kinds.append((number, colour))
            colours.append(_small(drawn).ravel())
            covers.append(np.repeat(_small(cover), 3, axis=2).ravel())
    return _Templates(tuple(kinds), np.stack(colours), np.stack(covers))


def _small(picture: Array) -> Array:
    side = picture.shape[0] // _SCALE
    blocks: Array = picture.reshape(side, _SCALE, side, _SCALE, -1).mean((1, 3))
    return blocks


def _best(table: Array, size: int) -> Find:
    row, column, kind = np.unravel_index(int(table.argmax()), table.shape)
    glyph, colour = _templates(size).kinds[kind]
    step = _STRIDE * _SCALE
    return Find(glyph, colour, int(row) * step, int(column) * step, size * CELL, float(table[row, column, kind]))


def _strike_out(table: Array, size: int, find: Find) -> None:
    """Rules out boxes that overlap the find."""
    side, step = size * CELL, _STRIDE * _SCALE

    def shared(count: int, start: int) -> Array:
        begins = np.arange(count) * step
        both: Array = np.clip(np.minimum(begins + side, start + find.side) - np.maximum(begins, start), 0, None)
        return both

    area = np.outer(shared(table.shape[0], find.top), shared(table.shape[1], find.left))
    table[area > _OVERLAP * min(side, find.side) ** 2] = -1.0
