"""Measures the shipped model on combinations it never saw, and draws what a reader should look at.

    python -m inference.demo.training.evaluate  figures and contact sheet beside this file
    python -m inference.demo.training.evaluate --judge package.module:function    with a second judge's opinion

A caption counts as drawn if the named glyphs are the likeliest in the picture, in the named colours, by the template
matcher (`matcher`). A judge is any function (pictures: list of (256, 256, 3) uint8, texts: list of str) -> array
(pictures, texts) of likeness; it counts a caption if the named nouns are likelier than all other glyphs' nouns.
"""

import argparse
import importlib
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inference.demo import WEIGHTS
from inference.demo.training.captions import describe
from inference.demo.training.checkpoints import load_checkpoint
from inference.demo.training.glyphs import glyph_table
from inference.demo.training.matcher import find_glyphs, names_are_found
from inference.demo.training.rendering import Pixels, paint
from inference.demo.training.scenes import Scene, draw_scene
from inference.drawing import Drawing
from inference.engines import RenderOrder

HERE = Path(__file__).parents[1]
FIGURES = HERE / "evaluation.json"
SHEET = HERE / "contact_sheet.png"
CURVES = HERE / "training_curves.png"

DEMO_PROMPTS = ("a red apple on a wooden table in morning light", "a fox and a red balloon at night")
_SHEET_SEED = 2026
_MEASURE_SEED = 4711
_SIDE = 112  # of a picture on the contact sheet

Judge = Callable[[list[Pixels], list[str]], Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A scene, the caption it was ordered by, and what came back."""

    scene: Scene
    caption: str
    pixels: Pixels


class Artist:
    """The engine `flux` on a model folder, with the defaults of its card."""

    def __init__(self, folder: Path, threads: int = 2) -> None:
        # Imported here: loads torch and diffusers, which looking at scenes does not need.
        from inference.flux.engine import FluxEngine

        self._engine = FluxEngine(FluxEngine.Options(model=str(folder), device="cpu", cpu_threads=threads))
        self.card = self._engine.models[0]
        self.seconds: list[float] = []

    def draw(self, prompt: str, seed: int) -> Pixels:
        """One picture of the default size."""
        height, width = self.card.default_size
        drawing = Drawing(prompt, seed, width, height, self.card.default_steps, self.card.default_guidance)
        order = RenderOrder(drawing, self.card.id)
        rendering = self._engine.render(order, progress=lambda step, steps: None, cancelled=lambda: False)
        self.seconds.append(rendering.seconds)
        return rendering.pixels


def measured_scenes(count: int, *, held_out: bool) -> list[tuple[Scene, str]]:
    """Fresh scenes whose captions name the ground, so that the matcher knows what lies behind; always the same."""
    stream = random.Random(f"{_MEASURE_SEED} {held_out}")
    found: list[tuple[Scene, str]] = []
    while len(found) < count:
        scene = draw_scene(stream, held_out=held_out)
        if scene.said_ground:
            found.append((scene, describe(scene, stream).text))
    return found


def accuracy(drawn: Sequence[Drawn]) -> dict[str, Any]:
    """Shares of captions drawn rightly, by the matcher; `subjects_found`: of subjects that are among the finds."""
    right, found, named = [], 0, 0
    by_number: dict[int, list[bool]] = {}
    for picture in drawn:
        finds = find_glyphs(picture.pixels, picture.scene.ground, picture.scene.morning, len(picture.scene.subjects))
        right.append(names_are_found(picture.scene, finds))
        by_number.setdefault(len(picture.scene.subjects), []).append(right[-1])
        seen = {find.glyph for find in finds}
        found += sum(subject.glyph in seen for subject in picture.scene.subjects)
        named += len(picture.scene.subjects)
    return {
        "captions": len(right),
        "captions_right": round(float(np.mean(right)), 4),
        "subjects": named,
        "subjects_found": round(found / named, 4),
        "captions_right_by_number_of_subjects": {
            str(number): round(float(np.mean(results)), 4) for number, results in sorted(by_number.items())
        },
    }


def judged(drawn: Sequence[Drawn], judge: Judge) -> dict[str, Any]:
    """The same question put to `judge`: are the named nouns the likeliest of all glyphs'?"""
    nouns = [glyph.nouns[0] for glyph in glyph_table()]
    likeness = np.asarray(judge([picture.pixels for picture in drawn], nouns))
    right = []
    for picture, row in zip(drawn, likeness, strict=True):
        named = {subject.glyph for subject in picture.scene.subjects}
        right.append(set(np.argsort(row)[::-1][: len(named)].tolist()) == named)
    return {"captions": len(right), "captions_right": round(float(np.mean(right)), 4)}


def draw_all(artist: Artist, wanted: Sequence[tuple[Scene, str]], title: str) -> list[Drawn]:
    """One picture per caption, seeds counting up."""
    drawn = []
    for seed, (scene, caption) in enumerate(wanted):
        drawn.append(Drawn(scene, caption, artist.draw(caption, seed)))
        print(f"\r{title}: {seed + 1} of {len(wanted)}", end="", flush=True)
    print()
    return drawn


def write_figures(folder: Path, *, count: int = 200, judge: Judge | None = None, with_sheet: bool = True) -> None:
    """Measures `folder` and writes `evaluation.json`, and the contact sheet."""
    artist = Artist(folder)
    figures: dict[str, Any] = {"model": artist.card.id, "weights": artist.card.weights_digest, "seed": _MEASURE_SEED}
    for name, held_out, share in (("held_out_combinations", True, 1.0), ("seen_combinations", False, 0.5)):
        wanted = measured_scenes(int(count * share), held_out=held_out)
        drawn = draw_all(artist, wanted, name.replace("_", " "))
        figures[name] = {"template_matcher": accuracy(drawn)}
        perfect = [Drawn(scene, caption, paint(scene)) for scene, caption in wanted]
        figures[name]["template_matcher_on_true_pictures"] = accuracy(perfect)
        if judge is not None:
            figures[name]["judge"] = judged(drawn, judge)
            figures[name]["judge_on_true_pictures"] = judged(perfect, judge)
    figures["seconds_per_picture"] = {
        "median": round(float(np.median(artist.seconds)), 3),
        "slowest": round(max(artist.seconds), 3),
        "what": f"256x256, {artist.card.default_steps} steps, two CPU threads",
    }
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))
    if with_sheet:
        write_sheet(artist)


def sheet_prompts() -> list[str]:
    """48 prompts: the demo's two, then the first of a stream, half of them held-out combinations. Nothing is picked."""
    stream = random.Random(_SHEET_SEED)
    rest = [describe(draw_scene(stream, held_out=number % 2 == 1), stream).text for number in range(46)]
    return [*DEMO_PROMPTS, *rest]


def write_sheet(artist: Artist) -> None:
    """Draws 48 prompts with seeds 0 to 3 each, as one picture with the words under them."""
    columns, words, font = 4, 30, ImageFont.load_default(11)
    prompts = sheet_prompts()
    cell_width, cell_height = 4 * _SIDE + 8, _SIDE + words
    sheet = Image.new("RGB", (columns * cell_width, -(-len(prompts) // columns) * cell_height), "white")
    pen = ImageDraw.Draw(sheet)
    for number, prompt in enumerate(prompts):
        left, top = number % columns * cell_width, number // columns * cell_height
        for seed in range(4):
            picture = Image.fromarray(np.asarray(artist.draw(prompt, seed))).resize(
                (_SIDE, _SIDE), Image.Resampling.BOX
            )
            sheet.paste(picture, (left + seed * _SIDE, top))
        half = prompt.rfind(" ", 0, 76) if len(prompt) > 76 else len(prompt)
        pen.multiline_text(
            (left + 2, top + _SIDE + 1), prompt[:half] + "\n" + prompt[half:].strip(), "black", font, spacing=1
        )
        print(f"\rcontact sheet: {number + 1} of {len(prompts)}", end="", flush=True)
    print()
    sheet.quantize(256, dither=Image.Dither.NONE).save(SHEET, optimize=True)


def write_curves(run: Path) -> None:
    """Losses of a training run over its steps, as a picture."""
    flux, text, codec = (load_checkpoint(run / name) or {} for name in ("flux.pt", "text.pt", "autoencoder.pt"))
    curves = {
        "text encoders, first lesson": text.get("curve", []),
        "autoencoder: decoder": codec.get("decoder", {}).get("curve", []),
        "autoencoder: encoder": codec.get("encoder", {}).get("curve", []),
        "transformer, rectified flow": flux.get("curve", []),
    }
    width, height = 480, 260
    picture = Image.new("RGB", (2 * width, 2 * height), "white")
    for number, (title, points) in enumerate(curves.items()):
        _plot(ImageDraw.Draw(picture), (number % 2 * width, number // 2 * height, width, height), title, points)
    picture.quantize(16, dither=Image.Dither.NONE).save(CURVES, optimize=True)


def _plot(pen: Any, frame: tuple[int, int, int, int], title: str, points: Sequence[Sequence[float]]) -> None:
    """One curve, the loss on a logarithmic scale."""
    left, top, width, height = frame
    font = ImageFont.load_default(12)
    pen.text((left + 50, top + 6), title, "black", font)
    x0, y0, x1, y1 = left + 50, top + 28, left + width - 16, top + height - 28
    pen.rectangle((x0, y0, x1, y1), outline="grey")
    if len(points) < 2:
        return
    steps, losses = np.array([point[0] for point in points]), np.log(np.array([point[1] for point in points]))
    low, high = losses.min(), losses.max()
    across = x0 + (x1 - x0) * (steps - steps[0]) / (steps[-1] - steps[0])
    down = y1 - (y1 - y0) * (losses - low) / max(high - low, 1e-6)
    pen.line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=(40, 90, 200), width=2)
    pen.text((left + 6, y0), f"{np.exp(high):.3g}", "black", font)
    pen.text((left + 6, y1 - 12), f"{np.exp(low):.3g}", "black", font)
    pen.text((x1 - 90, y1 + 6), f"step {int(steps[-1])}", "black", font)


def judge_of(name: str | None) -> Judge | None:
    """The judge called `module:function`, if one is named."""
    if name is None:
        return None
    module, _, function = name.partition(":")
    judge: Judge = getattr(importlib.import_module(module), function)
    return judge


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=WEIGHTS, help="model folder (default: the shipped one)")
    parser.add_argument(
        "--count", type=int, default=200, help="held-out captions; half as many seen ones (default 200)"
    )
    parser.add_argument("--judge", help="a second judge, module:function")
    parser.add_argument("--no-sheet", action="store_true", help="figures only")
    arguments = parser.parse_args()
    began = time.monotonic()
    judge = judge_of(arguments.judge)
    write_figures(arguments.model, count=arguments.count, judge=judge, with_sheet=not arguments.no_sheet)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
