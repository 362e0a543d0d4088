"""When a second classifier is asked: where a first one is unsure, and a stop is not certain already. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from policies.findings import UNANSWERED, Finding


class Place(StrEnum):
    """Where the first classifier's scores lie, and so whether the second is asked. The words stand in the log."""

    ASKED = "asked"
    BELOW = "below"
    ABOVE = "above"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Zone:
    """The grey zone of the classifier `after`: scores in [`low`, `high`), on its scale.

    `seconds`: what the second classifier has for its answer, beyond the first ones' deadline.
    """

    after: str
    low: float
    high: float
    seconds: float

    @property
    def leaves_nobody_out(self) -> bool:
        """True if nothing passes without the second classifier's answer: no score lies below the zone."""
        return self.low == 0.0

    def place(self, findings: Iterable[Finding], stopped: frozenset[str]) -> Place:
        """Where a text stands by what `after` found. Only `ASKED` asks; the other three never make a text pass.

        `findings`: of the first classifiers, about one text. `stopped`: categories that are held or refused from
        `high` on, whoever asks; a score above the zone in any other category settles nothing. `SILENT`: `after` did
        not answer, which is refused whatever a second one would say.
        """
        own = [finding for finding in findings if finding.classifier == self.after]
        if not own or any(finding.category == UNANSWERED for finding in own):
            return Place.SILENT
        if any(finding.score >= self.high and finding.category in stopped for finding in own):
            return Place.ABOVE
        return Place.ASKED if any(finding.score >= self.low for finding in own) else Place.BELOW
