"""Part `remote`: asks a signing service of one's own, such as a proxy before a KMS, to sign a hash.

The wire format, one request for each signature:

    POST <url>                                   Authorization: Bearer <token>
    {"key_id": "…", "algorithm": "es256", "hash": "sha256", "digest": "<base64>"}

    200 application/json
    {"signature": "<base64>"}

`algorithm`: es256, es384, es512 or ps256 (C2PA 2.4, 13.2.1; PSS with SHA-256 and a salt of 32 bytes). An ECDSA
signature is DER or r‖s. Any other answer is a failure, and the picture stays here.
"""

import base64
import binascii
import json
import ssl
from pathlib import Path
from typing import Final, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from provenance.errors import CertificateProblem, SigningFailed
from provenance.signing.digests import remote_key
from provenance.signing.posting import Post, Unanswered, is_loopback, web_host

_MAX_ANSWER_BYTES: Final = 16_384


def _unreachable(*_: object, **__: object) -> NoReturn:
    raise Unanswered("no way to reach the signing service was set")


class RemoteSigner:
    """Part `remote`; see the top of this file. Raises `CertificateProblem` if chain, token or TLS files do not fit.

    `post`: set by whoever built the part, before it signs (`provenance.signing.posting.Posting`).
    """

    post: Post = staticmethod(_unreachable)

    name = "remote"
    version = "1"

    class Options(BaseModel):
        """`chain_path`: PEM certificates of the key, leaf first. `url`: https (TLS 1.3); http only to this machine.
        `key_id`: what the service calls the key. `token_path`: a bearer token, read anew for each signature. `ca_path`:
        PEM roots of the service's own certificate instead of the system's. `client_chain_path`, `client_key_path`: PEM,
        for mutual TLS. `timeout_seconds`: of one signature, as a whole."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        chain_path: Path
        url: str
        key_id: str = Field(min_length=1)
        token_path: Path | None = None
        ca_path: Path | None = None
        client_chain_path: Path | None = None
        client_key_path: Path | None = None
        timeout_seconds: float = Field(5.0, gt=0, le=60)

        @field_validator("url")
        @classmethod
        def _is_guarded(cls, url: str) -> str:
            if not is_loopback(web_host(url)) and not url.startswith("https://"):
                raise ValueError("plain http is for this machine alone; use https")
            return url

        @model_validator(mode="after")
        def _is_whole(self) -> Self:
            if (self.client_chain_path is None) != (self.client_key_path is None):
                raise ValueError("mutual TLS takes client_chain_path and client_key_path together")
            return self

    def __init__(self, options: Options) -> None:
        self._options = options
        self._key = remote_key(options.chain_path)
        self._context = _tls(options)
        self.algorithm = self._key.algorithm
        self.chain_pem = self._key.chain_pem
        self._headers()  # a missing token is said at the start

    def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`. Raises `SigningFailed` or `Unanswered`; neither holds what was sent or received."""
        digest = self._key.digest(message)
        question = {
            "key_id": self._options.key_id,
            "algorithm": self.algorithm,
            "hash": self._key.hash_name,
            "digest": base64.b64encode(digest).decode("ascii"),
        }
        answer = self.post(
            self._options.url,
            json.dumps(question).encode("ascii"),
            self._headers(),
            seconds=self._options.timeout_seconds,
            max_bytes=_MAX_ANSWER_BYTES,
            context=self._context,
        )
        if answer.media_type != "application/json":
            raise Unanswered("the signing service's answer is no JSON")
        try:
            signature = base64.b64decode(json.loads(answer.body)["signature"], validate=True)
        except (ValueError, KeyError, TypeError, binascii.Error) as cause:
            raise SigningFailed("The signing service's answer holds no signature.") from cause
        return self._key.checked(digest, signature)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._options.token_path is not None:
            try:
                token = self._options.token_path.read_text("ascii").strip()
            except (OSError, UnicodeDecodeError) as cause:
                raise CertificateProblem("The signing service's token cannot be read. Mend token_path.") from cause
            if not token or not token.isprintable():
                raise CertificateProblem("The signing service's token is empty or broken. Mend what token_path names.")
            headers["Authorization"] = f"Bearer {token}"
        return headers


def _tls(options: RemoteSigner.Options) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_path)
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # what the C2PA programme asks between subsystems (AL1)
        if options.client_chain_path is not None:
            context.load_cert_chain(options.client_chain_path, options.client_key_path, password="")
    except (OSError, ssl.SSLError) as cause:
        raise CertificateProblem(
            "TLS to the signing service cannot be set up. Mend ca_path, client_chain_path or client_key_path."
        ) from cause
    return context
