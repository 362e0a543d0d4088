"""What moderation cannot do. A verdict is never an exception; these say that a part was not built or did not answer."""

from typing import ClassVar


class ModerationError(Exception):
    """Base of everything this package raises on purpose. `code`: stable, for whoever tells it to a caller."""

    code: ClassVar[str] = "internal_error"


class PartUnusable(ModerationError):
    """A part cannot be built from its options: a folder is missing, a digest differs, a table is malformed.

    Raised from constructors only, so that the process does not start. The message names the field and the remedy.
    """

    def __init__(self, part: str, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{part}: {field}: {problem}. {remedy}")
        self.part = part
        self.field = field
        self.remedy = remedy


class ClassifierFailed(ModerationError):
    """A classifier could not look at its subject. Screening turns it into an `unanswered` finding."""
