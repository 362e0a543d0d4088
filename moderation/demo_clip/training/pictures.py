"""Rendered scenes as training material: reading them, naming what is in them, and spoiling them on purpose.

The scenes come as .npz files from `python -m inference.demo.training.datasets`, whose help tells the fields.
    Spoiled pictures
teach the model to see what a small autoencoder or a half-learned FLUX leaves of a pictogram: soft, off-colour, blotchy.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import numpy.typing
import torch
import torch.nn.functional as F  # noqa: N812
from rich.progress import track

SIDE = 128

_TEMPLATES = (
    "{}",
    "{}",
    "a picture of {}",
    "a picture with {}",
    "a pictogram of {}",
    "{} in a picture",
    "a drawing of {}",
)


@dataclass(frozen=True, slots=True)
class Scenes:
    """`images`: (n, 128, 128, 3) uint8. `present`: (n, glyphs) bool, which glyphs are in the picture."""

    images: numpy.typing.NDArray[numpy.uint8]
    captions: list[str]
    present: numpy.typing.NDArray[numpy.bool_]
    names: list[str]


def read_scenes(files: Sequence[Path]) -> Scenes:
    """All scenes of several files. Raises `ValueError` if a file is not `--side 128` or names other glyphs."""
    images, captions, present = [], [], []
    names: list[str] = []
    for file in track(files, description="reading scenes"):
        with numpy.load(file) as data:
            if data["images"].shape[1:] != (SIDE, SIDE, 3) or names not in ([], data["glyph_names"].tolist()):
                raise ValueError(f"{file}: want pictures of side {SIDE} and the same glyphs in every file")
            names = data["glyph_names"].tolist()
            glyphs = data["glyphs"]
            images.append(data["images"])
            captions += data["captions"].tolist()
        marks = numpy.zeros((len(glyphs), len(names) + 1), bool)  # the last column swallows -1, "no further subject"
        numpy.put_along_axis(marks, glyphs.astype(numpy.int64) % (len(names) + 1), True, axis=1)
        present.append(marks[:, :-1])
    return Scenes(numpy.concatenate(images), captions, numpy.concatenate(present), names)


@dataclass(frozen=True, slots=True)
class Words:
    """What one glyph is called: `nouns`, the usual one first, and its `name`. `plural` ones take no article."""

    name: str
    nouns: tuple[str, ...]
    plural: bool
    category: str | None

    def phrase(self, noun: str) -> str:
        """The noun with its article."""
        if self.plural:
            return noun
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"

    def sentence(self, stream: random.Random) -> str:
        """One of the sentences that say only this of a picture."""
        noun = self.name if stream.random() < 0.3 else stream.choice(self.nouns)
        return stream.choice(_TEMPLATES).format(self.phrase(noun))


def read_words(glyphs: Path) -> list[Words]:
    """The table of glyphs (`inference/demo/training/glyphs.json`), read as data, in its order."""
    rows = json.loads(glyphs.read_text("utf-8"))
    return [Words(row["name"], tuple(row["nouns"]), row.get("plural", False), row.get("category")) for row in rows]


def spoiled(pictures: torch.Tensor, random_numbers: torch.Generator, strength: float = 1.0) -> torch.Tensor:
    """Pictures (n, 3, side, side) in 0..1, at full strength four in five moved, softened, recoloured or dirtied."""

    def some(share: float) -> torch.Tensor:
        return (torch.rand(len(pictures), generator=random_numbers) < share * strength).nonzero()[:, 0]

    pictures = pictures.clone()
    for change, share in ((_moved, 0.2), (_softened, 0.4), (_recoloured, 0.4), (_dirtied, 0.35)):
        chosen = some(share)
        if len(chosen):
            pictures[chosen] = change(pictures[chosen], random_numbers)
    return pictures.clamp(0.0, 1.0)


def _between(low: float, high: float, shape: tuple[int, ...], random_numbers: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(shape, generator=random_numbers)


def _moved(pictures: torch.Tensor, random_numbers: torch.Generator) -> torch.Tensor:
    """Shifted by up to two pixels, turned by up to two degrees, a little larger or smaller."""
    number = len(pictures)
    scale = _between(0.96, 1.04, (number,), random_numbers)
    turn = _between(-0.035, 0.035, (number,), random_numbers)
    shift = _between(-0.03, 0.03, (number, 2, 1), random_numbers)
    matrix = torch.stack((turn.cos(), -turn.sin(), turn.sin(), turn.cos()), 1).view(-1, 2, 2) * scale[:, None, None]
    grid = F.affine_grid(torch.cat((matrix, shift), 2), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def _softened(pictures: torch.Tensor, random_numbers: torch.Generator) -> torch.Tensor:
    """Blurred with one deviation of 0.4 to 1.8 pixels for all of them."""
    sigma = float(_between(0.4, 1.8, (), random_numbers))
    reach = torch.arange(-5, 6, dtype=torch.float32)
    kernel = torch.exp(-(reach**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(3, 1, 1, 1)
    wide = F.conv2d(F.pad(pictures, (5, 5, 0, 0), mode="reflect"), kernel, groups=3)
    return F.conv2d(F.pad(wide, (0, 0, 5, 5), mode="reflect"), kernel.transpose(2, 3), groups=3)


def _recoloured(pictures: torch.Tensor, random_numbers: torch.Generator) -> torch.Tensor:
    """Contrast, brightness and balance of colours changed; never so far that red becomes orange."""
    number = len(pictures)
    grey = pictures.mean(1, keepdim=True)
    saturation = _between(0.7, 1.25, (number, 1, 1, 1), random_numbers)
    gain = _between(0.85, 1.15, (number, 3, 1, 1), random_numbers)
    return (grey + (pictures - grey) * saturation) * gain + _between(-0.08, 0.08, (number, 3, 1, 1), random_numbers)


def _dirtied(pictures: torch.Tensor, random_numbers: torch.Generator) -> torch.Tensor:
    """Grain of single pixels, and blotches of eight."""
    shape = tuple(pictures.shape)
    grain = torch.randn(shape, generator=random_numbers) * _between(0.0, 0.07, (shape[0], 1, 1, 1), random_numbers)
    coarse = torch.randn((shape[0], 3, 16, 16), generator=random_numbers)
    blotches = F.interpolate(coarse, shape[2:], mode="bilinear")
    return pictures + grain + blotches * _between(0.0, 0.08, (shape[0], 1, 1, 1), random_numbers)
