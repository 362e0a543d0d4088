"""invisible-watermark as its README uses it: the baseline beside which the schemes are measured."""

from typing import Any

import cv2
import numpy as np
from imwatermark import WatermarkDecoder, WatermarkEncoder

from provenance.marks.watermarkers import Detection, Pixels
from provenance.payload import MARK_BYTES


class StockWatermark:
    """The library's `dwtDct` or `dwtDctSvd`, at its fixed strength.

    It has no checksum, so `detect` always answers; only an exactly right answer counts in the report.
    """

    version = "0.2.0"
    strengths: tuple[float, ...] = (1.0,)
    min_pixels = 256 * 256
    marks = True

    def __init__(self, method: str) -> None:
        self.name = f"stock {method}"
        self.algorithm = f"invisible-watermark.{method}"
        self._method = method

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        """Whatever the library makes of it; nothing is read back."""
        encoder: Any = WatermarkEncoder()
        encoder.set_watermark("bytes", mark)
        marked = encoder.encode(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), self._method)
        return np.ascontiguousarray(cv2.cvtColor(marked, cv2.COLOR_BGR2RGB))

    def detect(self, pixels: Pixels) -> Detection | None:
        """Some 8 bytes; None only for pictures the library refuses."""
        if pixels.shape[0] * pixels.shape[1] < self.min_pixels:
            return None
        decoder: Any = WatermarkDecoder("bytes", 8 * MARK_BYTES)
        read = decoder.decode(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), self._method)
        return Detection(bytes(read), self.algorithm, 0.0, 0)
