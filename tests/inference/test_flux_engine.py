"""The part `flux` on small pipelines of diffusers' real classes."""

import hashlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

from inference.engines import RenderOrder
from inference.errors import (
    EngineBroken,
    EngineOutOfMemory,
    OrderRefused,
    RenderCancelled,
    UnknownModel,
    WeightsError,
)
from inference.flux.engine import FluxEngine

OrderFor = Callable[..., RenderOrder]


def draw(engine: FluxEngine, order: RenderOrder) -> np.ndarray:
    return engine.render(order, progress=lambda done, total: None, cancelled=lambda: False).pixels


def picture(height: int, width: int, seed: int = 3) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels.flags.writeable = False
    return pixels


def test_a_prompt_becomes_read_only_pixels_with_their_origin(flux: FluxEngine, order_for: OrderFor) -> None:
    rendering = flux.render(
        order_for(flux, width=128, height=64), progress=lambda done, total: None, cancelled=lambda: False
    )
    assert rendering.pixels.shape == (64, 128, 3)
    assert rendering.pixels.dtype == np.uint8
    assert rendering.pixels.flags.c_contiguous
    assert not rendering.pixels.flags.writeable
    assert rendering.model_id == "fluxgate/untrained-demo"
    assert rendering.weights_digest.startswith("sha256:")
    assert rendering.trained is False
    assert rendering.exactness == "exact"
    assert rendering.engine == "flux/1"
    assert rendering.seconds > 0


def test_equal_orders_give_equal_pixels_whatever_was_drawn_between(flux: FluxEngine, order_for: OrderFor) -> None:
    first = draw(flux, order_for(flux))
    draw(flux, order_for(flux, seed=2, steps=3, width=96))
    torch.rand(5)
    assert np.array_equal(draw(flux, order_for(flux)), first)


@pytest.mark.parametrize("change", [{"seed": 2}, {"prompt": "a blue boat"}, {"steps": 3}])
def test_another_order_gives_another_picture(flux: FluxEngine, order_for: OrderFor, change: dict[str, object]) -> None:
    assert not np.array_equal(draw(flux, order_for(flux)), draw(flux, order_for(flux, **change)))


SCRIPT = """
import hashlib, sys
from gateway.parts import torchvision_ops
torchvision_ops.install()
import torch
torch.set_num_threads(int(sys.argv[2]))
from inference.drawing import Drawing
from inference.engines import RenderOrder
from inference.flux.engine import FluxEngine
engine = FluxEngine(FluxEngine.Options(model=sys.argv[1], device="cpu"))
order = RenderOrder(Drawing("a red apple", 99, 256, 256, 4, 0.0), engine.models[0].id)
rendering = engine.render(order, progress=lambda done, total: None, cancelled=lambda: False)
print(rendering.weights_digest, hashlib.sha256(rendering.pixels.tobytes()).hexdigest())
"""


def test_equal_orders_give_equal_pixels_in_other_processes_and_with_other_thread_settings(
    flux: FluxEngine, order_for: OrderFor, untrained_folder: Path
) -> None:
    here = draw(flux, order_for(flux, width=256, height=256, steps=4, guidance=0.0, seed=99))
    expected = f"{flux.models[0].weights_digest} {hashlib.sha256(here.tobytes()).hexdigest()}"
    for threads in ("1", "2"):
        answer = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(untrained_folder), threads],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.strip() == expected


@pytest.mark.parametrize("family", ["flux", "klein"])
def test_pixels_are_those_of_the_bare_pipeline(
    family: str, request: pytest.FixtureRequest, order_for: OrderFor
) -> None:
    engine: FluxEngine = request.getfixturevalue(family)
    folder: Path = request.getfixturevalue({"flux": "untrained_folder", "klein": "klein_folder"}[family])
    order = order_for(engine)
    ours = draw(engine, order)
    bare = diffusers.DiffusionPipeline.from_pretrained(str(folder), dtype=torch.float32)
    image = bare(
        prompt=order.drawing.prompt,
        height=order.drawing.height,
        width=order.drawing.width,
        num_inference_steps=order.drawing.steps,
        guidance_scale=1.0,
        max_sequence_length=engine.models[0].text_tokens,
        generator=torch.Generator("cpu").manual_seed(order.drawing.seed),
    ).images[0]
    assert np.array_equal(ours, np.asarray(image))


def test_progress_is_told_after_every_step(flux: FluxEngine, order_for: OrderFor) -> None:
    told: list[tuple[int, int]] = []
    flux.render(
        order_for(flux, steps=3), progress=lambda done, total: told.append((done, total)), cancelled=lambda: False
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("family", ["flux", "klein"])
def test_a_cancelled_render_stops_at_the_next_step_and_the_next_order_is_unharmed(
    family: str, request: pytest.FixtureRequest, order_for: OrderFor
) -> None:
    engine: FluxEngine = request.getfixturevalue(family)
    before = draw(engine, order_for(engine))
    steps: list[int] = []
    with pytest.raises(RenderCancelled):
        engine.render(
            order_for(engine, steps=9),
            progress=lambda done, total: steps.append(done),
            cancelled=lambda: len(steps) >= 2,
        )
    assert steps == [1, 2]
    assert np.array_equal(draw(engine, order_for(engine)), before)


def test_an_input_picture_shapes_the_result_and_shortens_the_way_by_its_strength(
    flux: FluxEngine, order_for: OrderFor
) -> None:
    start = picture(64, 64)
    told: list[tuple[int, int]] = []
    order = order_for(flux, init_pixels=start, strength=0.5, steps=4)
    edited = flux.render(order, progress=lambda done, total: told.append((done, total)), cancelled=lambda: False).pixels
    assert told == [(1, 2), (2, 2)]
    assert edited.shape == (64, 64, 3)
    assert np.array_equal(edited, draw(flux, order))
    assert not np.array_equal(
        edited, draw(flux, order_for(flux, init_pixels=picture(64, 64, 4), strength=0.5, steps=4))
    )


def test_an_input_picture_of_another_size_is_cut_and_resized(flux: FluxEngine, order_for: OrderFor) -> None:
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = picture(100, 100)
    inner = np.ascontiguousarray(wide[:, 100:200])
    options = {"width": 64, "height": 64, "strength": 0.5, "steps": 4}
    assert np.array_equal(
        draw(flux, order_for(flux, init_pixels=wide, **options)),
        draw(flux, order_for(flux, init_pixels=inner, **options)),
    )


def test_klein_reads_an_input_picture_as_reference(klein: FluxEngine, order_for: OrderFor) -> None:
    drawn = [draw(klein, order_for(klein, init_pixels=start)) for start in (None, picture(64, 96), picture(64, 96, 4))]
    assert drawn[1].shape == drawn[0].shape
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[1], drawn[2])


def test_klein_takes_four_steps_by_default_and_its_base_fifty(klein: FluxEngine, tmp_path: Path) -> None:
    from tests.inference import tiny_models

    base = FluxEngine(FluxEngine.Options(model=str(tiny_models.save_klein(tmp_path / "base", is_distilled=False))))
    assert (klein.models[0].default_steps, klein.models[0].uses_guidance) == (4, False)
    assert (base.models[0].default_steps, base.models[0].uses_guidance) == (50, True)


def test_guidance_reaches_the_models_that_use_it_and_no_others(
    flux: FluxEngine, guided_folder: Path, order_for: OrderFor
) -> None:
    guided = FluxEngine(FluxEngine.Options(model=str(guided_folder)))
    weak, strong = (order_for(guided, guidance=guidance, width=256, height=256) for guidance in (1.0, 9.0))
    assert guided.models[0].multiple_of == 16
    assert not np.array_equal(draw(guided, weak), draw(guided, strong))
    assert np.array_equal(draw(flux, order_for(flux, guidance=7.5)), draw(flux, order_for(flux, guidance=0.0)))


@pytest.mark.parametrize("family", ["flux", "klein"])
def test_a_prompt_longer_than_the_model_reads_is_refused_and_never_logged(
    family: str, request: pytest.FixtureRequest, order_for: OrderFor, caplog: pytest.LogCaptureFixture
) -> None:
    engine: FluxEngine = request.getfixturevalue(family)
    with caplog.at_level(logging.DEBUG), pytest.raises(OrderRefused) as refused:
        draw(engine, order_for(engine, prompt="zyzzyva " * 400))
    assert refused.value.field == "prompt"
    assert "512" in refused.value.remedy
    assert "zyzzyva" not in caplog.text + str(refused.value)


def test_what_clip_cuts_off_by_design_is_drawn_and_not_logged(
    flux: FluxEngine, order_for: OrderFor, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    order = order_for(flux, prompt="zyzzyva " * 20)
    with caplog.at_level(logging.DEBUG):
        draw(flux, order)
    assert "zyzzyva" not in caplog.text + "".join(capfd.readouterr()) + repr(order)


def test_out_of_memory_is_named_and_the_engine_stays_usable(
    flux: FluxEngine, order_for: OrderFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = draw(flux, order_for(flux))
    decoder = flux._pipeline.vae.decoder

    def full(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "forward", full)
        with pytest.raises(EngineOutOfMemory, match="smaller picture"):
            draw(flux, order_for(flux))
    assert np.array_equal(draw(flux, order_for(flux)), before)


def test_a_real_allocation_failure_on_the_cpu_is_out_of_memory(
    flux: FluxEngine, order_for: OrderFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(flux, order_for(flux))
    with monkeypatch.context() as patch:
        patch.setattr(flux._pipeline.vae.decoder, "forward", lambda *a, **o: torch.empty(2**50))
        with pytest.raises(EngineOutOfMemory):
            draw(flux, order_for(flux))


def test_a_foreign_failure_is_broken_and_its_words_stay_inside(
    flux: FluxEngine, order_for: OrderFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(flux, order_for(flux))

    def fail(*arguments: object, **options: object) -> None:
        raise ValueError("could not handle: a red apple")

    with monkeypatch.context() as patch:
        patch.setattr(flux._pipeline.vae.decoder, "forward", fail)
        with pytest.raises(EngineBroken) as broken:
            draw(flux, order_for(flux))
    assert "apple" not in str(broken.value)
    assert isinstance(broken.value.__cause__, ValueError)


def test_numbers_that_are_none_are_not_delivered_as_a_black_picture(
    flux: FluxEngine, order_for: OrderFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(flux, order_for(flux))
    with monkeypatch.context() as patch:
        patch.setattr(flux._pipeline.vae.decoder, "forward", lambda *a, **o: torch.full((1, 3, 64, 64), torch.nan))
        with pytest.raises(EngineBroken, match="no numbers"):
            draw(flux, order_for(flux))


def test_a_second_thread_is_turned_away(flux: FluxEngine, order_for: OrderFor) -> None:
    draw(flux, order_for(flux))
    caught: list[BaseException] = []

    def intrude() -> None:
        try:
            draw(flux, order_for(flux))
        except EngineBroken as error:
            caught.append(error)

    thread = threading.Thread(target=intrude)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_another_model_is_unknown_here(flux: FluxEngine, order_for: OrderFor) -> None:
    with pytest.raises(UnknownModel):
        draw(flux, order_for(flux, model="black-forest-labs/FLUX.1-schnell"))


def test_weights_that_change_between_start_and_loading_are_not_loaded(tmp_path: Path, untrained_folder: Path) -> None:
    import shutil

    folder = shutil.copytree(untrained_folder, tmp_path / "model")
    engine = FluxEngine(FluxEngine.Options(model=str(folder)))
    with (folder / "vae" / "diffusion_pytorch_model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(WeightsError, match="changed"):
        engine.load()


def test_closing_frees_and_a_later_order_loads_anew(untrained_folder: Path, order_for: OrderFor) -> None:
    engine = FluxEngine(FluxEngine.Options(model=str(untrained_folder)))
    first = draw(engine, order_for(engine))
    engine.close()
    assert np.array_equal(draw(engine, order_for(engine)), first)


def test_a_device_that_is_not_here_is_refused_at_construction(untrained_folder: Path) -> None:
    with pytest.raises(WeightsError, match="cuda:77"):
        FluxEngine(FluxEngine.Options(model=str(untrained_folder), device="cuda:77"))
