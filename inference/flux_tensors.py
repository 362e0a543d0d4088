"""Between pixels and the tensors of the FLUX pipelines. Belongs to `flux_engine`, which alone imports it."""

import numpy as np
import torch

from inference.engines import Pixels
from inference.errors import EngineBroken


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


def to_tensor(pixels: Pixels, height: int, width: int) -> torch.Tensor:
    """(1, 3, height, width), floats in [0, 1]: cut to the aspect around the centre, then resized (bicubic)."""
    scale = min(pixels.shape[0] / height, pixels.shape[1] / width)
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (pixels.shape[0] - tall) // 2, (pixels.shape[1] - wide) // 2
    cut = np.ascontiguousarray(pixels[top : top + tall, left : left + wide], dtype=np.float32)
    tensor = torch.from_numpy(cut).permute(2, 0, 1)[None] / 255.0
    if (tall, wide) == (height, width):
        return tensor
    resized = torch.nn.functional.interpolate(tensor, (height, width), mode="bicubic", antialias=True)
    return resized.clamp(0.0, 1.0)
