"""Orders are checked against the card of their model, field by field."""

import numpy as np
import pytest

from inference.drawing import KNOBS, Drawing
from inference.engines import MAX_SEED, ModelCard, RenderOrder, check_order
from inference.errors import OrderRefused

CARD = ModelCard(
    "m/one", "f", "Apache-2.0", True, True, ("text", "image"), 4, 50, (256, 256), 64, 512, 512 * 384, 32, 1
)  # fmt: skip


def order(**changes: object) -> RenderOrder:
    fields = {"prompt": "a fox", "width": 256, "height": 256, "steps": 4, "guidance": 0.0, "seed": 0}
    fields |= {name: changes.pop(name) for name in KNOBS & changes.keys()}
    return RenderOrder(Drawing(**fields), "m/one", **changes)  # type: ignore[arg-type]


def pixels(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"width": 512, "height": 384},
        {"steps": 50, "seed": MAX_SEED, "guidance": 20.0},
        {"init_pixels": pixels(64, 512), "strength": 1.0},
    ],
)
def test_what_the_card_allows_is_accepted(changes: dict[str, object]) -> None:
    check_order(order(**changes), CARD)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("prompt", {"prompt": " \n"}),
        ("prompt", {"prompt": "a \ud800 fox"}),
        ("width", {"width": 32}),
        ("width", {"width": 250}),
        ("width", {"width": 512, "height": 512}),
        ("height", {"height": 1024}),
        ("height", {"height": -256}),
        ("steps", {"steps": 0}),
        ("steps", {"steps": 51}),
        ("guidance", {"guidance": float("nan")}),
        ("guidance", {"guidance": -1.0}),
        ("guidance", {"guidance": float("inf")}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": MAX_SEED + 1}),
        ("strength", {"init_pixels": pixels(64, 64), "strength": 0.0}),
        ("strength", {"init_pixels": pixels(64, 64), "strength": float("nan")}),
        ("init_pixels", {"init_pixels": pixels(63, 64)}),
        ("init_pixels", {"init_pixels": pixels(64, 513)}),
        ("init_pixels", {"init_pixels": np.zeros((64, 64), np.uint8)}),
        ("init_pixels", {"init_pixels": np.zeros((64, 64, 3), np.float32)}),
    ],
)
def test_what_it_does_not_allow_is_refused_by_field_with_a_remedy(field: str, changes: dict[str, object]) -> None:
    with pytest.raises(OrderRefused) as refused:
        check_order(order(**changes), CARD)
    assert refused.value.field == field
    assert refused.value.remedy
    assert "fox" not in str(refused.value)


def test_a_model_without_a_mode_refuses_orders_of_that_mode() -> None:
    import dataclasses

    with pytest.raises(OrderRefused, match="init_pixels"):
        check_order(order(init_pixels=pixels(64, 64)), dataclasses.replace(CARD, modes=("text",)))
    with pytest.raises(OrderRefused, match="init_pixels"):
        check_order(order(), dataclasses.replace(CARD, modes=("image",)))


def test_prompt_and_picture_do_not_appear_in_an_orders_repr() -> None:
    shown = repr(order(init_pixels=pixels(64, 64)))
    assert "fox" not in shown
    assert "array" not in shown
