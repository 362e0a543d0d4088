"""Decides, before anything is drawn, whether the credential of a picture that is sent in can go into our manifests.

What is in a stranger's manifest store, no rule foresees: stores that no reader takes apart, claims that name manifests
which are not there, chains too deep to follow. So it is tried out: a trial picture with the sources in it is signed
with a key that is known to nobody, and read back. Where that does not read as it must, the source is named in the
manifest without its credential, and the manifest says so and why. Nobody's picture fails to be sealed for it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from provenance.claims import Claim, MediaType, Source, content_id
from provenance.credentials.manifest import definition, ingredients
from provenance.credentials.reading import CredentialState, ManifestReader
from provenance.errors import ProvenanceError, UnreadableImage
from provenance.files.embedded import manifest_store
from provenance.files.encoding import encode
from provenance.labels import packet
from provenance.payload import MARK_BYTES
from provenance.signing.certificates import throwaway_chain
from provenance.signing.local import ManifestSigner

MOST_STORE_BYTES: Final = 4 * 1024 * 1024
"""Of one source. Every picture made from it carries all of it; stores of cameras and editors have up to about one."""

_UNREADABLE: Final = "The image sent in may have carried a content credential; it could not be read and is not kept."
_TOO_LARGE: Final = (
    f"The image sent in carried a content credential of more than {MOST_STORE_BYTES >> 20} MB, which is not kept."
)
_UNFIT: Final = (
    "The image sent in carried a content credential that cannot be confirmed as a part of this one; not kept"
)
_ELSEWHERE: Final = "The image sent in names a content credential that is kept elsewhere; it was not fetched."

_CODE: Final = re.compile(r"[A-Za-z0-9_.]{1,80}")
_MOST_CODES: Final = 5
_LIFE: Final = timedelta(days=365)


class IngredientTrial:
    """Safe to use from many threads. `anchors_pem`: as the manifest signer and the reader have them."""

    def __init__(self, reader: ManifestReader, anchors_pem: str = "") -> None:
        self._reading = reader
        self._anchors = anchors_pem
        self._begin(datetime.now(UTC))

    def settle(self, sources: Sequence[Source], media_type: MediaType, *, edits: bool) -> tuple[Source, ...]:
        """The sources, each with its credential or without, so that a picture of `media_type` made from them reads as
        trusted by whoever trusts its signer.

        `edits`: the first one is the picture to be changed. Never raises for what is in them.
        """
        settled = [self._alone(source, media_type) for source in sources]
        # Each may be fine alone, and not beside another: two versions of one manifest under one name.
        while sum(source.left_out is None for source in settled) > 1:
            found = self._trial(settled, media_type, edits=edits)
            if found is None:
                break
            last = max(place for place, source in enumerate(settled) if source.left_out is None)
            settled[last] = replace(settled[last], left_out=found)
        return tuple(settled)

    def _alone(self, source: Source, media_type: MediaType) -> Source:
        if source.left_out is not None:
            return source
        credential = self._reading.read(source.data, source.media_type)
        if credential.state is CredentialState.NOT_PRESENT:
            return replace(source, left_out=_ELSEWHERE if credential.codes else "")
        if credential.state is CredentialState.UNREADABLE:
            return replace(source, left_out=_UNREADABLE)
        if _length(source) > MOST_STORE_BYTES:
            return replace(source, left_out=_TOO_LARGE)
        return replace(source, left_out=self._trial([source], media_type, edits=True))

    def _trial(self, sources: Sequence[Source], media_type: MediaType, *, edits: bool) -> str | None:
        """Why the credentials cannot go in together; None if they can."""
        if datetime.now(UTC) > self._ends:
            self._begin(datetime.now(UTC))
        claim = _claim(sources, media_type, edits=edits)
        picture = encode(np.zeros((16, 16, 3), np.uint8), media_type, 90, packet(claim))
        try:
            data, _ = self._signer.sign(definition(claim, None), media_type, picture, ingredients(claim))
        except ProvenanceError:
            return _UNREADABLE
        credential = self._reader.read(data, media_type)
        if credential.state is CredentialState.TRUSTED:
            return None
        codes = [code for code in credential.codes if _CODE.fullmatch(code)][:_MOST_CODES]
        return f"{_UNFIT} ({', '.join(codes)})." if codes else f"{_UNFIT}."

    def _begin(self, now: datetime) -> None:
        key, chain, root = throwaway_chain(now)
        self._signer = ManifestSigner(_Throwaway(key, chain), anchors_pem=self._anchors + root)
        self._reader = ManifestReader(self._anchors + root)
        self._ends = now + _LIFE


class _Throwaway:
    name, version, algorithm = "trial", "1", "es256"

    def __init__(self, key: ec.EllipticCurvePrivateKey, chain: str) -> None:
        self._key = key
        self.chain_pem = chain

    def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`."""
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


def _length(source: Source) -> int:
    """Of the manifest store, in bytes; of the whole file where that is not one plain store."""
    try:
        return len(manifest_store(source.data, source.media_type))
    except UnreadableImage:
        return len(source.data)


def _claim(sources: Sequence[Source], media_type: MediaType, *, edits: bool) -> Claim:
    mark = bytes(MARK_BYTES)
    return Claim(
        content_id=content_id(mark),
        mark=mark,
        model_id="trial",
        model_version="trial",
        model_trained=True,
        created_at=datetime.now(UTC).replace(microsecond=0),
        media_type=media_type,
        provider="trial",
        system_version="trial",
        parent=sources[0] if edits else None,
        references=tuple(sources[1:] if edits else sources),
    )
