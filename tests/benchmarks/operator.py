"""An operator for benchmarks: keys, certificates and the parts that seal, with the default watermark."""

from datetime import UTC, datetime
from pathlib import Path

from moderation.known_pictures.pdq import pdq
from provenance.claims import Claim, MediaType, content_id
from provenance.credentials.reading import ManifestReader
from provenance.marks.tile_watermark import TileWatermark
from provenance.sealing import SealerSetup
from provenance.signing.certificates import make_development_ca, make_leaf
from provenance.signing.local import LocalSigner, ManifestSigner

MARK = bytes.fromhex("0123456789abcdef")


def found(folder: Path, organisation: str = "Benchmark") -> None:
    """Writes keys and certificates into `folder`."""
    now = datetime.now(UTC).replace(microsecond=0)
    authority = {"ca_certificate_path": folder / "ca.pem", "ca_key_path": folder / "ca.key"}
    make_development_ca(*authority.values(), organisation=organisation, now=now)
    make_leaf(folder / "chain.pem", folder / "leaf.key", **authority, organisation=organisation, now=now)


def signer(folder: Path) -> LocalSigner:
    """The key that lies there."""
    return LocalSigner(LocalSigner.Options(chain_path=folder / "chain.pem", key_path=folder / "leaf.key"))


def reader(folder: Path) -> ManifestReader:
    """Trusts the anchor that lies there."""
    return ManifestReader((folder / "ca.pem").read_text())


def watermarker() -> TileWatermark:
    """The default one, with a key of its own."""
    return TileWatermark(TileWatermark.Options.model_validate({"keys": [{"id": "bench", "hex": "5a" * 32}]}))


def sealing(folder: Path) -> SealerSetup:
    """What seals with the keys that lie there."""
    return SealerSetup(watermarker(), ManifestSigner(signer(folder)), reader(folder), pdq)


def claim(media_type: MediaType = "image/png", mark: bytes = MARK) -> Claim:
    """A claim about a generated picture."""
    return Claim(
        content_id=content_id(bytes(8)),
        mark=mark,
        model_id="benchmark",
        model_version="sha256:" + "0" * 64,
        model_trained=False,
        created_at=datetime.now(UTC).replace(microsecond=0),
        media_type=media_type,
        provider="Benchmark",
        system_version="0",
    )
