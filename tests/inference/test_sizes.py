"""Sizes: what a model does not draw it enlarges, if its card says so; an edit takes the aspect of its image."""

from dataclasses import replace

import numpy as np
import pytest

from inference.drawing import Finish
from inference.engines import ModelCard, Rendering
from inference.errors import OrderRefused
from inference.finishing import finish, recolour
from inference.sizes import cuts, fit, fit_to

FLUX = ModelCard(
    id="flux", family="flux-1-schnell", licence="Apache-2.0", commercial_use=True, trained=True,
    modes=("text", "image", "inpaint"), default_steps=4, max_steps=12, default_size=(1024, 1024), min_side=256,
    max_side=2048, max_pixels=2 * 1024 * 1024, multiple_of=16, price_credits=1,
)  # fmt: skip
SMALL = replace(FLUX, id="small", default_size=(256, 256), max_side=256, max_pixels=65536, multiple_of=32,
                max_enlarged_side=1024)  # fmt: skip


@pytest.mark.parametrize("size", [(512, 512), (1024, 1024), (1024, 576), (300, 777), (257, 256)])  # case R9
def test_ordinary_sizes_are_enlarged_from_what_the_model_draws(size: tuple[int, int]) -> None:
    fitted = fit(SMALL, *size)
    assert (fitted.width, fitted.height) == (256, 256)
    assert fitted.size == size


def test_a_size_that_is_drawn_is_drawn() -> None:
    assert fit(SMALL, 256, 256).size is None
    assert fit(FLUX, 512, 768).final == (512, 768)


@pytest.mark.parametrize("size", [(1025, 512), (512, 255), (0, 512), (4096, 4096)])
def test_sizes_beyond_are_refused_with_the_bounds(size: tuple[int, int]) -> None:
    with pytest.raises(OrderRefused, match="256 to 1024"):
        fit(SMALL, *size)


def test_a_model_that_draws_what_it_is_asked_for_never_enlarges() -> None:
    with pytest.raises(OrderRefused, match="multiple of 16"):
        fit(FLUX, 1000, 1000)


@pytest.mark.parametrize("card", [FLUX, SMALL])  # case R4
@pytest.mark.parametrize("sent", [(512, 768), (768, 512), (3000, 2000), (100, 150), (1024, 1024), (64, 64)])
def test_an_edit_without_a_size_takes_the_aspect_of_its_image(card: ModelCard, sent: tuple[int, int]) -> None:
    fitted = fit_to(card, *sent)
    wide, high = fitted.final
    assert wide / high == pytest.approx(sent[0] / sent[1], rel=0.04)
    assert fit(card, wide, high).final == (wide, high)  # legal
    assert not cuts(*sent, fitted) or fitted.cuts_input


def test_the_size_of_the_image_itself_is_taken_where_it_is_legal() -> None:
    assert fit_to(FLUX, 512, 768).final == (512, 768)  # case R4
    assert fit_to(SMALL, 512, 768).final == (512, 768)
    assert not fit_to(FLUX, 512, 768).cuts_input
    assert not fit_to(SMALL, 512, 768).cuts_input


def test_an_aspect_that_no_legal_size_has_is_cut_and_said() -> None:
    fitted = fit_to(SMALL, 1600, 200)
    assert fitted.final == (1024, 256)
    assert fitted.cuts_input


def test_finishing_fills_the_size_and_says_what_it_did() -> None:
    drawn = _rendering()
    wide = finish(drawn, Finish(size=(512, 256)))
    assert wide.pixels.shape == (256, 512, 3)
    assert wide.finished == ("cropped", "upscaled")
    twice = finish(drawn, Finish(size=(512, 512), enlarge=2))
    assert twice.pixels.shape == (1024, 1024, 3)
    assert twice.finished == ("upscaled",)
    whole = finish(replace(drawn, repainted=(0, 128, 256, 128)), Finish(size=(512, 768), stretch=True))
    assert whole.pixels.shape == (768, 512, 3)
    assert whole.finished == ("upscaled",)
    assert whole.repainted == (0, 384, 512, 384)
    corner = drawn.pixels[:128, :128].reshape(-1, 3).mean(0)
    assert np.abs(whole.pixels[:384, :256].reshape(-1, 3).mean(0) - corner).max() < 3


def test_other_colours_show_nothing_that_was_not_there() -> None:
    drawn = _rendering().pixels
    for palette in (((255, 0, 0),), ((0, 0, 255), (255, 255, 0)), ((10, 10, 10),)):
        other = recolour(drawn, palette)
        for colour in np.unique(drawn.reshape(-1, 3), axis=0):
            assert len(np.unique(other[(drawn == colour).all(-1)], axis=0)) == 1


def _rendering() -> Rendering:
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[:128, :128], pixels[:128, 128:], pixels[128:] = (200, 40, 40), (30, 90, 200), (240, 240, 240)
    return Rendering(pixels, "small", "sha256:0", True, "test/1", "exact", 0.1)
