"""Fourier transforms in single precision; the only place that knows scipy."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

Floats = npt.NDArray[np.float32]
Complexes = npt.NDArray[np.complex64]


def rfft2(values: Floats, shape: tuple[int, int] | None = None) -> Complexes:
    """Over the last two axes, padded with zeros to `shape`."""
    return np.asarray(scipy.fft.rfft2(values, s=shape), np.complex64)


def irfft2(spectrum: npt.NDArray[Any], shape: tuple[int, int]) -> Floats:
    """What `rfft2` came from."""
    return np.asarray(scipy.fft.irfft2(spectrum, s=shape), np.float32)


def fft2(values: npt.NDArray[Any]) -> Complexes:
    """Over the last two axes."""
    return np.asarray(scipy.fft.fft2(values), np.complex64)


def fast_length(length: int) -> int:
    """The next even length that transforms fast."""
    found = length
    while (found := int(scipy.fft.next_fast_len(found, real=True))) % 2:
        found += 1
    return found
