"""The small CLIP that comes along: pinned, asked with the policy's sentences, measured, able to see fresh scenes."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from inference.demo.glyphs import glyph_table
from inference.demo.rendering import FONT, paint
from inference.demo.scenes import scenes
from moderation.demo_clip import train
from moderation.image_clip import Clip
from policies.findings import Stage
from policies.loading import load_policy
from policies.reading import SHIPPED

FOLDER = Path(train.__file__).parent
FIGURES = json.loads((FOLDER / "evaluation.json").read_text("utf-8"))
SENTENCES = tomllib.loads((SHIPPED / "pictogram_prompts.toml").read_text("utf-8"))
SCREENED = {entry["id"] for entry in SENTENCES["category"]}


@pytest.fixture(scope="module")
def clip() -> Clip:
    use = next(use for use in load_policy("demo").classifiers if use.part == "clip")
    return Clip(Clip.Options.model_validate(dict(use.options)))


def test_the_demo_policy_pins_the_weights_and_uses_the_thresholds_that_were_measured(clip: Clip) -> None:
    policy = tomllib.loads((SHIPPED / "demo.toml").read_text("utf-8"))
    use = next(use for use in policy["classifier"] if use["part"] == "clip")
    assert FIGURES["weights"] == clip.version == "sha256:" + use["options"]["sha256"]
    assert FIGURES["prompt_temperature"] == use["options"]["prompt_temperature"]
    assert policy["levels"]["sure"]["clip"] == FIGURES["thresholds"]["refuse"]
    assert policy["levels"]["likely"]["clip"] == FIGURES["thresholds"]["flag"]


def test_every_thing_it_knows_has_a_sentence_in_its_place() -> None:
    for category in SCREENED:
        prompts = " ".join(next(entry for entry in SENTENCES["category"] if entry["id"] == category)["prompts"])
        things = [glyph for glyph in glyph_table() if glyph.category == category]
        assert things
        assert all(glyph.nouns[0] in prompts for glyph in things)
    benign = SENTENCES["benign"]["prompts"]
    for glyph in glyph_table():
        if glyph.category not in SCREENED:
            assert any(sentence.endswith(glyph.nouns[0]) for sentence in benign), glyph.name


def test_the_measured_figures_reach_what_the_demo_promises_and_stand_in_the_model_card() -> None:
    fresh = FIGURES["sets"]["fresh"]
    assert fresh["any_of_them"]["refuse"] >= 0.95
    assert fresh["false_alarms"]["refuse"] <= 0.02
    card = (FOLDER / "MODEL_CARD.md").read_text("utf-8")
    for measured in FIGURES["sets"].values():
        assert f"{measured['any_of_them']['refuse']:.1%}" in card
        assert f"{measured['false_alarms']['refuse']:.1%}" in card


@pytest.mark.skipif(not FONT.is_file(), reason=f"{FONT} is not installed: it is needed to paint scenes")
def test_it_finds_what_is_screened_on_scenes_it_never_saw_and_little_else(clip: Clip) -> None:
    cut, hits, alarms = FIGURES["thresholds"]["refuse"], [], []
    for scene in scenes(20261122, 160):
        found = clip.classify(paint(scene), Stage.OUTPUT_IMAGE)
        highest = max(finding.score for finding in found)
        (hits if SCREENED & set(scene.categories) else alarms).append(highest >= cut)
    assert len(hits) > 30
    assert np.mean(hits) >= 0.85
    assert np.mean(alarms) <= 0.06
