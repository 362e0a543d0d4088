"""An operator with CA, leaf, signer and watermark, and the claims and records that tests need."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from moderation.known_pictures.pdq import pdq
from provenance.claims import Claim, MediaType, SealedImage, content_id
from provenance.credentials.reading import ManifestReader
from provenance.files.encoding import decode_own
from provenance.looks.fingerprint import PDQ_MATCH_DISTANCE, pdq_distance
from provenance.marks.library import LibraryWatermark
from provenance.marks.watermarkers import Pixels
from provenance.reports import KnownImage
from provenance.sealing import SealerSetup
from provenance.signing.certificates import make_development_ca, make_leaf
from provenance.signing.local import LocalSigner, ManifestSigner
from provenance.tracing import Lookups
from provenance.verification import VerifierSetup

NOW = datetime.now(UTC).replace(microsecond=0)
MARK = bytes.fromhex("0123456789abcdef")


@dataclass(frozen=True)
class Gateway:
    """What a test needs of one operator."""

    folder: Path
    sealing: SealerSetup
    anchors_pem: str
    originals: dict[str, Pixels] = field(default_factory=dict)

    def verifying(self, *records: KnownImage) -> VerifierSetup:
        """With a store that holds exactly `records`."""
        lookups = Lookups(
            by_mark=lambda mark: next((r for r in records if r.mark == mark), None),
            by_sha256=lambda digest: next((r for r in records if r.sha256 == digest), None),
            by_looks=lambda pdq_hash: next(
                (r for r in records if pdq_distance(r.pdq, pdq_hash) <= PDQ_MATCH_DISTANCE), None
            ),
            original=lambda known: self.originals.get(known.content_id),
        )
        return VerifierSetup(self.sealing.reader, (self.sealing.watermarker,), pdq, lookups)

    def keeping(self, sealed: SealedImage) -> VerifierSetup:
        """With the record of `sealed`, and the picture itself to lay copies over."""
        record = record_of(sealed)
        original = decode_own(sealed.data, sealed.media_type)
        return replace(self, originals={**self.originals, record.content_id: original}).verifying(record)

    def without_records(self) -> VerifierSetup:
        """As a stranger with the anchor verifies."""
        return VerifierSetup(self.sealing.reader, (self.sealing.watermarker,), pdq)


def make_gateway(folder: Path, organisation: str) -> Gateway:
    """An operator with a CA of its own."""
    make_development_ca(folder / "ca.pem", folder / "ca.key", organisation=organisation, now=NOW)
    make_leaf(
        folder / "chain.pem",
        folder / "leaf.key",
        ca_certificate_path=folder / "ca.pem",
        ca_key_path=folder / "ca.key",
        organisation=organisation,
        now=NOW,
    )
    anchors = (folder / "ca.pem").read_text()
    signer = LocalSigner(LocalSigner.Options(chain_path=folder / "chain.pem", key_path=folder / "leaf.key"))
    watermarker = LibraryWatermark(LibraryWatermark.Options())
    return Gateway(
        folder,
        SealerSetup(watermarker, ManifestSigner(signer, anchors_pem=anchors), ManifestReader(anchors), pdq),
        anchors,
    )


def make_claim(media_type: MediaType = "image/png", **changes: object) -> Claim:
    """A claim about a generated picture."""
    values: dict[str, object] = {
        "content_id": content_id(b"8 bytes."),
        "mark": MARK,
        "model_id": "flux-demo",
        "model_version": "sha256:" + "0" * 64,
        "model_trained": False,
        "created_at": NOW,
        "media_type": media_type,
        "provider": "Example & Sons",
        "system_version": "0.1.0",
    }
    return Claim(**{**values, **changes})  # type: ignore[arg-type]


def record_of(sealed: SealedImage) -> KnownImage:
    """What the gateway would keep."""
    return KnownImage(
        content_id(b"8 bytes."), sealed.sha256, sealed.mark, sealed.pdq, sealed.pdq_quality, sealed.manifest_id
    )
