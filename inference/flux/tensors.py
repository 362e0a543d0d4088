"""Between pixels and the tensors of the FLUX pipelines. Belongs to `flux_engine`, which alone imports it."""

import numpy as np
import torch

from inference.engines import Mask, Pixels
from inference.errors import EngineBroken, OrderRefused


def to_pixels(image: torch.Tensor) -> Pixels:
    """`image`: (3, height, width), floats in [0, 1]. Rounded half to even, as diffusers rounds for PIL.

    Raises `EngineBroken` for values that are no numbers, which an overflow in half precision leaves behind: they would
    come out as an innocent black picture.
    """
    values = image.float()
    if not bool(torch.isfinite(values).all()):
        raise EngineBroken("the model's picture holds values that are no numbers; choose dtype float32 or bfloat16")
    pixels = (values * 255.0).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    pixels.flags.writeable = False
    return pixels


def to_tensor(pixels: Pixels, height: int, width: int, *, stretch: bool = False) -> torch.Tensor:
    """(1, channels, height, width), floats in [0, 1]: cut to the aspect around the centre, then resized (bicubic).

    `stretch`: resized whole, for what is brought back to its own aspect afterwards.
    """
    scale = min(pixels.shape[0] / height, pixels.shape[1] / width)
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    if stretch:
        tall, wide = pixels.shape[:2]
    top, left = (pixels.shape[0] - tall) // 2, (pixels.shape[1] - wide) // 2
    cut = np.ascontiguousarray(pixels[top : top + tall, left : left + wide], dtype=np.float32)
    tensor = torch.from_numpy(cut).permute(2, 0, 1)[None] / 255.0
    if (tall, wide) == (height, width):
        return tensor
    resized = torch.nn.functional.interpolate(tensor, (height, width), mode="bicubic", antialias=True)
    return resized.clamp(0.0, 1.0)


def mask_to_tensor(mask: Mask, height: int, width: int, *, stretch: bool = False) -> torch.Tensor:
    """(1, 1, height, width), floats in [0, 1], cut and resized like the picture it belongs to."""
    return to_tensor(mask[:, :, None], height, width, stretch=stretch)


def repaint(
    original: Pixels, mask: Mask, drawn: Pixels, *, stretch: bool = False
) -> tuple[Pixels, tuple[int, int, int, int]]:
    """`drawn` where the mask is open, the original elsewhere; and x, y, width, height of what is open.

    The pipelines' own pictures differ everywhere a little, because the autoencoder redraws all of them: what a mask
    protects must come through untouched, and the region named in the manifest must hold every change.
    """
    height, width = drawn.shape[:2]
    share = mask_to_tensor(mask, height, width, stretch=stretch)[0, 0].numpy()
    open_at = np.argwhere(share > 0)
    if not len(open_at):
        raise OrderRefused("mask", "the mask opens nothing of the part of the picture that is drawn")
    (top, left), (bottom, right) = open_at.min(0), open_at.max(0)
    kept = to_tensor(original, height, width, stretch=stretch)[0].permute(1, 2, 0).numpy() * 255.0
    mixed = kept + share[:, :, None] * (drawn.astype(np.float32) - kept)
    pixels = np.ascontiguousarray(mixed.round().clip(0, 255).astype(np.uint8))
    pixels.flags.writeable = False
    return pixels, (int(left), int(top), int(right - left) + 1, int(bottom - top) + 1)
