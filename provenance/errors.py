"""What `provenance` could not do. One base for the package; foreign exceptions are turned into these with `from`."""

from typing import ClassVar


class ProvenanceError(Exception):
    """Base of everything this package raises on purpose. `code`: stable, for whoever tells it to a caller."""

    code: ClassVar[str] = "sealing_failed"


class UnreadableImage(ProvenanceError):
    """A picture from outside cannot be taken.

    `field`: what is wrong with it, one of a few stable words (`type`, `bytes`, `pixels`, `frames`, `data`, …), so
    that the rim can point at it. `remedy`: what the sender can do, in a sentence.
    """

    code = "unreadable_image"

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class SealError(ProvenanceError):
    """The picture could not be sealed, so nothing of it may leave."""


class MarkUnreadable(SealError):
    """The watermark could not be read back, from the marked pixels or from the finished file."""

    code = "mark_unreadable"


class SigningFailed(SealError):
    """The manifest was not signed: the key is gone, the remote signer refused, the certificate does not fit."""

    code = "signing_failed"


class TimestampFailed(SigningFailed):
    """The time-stamp authority gave no usable token, and nothing may be signed without one."""

    code = "timestamp_failed"


class ReadBackFailed(SealError):
    """The finished file does not say, when read like a stranger's, what was put into it."""


class CertificateProblem(ProvenanceError):
    """A certificate or key cannot be used for signing. The message says in words what is wrong and what to do."""

    code = "signing_failed"


class LedgerUnavailable(ProvenanceError):
    """The log could not record: no receipt, so no image."""

    code = "ledger_unavailable"


class AlreadyRecorded(ProvenanceError):
    """An entry for this request is in the log already; nothing was written."""

    code = "internal_error"
