"""Checks of what reads prompts, looks at images, or reads words in images.

The three promises that the screening rests on: a part answers with findings and never with an empty tuple, it raises
where it could not look, and several threads may ask it at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gateway.parts.conformance.samples import Pixels, Samples, Unreadable, at_once, picture
from moderation.classifiers import Appealable, FileClassifier, KnowsOthers, ReadsLanguages
from moderation.text.folding import fold
from policies.findings import UNANSWERED, Category, Fact, Finding, Stage

_KNOWN = frozenset(map(str, Category)) | frozenset(map(str, Fact))
_MARKER = "quixotronvable"
"""A made-up word in every sample prompt: a finding that repeats it quotes the prompt."""

_ODD_TEXTS = ("", "  ", "\ud800 half a pair", "Ein Leuchtturm bei Nacht", "夜晚的灯塔 🌊", "word " * 4000)
_ODD_SIZES = ((1, 1), (7, 300), (300, 7), (97, 640))
_TOLERANCE = 1e-3  # of scores: threads may sum in another order


@dataclass(frozen=True)
class _Asked:
    """A question to a part: of which stage, and about what, in words for a message."""

    about: str
    stage: Stage
    ask: Callable[[], Any]
    may_raise: bool = False


def prompt_faults(part: Any, samples: Samples) -> Iterator[str]:
    """Faults of a prompt classifier."""
    yield from _category_faults(part)
    text = fold(f"{samples.prompt}, {_MARKER}")
    questions = [_Asked("an ordinary prompt", Stage.PROMPT, lambda: part.classify(text))]
    for odd in _ODD_TEXTS:
        questions.append(_Asked("an odd prompt", Stage.PROMPT, partial(part.classify, fold(odd)), may_raise=True))
    yield from _answer_faults(part, questions)
    yield from _silence_faults(lambda: part.classify(Unreadable()), "a prompt")
    if isinstance(part, ReadsLanguages) and not _are_codes(part.languages):
        yield "`languages` must be a frozenset of ISO 639-1 codes, such as `en`"
    if isinstance(part, KnowsOthers) and getattr(part.beside(frozenset({"en"})), "name", None) != part.name:
        yield "`beside` must return a classifier of the same name"
    if isinstance(part, Appealable) and not all(
        isinstance(each, str) for pair in part.appeals.items() for each in pair
    ):
        yield "`appeals` must map ids to contacts, both strings"


def image_faults(part: Any, samples: Samples) -> Iterator[str]:
    """Faults of an image classifier."""
    yield from _category_faults(part)
    stages = getattr(part, "stages", (Stage.INPUT_IMAGE, Stage.OUTPUT_IMAGE))
    if not stages or not set(stages) <= {Stage.INPUT_IMAGE, Stage.OUTPUT_IMAGE}:
        yield "`stages` must hold `Stage.INPUT_IMAGE`, `Stage.OUTPUT_IMAGE` or both"
        return
    pictures = [picture(256, 256), *(picture(height, width) for height, width in _ODD_SIZES)]
    before = [pixels.tobytes() for pixels in pictures]
    questions = []
    for stage in sorted(stages):
        for number, pixels in enumerate(pictures):
            about = "an ordinary image" if number == 0 else "an image of an odd size"
            questions.append(_Asked(about, stage, partial(part.classify, pixels, stage), may_raise=number > 0))
    if isinstance(part, FileClassifier):
        for number, data in enumerate((_png(pictures[0]), b"", b"\x89PNG\r\n\x1a\nnot a picture")):
            looking = partial(part.classify_file, data)
            questions.append(_Asked("a file", Stage.INPUT_IMAGE, looking, may_raise=number > 0))
    yield from _answer_faults(part, questions)
    if [pixels.tobytes() for pixels in pictures] != before:
        yield "`classify` changed the pixels: work on a copy, the others look at the same array"
    yield from _silence_faults(lambda: part.classify(Unreadable(), next(iter(stages))), "an image")


def reader_faults(part: Any, samples: Samples) -> Iterator[str]:
    """Faults of an image text reader."""
    written = _written(samples.words)
    before = written.tobytes()
    answers: list[Any] = []
    for pixels, about in ((written, "a picture of plain words"), (picture(128, 128), "a picture without words")):
        try:
            answers.append(part.read(pixels))
        except Exception as error:  # noqa: BLE001  whatever it raises is the fault
            yield f"`read` raised {type(error).__name__} about {about}: read it, or return an empty string"
            return
        if not isinstance(answers[-1], str):
            yield "`read` must return a string: the words in reading order, or an empty one"
            return
    if samples.words.casefold() not in answers[0].casefold():
        yield f"`read` does not find {samples.words!r} in a picture of it: mend it, or hand `check` other `words`"
    if written.tobytes() != before:
        yield "`read` changed the pixels: work on a copy"
    if any(answer != answers[0] for answer in at_once(lambda: part.read(written))):
        yield "`read` answers otherwise when several threads ask at once: guard what it shares with a lock"
    try:
        part.read(Unreadable())
    except Exception:  # noqa: BLE001  as it must
        return
    yield "`read` returned a string for an image that cannot be read: raise, or unread words pass as none"


def _category_faults(part: Any) -> Iterator[str]:
    categories = part.categories
    if not isinstance(categories, frozenset) or not categories:
        yield "`categories` must be a frozenset with at least one category: a part that reports none covers nothing"
    elif not categories <= _KNOWN:
        unknown = ", ".join(sorted(map(str, categories - _KNOWN)))
        yield f"`categories` holds what is no `Category` and no `Fact`: {unknown}"
    elif part.categories != categories:
        yield "`categories` changed from one call to the next: the gateway checks coverage once, at the start"


def _answer_faults(part: Any, questions: Sequence[_Asked]) -> Iterator[str]:
    for question in questions:
        try:
            answer = question.ask()
        except Exception as error:  # noqa: BLE001  whatever it raises is the fault
            if not question.may_raise:
                yield f"the part raised {type(error).__name__} about {question.about}: it must answer"
            continue
        faults = list(_finding_faults(part, answer, question))
        yield from faults
        if question.may_raise or faults:
            continue
        for other in at_once(question.ask):
            if isinstance(other, BaseException):
                yield f"the part raised {type(other).__name__} when several threads asked: guard it with a lock"
                break
            if not _alike(answer, other):
                yield "the part answers otherwise when several threads ask at once: keep no state between calls"
                break


def _finding_faults(part: Any, answer: Any, question: _Asked) -> Iterator[str]:
    if not isinstance(answer, tuple | list) or not all(isinstance(each, Finding) for each in answer):
        yield f"the answer about {question.about} must be a tuple of `Finding`"
        return
    if not answer:
        yield (
            f"the answer about {question.about} is empty: report a low score for what was not found, "
            "and raise if the part could not look"
        )
    for finding in answer:
        if (finding.classifier, finding.version) != (part.name, part.version):
            yield "a finding names another classifier or version: use `self.name` and `self.version`"
        if finding.stage is not question.stage:
            yield f"a finding about {question.about} has the stage {finding.stage}: it must be {question.stage}"
        if finding.category != UNANSWERED and finding.category not in part.categories:
            yield f"a finding reports `{finding.category}`, which `categories` does not hold: add it there"
        if not 0.0 <= finding.score <= 1.0:
            yield "a score lies outside [0, 1]"
        if any(_MARKER in value for fact in finding.facts for value in fact):
            yield "a finding's facts quote the prompt: facts are logged, so say how much and never which words"


def _silence_faults(ask: Callable[[], Any], subject: str) -> Iterator[str]:
    """A part that cannot read its subject must not say that it found nothing."""
    try:
        answer = ask()
    except Exception:  # noqa: BLE001  as it must
        return
    if isinstance(answer, tuple | list) and any(getattr(each, "category", "") == UNANSWERED for each in answer):
        return
    yield f"the part answered about {subject} that it could not read: let failures raise, they are no clean bill"


def _alike(one: Sequence[Finding], other: Sequence[Finding]) -> bool:
    return len(one) == len(other) and all(
        a.category == b.category and abs(a.score - b.score) <= _TOLERANCE for a, b in zip(one, other, strict=True)
    )


def _are_codes(languages: object) -> bool:
    return isinstance(languages, frozenset) and all(
        isinstance(each, str) and len(each) == 2 and each.isalpha() and each.islower() for each in languages
    )


def _are_contacts(appeals: Mapping[Any, Any]) -> bool:
    return all(isinstance(each, str) for pair in appeals.items() for each in pair)


def _png(pixels: Pixels) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _written(words: str) -> Pixels:
    image = Image.new("RGB", (80 + 60 * len(words), 160), "white")
    ImageDraw.Draw(image).text((40, 30), words, "black", ImageFont.load_default(72))
    pixels: Pixels = np.ascontiguousarray(np.asarray(image, np.uint8))
    pixels.flags.writeable = False
    return pixels
