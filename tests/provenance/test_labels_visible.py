"""The visible label: legible over any picture, in every language, at every size, and in nobody's way."""

import json
from typing import get_args

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import features

from provenance.claims import Corner, Operation, VisibleLabel
from provenance.errors import SealError
from provenance.labels import LabelDoesNotFit, check_fits, draw, languages
from provenance.labels.visible import _HERE, LEAST_CONTRAST, LEAST_TEXT_PIXELS, TEXT_HEIGHT, _words, luminance
from provenance.marks.tile_watermark import TileWatermark
from provenance.marks.watermarkers import Pixels
from provenance.sealing import seal
from provenance.verification import verify
from tests.provenance.operators import MARK, Gateway, make_claim
from tests.provenance.pictures import make_picture

OFFICIAL_LANGUAGES_OF_THE_EU = {
    *("bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "ga", "hr"),
    *("hu", "it", "lt", "lv", "mt", "nl", "pl", "pt", "ro", "sk", "sl", "sv"),
}
SIZES = ((256, 256), (1024, 1024), (768, 1344), (1344, 768), (256, 2048))


def flat(width: int, height: int, value: int | tuple[int, int, int]) -> Pixels:
    return np.full((height, width, 3), value, np.uint8)


def changed(before: Pixels, after: Pixels) -> tuple[slice, slice]:
    """The box of the pixels that differ."""
    rows, columns = np.nonzero((before != after).any(axis=2))
    return slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)


def test_every_official_language_of_the_eu_and_those_of_asian_labelling_laws_are_there() -> None:
    wanted = OFFICIAL_LANGUAGES_OF_THE_EU | {"zh", "ja", "ko", "vi"} | ({"hi"} if features.check("raqm") else set())
    assert set(languages()) == wanted
    assert languages()[0] == "en"


@pytest.mark.parametrize("language", sorted(_words()))
def test_the_shipped_font_has_every_glyph_of_a_language(language: str) -> None:
    font, *words = _words()[language]
    (file,) = (_HERE / "fonts").glob(f"{font}.?tf")
    with TTFont(file) as opened:
        assert {ord(letter) for word in words for letter in word} <= opened.getBestCmap().keys()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("operation", get_args(Operation))
def test_the_words_of_every_language_fit(size: tuple[int, int], operation: Operation) -> None:
    for language in languages():
        check_fits(VisibleLabel("text", language), operation, *size)


def test_words_that_do_not_fit_are_refused_and_not_cut(gateway: Gateway) -> None:
    narrow = VisibleLabel("text", "el")
    with pytest.raises(LabelDoesNotFit):
        check_fits(narrow, "generated", 96, 1024)
    with pytest.raises(LabelDoesNotFit):
        check_fits(narrow, "generated", 1024, 20)
    with pytest.raises(SealError, match="does not fit"):
        seal(gateway.sealing, make_picture(1024, 96), make_claim(visible_label=narrow))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["en", "el", "zh", "ko", "sv"])
def test_the_text_is_at_least_a_twentieth_of_the_shortest_side_high(size: tuple[int, int], language: str) -> None:
    ground = flat(*size, 255)
    labelled = draw(ground, VisibleLabel("text", language), "generated")
    plate = labelled[changed(ground, labelled)]
    corners = len(plate) // 5
    rows = np.nonzero((plate[:, corners:-corners].min(axis=2) > 180).any(axis=1))[0]

    assert rows.max() - rows.min() + 1 >= max(LEAST_TEXT_PIXELS, TEXT_HEIGHT * min(size)) - 1  # antialiasing
    assert rows.min() > 0
    assert rows.max() < len(plate) - 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    ends=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    grain=st.sampled_from([1, 4, 16]),
    style=st.sampled_from(["icon", "text"]),
)
def test_ink_and_plate_have_the_contrast_of_wcag_over_any_picture(
    seed: int, ends: tuple[int, int], grain: int, style: str
) -> None:
    coarse = np.random.default_rng(seed).integers(min(ends), max(ends) + 1, (256 // grain, 256 // grain, 3), np.uint8)
    ground = coarse.repeat(grain, 0).repeat(grain, 1)
    label = VisibleLabel(style)  # type: ignore[arg-type]
    shown = draw(ground, label, "generated")
    # Where the ink covers a pixel whole it hides the ground: there two different pictures come out alike.
    mask = draw(flat(256, 256, 0), label, "generated"), draw(flat(256, 256, 255), label, "generated")
    box = changed(flat(256, 256, 0), mask[0])
    inside = tuple(slice(side.start + 6, side.stop - 6) for side in box)  # no round corners
    ink = (mask[0][inside] == 0).all(axis=2)
    plate = (mask[0][inside] == 204).all(axis=2)  # 0.8 of white over black: no letter touches these
    bright = luminance(shown[inside])
    pairs = [
        (max(a, b) + 0.05) / (min(a, b) + 0.05)
        for a in (bright[ink].min(), bright[ink].max())
        for b in (bright[plate].min(), bright[plate].max())
    ]

    assert min(pairs) >= LEAST_CONTRAST


def test_the_plate_is_dark_on_light_ground_and_light_on_dark_ground() -> None:
    for ground, darker in ((flat(256, 256, 240), True), (flat(256, 256, 20), False)):
        shown = draw(ground, VisibleLabel("icon"), "generated")
        plate = shown[changed(ground, shown)][10, 2:8].mean()
        assert bool(plate < ground.mean()) is darker


@pytest.mark.parametrize("corner", get_args(Corner))
def test_only_the_chosen_corner_changes(corner: Corner) -> None:
    ground = make_picture(512, 768)
    rows, columns = changed(ground, draw(ground, VisibleLabel("text", "de", corner), "generated"))

    assert (rows.stop <= 256) is corner.startswith("top")
    assert (columns.stop <= 384) is corner.endswith("left")
    assert rows.start > 0
    assert rows.stop < 512
    assert columns.start > 0
    assert columns.stop < 768


def test_an_edited_picture_says_so() -> None:
    ground = flat(512, 512, 128)
    label = VisibleLabel("text", "fr")

    assert not np.array_equal(draw(ground, label, "generated"), draw(ground, label, "edited"))


def test_the_icon_is_the_same_in_every_language() -> None:
    ground = flat(256, 256, 128)
    assert np.array_equal(
        draw(ground, VisibleLabel("icon", "en"), "generated"), draw(ground, VisibleLabel("icon", "zh"), "edited")
    )


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
def test_a_sealed_file_shows_the_label_says_so_in_its_manifest_and_keeps_its_mark(
    gateway: Gateway, media_type: str
) -> None:
    label = VisibleLabel("text", "de", "bottom_left")
    drawn = make_picture(512, 768)
    file = seal(gateway.sealing, drawn, make_claim(media_type, visible_label=label))  # type: ignore[arg-type]
    found = verify(gateway.without_records(), file.data)

    assert found.detection is not None
    assert found.detection.mark == MARK
    manifest = json.loads(file.manifest_json)["manifests"][file.manifest_id]
    actions = next(a["data"]["actions"] for a in manifest["assertions"] if a["label"] == "c2pa.actions.v2")
    (added,) = (action for action in actions if action["action"] == "c2pa.addedText")
    assert added["digitalSourceType"].endswith("/algorithmicMedia")
    assert "language de, bottom left" in added["description"]
    assert [a["action"] for a in actions] == ["c2pa.created", "c2pa.addedText", "c2pa.watermarked.bound"]


@pytest.mark.parametrize("side", [256, 1024])
@pytest.mark.parametrize("style", ["icon", "text"])
def test_the_tile_mark_is_read_from_a_labelled_picture(side: int, style: str) -> None:
    watermark = TileWatermark(TileWatermark.Options.model_validate({"keys": [{"id": "own", "hex": "07" * 32}]}))
    labelled = draw(make_picture(side, side, 3), VisibleLabel(style, "el"), "generated")  # type: ignore[arg-type]
    found = watermark.detect(watermark.embed(labelled, MARK, watermark.strengths[0]))

    assert found is not None
    assert found.mark == MARK
