"""Runs every classifier over one subject; an unanswered question is itself a finding. A second one only adds.

Causes of an `unanswered` finding: `error` (raised), `timeout`, `busy` (earlier calls still hang), `empty`, `malformed`
(not a tuple of findings), `unclaimed` (a category it does not claim), `wrong_stage`, `misattributed` (another
classifier's name or version).
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Protocol

from moderation.classifiers import FileClassifier, ImageClassifier, ImageTextReader, Pixels, PromptClassifier
from moderation.lanes import Call, LaneBusy, ask
from moderation.text.folding import FoldedText, fold
from policies.findings import UNANSWERED, Finding, Stage, unanswered
from policies.zones import Place, Zone

log = logging.getLogger(__name__)

SECOND_STAGE = "second_stage:"
"""Before a second classifier's name in a fact of the first one's findings; the fact says its `Place`."""


@dataclass(frozen=True, slots=True)
class SecondStage:
    """A classifier that is asked only in a zone of another. `stopped`: as `Zone.place` takes it."""

    classifier: PromptClassifier
    zone: Zone
    stopped: frozenset[str]


class _Named(Protocol):
    name: str
    version: str


class _Claiming(_Named, Protocol):
    @property
    def categories(self) -> frozenset[str]: ...


def screen_prompt(
    classifiers: Sequence[PromptClassifier],
    text: str,
    *,
    timeout_seconds: float,
    pool: Executor,
    second: Sequence[SecondStage] = (),
) -> tuple[Finding, ...]:
    """Findings of all `classifiers` about `text`, in the order of the classifiers, then by category; then of `second`.

    `text`: the whole prompt, folded once here. `timeout_seconds`: one deadline for all together. `pool`: threads, never
    the pool this call itself runs in. `second`: asked together, once the others have answered or run out of time; a
    fact of the findings they come after says who was asked. Raises `ValueError` if there are no classifiers.
    """
    deadline = time.monotonic() + timeout_seconds
    folded = fold(text)
    found = _screen([_about(folded, each, deadline) for each in classifiers], Stage.PROMPT, pool)
    places = [(each, each.zone.place(found, each.stopped)) for each in second]
    now = time.monotonic()
    asked = [_about(folded, it.classifier, now + it.zone.seconds) for it, place in places if place is Place.ASKED]
    for it, place in places:
        fact = (SECOND_STAGE + it.classifier.name, place.value)
        found = tuple(replace(f, facts=(*f.facts, fact)) if f.classifier == it.zone.after else f for f in found)
    return found + (_screen(asked, Stage.PROMPT, pool) if asked else ())


def second_stage(findings: Iterable[Finding]) -> dict[str, str]:
    """Second classifier → the word of its `Place`, as the findings of `screen_prompt` say.

    Where findings of several texts say different things, it was asked if it was asked about any of them.
    """
    said: dict[str, str] = {}
    for name, word in (fact for finding in findings for fact in finding.facts):
        if name.startswith(SECOND_STAGE) and said.get(name.removeprefix(SECOND_STAGE)) != Place.ASKED:
            said[name.removeprefix(SECOND_STAGE)] = word
    return said


def screen_image(
    classifiers: Sequence[ImageClassifier], pixels: Pixels, stage: Stage, *, timeout_seconds: float, pool: Executor
) -> tuple[Finding, ...]:
    """Findings of all `classifiers` about one picture, in the order of the classifiers, then by category.

    `pixels`: (height, width, 3), uint8, sRGB; not changed, not kept. `stage`: an image stage. `timeout_seconds` and
    `pool` as in `screen_prompt`. Raises `ValueError` if there are no classifiers or `stage` is `PROMPT`.
    """
    deadline = time.monotonic() + timeout_seconds
    _require_image_stage(stage)
    questions = [(each, lambda part=each: part.classify(pixels, stage), deadline) for each in classifiers]
    return _screen(questions, stage, pool)


def screen_file(
    classifiers: Sequence[ImageClassifier], data: bytes, *, timeout_seconds: float, pool: Executor
) -> tuple[Finding, ...]:
    """Findings about the file of a picture sent in, by those `classifiers` that look at files too; none if none does.

    `data`: the file as it came. The findings carry `Stage.INPUT_IMAGE` and only add to what `screen_image` found.
    """
    deadline = time.monotonic() + timeout_seconds
    looking = [each for each in classifiers if isinstance(each, FileClassifier)]
    if not looking:
        return ()
    questions = [(each, lambda part=each: part.classify_file(data), deadline) for each in looking]
    return _screen(questions, Stage.INPUT_IMAGE, pool)


def screen_image_text(
    reader: ImageTextReader,
    classifiers: Sequence[PromptClassifier],
    pixels: Pixels,
    stage: Stage,
    *,
    timeout_seconds: float,
    pool: Executor,
    second: Sequence[SecondStage] = (),
) -> tuple[Finding, ...]:
    """Reads the words in a picture and screens them as a prompt; the findings carry the image's stage.

    One deadline covers reading and screening, without `second`. A reader that fails gives one `unanswered` finding in
    its own name. Raises `ValueError` if there are no classifiers or `stage` is `PROMPT`.
    """
    deadline = time.monotonic() + timeout_seconds
    _require_image_stage(stage)
    if not classifiers:
        raise ValueError("no prompt classifiers: the words in a picture would pass unread")
    try:
        words = ask(reader, lambda: reader.read(pixels), pool).answer(deadline)
    except Exception as error:  # noqa: BLE001  whatever the reader raised, it did not read
        return (_no_answer(reader, stage, error),)
    if not isinstance(words, str):
        return (_silence(reader, stage, "malformed"),)
    left = deadline - time.monotonic()
    findings = screen_prompt(classifiers, words, timeout_seconds=left, pool=pool, second=second)
    read_by = ("read_by", reader.name)
    return tuple(replace(finding, stage=stage, facts=(*finding.facts, read_by)) for finding in findings)


_Question = tuple[_Claiming, Callable[[], object], float]  # whom, what, and until when, in `time.monotonic()` seconds


def _about(text: FoldedText, classifier: PromptClassifier, deadline: float) -> _Question:
    return classifier, lambda: classifier.classify(text), deadline


def _screen(questions: Sequence[_Question], stage: Stage, pool: Executor) -> tuple[Finding, ...]:
    if not questions:
        raise ValueError("no classifiers: nothing would be looked at")
    calls: list[Call[object] | None] = []
    for classifier, question, _ in questions:
        try:
            calls.append(ask(classifier, question, pool))
        except LaneBusy:
            calls.append(None)
    findings: list[Finding] = []
    for (classifier, _, deadline), call in zip(questions, calls, strict=True):
        if call is None:
            findings.append(_silence(classifier, stage, "busy"))
            continue
        try:
            findings += _checked(classifier, call.answer(deadline), stage)
        except Exception as error:  # noqa: BLE001  rule 5: whatever went wrong, it is a finding
            findings.append(_no_answer(classifier, stage, error))
    return tuple(findings)


def _checked(classifier: _Claiming, answer: object, stage: Stage) -> list[Finding]:
    """The sound findings of an answer, by category; anything unsound in it adds one `unanswered` finding."""
    if not isinstance(answer, tuple | list):
        return [_silence(classifier, stage, "malformed")]
    if not answer:
        return [_silence(classifier, stage, "empty")]
    claimed = classifier.categories
    sound: list[Finding] = []
    flaws: set[str] = set()
    for finding in answer:
        if not isinstance(finding, Finding):
            flaws.add("malformed")
        elif (finding.classifier, finding.version) != (classifier.name, classifier.version):
            flaws.add("misattributed")
        elif finding.stage is not stage:
            flaws.add("wrong_stage")
        elif finding.category != UNANSWERED and finding.category not in claimed:
            flaws.add("unclaimed")
        else:
            sound.append(finding)
    sound.sort(key=lambda finding: (finding.category, -finding.score))
    return sound + [_silence(classifier, stage, flaw) for flaw in sorted(flaws)]


def _no_answer(part: _Named, stage: Stage, error: BaseException) -> Finding:
    if isinstance(error, LaneBusy):
        return _silence(part, stage, "busy")
    if isinstance(error, TimeoutError):
        return _silence(part, stage, "timeout")
    # The type only: the message of a foreign exception may quote the subject.
    return _silence(part, stage, "error", type(error).__name__)


def _silence(part: _Named, stage: Stage, cause: str, detail: str = "") -> Finding:
    log.warning("%s did not answer at stage %s: %s %s", part.name, stage.value, cause, detail)
    return unanswered(stage, part.name, part.version, cause)


def _require_image_stage(stage: Stage) -> None:
    if stage is Stage.PROMPT:
        raise ValueError("a picture is screened at an image stage, not at the prompt stage")
