"""Asks the policy's classifiers from the event loop: blocking work in a pool of its own, words in pictures included."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from gateway.statements import Appeals
from moderation import screening
from moderation.classifiers import (
    Appealable,
    ImageClassifier,
    ImageTextReader,
    Pixels,
    PromptClassifier,
    introduced,
    is_steady,
)
from moderation.lanes import CALLS_AT_ONCE
from policies.findings import OF_FILES_SENT_IN, Finding, Stage


class Screening:
    """The classifiers of one policy. `prompt_seconds`, `image_seconds`: silence after this long is a finding.

    `second_stage`: asked about words that leave a first one unsure, each with a time limit of its own.
    """

    def __init__(
        self,
        prompt_classifiers: Sequence[PromptClassifier],
        image_classifiers: Sequence[ImageClassifier],
        text_readers: Sequence[ImageTextReader],
        *,
        prompt_seconds: float,
        image_seconds: float,
        second_stage: Sequence[screening.SecondStage] = (),
        threads: int = 4,
    ) -> None:
        self.prompt_classifiers = introduced(prompt_classifiers)
        self.image_classifiers = tuple(image_classifiers)
        self.text_readers = tuple(text_readers)
        self.second_stage = tuple(second_stage)
        self._prompt_seconds = prompt_seconds
        self._image_seconds = image_seconds
        # Two pools: a screening waits for its classifiers, so they must not queue behind one another for a thread.
        self._callers = ThreadPoolExecutor(threads, "screening")
        self._classifiers = ThreadPoolExecutor(CALLS_AT_ONCE * max(1, len(self.parts)), "classifier")

    async def prompt(self, text: str, before: Sequence[str] = ()) -> tuple[Finding, ...]:
        """Findings of every prompt classifier; one that did not answer is a finding too.

        `before`: earlier prompts that `text` goes on from. All together are screened as well, and what is found in them
        carries the fact `read_with`.
        """
        return await asyncio.get_running_loop().run_in_executor(self._callers, self.read, text, tuple(before))

    async def image(self, pixels: Pixels, stage: Stage, *, steady: bool | None = None) -> tuple[Finding, ...]:
        """Findings of every image classifier, and of the prompt classifiers about words found in the picture.

        `steady`: of the steady parts alone, or of all others alone; see `is_steady`.
        """
        return await asyncio.get_running_loop().run_in_executor(self._callers, self._look, pixels, stage, steady)

    def file(self, data: bytes) -> tuple[Finding, ...]:
        """Findings about the bytes of a picture sent in; blocks. Empty if no classifier looks at files."""
        return screening.screen_file(
            self.image_classifiers, data, timeout_seconds=self._image_seconds, pool=self._classifiers
        )

    def read(self, text: str, before: tuple[str, ...] = ()) -> tuple[Finding, ...]:
        """As `prompt`, for callers without an event loop; blocks."""
        findings = screening.screen_prompt(
            self.prompt_classifiers,
            text,
            timeout_seconds=self._prompt_seconds,
            pool=self._classifiers,
            second=self.second_stage,
        )
        if not before:
            return findings
        fact = ("read_with", f"{len(before)} earlier")
        joined = self.read(" ".join((*before, text)))
        return (*findings, *(replace(finding, facts=(*finding.facts, fact)) for finding in joined))

    def look(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        """As `image`, for callers without an event loop; blocks."""
        return self._look(pixels, stage)

    def _look(self, pixels: Pixels, stage: Stage, steady: bool | None = None) -> tuple[Finding, ...]:
        looking = [part for part in self._looking_at(stage) if steady is None or is_steady(part) is steady]
        findings: tuple[Finding, ...] = ()
        if looking or steady is None:
            findings = screening.screen_image(
                looking, pixels, stage, timeout_seconds=self._image_seconds, pool=self._classifiers
            )
        readers = self.prompt_classifiers, *((each.classifier,) for each in self.second_stage)
        settled = all(is_steady(part) for group in readers for part in group)
        for reader in self.text_readers:
            if steady is not None and (settled and is_steady(reader)) is not steady:
                continue
            findings += screening.screen_image_text(
                reader,
                self.prompt_classifiers,
                pixels,
                stage,
                timeout_seconds=self._image_seconds,
                pool=self._classifiers,
                second=self.second_stage,
            )
        return findings

    def _looking_at(self, stage: Stage) -> tuple[ImageClassifier, ...]:
        return tuple(part for part in self.image_classifiers if stage in getattr(part, "stages", Stage))

    def claims(self) -> dict[Stage, frozenset[str]]:
        """What is looked for at each stage: the boot check holds it against the policy.

        A second classifier counts only if nothing passes unasked by it.
        """
        always = [each.classifier for each in self.second_stage if each.zone.leaves_nobody_out]
        words = frozenset[str]().union(*(part.categories for part in (*self.prompt_classifiers, *always)))
        read = words if self.text_readers else frozenset[str]()  # words in pictures are read as words

        def looks(stage: Stage) -> frozenset[str]:
            return read.union(*(part.categories for part in self._looking_at(stage)))

        return {
            Stage.PROMPT: words,
            Stage.INPUT_IMAGE: looks(Stage.INPUT_IMAGE) | OF_FILES_SENT_IN,
            Stage.OUTPUT_IMAGE: looks(Stage.OUTPUT_IMAGE),
        }

    @property
    def appeals(self) -> Appeals:
        """Whom to turn to about what the classifiers' findings cite."""
        found: dict[str, dict[str, str]] = {}
        for part in self.parts:
            if isinstance(part, Appealable):
                found.setdefault(part.name, {}).update(part.appeals)
        return found

    @property
    def parts(self) -> tuple[PromptClassifier | ImageClassifier | ImageTextReader, ...]:
        """All of them, for whoever lists what runs here."""
        second = (each.classifier for each in self.second_stage)
        return (*self.prompt_classifiers, *second, *self.image_classifiers, *self.text_readers)

    def close(self) -> None:
        """Lets classifiers free what they hold; one that hangs is not waited for."""
        self._callers.shutdown(wait=False, cancel_futures=True)
        self._classifiers.shutdown(wait=False, cancel_futures=True)
        for part in self.parts:
            closing = getattr(part, "close", None)
            if closing is not None:
                closing()
