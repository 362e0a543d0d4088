"""The model of random weights that tests run on: small, the same everywhere, and fit for the stations after it."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from imwatermark import WatermarkDecoder, WatermarkEncoder

from inference.engines import RenderOrder
from inference.flux.engine import FluxEngine
from tests.untrained import build

MARK = bytes.fromhex("5aa512349901fe77")


@pytest.fixture(scope="module")
def pictures(flux: FluxEngine, order_for: Callable[..., RenderOrder]) -> list[np.ndarray]:
    orders = [order_for(flux, width=256, height=256, steps=4, seed=seed) for seed in range(3)]
    return [flux.render(order, progress=lambda d, t: None, cancelled=lambda: False).pixels for order in orders]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_building_twice_writes_equal_bytes_and_leaves_torchs_randomness_alone(
    tmp_path: Path, untrained_folder: Path
) -> None:
    state = torch.get_rng_state()
    assert contents(build(tmp_path / "again")) == contents(untrained_folder)
    assert torch.equal(torch.get_rng_state(), state)


def test_it_is_small_and_says_it_is_untrained(untrained_folder: Path, flux: FluxEngine) -> None:
    assert sum(len(data) for data in contents(untrained_folder).values()) < 5_000_000
    card = flux.models[0]
    assert card.trained is False
    assert "untrained" in card.id
    assert "Untrained" in card.description
    assert card.default_size == (256, 256)


def test_its_pictures_are_neither_flat_nor_static(pictures: list[np.ndarray]) -> None:
    for pixels in pictures:
        assert pixels.std(axis=(0, 1)).min() > 5
        assert np.abs(np.diff(pixels.astype(int), axis=0)).mean() < 4
        assert np.isin(pixels, (0, 255)).mean() < 0.03


def test_a_wavelet_mark_in_its_pictures_survives_jpeg_but_for_a_few_bits(pictures: list[np.ndarray]) -> None:
    wanted = np.unpackbits(np.frombuffer(MARK, np.uint8))
    for pixels in pictures:
        encoder, decoder = WatermarkEncoder(), WatermarkDecoder("bytes", 64)
        encoder.set_watermark("bytes", MARK)
        marked = encoder.encode(np.ascontiguousarray(pixels[..., ::-1]), "dwtDctSvd")
        assert decoder.decode(marked, "dwtDctSvd") == MARK
        jpeg = cv2.imdecode(cv2.imencode(".jpg", marked, [cv2.IMWRITE_JPEG_QUALITY, 85])[1], cv2.IMREAD_COLOR)
        read = np.unpackbits(np.frombuffer(decoder.decode(jpeg, "dwtDctSvd"), np.uint8))
        assert (read != wanted).sum() <= 4
