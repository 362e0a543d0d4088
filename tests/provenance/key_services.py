"""Where keys live that are not ours: a signing service over HTTP or TLS, and a SoftHSM token."""

import base64
import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

TOKEN = "a-token-of-the-service"
PIN = "648219"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


class SigningService:
    """`mood`: signs, refuses, hangs, drips, babbles, redirects, forges (with another key)."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
        self.key = key
        self.mood = "signs"
        self.asked: list[dict[str, Any]] = []
        self.let_go = threading.Event()

    def answer(self, question: dict[str, Any]) -> bytes:
        digest = base64.b64decode(question["digest"])
        prehashed = utils.Prehashed({32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}[len(digest)])
        key = ec.generate_private_key(ec.SECP256R1()) if self.mood == "forges" else self.key
        if isinstance(key, rsa.RSAPrivateKey):
            signature = key.sign(digest, padding.PSS(padding.MGF1(hashes.SHA256()), 32), prehashed)
        else:
            signature = key.sign(digest, ec.ECDSA(prehashed))
        return json.dumps({"signature": base64.b64encode(signature).decode()}).encode()


@contextmanager
def serving(service: SigningService, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL at which the service answers inside the block, to those who have the token."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.asked.append(question)
            if service.mood == "hangs":
                service.let_go.wait(60)
            status = 401 if self.headers["Authorization"] != f"Bearer {TOKEN}" else 200
            self.send_response({"refuses": 403, "redirects": 307}.get(service.mood, status))
            self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            while service.mood == "drips" and not service.let_go.wait(0.05):
                self.wfile.write(b" ")
            self.wfile.write(b"{}" if service.mood == "babbles" else service.answer(question))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{'http' if tls is None else 'https'}://localhost:{server.server_port}/sign"
    finally:
        service.let_go.set()
        server.shutdown()
        server.server_close()


def softhsm(folder: Path) -> Path:
    """The module of a fresh SoftHSM token `fluxgate`. Skips the test, by name, where SoftHSM is not installed."""
    pytest.importorskip("pkcs11", reason="the extra pkcs11 is not installed")
    module = next((Path(path) for path in MODULES if Path(path).is_file()), None)
    tool = shutil.which("softhsm2-util")
    if module is None or tool is None:
        pytest.skip("SoftHSM is not installed: apt-get install softhsm2")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    command = [tool, "--init-token", "--free", "--label", "fluxgate", "--pin", PIN, "--so-pin", PIN]
    subprocess.run(command, check=True, capture_output=True)
    return module
