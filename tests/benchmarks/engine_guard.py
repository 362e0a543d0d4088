"""Guard: the engine's render against diffusers' own `pipeline(...)`, equal bit for bit and hardly slower.

    python -m tests.benchmarks.engine_guard [MODEL] [--rounds 15] [--size 256] [--steps 4] [--device auto]

MODEL: a folder in diffusers' layout or a hub id; by default the embedded demo model. Both sides share one loaded
pipeline and alternate in one process; each round's ratio is ours over theirs, from prompt string to uint8 pixels.
Prints one JSON line; exits 1 if a picture differs or the median ratio exceeds 1.05.
"""
# ruff: noqa: E402 - the mend must be in place before anything imports torchvision

import argparse
import json
import statistics
import sys
import time

from gateway.parts import torchvision_ops

torchvision_ops.install()

import numpy as np
import torch

from inference.demo import WEIGHTS
from inference.drawing import Drawing
from inference.engines import RenderOrder
from inference.flux.engine import FluxEngine

LIMIT = 1.05


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    engine = FluxEngine(FluxEngine.Options(model=given.model or str(WEIGHTS), device=given.device))
    engine.load()
    card = engine.models[0]
    equal, ours, theirs = True, [], []
    for number in range(given.rounds + 2):
        order = RenderOrder(
            Drawing("a red apple", number, given.size, given.size, given.steps, card.default_guidance), card.id
        )
        seconds_ours, pixels_ours = _timed(lambda order=order: _render(engine, order))
        seconds_theirs, pixels_theirs = _timed(lambda order=order: _bare(engine, order))
        equal = equal and np.array_equal(pixels_ours, pixels_theirs)
        if number >= 2:  # the first two warm caches and allocators
            ours.append(seconds_ours)
            theirs.append(seconds_theirs)
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    result = {
        "benchmark": "engine_guard", "model": card.id, "device": engine.device, "size": given.size,
        "steps": given.steps, "rounds": given.rounds, "bit_equal": equal,
        "ratio_median": round(statistics.median(ratios), 4), "ratio_min": round(min(ratios), 4),
        "ours_ms_median": round(1000 * statistics.median(ours), 2),
        "bare_ms_median": round(1000 * statistics.median(theirs), 2), "limit": LIMIT,
    }  # fmt: skip
    print(json.dumps(result))
    return 0 if equal and result["ratio_median"] <= LIMIT else 1


def _timed(draw):
    started = time.perf_counter()
    pixels = draw()
    return time.perf_counter() - started, pixels


def _render(engine: FluxEngine, order: RenderOrder) -> np.ndarray:
    return engine.render(order, progress=lambda done, total: None, cancelled=lambda: False).pixels


def _bare(engine: FluxEngine, order: RenderOrder) -> np.ndarray:
    card = engine.models[0]
    image = engine._pipeline(  # the same loaded weights: a second copy would not fit beside a large model
        prompt=order.drawing.prompt,
        height=order.drawing.height,
        width=order.drawing.width,
        num_inference_steps=order.drawing.steps,
        guidance_scale=order.drawing.guidance if card.uses_guidance else 1.0,
        max_sequence_length=card.text_tokens,
        generator=torch.Generator("cpu").manual_seed(order.drawing.seed),
    ).images[0]
    return np.asarray(image)


if __name__ == "__main__":
    sys.exit(main())
