"""Seals renderings from the event loop, and gives each picture the id its watermark carries."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from gateway.exchange import ImageRequest
from gateway.stations.labelling import Labelling
from gateway.stations.uploads import Sent
from gateway.version import SYSTEM_VERSION
from inference.engines import Rendering
from inference.errors import PART_FAILURES
from provenance.claims import Claim, Detached, MediaType, Region, SealedImage, content_id
from provenance.errors import ProvenanceError, SealError
from provenance.payload import MARK_BYTES
from provenance.sealing import SealerSetup, seal


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed picture under its public id, which is the watermark's payload in base 32."""

    content_id: str
    image: SealedImage


class Sealing:
    """`provider`: who runs this gateway, as it stands in every manifest. `clock`: aware UTC time. `detached`: how a
    picture's manifest is kept apart from it, by its content id; None for in the file.

    `threads`: numpy, OpenCV and c2pa work outside the interpreter's lock, so that two do 1.8 times the work of one and
    four 2.9 times (`tests.benchmarks.seal_workers`); keys in hardware cannot be handed to processes.
    """

    def __init__(
        self,
        parts: SealerSetup,
        labelling: Labelling,
        provider: str,
        clock: Callable[[], datetime],
        detached: Callable[[str], Detached | None] = lambda _: None,
        threads: int = 4,
    ) -> None:
        self._detached = detached
        self.parts = parts
        self.labelling = labelling
        self._provider = provider
        self.clock = clock
        self._pool = ThreadPoolExecutor(threads, "sealing")

    async def seal(self, rendering: Rendering, request: ImageRequest, sent: Sent, tenant: str) -> Sealed:
        """The rendering as a finished file. Raises `SealError` or another `ProvenanceError`."""
        labelling = self.labelling.of(tenant)
        mark = secrets.token_bytes(MARK_BYTES)
        claim = Claim(
            content_id=content_id(mark),
            mark=mark,
            model_id=rendering.model_id,
            model_version=rendering.weights_digest,
            model_trained=rendering.trained,
            created_at=self.clock().replace(microsecond=0),
            media_type=cast("MediaType", request.media_type),
            provider=self._provider,
            system_version=SYSTEM_VERSION,
            quality=request.quality,
            parent=sent.parent.source if sent.parent else None,
            region=Region(*rendering.repainted) if rendering.repainted else None,
            references=tuple(picture.source for picture in sent.references),
            cut_parent=request.cuts_input and sent.parent is not None,
            steps=rendering.finished,
            labels=labelling.profiles,
            provider_code=labelling.provider_code,
            visible_label=labelling.visible(request),
            detached=self._detached(content_id(mark)),
        )
        work = asyncio.get_running_loop().run_in_executor(self._pool, seal, self.parts, rendering.pixels, claim)
        try:
            return Sealed(claim.content_id, await work)
        except ProvenanceError:
            raise
        except PART_FAILURES as failure:  # a stranger's watermarker may raise anything
            raise SealError(f"sealing failed ({type(failure).__name__})") from failure

    def close(self) -> None:
        """Waits for what is being sealed, then releases native objects."""
        self._pool.shutdown(wait=True)
        self.parts.signer.close()
        self.parts.reader.close()
