"""A second classifier is asked where a first one is unsure; it can add findings and never take one away."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.stations.screening import Screening
from moderation.screening import SecondStage, screen_image_text, screen_prompt, second_stage
from moderation.text.folding import FoldedText
from policies.findings import UNANSWERED, Category, Stage
from policies.zones import Zone
from tests.moderation.test_screening import PIXELS, Part, Reader, causes, finding

ALL = frozenset(map(str, Category))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as executor:
        yield executor


def first(score: float) -> Part:
    return Part(lambda _: (finding("hate", score, name="first"), finding("sexual", 0.0, name="first")), "first")


def guard(answer: Callable[[FoldedText], object] | None = None, *, low: float = 0.3, seconds: float = 5) -> SecondStage:
    part = Part(answer or (lambda _: (finding("sexual", 0.8, name="guard"),)), "guard")
    return SecondStage(part, Zone("first", low, 0.9, seconds), ALL)


@pytest.mark.parametrize("scores", [(0.5, 0.2), (0.2, 0.5), (0.95, 0.5)])
def test_what_was_asked_about_one_of_several_texts_was_asked(
    pool: ThreadPoolExecutor, scores: tuple[float, float]
) -> None:
    found = [
        finding
        for score in scores
        for finding in screen_prompt([first(score)], "a cat", timeout_seconds=5, pool=pool, second=[guard()])
    ]
    assert second_stage(found) == {"guard": "asked"}


@pytest.mark.parametrize(("score", "place"), [(0.2, "below"), (0.3, "asked"), (0.89, "asked"), (0.9, "above")])
def test_the_second_is_asked_in_its_zone_only_and_that_is_a_fact(
    pool: ThreadPoolExecutor, score: float, place: str
) -> None:
    alone = screen_prompt([first(score)], "a cat", timeout_seconds=5, pool=pool)
    found = screen_prompt([first(score)], "a cat", timeout_seconds=5, pool=pool, second=[guard()])
    assert second_stage(found) == {"guard": place}
    assert second_stage(alone) == {}
    assert [(f.category, f.score) for f in found[: len(alone)]] == [(f.category, f.score) for f in alone]
    assert [f.classifier for f in found[len(alone) :]] == (["guard"] if place == "asked" else [])


def fails(_: FoldedText) -> object:
    raise RuntimeError


@pytest.mark.parametrize(
    ("answer", "cause"), [(fails, "error"), (lambda _: (), "empty"), (lambda _: (finding("gore"),), "misattributed")]
)
def test_a_second_that_does_not_answer_is_unanswered(
    pool: ThreadPoolExecutor, answer: Callable[[FoldedText], object], cause: str
) -> None:
    found = screen_prompt([first(0.5)], "a cat", timeout_seconds=5, pool=pool, second=[guard(answer)])
    assert causes(found) == [cause]


def test_the_second_has_its_own_time_and_no_more(pool: ThreadPoolExecutor) -> None:
    release = threading.Event()
    hung = guard(lambda _: release.wait(30), seconds=0.1)
    found = screen_prompt([first(0.5)], "a cat", timeout_seconds=30, pool=pool, second=[hung])
    release.set()
    assert causes(found) == ["timeout"]


def test_a_first_that_uses_up_its_time_leaves_the_second_its_own(pool: ThreadPoolExecutor) -> None:
    release = threading.Event()
    slow = Part(lambda _: release.wait(30), "slow")
    found = screen_prompt([first(0.5), slow], "a cat", timeout_seconds=0.1, pool=pool, second=[guard()])
    release.set()
    assert causes(found) == ["timeout"]
    assert found[-1] == finding("sexual", 0.8, name="guard")


def test_a_silent_first_is_unanswered_and_the_second_is_not_asked(pool: ThreadPoolExecutor) -> None:
    found = screen_prompt([Part(fails, "first")], "a cat", timeout_seconds=5, pool=pool, second=[guard()])
    assert [each.category for each in found] == [UNANSWERED]
    assert second_stage(found) == {"guard": "silent"}


def test_words_in_a_picture_have_a_second_stage_too(pool: ThreadPoolExecutor) -> None:
    found = screen_image_text(
        Reader(lambda: "x"), [first(0.5)], PIXELS, Stage.OUTPUT_IMAGE, timeout_seconds=5, pool=pool, second=[guard()]
    )
    assert [(each.classifier, each.stage) for each in found[2:]] == [("guard", Stage.OUTPUT_IMAGE)]


def test_a_second_counts_as_cover_only_if_nothing_passes_unasked() -> None:
    word = Part(lambda _: (), "first")
    word.categories = frozenset({"hate"})  # type: ignore[misc]
    for low, seen in ((0.3, {"hate"}), (0.0, {"hate", "sexual"})):
        screening = Screening([word], [], [], prompt_seconds=1, image_seconds=1, second_stage=[guard(low=low)])
        assert screening.claims()[Stage.PROMPT] == seen
        screening.close()
