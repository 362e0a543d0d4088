"""What is known of one request while `gateway/pipeline.py` works on it."""

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Executable

from gateway import telemetry
from gateway.auth.identity import Principal
from gateway.exchange import ImageRequest
from moderation.screening import second_stage
from policies.evaluate import evaluate
from policies.findings import Finding, Stage
from policies.policy import Policy
from policies.verdicts import Decision, Verdict


class Progress:
    """What is known of a request so far. A decision about it only ever gets harder.

    `alongside`: what is written in the transaction that records it. `afterwards`: called once that is committed.
    `second_stage`: who was asked about the prompt only because, or not asked since, another was unsure or sure; as it
    stands in the log. `steps_drawn`: by this worker.
    """

    def __init__(self, request: ImageRequest, who: Principal, policy: Policy, attempt: int) -> None:
        self.request = request
        self.who = who
        self.policy = policy
        self.attempt = attempt
        self.stage = Stage.PROMPT
        self.decision = Decision(Verdict.ALLOW, policy.digest)
        self.alongside: tuple[Executable, ...] = ()
        self.afterwards: tuple[Callable[[], None], ...] = ()
        self.second_stage: dict[str, str] = {}
        self.laps = telemetry.Laps()
        self.steps_drawn = 0
        self.is_drawn = False

    @property
    def charge(self) -> int | None:
        """What the caller pays: the steps that were drawn. None: all of it."""
        return None if self.is_drawn else self.request.cost_of(self.steps_drawn)

    @property
    def tolerance(self) -> dict[str, int] | None:
        """The tolerance asked for, and the one that counted; None where none was asked for."""
        if self.request.tolerance is None:
            return None
        return {"asked": self.request.tolerance, "counted": self.policy.tolerance}

    def decide(self, findings: Iterable[Finding], stage: Stage, pictures: Sequence[Sequence[Finding]] = ()) -> None:
        """Joins the policy's decision about these findings to what was decided before.

        `pictures`: what was found in each picture sent in with the words that are decided on.
        """
        findings = tuple(findings)
        if stage is Stage.PROMPT:
            self.second_stage = second_stage(findings)
        self.stage = stage
        self.laps.end("image" if stage is Stage.OUTPUT_IMAGE else "prompt")
        assurance = int(self.who.assurance)
        self.join(evaluate(self.policy, findings, stage=stage, assurance=assurance, pictures=pictures))

    def join(self, decision: Decision) -> None:
        """Joins another decision at the stage that was last decided on."""
        self.decision = self.decision.join(decision)
