"""The nudity detector, on pictures that show none: it stays quiet, sees people, and states its licence."""

import builtins
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from moderation.errors import ClassifierFailed, PartUnusable
from moderation.image_nudity import EXPOSED, Nudity
from policies.findings import Category, Fact, Stage


@pytest.fixture(scope="module")
def nudity() -> Nudity:
    pytest.importorskip("nudenet", reason="the extra `nudity` is not installed")
    return Nudity(Nudity.Options())


def look(nudity: Nudity, picture: Image.Image) -> dict[str, float]:
    found = nudity.classify(numpy.asarray(picture.convert("RGB")), Stage.OUTPUT_IMAGE)
    assert {finding.category for finding in found} == nudity.categories
    return {finding.category: finding.score for finding in found}


@pytest.mark.data
def test_photographs_without_nudity_are_quiet_and_people_in_them_are_seen(nudity: Nudity, shared_data: Path) -> None:
    photos = {file.name: file for file in (shared_data / "photos").glob("*/*") if file.suffix in (".png", ".jpg")}
    scores = {name: look(nudity, Image.open(file)) for name, file in photos.items()}
    assert [name for name, score in scores.items() if score[Category.SEXUAL] >= 0.6] == []
    for name in ("kodim04.png", "astronaut.png"):
        assert scores[name][Fact.PERSON] >= 0.5
    for name in ("brick.png", "coffee.png", "kodim02.png"):
        assert scores[name][Fact.PERSON] == 0.0


def test_the_classes_it_counts_are_the_packages(nudity: Nudity) -> None:
    import nudenet.nudenet as package

    assert set(package.__dict__["__labels"]) >= EXPOSED


def test_it_names_release_weights_and_licence(nudity: Nudity) -> None:
    assert "+sha256." in nudity.version
    assert nudity.licence.startswith("AGPL-3.0")


@pytest.mark.parametrize("pixels", [numpy.zeros((9, 9)), numpy.zeros((64, 8, 3), numpy.uint8), numpy.zeros((0, 4, 3))])
def test_what_it_cannot_see_it_does_not_pass(nudity: Nudity, pixels: numpy.ndarray) -> None:
    with pytest.raises(ClassifierFailed):
        nudity.classify(pixels, Stage.OUTPUT_IMAGE)


def test_without_the_extra_it_is_refused_with_the_command_and_the_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "nudenet":
            raise ImportError(name)
        return found(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PartUnusable, match=r"AGPL-3.0: pip install 'fluxgate\[nudity\]'"):
        Nudity(Nudity.Options())
