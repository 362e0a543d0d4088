"""Intervals for counts, and how much a mark changes a picture. Pure."""

import cv2
import numpy as np

from provenance.marks.watermarkers import Pixels


def wilson(right: int, total: int, deviations: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval (Wilson 1927) for a share, 95 per cent by default. `total` must be positive."""
    if total <= 0 or not 0 <= right <= total:
        raise ValueError(f"{right} of {total} is no share")
    share, squared = right / total, deviations**2
    middle = (share + squared / (2 * total)) / (1 + squared / total)
    reach = deviations * np.sqrt(share * (1 - share) / total + squared / (4 * total**2)) / (1 + squared / total)
    return max(0.0, min(share, float(middle - reach))), min(1.0, max(share, float(middle + reach)))


def psnr_db(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio over all channels."""
    squares = float(np.square(one.astype(np.float64) - other).mean())
    return float("inf") if squares == 0 else float(10 * np.log10(255**2 / squares))


def ssim(one: Pixels, other: Pixels) -> float:
    """Structural similarity of luma (Wang et al. 2004): Gaussian window of 1.5, K1 0.01, K2 0.03, mean over the map."""
    a, b = (cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float64) for pixels in (one, other))

    def mean(values: object) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), np.float64)

    mean_a, mean_b = mean(a), mean(b)
    spread_a, spread_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    shared = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    over = (2 * mean_a * mean_b + c1) * (2 * shared + c2)
    return float((over / ((mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2))).mean())


def flat_rms(original: Pixels, marked: Pixels) -> float | None:
    """RMS of the luma change where the original is flat (standard deviation below 1 grey level over 9 x 9 pixels);
    None where less than one per cent of the picture is.
    """
    luma = cv2.cvtColor(original, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(luma, (9, 9))
    variance = cv2.blur(luma * luma, (9, 9)) - mean * mean
    flat = cv2.erode((variance < 1).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    if flat.mean() < 0.01:
        return None
    change = cv2.cvtColor(marked, cv2.COLOR_RGB2GRAY).astype(np.float32) - luma
    return float(np.sqrt(np.square(change[flat]).mean()))
