"""Asks the policy's classifiers from the event loop: blocking work in a pool of its own, words in pictures included."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from moderation import screening
from moderation.classifiers import ImageClassifier, ImageTextReader, Pixels, PromptClassifier
from moderation.lanes import CALLS_AT_ONCE
from policies.findings import OF_FILES_SENT_IN, Finding, Stage


class Screening:
    """The classifiers of one policy. `prompt_seconds`, `image_seconds`: silence after this long is a finding."""

    def __init__(
        self,
        prompt_classifiers: Sequence[PromptClassifier],
        image_classifiers: Sequence[ImageClassifier],
        text_readers: Sequence[ImageTextReader],
        *,
        prompt_seconds: float,
        image_seconds: float,
        threads: int = 4,
    ) -> None:
        self.prompt_classifiers = tuple(prompt_classifiers)
        self.image_classifiers = tuple(image_classifiers)
        self.text_readers = tuple(text_readers)
        self._prompt_seconds = prompt_seconds
        self._image_seconds = image_seconds
        # Two pools: a screening waits for its classifiers, so they must not queue behind one another for a thread.
        self._callers = ThreadPoolExecutor(threads, "screening")
        self._classifiers = ThreadPoolExecutor(CALLS_AT_ONCE * max(1, len(self.parts)), "classifier")

    async def prompt(self, text: str) -> tuple[Finding, ...]:
        """Findings of every prompt classifier; one that did not answer is a finding too."""
        return await asyncio.get_running_loop().run_in_executor(self._callers, self._read, text)

    async def image(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        """Findings of every image classifier, and of the prompt classifiers about words found in the picture."""
        return await asyncio.get_running_loop().run_in_executor(self._callers, self._look, pixels, stage)

    def file(self, data: bytes) -> tuple[Finding, ...]:
        """Findings about the bytes of a picture sent in; blocks. Empty if no classifier looks at files."""
        return screening.screen_file(
            self.image_classifiers, data, timeout_seconds=self._image_seconds, pool=self._classifiers
        )

    def _read(self, text: str) -> tuple[Finding, ...]:
        return screening.screen_prompt(
            self.prompt_classifiers, text, timeout_seconds=self._prompt_seconds, pool=self._classifiers
        )

    def _look(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        findings = screening.screen_image(
            self.image_classifiers, pixels, stage, timeout_seconds=self._image_seconds, pool=self._classifiers
        )
        for reader in self.text_readers:
            findings += screening.screen_image_text(
                reader,
                self.prompt_classifiers,
                pixels,
                stage,
                timeout_seconds=self._image_seconds,
                pool=self._classifiers,
            )
        return findings

    def claims(self) -> dict[Stage, frozenset[str]]:
        """What is looked for at each stage: the boot check holds it against the policy."""
        words = frozenset[str]().union(*(part.categories for part in self.prompt_classifiers))
        looks = frozenset[str]().union(*(part.categories for part in self.image_classifiers))
        if self.text_readers:  # words in pictures are read as words
            looks |= words
        return {Stage.PROMPT: words, Stage.INPUT_IMAGE: looks | OF_FILES_SENT_IN, Stage.OUTPUT_IMAGE: looks}

    @property
    def parts(self) -> tuple[PromptClassifier | ImageClassifier | ImageTextReader, ...]:
        """All of them, for whoever lists what runs here."""
        return (*self.prompt_classifiers, *self.image_classifiers, *self.text_readers)

    def close(self) -> None:
        """Lets classifiers free what they hold; one that hangs is not waited for."""
        self._callers.shutdown(wait=False, cancel_futures=True)
        self._classifiers.shutdown(wait=False, cancel_futures=True)
        for part in self.parts:
            closing = getattr(part, "close", None)
            if closing is not None:
                closing()
