"""What the steady classifiers found in images that were sent in: an upload is screened once and not for every edit.

Findings are kept in this process alone: whoever can write to the database cannot have a picture pass unseen. They hold
for one file, one policy and one day (registers of people and rights have dates), and only if every classifier answered.
Lists of known pictures change while the process runs: they are asked every time, which costs next to nothing.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final

from gateway.stations.screening import Screening
from moderation.classifiers import Pixels
from policies.findings import UNANSWERED, Finding, Stage

_MOST: Final = 4096  # files; their findings take some hundred bytes each


class Seen:
    """`policy_digest`: of the policy that names the classifiers. `clock`: aware UTC time."""

    def __init__(self, screening: Screening, policy_digest: str, clock: Callable[[], datetime]) -> None:
        self._screening = screening
        self._policy_digest = policy_digest
        self._clock = clock
        self._found: OrderedDict[tuple[bytes, str, str], tuple[Finding, ...]] = OrderedDict()

    async def findings(self, data: bytes, pixels: Pixels) -> tuple[Finding, ...]:
        """On the file `data`, which decodes to `pixels`: of everybody who looks at images and at files sent in."""
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).digest())
        key = (digest, self._policy_digest, self._clock().date().isoformat())
        seen = self._found.pop(key, None) or await self._screening.image(pixels, Stage.INPUT_IMAGE, steady=True)
        if not any(finding.category == UNANSWERED for finding in seen):
            self._found[key] = seen
            while len(self._found) > _MOST:
                self._found.popitem(last=False)
        changing = await self._screening.image(pixels, Stage.INPUT_IMAGE, steady=False)
        return (*seen, *changing, *await asyncio.to_thread(self._screening.file, data))
