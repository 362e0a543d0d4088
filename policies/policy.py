"""What a policy is: rules over findings, the floor under them, the classifiers it asks, and the gaps it admits."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from policies.findings import UNANSWERED, Category, Fact, Finding, Stage
from policies.verdicts import Verdict
from policies.zones import Zone

ASSURANCE_LEVELS = range(4)
"""0 unverified, 1 e-mail or organisation, 2 identity verified, 3 identity and adulthood verified."""

FLOOR_CATEGORIES = frozenset({Category.CSAE.value, Category.NCII.value, UNANSWERED})
"""Refused at every stage and assurance level under every policy: AI Act Art 5(1)(bb) and (ba), and house rule 5."""

TOLERANCES = range(7)
"""What `safety_tolerance` may be, 0 the strictest: the range of the hosted FLUX APIs."""

USUAL_TOLERANCE = 2
"""The policy as it stands, and what those APIs take where nothing is asked."""

ClassifierKind = Literal["prompt", "image", "image_text"]

OTHER = "other"
"""In a level: the score for every classifier the level does not name."""

Level = Mapping[str, float]
"""What a word such as *sure* means: classifier → score on its scale, and `OTHER`."""


@dataclass(frozen=True, slots=True)
class BesidePerson:
    """A condition of a floor rule about words: a picture was sent in with them in which somebody may be.

    `thresholds`, `other`: as in `Rule`, for those who report `Fact.PERSON`; from the score on somebody may be there.
    `told_as`: the category in the rule's reasons, where the finding's own is not one the floor refuses by itself.
    """

    thresholds: tuple[tuple[str, float], ...]
    other: float
    told_as: str

    def met_by(self, picture: Iterable[Finding]) -> bool:
        """True unless everybody asked has answered, and those who look for people are sure enough that nobody is there.

        `picture`: all findings on one picture sent in.
        """
        found = tuple(picture)
        scores = dict(self.thresholds)
        looked = [finding for finding in found if finding.category == Fact.PERSON]
        silent = any(finding.category == UNANSWERED for finding in found)
        return (
            silent
            or not looked
            or any(finding.score >= scores.get(finding.classifier, self.other) for finding in looked)
        )

    def told(self, category: str) -> str:
        """The category that reasons name for a finding of `category`."""
        return category if category in FLOOR_CATEGORIES else self.told_as


@dataclass(frozen=True, slots=True)
class Rule:
    """One sentence of a policy: these categories, at these stages, from this score on, for these callers: this verdict.

    `thresholds`: (classifier, score) pairs, each on that classifier's own scale; a finding applies from the score
    itself on. `other`: the threshold for every classifier not named there; None means that the rule does not speak
    about them. The caller's assurance must lie in [`min_assurance`, `below_assurance`). `level`: the word that its
    thresholds come from, if any. `beside`: only the floor's rules have it; without such a picture they do not apply.
    """

    id: str
    verdict: Verdict
    categories: frozenset[str]
    stages: frozenset[Stage]
    thresholds: tuple[tuple[str, float], ...]
    other: float | None
    min_assurance: int = 0
    below_assurance: int = len(ASSURANCE_LEVELS)
    level: str | None = None
    beside: BesidePerson | None = None

    def threshold_for(self, classifier: str) -> float | None:
        """Score in [0, 1] from which this rule applies to `classifier`, or None if it does not speak about it."""
        return next((score for name, score in self.thresholds if name == classifier), self.other)

    def applies_to(self, assurance: int) -> bool:
        """True if a caller of this assurance level falls under the rule."""
        return self.min_assurance <= assurance < self.below_assurance

    @property
    def guards_the_floor(self) -> bool:
        """True if it speaks about what the floor refuses: nobody is ever granted a softer reading of it."""
        return not self.categories.isdisjoint(FLOOR_CATEGORIES)

    def read_at(self, level: Level, pick: Callable[[float, float], float]) -> "Rule":
        """The rule with, for every classifier, `pick` of its own threshold and the level's: `min` can only tighten.

        A rule that is not silent about any classifier, as those with a level are.
        """
        own = dict(self.thresholds)
        rest = 1.0 if self.other is None else self.other
        names = own.keys() | level.keys() - {OTHER}
        read = {name: pick(own.get(name, rest), level.get(name, level[OTHER])) for name in names}
        return replace(self, thresholds=tuple(sorted(read.items())), other=pick(rest, level[OTHER]))


@dataclass(frozen=True, slots=True)
class ClassifierUse:
    """A classifier the policy asks, by the name of its part, with the options it is built from.

    `options`: the policy file's options; where the file names data, the parsed tables stand under `"data"` as a
    tuple of dicts, in the file's order. Not to be changed. `asked`: None for always, else only in that zone.
    """

    kind: ClassifierKind
    part: str
    options: Mapping[str, object]
    asked: Zone | None = None


@dataclass(frozen=True, slots=True)
class AcceptedGap:
    """A category that no classifier covers at a stage, accepted by name; shown at start and in `/health`."""

    category: str
    stage: Stage
    reason: str


@dataclass(frozen=True, slots=True)
class Appeal:
    """How a person contests a decision (DSA Art 17(3)(f), Art 20).

    `how`: plain words for the statement of reasons. `contact`: address or URL of the operator, may be empty where
    the operator's settings name it. `days`: how long an appeal is open.
    """

    how: str
    contact: str
    days: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What some tenants' overlays may soften: the base rule `rule`, down to the verdict `least` and no further."""

    rule: str
    least: Verdict
    tenants: frozenset[str]


@dataclass(frozen=True, slots=True)
class ToleranceStep:
    """From this `safety_tolerance` on, away from the usual one, rules of a level are read at another.

    `levels`: (level, the one its rules are read at). `tenants`: who is granted it, for steps above the usual one.
    """

    step: int
    levels: tuple[tuple[str, str], ...]
    tenants: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that is allowed, and by whom. Built by `policies.loading`; one without a whole floor cannot be built.

    `digest`: `sha256:` and 64 hex digits over the policy file, the floor, the taxonomy and every data file.
    `rules`: the policy file's own, in its order. `floor`: rules from `policies/data/floor.toml`. `shadows`: rules on
    trial, which are noted and never decide. `levels`: what the words of the file mean. `grants`: what overlays may
    soften (`policies/overlay.py`). `tolerance_steps`: what callers may ask for (`policies/tolerance.py`); `tolerance`:
    the step at which `rules` are read.
    Raises `ValueError` if `floor` leaves open any floor category at any stage or assurance level, words that ask to
    expose in any picture sent in, or sexual words beside a person in one.
    """

    name: str
    version: str
    digest: str
    description: str
    rules: tuple[Rule, ...]
    floor: tuple[Rule, ...]
    classifiers: tuple[ClassifierUse, ...]
    accepted_gaps: tuple[AcceptedGap, ...]
    appeal: Appeal
    shadows: tuple[Rule, ...] = ()
    levels: Mapping[str, Level] = field(default_factory=dict)
    grants: tuple[Grant, ...] = ()
    tolerance_steps: tuple[ToleranceStep, ...] = ()
    tolerance: int = USUAL_TOLERANCE

    def __post_init__(self) -> None:
        for category in sorted(FLOOR_CATEGORIES):
            for stage in Stage:
                if not any(closes(rule, category, stage) for rule in self.floor):
                    raise ValueError(f"the floor leaves {category} open at {stage.value}: it cannot be lowered")
        everywhere = [
            rule for rule in self.floor if rule.beside and not rule.beside.thresholds and not rule.beside.other
        ]
        somewhere = [rule for rule in self.floor if rule.beside]
        for category, rules in ((Fact.EXPOSURE, everywhere), (Category.SEXUAL, somewhere)):
            if not any(closes(replace(rule, beside=None), category, Stage.PROMPT) for rule in rules):
                raise ValueError(f"the floor leaves {category} beside pictures sent in open: it cannot be lowered")


def closes(rule: Rule, category: str, stage: Stage) -> bool:
    """True if the rule refuses the category at the stage, whoever asks, whichever classifier reports, and with whatever
    picture."""
    return (
        rule.verdict is Verdict.REFUSE
        and category in rule.categories
        and stage in rule.stages
        and rule.other is not None
        and rule.beside is None
        and all(rule.applies_to(level) for level in ASSURANCE_LEVELS)
    )
