"""A real RFC 3161 authority on loopback: a root, a time-stamping certificate, tokens that c2pa verifies."""

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from asn1crypto import cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

LET_GO = threading.Event()
"""Ends what hangs."""


class Authority:
    """`mood`: stamps, refuses, hangs, drips, babbles, copies (another message's imprint)."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.root = self._issue("Root", self.key, ca=True)
        self._leaf_key = rsa.generate_private_key(65537, 2048)
        self._leaf = self._issue("Time-stamps", self._leaf_key, ca=False)
        self.mood = "stamps"
        self.asked = 0

    def _issue(self, name: str, key: rsa.RSAPrivateKey, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name.from_rfc4514_string(f"CN={name},O=Example Authority"))
            .issuer_name(x509.Name.from_rfc4514_string("CN=Root,O=Example Authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca, None), True)
            .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        )
        if not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
        return builder.sign(self.key, hashes.SHA256())

    @property
    def anchor_pem(self) -> str:
        return self.root.public_bytes(serialization.Encoding.PEM).decode()

    def reply(self, query: bytes) -> bytes:
        """A TimeStampResp (RFC 3161, 2.4.2) to a TimeStampReq."""
        asked = tsp.TimeStampReq.load(query)
        if self.mood == "copies":
            asked["message_imprint"]["hashed_message"] = secrets.token_bytes(32)
        said = tsp.TSTInfo(
            {
                "version": "v1",
                "policy": "1.2.3.4.1",
                "message_imprint": asked["message_imprint"],
                "serial_number": secrets.randbits(63),
                "gen_time": datetime.now(UTC).replace(microsecond=0),
                "nonce": asked["nonce"],
            }
        ).dump()
        leaf, root = (
            asn1_x509.Certificate.load(c.public_bytes(serialization.Encoding.DER)) for c in (self._leaf, self.root)
        )
        signing = tsp.SigningCertificateV2({"certs": [{"cert_hash": hashlib.sha256(leaf.dump()).digest()}]})
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["tst_info"]},
                {"type": "message_digest", "values": [hashlib.sha256(said).digest()]},
                {"type": "signing_certificate_v2", "values": [signing]},
            ]
        )
        signer = {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                "issuer_and_serial_number", {"issuer": leaf.issuer, "serial_number": leaf.serial_number}
            ),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_rsa"},
            "signature": self._leaf_key.sign(attributes.dump(), padding.PKCS1v15(), hashes.SHA256()),
        }
        token = cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [{"algorithm": "sha256"}],
                "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(said)},
                "certificates": [leaf, root],
                "signer_infos": [signer],
            }
        )
        content = cms.ContentInfo({"content_type": "signed_data", "content": token})
        return tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": content}).dump()


@contextmanager
def serving(authority: Authority) -> Iterator[str]:
    """The URL at which the authority answers inside the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            authority.asked += 1
            query = self.rfile.read(int(self.headers["Content-Length"]))
            if authority.mood == "hangs":
                LET_GO.wait(60)
            self.send_response(503 if authority.mood == "refuses" else 200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            if authority.mood == "drips":
                while not LET_GO.wait(0.1):
                    self.wfile.write(b"0")
            self.wfile.write(b"no token" if authority.mood == "babbles" else authority.reply(query))

        def log_message(self, *_: object) -> None:
            pass

    LET_GO.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/stamp"
    finally:
        LET_GO.set()
        server.shutdown()
        server.server_close()
