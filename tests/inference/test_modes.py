"""Painting a region anew, looking at references, and what is done to a picture after it was drawn."""

import asyncio
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.dispatch import Dispatcher
from inference.drawing import Finish
from inference.engines import MAX_REFERENCES, RenderOrder, check_order
from inference.errors import OrderRefused
from inference.finishing import finish, recolour, resize
from inference.flux.engine import FluxEngine

OrderFor = Callable[..., RenderOrder]


def draw(engine: FluxEngine, order: RenderOrder) -> np.ndarray:
    return engine.render(order, progress=lambda done, total: None, cancelled=lambda: False).pixels


def picture(height: int, width: int, seed: int = 3) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels.flags.writeable = False
    return pixels


def mask(height: int, width: int) -> np.ndarray:
    opened = np.zeros((height, width), np.uint8)
    opened[height // 4 : height // 2, width // 8 : width // 2] = 255
    return opened


@pytest.mark.parametrize("kind", ["flux", "klein"])
def test_only_the_open_region_is_painted_anew(kind: str, request: pytest.FixtureRequest, order_for: OrderFor) -> None:
    engine = request.getfixturevalue(kind)
    side = order_for(engine).drawing.width
    original, opened = picture(side, side), mask(side, side)

    rendering = engine.render(
        order_for(engine, init_pixels=original, mask=opened),
        progress=lambda done, total: None,
        cancelled=lambda: False,
    )

    assert np.array_equal(rendering.pixels[opened == 0], original[opened == 0])
    assert not np.array_equal(rendering.pixels[opened == 255], original[opened == 255])
    assert rendering.repainted == (side // 8, side // 4, side // 2 - side // 8, side // 4)
    assert not rendering.pixels.flags.writeable


def test_a_larger_picture_and_its_mask_are_cut_alike(flux: FluxEngine, order_for: OrderFor) -> None:
    order = order_for(flux, init_pixels=picture(128, 256), mask=mask(128, 256))
    rendering = flux.render(order, progress=lambda done, total: None, cancelled=lambda: False)
    assert rendering.repainted is not None
    x, y, width, height = rendering.repainted
    assert 0 <= x < x + width <= order.drawing.width
    assert 0 <= y < y + height <= order.drawing.height


def test_a_mask_that_opens_only_what_is_cut_away_is_refused(flux: FluxEngine, order_for: OrderFor) -> None:
    opened = np.zeros((64, 256), np.uint8)
    opened[:, :32] = 255
    with pytest.raises(OrderRefused, match="opens nothing"):
        draw(flux, order_for(flux, init_pixels=picture(64, 256), mask=opened))


def test_references_change_what_is_drawn_and_their_order_matters(klein: FluxEngine, order_for: OrderFor) -> None:
    one, two = picture(128, 128, 1), picture(128, 128, 2)
    drawn = [draw(klein, order_for(klein, references=seen)).tobytes() for seen in ((), (one,), (one, two), (two, one))]
    assert len(set(drawn)) == 4


def test_a_picture_is_changed_with_others_in_view(klein: FluxEngine, order_for: OrderFor) -> None:
    plain = draw(klein, order_for(klein, init_pixels=picture(128, 128, 1)))
    beside = draw(klein, order_for(klein, init_pixels=picture(128, 128, 1), references=(picture(128, 128, 2),)))
    assert not np.array_equal(plain, beside)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"mask": mask(64, 64)}, "mask"),
        ({"init_pixels": picture(64, 64), "mask": mask(64, 65)}, "mask"),
        ({"init_pixels": picture(64, 64), "mask": np.zeros((64, 64), np.uint8)}, "mask"),
        ({"init_pixels": picture(64, 64), "mask": mask(64, 64).astype(float)}, "mask"),
        ({"references": (picture(64, 64),)}, "references"),
        ({"finish": Finish(enlarge=3)}, "enlarge"),
        ({"finish": Finish(palette=((0, 0, 256),))}, "palette"),
        ({"finish": Finish(palette=((0, 0, 0),) * 17)}, "palette"),
    ],
)
def test_what_cannot_be_done_is_refused_by_field(
    flux: FluxEngine, order_for: OrderFor, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(OrderRefused) as refused:
        check_order(order_for(flux, **changes), flux.models[0])
    assert refused.value.field == field


def test_too_many_references_are_refused(klein: FluxEngine, order_for: OrderFor) -> None:
    with pytest.raises(OrderRefused, match="at most"):
        check_order(order_for(klein, references=(picture(64, 64),) * (MAX_REFERENCES + 1)), klein.models[0])


def test_the_dispatcher_gives_what_was_drawn_and_finishing_comes_after(flux: FluxEngine, order_for: OrderFor) -> None:
    async def both() -> None:
        dispatcher = Dispatcher(
            FluxEngine(FluxEngine.Options(model=flux._options.model, device="cpu")),
            queue_size=1,
            render_timeout_seconds=60,
        )
        try:
            plain = await dispatcher.render(order_for(flux))
            drawn = await dispatcher.render(order_for(flux, finish=Finish(((200, 30, 30),), 2)))
        finally:
            await dispatcher.aclose()
        assert drawn.finished == ()
        assert np.array_equal(drawn.pixels, plain.pixels)
        finished = finish(drawn, Finish(((200, 30, 30),), 2))
        assert finished.finished == ("recoloured", "upscaled")
        assert finished.pixels.shape[0] == 2 * plain.pixels.shape[0]

    asyncio.run(both())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(*[st.integers(100, 156)] * 3), min_size=1, max_size=16))
def test_recolouring_keeps_the_lightness(seed: int, palette: list[tuple[int, int, int]]) -> None:
    pixels = (picture(32, 48, seed) // 2 + 64).astype(np.uint8)
    recoloured = recolour(pixels, tuple(palette))
    assert recoloured.shape == pixels.shape
    assert not recoloured.flags.writeable
    before, after = (cv2.cvtColor(one, cv2.COLOR_RGB2Lab)[..., 0].astype(int) for one in (pixels, recoloured))
    assert np.abs(before - after).max() <= 3


def test_grey_pictures_take_the_hue_of_the_palette() -> None:
    grey = np.full((16, 16, 3), 128, np.uint8)
    red, _, blue = recolour(grey, ((220, 20, 20),))[8, 8].astype(int)
    assert red > blue + 60


def test_enlarging_keeps_flat_colours_and_scales_the_sides() -> None:
    flat = np.full((10, 14, 3), (12, 200, 99), np.uint8)
    larger = resize(flat, flat.shape[1] * 4, flat.shape[0] * 4)
    assert larger.shape == (40, 56, 3)
    assert (larger == flat[0, 0]).all()
