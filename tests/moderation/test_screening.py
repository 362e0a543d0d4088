"""Silence is never consent: whatever a part does instead of answering becomes an `unanswered` finding."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest

from moderation.classifiers import ImageClassifier, ImageTextReader, Pixels, PromptClassifier
from moderation.lanes import CALLS_AT_ONCE
from moderation.screening import screen_image, screen_image_text, screen_prompt
from moderation.text.folding import FoldedText
from policies.findings import UNANSWERED, Finding, Stage

SECRET = "the words of the prompt"
PIXELS = numpy.zeros((8, 8, 3), numpy.uint8)


class Part:
    """A prompt classifier whose answer is given to it."""

    version = "1"
    categories = frozenset({"hate", "sexual"})

    def __init__(self, answer: Callable[[FoldedText], object], name: str = "part") -> None:
        self.name = name
        self._answer = answer

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        return self._answer(text)  # type: ignore[return-value]


class ImagePart(Part):
    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:  # type: ignore[override]
        return (Finding("sexual", 0.25, stage, self.name, self.version),)


class Reader:
    name = "reader"
    version = "1"

    def __init__(self, words: Callable[[], object]) -> None:
        self._words = words

    def read(self, pixels: Pixels) -> str:
        return self._words()  # type: ignore[return-value]


def finding(category: str = "hate", score: float = 0.1, stage: Stage = Stage.PROMPT, name: str = "part") -> Finding:
    return Finding(category, score, stage, name, "1")


def fails(_: FoldedText) -> object:
    raise RuntimeError(SECRET)


def leaves(_: FoldedText) -> object:
    raise SystemExit(SECRET)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as executor:
        yield executor


def causes(findings: tuple[Finding, ...]) -> list[str]:
    return [dict(each.facts)["cause"] for each in findings if each.category == UNANSWERED]


def test_answers_come_in_the_order_of_the_classifiers_then_by_category(pool: ThreadPoolExecutor) -> None:
    def slow(_: FoldedText) -> object:
        time.sleep(0.05)
        return (finding("sexual", name="first"), finding("hate", name="first"))

    parts = [Part(slow, "first"), Part(lambda _: (finding(name="second"),), "second")]
    found = screen_prompt(parts, "a cat", timeout_seconds=5, pool=pool)
    assert [(each.classifier, each.category) for each in found] == [
        ("first", "hate"),
        ("first", "sexual"),
        ("second", "hate"),
    ]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (fails, "error"),
        (leaves, "error"),
        (lambda _: (), "empty"),
        (lambda _: None, "malformed"),
        (lambda _: "no", "malformed"),
        (lambda _: (0.3,), "malformed"),
        (lambda _: (finding("gore"),), "unclaimed"),
        (lambda _: (finding(stage=Stage.OUTPUT_IMAGE),), "wrong_stage"),
        (lambda _: (finding(name="somebody else"),), "misattributed"),
    ],
)
def test_anything_but_an_answer_is_unanswered(
    answer: Callable[[FoldedText], object], cause: str, pool: ThreadPoolExecutor
) -> None:
    found = screen_prompt([Part(answer)], "a cat", timeout_seconds=5, pool=pool)
    assert [each.category for each in found] == [UNANSWERED]
    assert causes(found) == [cause]


def test_a_sound_finding_beside_an_unsound_one_is_kept(pool: ThreadPoolExecutor) -> None:
    part = Part(lambda _: (finding("gore", 0.2), finding("hate", 0.9)))
    found = screen_prompt([part], "a cat", timeout_seconds=5, pool=pool)
    assert [(each.category, each.score) for each in found] == [("hate", 0.9), (UNANSWERED, 1.0)]


def test_a_classifier_may_say_itself_that_it_could_not_answer(pool: ThreadPoolExecutor) -> None:
    own = Finding(UNANSWERED, 1.0, Stage.PROMPT, "part", "1", (("cause", "weights"),))
    assert screen_prompt([Part(lambda _: (own,))], "a cat", timeout_seconds=5, pool=pool) == (own,)


def test_one_failing_classifier_does_not_silence_the_others(pool: ThreadPoolExecutor) -> None:
    parts = [Part(fails, "broken"), Part(lambda _: (finding(),))]
    found = screen_prompt(parts, "a cat", timeout_seconds=5, pool=pool)
    assert [each.category for each in found] == [UNANSWERED, "hate"]


def test_a_hanging_classifier_is_unanswered_at_the_shared_deadline(pool: ThreadPoolExecutor) -> None:
    release = threading.Event()
    parts = [Part(lambda _: release.wait(10), f"slow{number}") for number in range(3)]
    start = time.monotonic()
    found = screen_prompt(parts, "a cat", timeout_seconds=0.2, pool=pool)
    taken = time.monotonic() - start
    release.set()
    assert causes(found) == ["timeout"] * 3
    assert taken < 0.5  # one deadline for all three, not one each


def test_a_hung_classifier_holds_only_its_own_places_and_is_then_called_busy() -> None:
    release = threading.Event()
    hung = Part(lambda _: release.wait(30), "hung")
    sound = Part(lambda _: (finding(name="sound"),), "sound")
    with ThreadPoolExecutor(CALLS_AT_ONCE + 1) as pool:  # one thread more than the hung part can take
        crowd = [
            threading.Thread(target=screen_prompt, args=([hung], "x"), kwargs={"timeout_seconds": 0.1, "pool": pool})
            for _ in range(CALLS_AT_ONCE * 3)
        ]
        for each in crowd:
            each.start()
        for each in crowd:
            each.join()
        start = time.monotonic()
        found = screen_prompt([hung, sound], "a cat", timeout_seconds=5, pool=pool)
        taken = time.monotonic() - start
        release.set()
    assert causes(found) == ["busy"]
    assert found[1] == finding(name="sound")
    assert taken < 1


def test_a_classifier_that_comes_back_is_asked_again(pool: ThreadPoolExecutor) -> None:
    release = threading.Event()

    def answer(_: FoldedText) -> object:
        release.wait(30)
        return (finding(),)

    part = Part(answer)
    for _ in range(CALLS_AT_ONCE):
        assert causes(screen_prompt([part], "a cat", timeout_seconds=0.05, pool=pool)) == ["timeout"]
    assert causes(screen_prompt([part], "a cat", timeout_seconds=0.05, pool=pool)) == ["busy"]
    release.set()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = screen_prompt([part], "a cat", timeout_seconds=1, pool=pool)
        if found == (finding(),):
            return
    pytest.fail("the classifier stayed busy after its calls had returned")


def test_more_callers_than_places_are_all_answered(pool: ThreadPoolExecutor) -> None:
    part = Part(lambda _: (finding(),))
    results: list[tuple[Finding, ...]] = []
    crowd = [
        threading.Thread(target=lambda: results.append(screen_prompt([part], "a cat", timeout_seconds=10, pool=pool)))
        for _ in range(40)
    ]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert results == [(finding(),)] * 40


def test_a_pool_that_was_shut_down_answers_nothing_and_raises_nothing() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    found = screen_prompt([Part(lambda _: (finding(),))], "a cat", timeout_seconds=5, pool=pool)
    assert causes(found) == ["error"]


def test_nothing_of_the_prompt_or_of_an_exception_reaches_the_log(
    pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        screen_prompt([Part(fails), Part(lambda _: (), "other")], SECRET, timeout_seconds=5, pool=pool)
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


def test_a_classifier_gets_the_whole_of_a_long_text(pool: ThreadPoolExecutor) -> None:
    seen: list[FoldedText] = []

    def answer(text: FoldedText) -> object:
        seen.append(text)
        return (finding(),)

    text = "a word " * 5000 + "the last"
    screen_prompt([Part(answer)], text, timeout_seconds=5, pool=pool)
    assert seen[0].original == text
    assert seen[0].folded.endswith("the last")


def test_no_classifiers_is_an_error_not_a_pass(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(ValueError, match="no classifiers"):
        screen_prompt([], "a cat", timeout_seconds=5, pool=pool)
    with pytest.raises(ValueError, match="no classifiers"):
        screen_image([], PIXELS, Stage.OUTPUT_IMAGE, timeout_seconds=5, pool=pool)
    with pytest.raises(ValueError, match="no prompt classifiers"):
        screen_image_text(Reader(lambda: ""), [], PIXELS, Stage.OUTPUT_IMAGE, timeout_seconds=5, pool=pool)


def test_pictures_are_screened_at_the_stage_they_came_from(pool: ThreadPoolExecutor) -> None:
    part: ImageClassifier = ImagePart(lambda _: None)  # type: ignore[assignment]
    found = screen_image([part], PIXELS, Stage.INPUT_IMAGE, timeout_seconds=5, pool=pool)
    assert found == (finding("sexual", 0.25, Stage.INPUT_IMAGE),)
    with pytest.raises(ValueError, match="image stage"):
        screen_image([part], PIXELS, Stage.PROMPT, timeout_seconds=5, pool=pool)


def test_words_in_a_picture_are_findings_of_the_image_stage(pool: ThreadPoolExecutor) -> None:
    seen: list[str] = []

    def answer(text: FoldedText) -> object:
        seen.append(text.folded)
        return (finding("hate", 0.7),)

    reader: ImageTextReader = Reader(lambda: "WORDS")
    found = screen_image_text(reader, [Part(answer)], PIXELS, Stage.OUTPUT_IMAGE, timeout_seconds=5, pool=pool)
    assert seen == ["words"]
    assert [(each.category, each.score, each.stage) for each in found] == [("hate", 0.7, Stage.OUTPUT_IMAGE)]
    assert ("read_by", "reader") in found[0].facts


@pytest.mark.parametrize(
    ("words", "cause"), [(lambda: 1 / 0, "error"), (lambda: None, "malformed"), (lambda: time.sleep(1), "timeout")]
)
def test_a_reader_that_cannot_read_is_unanswered(
    words: Callable[[], object], cause: str, pool: ThreadPoolExecutor
) -> None:
    parts = [Part(lambda _: (finding(),))]
    found = screen_image_text(Reader(words), parts, PIXELS, Stage.OUTPUT_IMAGE, timeout_seconds=0.3, pool=pool)
    assert causes(found) == [cause]
    assert [(each.classifier, each.stage) for each in found] == [("reader", Stage.OUTPUT_IMAGE)]


def test_an_unanswered_prompt_classifier_keeps_the_image_stage_too(pool: ThreadPoolExecutor) -> None:
    found = screen_image_text(
        Reader(lambda: "x"), [Part(fails)], PIXELS, Stage.INPUT_IMAGE, timeout_seconds=5, pool=pool
    )
    assert [(each.category, each.stage) for each in found] == [(UNANSWERED, Stage.INPUT_IMAGE)]


def test_the_fakes_are_parts() -> None:
    assert isinstance(Part(fails), PromptClassifier)
    assert isinstance(Reader(lambda: ""), ImageTextReader)
