"""Leads from a watermark, a fingerprint or a copy of an image to its record. Held images do not exist here.

A watermark found in another picture than the recorded one is no match; one too plain to be compared has no score.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import BadRequest, NotFound
from gateway.store.images import Images, RecordedImage
from gateway.store.looks import Looks
from gateway.store.pictures import Pictures
from gateway.verifying.checks import Checks
from provenance.credentials.store import active_manifest
from provenance.errors import LedgerUnavailable
from provenance.log.ledger import Ledger
from provenance.log.receipts import Receipt, ReceiptInvalid, verify_receipt
from provenance.looks.fingerprint import PDQ_ALGORITHM
from provenance.payload import MARK_BYTES
from provenance.standings import Standing

_PDQ_BYTES = 32
_MOST_HINTED = 3  # to lay a copy over an original takes about 0.2 s


@dataclass(frozen=True, slots=True)
class Match:
    """A record that something leads to. `score`: likeness in percent, None where nothing was compared."""

    manifest_id: str
    score: int | None = None


class Resolver:
    """`mark_algorithms`: of the watermarks that are read here."""

    def __init__(
        self,
        images: Images,
        looks: Looks,
        pictures: Pictures,
        checks: Checks,
        ledger: Ledger,
        mark_algorithms: Collection[str],
    ) -> None:
        self._images = images
        self._looks = looks
        self._pictures = pictures
        self._checks = checks
        self._ledger = ledger
        self.mark_algorithms = frozenset(mark_algorithms)

    @property
    def vkey(self) -> str:
        """The log's public key."""
        return self._ledger.vkey

    def answers(self) -> bool:
        """Whether records and log can be read. Blocks, as all but `by_content` do."""
        try:
            self._looks.nearest("0" * 64)
            self._ledger.latest_checkpoint()
        except (SQLAlchemyError, LedgerUnavailable):
            return False
        return True

    def binding_bytes(self, alg: str) -> int:
        """How long a value of this algorithm is. Raises `BadRequest` for one that is not resolved here."""
        if alg == PDQ_ALGORITHM:
            return _PDQ_BYTES
        if alg not in self.mark_algorithms:
            raise BadRequest("alg", "this algorithm is not resolved here", "See /c2pa/v1/services/supportedAlgorithms")
        return MARK_BYTES

    def by_binding(self, alg: str, value: bytes, most: int) -> list[Match]:
        """`value`: of `binding_bytes(alg)` bytes."""
        if alg == PDQ_ALGORITHM:
            return self._by_looks(value.hex(), most)
        found = self._images.by_mark(value, alg, delivered=True)
        return [] if found is None else [Match(found.image.manifest_id)]

    async def by_content(
        self, data: bytes, alg: str | None, most: int, hint: tuple[str, bytes] | None = None
    ) -> list[Match]:
        """Best first. `alg`: only what this algorithm leads to. `hint`: algorithm and value of a binding the caller
        has read; it adds candidates, which are compared with the image like any others. Raises `BadRequest`."""
        hinted = await asyncio.to_thread(self.by_binding, *hint, _MOST_HINTED) if hint else []
        if alg is not None:
            self.binding_bytes(alg)
        found = await self._checks.match(data, [match.manifest_id for match in hinted])
        if found["verdict"] == Standing.UNCHECKABLE:
            raise BadRequest("body", "the picture cannot be opened", "Send a whole PNG, JPEG or WebP")
        return await asyncio.to_thread(self._found, found, alg, most)

    def manifest(self, manifest_id: str, *, active_only: bool = False) -> bytes:
        """The manifest store as it was signed, or its active manifest. Raises `NotFound`."""
        recorded = self._delivered(manifest_id)
        store = self._pictures.manifest(recorded.job_id, recorded.image)
        return active_manifest(store) if active_only else store

    def receipt(self, manifest_id: str) -> Receipt:
        """The manifest's receipt, against the newest checkpoint. Raises `NotFound`."""
        receipt = self._ledger.receipt_for(self._delivered(manifest_id).job_id)
        if receipt is None:
            raise NotFound("receipt")
        return receipt

    def fault_of(self, proof: str, manifest_id: str) -> str | None:
        """What is wrong with a proof that this manifest is in the log; None if it holds under this log's key."""
        try:
            receipt = Receipt.from_tlog_proof(proof)
            verify_receipt(receipt, self._ledger.vkey)
        except ReceiptInvalid as failure:
            return str(failure)
        if orjson.loads(receipt.leaf).get("manifest_id") != manifest_id:
            return "the receipt is about another manifest"
        return None

    def _delivered(self, manifest_id: str) -> RecordedImage:
        found = self._images.by_manifest(manifest_id, delivered=True)
        if found is None:
            raise NotFound("manifest")
        return found

    def _found(self, found: dict[str, Any], alg: str | None, most: int) -> list[Match]:
        matches: list[Match] = []
        record, pdq = found["record"], found["pdq"]
        if (
            record is not None
            and record["same_picture"] is not False
            and alg in (None, found["algorithm"] or PDQ_ALGORITHM)
        ):
            matches += self._recorded(record)
        looking = self._by_looks(pdq, most) if pdq is not None and alg in (None, PDQ_ALGORITHM) else []
        hinted = [match for each in found["hinted"] if each and each["same_picture"] for match in self._recorded(each)]
        for match in (*looking, *hinted):
            if match.manifest_id not in {known.manifest_id for known in matches}:
                matches.append(match)
        return matches[:most]

    def _by_looks(self, pdq: str, most: int) -> list[Match]:
        near = [(self._images.by_content_id(look.content_id), look) for look in self._looks.nearest(pdq, most)]
        return [
            Match(found.image.manifest_id, round(100 * (1 - look.distance / 256)))
            for found, look in near
            if found is not None and not found.held
        ]

    def _recorded(self, record: dict[str, Any]) -> list[Match]:
        found = self._images.by_content_id(record["content_id"], delivered=True)
        return [] if found is None else [Match(found.image.manifest_id, record["score"])]
