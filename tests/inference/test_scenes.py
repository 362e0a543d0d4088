"""Scenes of pictograms: equal seeds, honest hold-outs, captions that say what is there."""

import json
import random
from importlib.resources import files

import numpy as np
import pytest
from PIL import ImageFont

from inference.demo.training.captions import describe, every_word
from inference.demo.training.datasets import save_dataset
from inference.demo.training.glyphs import CATEGORIES, glyph_number, glyph_table
from inference.demo.training.matcher import find_glyphs, names_are_found
from inference.demo.training.rendering import FONT, paint
from inference.demo.training.scenes import CELLS, Scene, Subject, is_pair_held_out, scenes

needs_font = pytest.mark.skipif(not FONT.is_file(), reason=f"{FONT} is not installed: it is needed for training only")


def test_equal_seeds_give_equal_scenes_and_captions() -> None:
    def once() -> list[tuple[Scene, str]]:
        stream = random.Random(3)
        return [(scene, describe(scene, stream).text) for scene in scenes(3, 50)]

    assert once() == once()
    assert list(scenes(3, 50)) != list(scenes(4, 50))


def test_training_never_shows_a_held_out_combination_and_evaluation_always_does() -> None:
    assert not any(scene.is_held_out for scene in scenes(1, 3000))
    assert all(scene.is_held_out for scene in scenes(1, 100, held_out=True))


def test_one_pair_in_ten_is_held_out_in_either_order() -> None:
    count = len(glyph_table())
    pairs = [(first, second) for first in range(count) for second in range(first)]
    held_out = [pair for pair in pairs if is_pair_held_out(*pair)]
    assert 0.08 < len(held_out) / len(pairs) < 0.12
    assert all(is_pair_held_out(second, first) for first, second in held_out)


def test_subjects_stay_inside_the_picture_and_apart_from_each_other() -> None:
    for scene in scenes(5, 2000):
        taken = np.zeros((CELLS, CELLS), int)
        for subject in scene.subjects:
            assert subject.row >= 0
            assert subject.column >= 0
            assert max(subject.row, subject.column) + subject.size <= CELLS
            taken[subject.row : subject.row + subject.size, subject.column : subject.column + subject.size] += 1
        assert taken.max() == 1


def test_spans_of_a_caption_hold_the_nouns_of_their_subjects() -> None:
    stream = random.Random(8)
    for scene in scenes(8, 500):
        caption = describe(scene, stream)
        for subject, (begin, end) in zip(scene.subjects, caption.subjects, strict=True):
            assert any(noun in caption.text[begin:end] for noun in glyph_table()[subject.glyph].nouns)
        assert bool(caption.text[slice(*caption.ground)]) == scene.said_ground


def test_every_word_of_a_caption_is_in_the_list_the_tokenizers_are_made_of() -> None:
    known, stream = set(every_word()), random.Random(9)
    for scene in scenes(9, 1000):
        assert set(describe(scene, stream).text.replace(",", " ").replace(":", " ").split()) <= known


def test_every_screened_category_has_glyphs_and_most_glyphs_are_harmless() -> None:
    labels = [glyph.category for glyph in glyph_table()]
    assert set(CATEGORIES) == set(labels) - {None}
    assert labels.count(None) > len(labels) / 2


@needs_font
def test_a_picture_is_the_same_each_time_and_a_dataset_holds_its_labels(tmp_path) -> None:
    dagger = Scene((Subject(glyph_number("dagger"), None, 2, 2, 4),), "alone", "plain teal")
    assert np.array_equal(paint(dagger), paint(dagger))
    save_dataset([dagger], tmp_path / "set.npz", seed=1, side=64)
    with np.load(tmp_path / "set.npz") as data:
        assert data["images"].shape == (1, 64, 64, 3)
        assert data["glyphs"].tolist() == [[glyph_number("dagger"), -1, -1]]
        assert [str(data["category_names"][n]) for n in np.flatnonzero(data["categories"][0])] == ["weapons"]


@needs_font
def test_the_matcher_finds_what_was_painted_and_does_not_find_what_was_not() -> None:
    for scene in scenes(12, 3, held_out=True):
        finds = find_glyphs(paint(scene), scene.ground, scene.morning, len(scene.subjects))
        assert names_are_found(scene, finds)
    fox = Scene((Subject(glyph_number("fox"), None, 2, 2, 4),), "alone", "night")
    cat = Scene((Subject(glyph_number("cat"), None, 2, 2, 4),), "alone", "night")
    assert not names_are_found(cat, find_glyphs(paint(fox), "night", False, 1))
    bare = Scene((), "alone", "night")
    assert not names_are_found(fox, find_glyphs(paint(bare), "night", False, 1))


@needs_font
def test_the_rows_for_a_wider_table_fit_it_and_the_font_has_their_glyphs() -> None:
    known = {noun for glyph in glyph_table() for noun in (*glyph.nouns, glyph.name)}
    font = ImageFont.truetype(str(FONT), 109)
    for row in json.loads(files("inference.demo.training").joinpath("more_glyphs.json").read_text("utf-8")):
        words = {row["name"], *row["nouns"]}
        assert not words & known, row["name"]
        known |= words
        assert font.getmask(row["glyph"]).getbbox() is not None, row["name"]
