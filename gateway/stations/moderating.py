"""Judges subjects that nothing is drawn for: texts and images of moderation calls, each decided by the policy."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.auth.identity import Principal
from gateway.errors import ScreeningUnanswered
from gateway.statements import only_unanswered
from gateway.stations.moderation_log import ModerationLog
from gateway.stations.rulebook import Rulebook
from gateway.stations.screening import Screening
from moderation.classifiers import Pixels
from policies.evaluate import evaluate
from policies.findings import Finding, Stage
from policies.policy import Policy
from policies.verdicts import Decision, Verdict
from provenance.files.encoding import FileBounds, decode

Subject = Sequence[str | bytes]
"""What is judged together: texts, and image files as bytes."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the policy concludes of a subject. `findings`: of all its texts and images."""

    decision: Decision
    findings: tuple[Finding, ...]
    policy: Policy


class Moderating:
    """`bounds`: of image files, checked before a codec sees them."""

    def __init__(self, screening: Screening, rulebook: Rulebook, log: ModerationLog, bounds: FileBounds) -> None:
        self._screening = screening
        self._rulebook = rulebook
        self._log = log
        self._bounds = bounds

    async def judge(
        self, who: Principal, end_user: str | None, call_id: str, subjects: Sequence[tuple[Subject, bytes]]
    ) -> list[Judged]:
        """One conclusion for each subject, with what the log commits to of it. `call_id`: by which a policy on trial
        may be chosen, as for any request.

        Raises `UnreadableImage`, before anything is judged, or `ScreeningUnanswered` if any classifier was silent.
        """
        opened = [[await self._opened(thing) for thing in subject] for subject, _ in subjects]
        policy = self._rulebook.policy_for(who.tenant, subject=call_id)
        judged = []
        for number, (subject, (_, said)) in enumerate(zip(opened, subjects, strict=True)):
            one = await self._judged(who, policy, subject)
            if one.decision.stops:
                await self._log.stopped(who, end_user, f"{call_id}-{number}", policy, one.decision, said)
            else:
                self._log.passed(who)
            judged.append(one)
        return judged

    async def _opened(self, thing: str | bytes) -> str | Pixels:
        return thing if isinstance(thing, str) else await asyncio.to_thread(decode, thing, self._bounds)

    async def _judged(self, who: Principal, policy: Policy, subject: Sequence[str | Pixels]) -> Judged:
        decision = Decision(Verdict.ALLOW, policy.digest)
        stages = [Stage.PROMPT if isinstance(thing, str) else Stage.INPUT_IMAGE for thing in subject]
        looks = [
            await (self._screening.prompt(thing) if isinstance(thing, str) else self._screening.image(thing, stage))
            for stage, thing in zip(stages, subject, strict=True)
        ]
        pictures = [found for stage, found in zip(stages, looks, strict=True) if stage is Stage.INPUT_IMAGE]
        for stage, found in zip(stages, looks, strict=True):
            beside = pictures if stage is Stage.PROMPT else []
            said = evaluate(policy, found, stage=stage, assurance=int(who.assurance), pictures=beside)
            decision = decision.join(said)
        if only_unanswered(decision):
            raise ScreeningUnanswered
        return Judged(decision, tuple(finding for found in looks for finding in found), policy)
