"""The pictogram model that comes along: whole, small, the same every time, and able to draw what it is asked for."""

import json
from pathlib import Path

import numpy as np
import pytest

from inference.demo import WEIGHTS
from inference.demo.training.evaluate import FIGURES, Artist, accuracy, draw_all, measured_scenes
from inference.demo.training.matcher import find_glyphs, names_are_found
from inference.demo.training.rendering import FONT
from inference.demo.training.scenes import Scene, Subject
from inference.flux.weights import PINS, check_pins, locate, take_digest

needs_font = pytest.mark.skipif(not FONT.is_file(), reason=f"{FONT} is not installed: it is needed to judge drawings")


@pytest.fixture(scope="module")
def artist() -> Artist:
    return Artist(WEIGHTS)


def test_its_files_are_the_pinned_ones_and_take_less_than_30_megabytes() -> None:
    check_pins(take_digest(locate(str(WEIGHTS))), WEIGHTS / PINS)
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 30_000_000


def test_it_says_what_it_is(artist: Artist) -> None:
    assert artist.card.id == "fluxgate/pictograms"
    assert artist.card.trained
    assert "Pictogram" in artist.card.description
    assert "not FLUX.1" in artist.card.description


def test_equal_seeds_draw_equal_pixels_and_others_may_choose_another_ground(artist: Artist) -> None:
    once, again = artist.draw("a fox", 5), artist.draw("a fox", 5)
    assert np.array_equal(once, again)
    corners = {tuple((artist.draw("a fox", seed)[0, 0] // 48).tolist()) for seed in range(6)}
    assert len(corners) > 1


@needs_font
def test_it_draws_a_fox_and_a_red_balloon_at_night(artist: Artist) -> None:
    from inference.demo.training.glyphs import glyph_number

    fox = Subject(glyph_number("fox"), None, 2, 0, 4)
    balloon = Subject(glyph_number("balloon"), "red", 2, 4, 4)
    night = Scene((fox, balloon), "and", "night")
    finds = find_glyphs(artist.draw("a fox and a red balloon at night", 0), "night", False, 2)
    assert names_are_found(night, finds)


@needs_font
def test_it_draws_captions_of_combinations_that_training_never_showed(artist: Artist) -> None:
    measured = accuracy(draw_all(artist, measured_scenes(8, held_out=True), "held out"))
    assert measured["captions_right"] >= 0.5, measured


def test_the_figures_are_those_of_these_weights_and_stand_in_the_model_card() -> None:
    figures = json.loads(FIGURES.read_text("utf-8"))
    assert figures["weights"] == take_digest(locate(str(WEIGHTS))).digest
    card = Path(FIGURES.parent, "MODEL_CARD.md").read_text("utf-8")
    for name in ("held_out_combinations", "seen_combinations"):
        for judge in ("template_matcher", "judge"):
            share = figures[name][judge]["captions_right"]
            assert f"{share:.1%}" in card, f"{name}, {judge}: the card does not say {share:.1%}"
    assert figures["held_out_combinations"]["template_matcher"]["captions_right"] >= 0.70
