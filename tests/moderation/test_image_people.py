"""Whether somebody is in a picture: counted by eye on public photographs, and told where it cannot be known."""

from pathlib import Path

import cv2
import numpy
import pytest
from PIL import Image, ImageOps

from moderation.errors import ClassifierFailed, PartUnusable
from moderation.image_people import PART, People
from policies.evaluate import evaluate
from policies.findings import Fact, Finding, Stage
from policies.loading import load_policy

WITH_A_FACE_OR_FIGURE = ("kodak/kodim04.png", "kodak/kodim12.png", "skimage/astronaut.png", "skimage/camera.png")
HIDDEN_OR_SMALL = ("kodak/kodim05.png", "kodak/kodim09.png", "kodak/kodim10.png")  # helmets; sailors far away


@pytest.fixture(scope="module")
def people() -> People:
    return People(People.Options())


def look(people: People, picture: Image.Image) -> Finding:
    (finding,) = people.classify(numpy.asarray(picture.convert("RGB")), Stage.INPUT_IMAGE)
    assert finding.category == Fact.PERSON
    return finding


def counts_as_somebody(finding: Finding) -> bool:
    """As the floor reads it."""
    hint = [Finding(Fact.EXPOSURE, 0.5, Stage.PROMPT, "terms", "1")]
    said = evaluate(load_policy("default"), hint, stage=Stage.PROMPT, assurance=3, pictures=[[finding]])
    return any(reason.floor for reason in said.reasons)


@pytest.mark.data
@pytest.mark.parametrize("name", WITH_A_FACE_OR_FIGURE)
def test_somebody_is_seen_also_mirrored_and_half_the_size(people: People, shared_data: Path, name: str) -> None:
    picture = Image.open(shared_data / "photos" / name)
    assert counts_as_somebody(look(people, picture))
    assert counts_as_somebody(look(people, ImageOps.mirror(picture.convert("RGB"))))


@pytest.mark.data
@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_face_is_seen_however_the_picture_is_turned(people: People, shared_data: Path, turn: int) -> None:
    picture = Image.open(shared_data / "photos" / "skimage" / "astronaut.png")
    assert counts_as_somebody(look(people, picture.rotate(turn, expand=True)))


@pytest.mark.data
@pytest.mark.slow
def test_the_figures_in_the_module_are_these(people: People, shared_data: Path) -> None:
    files = sorted(file for file in (shared_data / "photos").glob("*/*") if file.suffix in (".png", ".jpg"))
    found = {f"{file.parent.name}/{file.name}": counts_as_somebody(look(people, Image.open(file))) for file in files}
    assert [found[name] for name in WITH_A_FACE_OR_FIGURE] == [True] * 4
    assert [found[name] for name in HIDDEN_OR_SMALL] == [False] * 3
    others = [seen for name, seen in found.items() if name not in WITH_A_FACE_OR_FIGURE + HIDDEN_OR_SMALL]
    assert (len(others), sum(others)) == (18, 8)


def test_an_empty_picture_shows_nobody_and_one_too_small_does_not_tell(people: People) -> None:
    blank = look(people, Image.new("RGB", (300, 200), "white"))
    assert dict(blank.facts) == {"seen": "nobody"}
    assert not counts_as_somebody(blank)
    for size in ((8, 8), (2000, 10), (1, 1)):
        tiny = look(people, Image.new("RGB", size, "white"))
        assert dict(tiny.facts) == {"seen": "too_small"}
        assert counts_as_somebody(tiny)


@pytest.mark.parametrize("pixels", [numpy.zeros((4, 4)), numpy.zeros((4, 4, 4), numpy.uint8), numpy.zeros((0, 4, 3))])
def test_anything_but_rgb_bytes_is_not_looked_at(people: People, pixels: numpy.ndarray) -> None:
    with pytest.raises(ClassifierFailed):
        people.classify(pixels, Stage.INPUT_IMAGE)


def test_an_opencv_without_detectors_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(PartUnusable, match=r"opencv-python>=4.10,<5") as refusal:
        People(People.Options())
    assert PART in str(refusal.value)
