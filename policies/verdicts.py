"""What a policy concludes. Verdicts are ordered by severity; joining two decisions only ever gets harder."""

from dataclasses import dataclass
from enum import IntEnum

from policies.findings import Stage


class Verdict(IntEnum):
    """Ordered: a larger verdict is a harder one."""

    ALLOW = 0
    FLAG = 1
    HOLD = 2
    REFUSE = 3

    @property
    def word(self) -> str:
        """Lower-case name, as it stands in logs and answers."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """Why a rule applied: enough for a statement of reasons, nothing of the subject.

    `rule`: the rule's id in the policy. `floor`: the rule belongs to the hard floor, which nothing lowers.
    `score` and `threshold` are on the scale of `classifier`. `cites`: the finding's `CITED_FACTS`.
    """

    rule: str
    category: str
    stage: Stage
    verdict: Verdict
    classifier: str
    version: str
    score: float
    threshold: float
    floor: bool = False
    cites: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and its reasons under one policy.

    `policy`: digest (`sha256:…`) of the policy that decided. `reasons`: sorted and distinct, so that equal decisions
    are equal values whatever the order they were joined in. `shadows`: what rules on trial would have said, likewise;
    it has no part in the verdict.
    """

    verdict: Verdict
    policy: str
    reasons: tuple[Reason, ...] = ()
    shadows: tuple[Reason, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "reasons", tuple(sorted(set(self.reasons))))
        object.__setattr__(self, "shadows", tuple(sorted(set(self.shadows))))
        hardest = max((reason.verdict for reason in self.reasons), default=Verdict.ALLOW)
        if self.verdict < hardest:
            raise ValueError(f"verdict {self.verdict.word} is softer than one of its reasons ({hardest.word})")

    def join(self, other: "Decision") -> "Decision":
        """The harder of the two verdicts with the reasons of both: associative, commutative, idempotent.

        Raises `ValueError` if the decisions come from different policies.
        """
        if self.policy != other.policy:
            raise ValueError("decisions of two different policies cannot be joined")
        verdict = max(self.verdict, other.verdict)
        return Decision(verdict, self.policy, self.reasons + other.reasons, self.shadows + other.shadows)

    @property
    def stops(self) -> bool:
        """True if nothing may be rendered or delivered directly on this decision."""
        return self.verdict >= Verdict.HOLD
