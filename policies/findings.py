"""What a classifier reports: a category, a raw score, and who said so. Plain values that every package may share."""

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Where in the house a subject was looked at."""

    PROMPT = "prompt"
    INPUT_IMAGE = "input_image"
    OUTPUT_IMAGE = "output_image"


class Category(StrEnum):
    """The taxonomy. Names are stable once shipped: they stand in log entries, statements of reasons and policy files.

    Titles, descriptions and the clauses they come from live in `policies/data/taxonomy.toml`.
    """

    CSAE = "csae"
    NCII = "ncii"
    SEXUAL = "sexual"
    VIOLENCE = "violence"
    GORE = "gore"
    HATE = "hate"
    HARASSMENT = "harassment"
    SELF_HARM = "self_harm"
    EXTREMISM = "extremism"
    ILLICIT = "illicit"
    WEAPONS = "weapons"
    DRUGS = "drugs"
    DISINFORMATION = "disinformation"
    IMPERSONATION = "impersonation"
    PERSONAL_DATA = "personal_data"
    INTELLECTUAL_PROPERTY = "intellectual_property"
    LEGAL_DECISIONS = "legal_decisions"
    EVASION = "evasion"
    TAMPERED_CREDENTIAL = "tampered_credential"
    RESERVED_RIGHTS = "reserved_rights"
    UNREAD_LANGUAGE = "unread_language"


class Fact(StrEnum):
    """What nothing is wrong with by itself: no rule of a policy speaks about it, the floor's do in combination.

    `PERSON`: somebody is in the picture; nobody is recognised. `EXPOSURE`: the words ask for somebody to be shown with
    less on, which of a person drawn from nothing is left to the other categories.
    """

    PERSON = "person"
    EXPOSURE = "exposure"


OF_FILES_SENT_IN = frozenset({Category.TAMPERED_CREDENTIAL, Category.RESERVED_RIGHTS})
"""What only a picture that is sent in can have; words and our own pictures are not asked about it."""

OF_PROMPTS = frozenset({Category.UNREAD_LANGUAGE})
"""What only the words of a request can have; words read in pictures are too broken to tell."""

UNANSWERED = "unanswered"
"""Category of the finding that stands in for a classifier which failed, timed out or said nothing (rule 5)."""


_FACTS = frozenset(Fact)
CITED_FACTS = ("entries", "consents", "purposes")
"""Facts that a decision and its log entry repeat: ids out of the operator's own registers, which name no one. Others,
such as the entry of a hash list, stay with the finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One classifier's report on one category. It reports; only a policy decides.

    `category`: a `Category` or `Fact` value or `UNANSWERED`. `score`: raw, in [0, 1], on this classifier's own scale,
    so scores of two classifiers are never compared. `facts`: (name, value) pairs safe to log, such as a hash list's
    version or a distance; never the subject, a matched term or anything quoted from it.
    """

    category: str
    score: float
    stage: Stage
    classifier: str
    version: str
    facts: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.score <= 1.0:  # also catches NaN
            raise ValueError(f"finding score must lie in [0, 1], got {self.score!r} from {self.classifier}")
        if self.category != UNANSWERED and self.category not in _FACTS:
            Category(self.category)


def unanswered(stage: Stage, classifier: str, version: str, cause: str) -> Finding:
    """The finding of a classifier that did not answer. `cause`: one word such as `timeout`, `error`, `empty`."""
    return Finding(UNANSWERED, 1.0, stage, classifier, version, (("cause", cause),))
