"""The protocols: what a classifier of words, of pictures, and a reader of words in pictures look like from outside.

A stranger's part is found through the same entry points as ours: `fluxgate.prompt_classifiers`,
`fluxgate.image_classifiers`, `fluxgate.image_text_readers`. Every part has class attributes `name` and `version`, a
nested frozen pydantic `Options` model and a constructor that takes only that.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy
import numpy.typing

from moderation.text.folding import FoldedText
from policies.findings import Finding, Stage

Pixels: TypeAlias = numpy.typing.NDArray[numpy.uint8]
"""(height, width, 3), uint8, sRGB, C-contiguous, read-only."""


@runtime_checkable
class PromptClassifier(Protocol):
    """Reads words. It may be called from several threads at once.

    `close() -> None` is optional and is called once when the process ends.
    """

    name: str
    version: str

    @property
    def categories(self) -> frozenset[str]:
        """`Category` and `Fact` values this part can report. A finding outside them counts as no answer."""
        ...

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        """Findings with `Stage.PROMPT`, one per category it has a score for; low scores, never an empty tuple.

        `text` is the whole prompt, however long. Raises anything it likes: the screening reports it as unanswered.
        """
        ...


@runtime_checkable
class ReadsLanguages(PromptClassifier, Protocol):
    """A prompt classifier that says which languages it reads; one that does not say claims none."""

    @property
    def languages(self) -> frozenset[str]:
        """ISO 639-1 codes."""
        ...


@runtime_checkable
class KnowsOthers(PromptClassifier, Protocol):
    """A prompt classifier that needs to know which languages those beside it read."""

    def beside(self, languages: frozenset[str]) -> PromptClassifier:
        """The part to ask where all others together read `languages`."""
        ...


def introduced(classifiers: Sequence[PromptClassifier]) -> tuple[PromptClassifier, ...]:
    """`classifiers` in their order, those that need to know told which languages the others read."""
    read = frozenset[str]().union(*(each.languages for each in classifiers if isinstance(each, ReadsLanguages)))
    return tuple(each.beside(read) if isinstance(each, KnowsOthers) else each for each in classifiers)


@runtime_checkable
class ImageClassifier(Protocol):
    """Looks at pictures. It may be called from several threads at once. `close() -> None` is optional.

    So is the class attribute `stages`, a set: pictures of other stages are not shown to it; and `steady`, see
    `is_steady`.
    """

    name: str
    version: str

    @property
    def categories(self) -> frozenset[str]:
        """`Category` and `Fact` values this part can report. A finding outside them counts as no answer."""
        ...

    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        """Findings with `stage`, one per category it has a score for; low scores, never an empty tuple.

        `pixels`: (height, width, 3), uint8, sRGB; not changed, not kept.
        """
        ...


def is_steady(part: object) -> bool:
    """Whether a part of any kind says (class attribute `steady = True`) that one subject always has the same findings
    on one day. What it finds in an upload is kept for the edits of it; a part that does not say so, such as one with
    lists that change while the process runs, is asked every time."""
    return getattr(part, "steady", False) is True


@runtime_checkable
class FileClassifier(ImageClassifier, Protocol):
    """An image classifier that is also shown the files of pictures sent in, for what only the bytes tell."""

    def classify_file(self, data: bytes) -> tuple[Finding, ...]:
        """Findings with `Stage.INPUT_IMAGE`, never an empty tuple. `data`: the file as it came, hostile perhaps."""
        ...


@runtime_checkable
class Appealable(Protocol):
    """A classifier some of whose findings rest on entries with a contact of their own, such as a right and its holder.

    Findings cite entries by the fact `entries`: their ids with commas between.
    """

    name: str

    @property
    def appeals(self) -> Mapping[str, str]:
        """Id of an entry → whom a person turns to who thinks that it does not apply. Shown to callers, never logged."""
        ...


@runtime_checkable
class ImageTextReader(Protocol):
    """Reads the words in a picture, so that they can be screened as words. `close() -> None` is optional."""

    name: str
    version: str

    def read(self, pixels: Pixels) -> str:
        """The words found, in reading order; the empty string if there are none.

        `pixels`: (height, width, 3), uint8, sRGB; not changed, not kept. Raises if it could not look.
        """
        ...
