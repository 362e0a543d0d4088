"""Small pipelines of the real classes, built once, and engines on them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from inference.drawing import KNOBS, Drawing
from inference.engines import RenderOrder
from inference.flux.engine import FluxEngine
from tests.inference import tiny_models
from tests.untrained import build


@pytest.fixture(scope="session")
def untrained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("demo") / "untrained")


@pytest.fixture(scope="session")
def klein_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_klein(tmp_path_factory.mktemp("klein") / "tiny-klein", is_distilled=True)


@pytest.fixture(scope="session")
def guided_folder(tmp_path_factory: pytest.TempPathFactory, untrained_folder: Path) -> Path:
    return tiny_models.save_guided(tmp_path_factory.mktemp("guided") / "tiny-guided", untrained_folder)


@pytest.fixture(scope="module")
def flux(untrained_folder: Path) -> FluxEngine:
    return FluxEngine(FluxEngine.Options(model=str(untrained_folder), device="cpu"))


@pytest.fixture(scope="module")
def klein(klein_folder: Path) -> FluxEngine:
    return FluxEngine(FluxEngine.Options(model=str(klein_folder), device="cpu"))


@pytest.fixture(scope="session")
def order_for() -> Callable[..., RenderOrder]:
    """Makes an order an engine's model can render, with single fields changed."""

    def make(engine: FluxEngine, **changes: object) -> RenderOrder:
        card = engine.models[0]
        side = -(-64 // card.multiple_of) * card.multiple_of
        side = max(side, card.min_side)
        fields = {
            "prompt": "a red apple", "width": side, "height": side,
            "steps": 2, "guidance": card.default_guidance, "seed": 1,
        }  # fmt: skip
        fields |= {name: changes.pop(name) for name in KNOBS & changes.keys()}
        return RenderOrder(Drawing(**fields), **{"model": card.id, **changes})  # type: ignore[arg-type]

    return make
