"""The code the autoencoder is trained to: 16 principal components of every 16 by 16 patch of the pictures.

A fixed linear code instead of a learned one, for three reasons: the transformer can train while the decoder still does;
latents of unlimited fresh scenes cost a small matrix product; and a glyph on the grid always has the same latents.
The decoder redraws what 48 numbers to one leave out; the encoder learns to give the code, for pictures as input.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

from inference.demo.training.rendering import Pixels, ground_picture, paint, subject_picture
from inference.demo.training.scenes import SIDE, Scene, scenes

PATCH = 16
_COMPONENTS = 16
_EVENNESS = 0.5
"""Components are divided by this power of their standard deviation: 0 leaves colour to drown out all detail, 1 makes
the last detail as loud as colour."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PatchCode:
    """`basis`: (768, 16), scaled; `mean`: (768). Codes have a standard deviation of about one over all channels."""

    basis: Array
    mean: Array

    def encode(self, pixels: Array) -> Array:
        """(height, width, 3), 0..255, to latents (16, height / 16, width / 16)."""
        rows, columns = pixels.shape[0] // PATCH, pixels.shape[1] // PATCH
        patches = pixels.reshape(rows, PATCH, columns, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(rows * columns, -1)
        codes = (patches - self.mean) @ self.basis
        return np.ascontiguousarray(codes.T.reshape(_COMPONENTS, rows, columns), np.float32)

    def save(self, path: Path) -> None:
        """Writes the code as safetensors."""
        save_file({"basis": torch.from_numpy(self.basis).contiguous(), "mean": torch.from_numpy(self.mean)}, path)


def load_code(path: Path) -> PatchCode:
    """The code saved at `path`."""
    tensors = load_file(path)
    return PatchCode(tensors["basis"].numpy(), tensors["mean"].numpy())


def fit_code(seed: int, pictures: int = 1500) -> PatchCode:
    """Principal components over the patches of `pictures` scenes for training."""
    second, total, count = np.zeros((768, 768)), np.zeros(768), 0
    for scene in scenes(seed, pictures):
        patches = _patches(paint(scene))
        # Patches of bare ground say little and are many; those with an edge in them are what has to be told.
        patches = patches[patches.std(axis=1) > 4.0]
        second += patches.T @ patches
        total += patches.sum(axis=0)
        count += len(patches)
    mean = total / count
    variances, vectors = np.linalg.eigh(second / count - np.outer(mean, mean))
    strongest = np.argsort(variances)[::-1][:_COMPONENTS]
    deviations = np.sqrt(variances[strongest])
    # Signs are free; fixed, so that machines agree.
    directions = vectors[:, strongest] * np.sign(vectors[:, strongest].sum(axis=0))
    loudness = np.sqrt(np.mean(deviations ** (2 - 2 * _EVENNESS)))
    basis = directions / deviations**_EVENNESS / loudness
    return PatchCode(basis.astype(np.float32), mean.astype(np.float32))


class SceneCoder:
    """Codes scenes without painting them whole: grounds are coded once, then only the subjects' boxes are."""

    def __init__(self, code: PatchCode) -> None:
        self._code = code
        self._grounds: dict[tuple[str, bool], Array] = {}

    def latents(self, scene: Scene) -> Array:
        """As `code.encode(paint(scene))`, but for the rounding of pixels."""
        key = (scene.ground, scene.morning)
        if key not in self._grounds:
            self._grounds[key] = self._code.encode(ground_picture(*key))
        latents = self._grounds[key].copy()
        for subject in scene.subjects:
            top, left, box = subject_picture(scene, subject)
            coded = self._code.encode(box)
            rows, columns = (
                slice(top // PATCH, top // PATCH + coded.shape[1]),
                slice(left // PATCH, left // PATCH + coded.shape[2]),
            )
            latents[:, rows, columns] = coded
        return latents


def _patches(pixels: Pixels) -> npt.NDArray[np.float64]:
    side = SIDE // PATCH
    return pixels.reshape(side, PATCH, side, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(side * side, -1).astype(float)
