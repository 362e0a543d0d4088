"""The operator's labels: joined with what a request asks for, and refused at start where they cannot be drawn."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import ImageRequest
from gateway.parts import BootError
from gateway.settings import SettingsError, load_settings
from gateway.stations.labelling import Labelling
from gateway.stations.rulebook import rulebook
from gateway.wiring import labelling_of
from inference.drawing import Drawing
from policies.loading import load_policy
from provenance.claims import LabelStyle
from provenance.labels import LabelDoesNotFit, languages

REQUEST = ImageRequest("r", "native", "demo", Drawing("a fox", 7, 256, 256, 1, 0.0), datetime.now(UTC))
STYLES = get_args(LabelStyle)
styles = st.sampled_from(STYLES)


@given(styles, styles)
def test_what_is_drawn_is_the_stronger_of_demand_and_wish(demanded: LabelStyle, asked: LabelStyle) -> None:
    label = Labelling(minimum=demanded).visible(replace(REQUEST, visible_label=asked))
    drawn = "none" if label is None else label.style

    assert STYLES.index(drawn) == max(STYLES.index(demanded), STYLES.index(asked))


def test_a_language_that_is_no_longer_offered_gives_way_to_the_first() -> None:
    waiting = replace(REQUEST, visible_label="text", label_language="mt")
    label = Labelling(languages=("zh", "en")).visible(waiting)

    assert label is not None
    assert label.language == "zh"


def test_a_picture_too_small_for_its_words_is_refused() -> None:
    narrow = replace(
        REQUEST, drawing=replace(REQUEST.drawing, width=64, height=1024), visible_label="text", label_language="fi"
    )
    with pytest.raises(LabelDoesNotFit):
        Labelling().check(narrow)
    Labelling().check(replace(narrow, visible_label="icon"))


def settings(tmp_path: Path, **chosen: Any) -> Labelling:
    settings = load_settings(tmp_path, chosen, environ={})
    return labelling_of(settings, rulebook(load_policy("demo"), {}, jurisdictions=settings.jurisdictions))


def test_the_default_is_three_profiles_no_visible_label_and_every_language(tmp_path: Path) -> None:
    assert settings(tmp_path) == Labelling(("iptc", "california", "eu"), "", "none", languages())


@pytest.mark.parametrize(
    "chosen",
    [
        {"labels": ()},
        {"labels": ("mars",)},
        {"labels": ("china",)},
        {"labels": ("china",), "provider_code": "two words"},
        {"visible_label": "huge"},
    ],
)
def test_settings_that_cannot_be_labelled_with_are_refused(tmp_path: Path, chosen: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"labels|provider_code|visible_label"):
        settings(tmp_path, **chosen)


def test_a_language_without_words_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(BootError, match=r"tlh.*Choose from en, "):
        settings(tmp_path, label_languages=("en", "tlh"))
