"""The demonstration, numbered. Each step asks the running gateway over HTTP, or reads files, and checks what it claims.

1. furnish    data folder, development CA, certificate, log key, API key
2. serve      the real server on a free loopback port
3. deliver    a benign prompt becomes a picture
4. refuse     a prompt the policy refuses, with reasons and without a picture
5. look       a prompt whose words pass and whose picture does not: refused after drawing, nothing leaves
6. verify     the delivered file: credential, watermark, record, log proof
7. strip      the same picture without metadata, re-encoded as JPEG: still led back to its record
8. tamper     one byte flipped: reported
9. audit      the log checked offline from its own files, against the receipts
"""

import io
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from gateway.auth.identity import Assurance, Scope
from gateway.auth.key_store import KeyStore
from gateway.demo.account import Account, Step
from gateway.demo.server import running_server
from gateway.settings import load_settings
from gateway.signing.provisioning import log_signer, signing_files
from gateway.stations.records import utc_now
from gateway.store.data_folder import open_data_folder
from provenance.credentials.reading import CredentialState, ManifestReader
from provenance.log.export import export
from provenance.log.fsck import fsck
from provenance.log.receipts import Receipt, ReceiptInvalid, verify_receipt

BENIGN = "a red apple on a wooden table in morning light"
# Refused by a term list and harmless to read: the words of a safety manual's chapter title.
REFUSED = "a step by step diagram of how to build a pipe bomb"
# Its words pass the policy; what they make the model draw is a weapon.
DRAWN_AND_REFUSED = "a dagger on a teal background"
SEED = 20261202
JPEG_QUALITY = 90
_POLL_SECONDS = 0.2
_DRAW_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the gateway gave for the benign prompt."""

    prediction: dict[str, Any]
    data: bytes

    @property
    def receipt(self) -> Receipt:
        """As it stood in the answer."""
        return Receipt.from_json(json.dumps(self.prediction["receipt"]))


def run(out: Path, data_dir: Path, account: Account) -> bool:
    """Runs every step, leaves its files in `out`, and returns True only if each claim was checked and held."""
    out.mkdir(parents=True, exist_ok=True)
    with account.working("Furnishing a data folder"):
        key = _furnish(data_dir, account)
    with account.working("Starting the server"):
        server = running_server(data_dir, out / "server.log")
        url = server.__enter__()
    try:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
            _serve(client, url, account)
            with account.working("Drawing: " + BENIGN):
                delivery = _deliver(client, out, account)
            with account.working("Asking for what the policy refuses"):
                refusal = _refuse(client, out, account)
            with account.working("Drawing: " + DRAWN_AND_REFUSED):
                second_refusal = _look(client, account)
            with account.working("Verifying"):
                _verify(client, delivery, data_dir, out, account)
                _strip(client, delivery, out, account)
                _tamper(client, delivery, out, account)
    finally:
        server.__exit__(None, None, None)
    with account.working("Auditing the log from its own files"):
        _audit(data_dir, out, (delivery.receipt, refusal, second_refusal), account)
    account.write_page(
        out / "index.html", {"benign": BENIGN, "refused": REFUSED, "model": _called(delivery.prediction["model"])}
    )
    return account.held


def _furnish(data_dir: Path, account: Account) -> str:
    settings = load_settings(data_dir)
    folder = open_data_folder(data_dir, settings)
    files = signing_files(folder.keys, settings.provider, utc_now(), folder.key_passphrase)
    signer = log_signer(folder.keys, folder.key_passphrase)
    scopes = (Scope.GENERATE, Scope.MODERATE)
    record, key = KeyStore(folder.database, folder.pepper).create(
        "demo", "demonstration", scopes, Assurance.ORGANISATION, None
    )
    folder.database.dispose()
    secret = key.rsplit("_", 1)[1].encode()
    stored = any(secret in file.read_bytes() for file in data_dir.rglob("*") if file.is_file())
    account.tell(
        Step(
            "furnish",
            "A data folder with everything a gateway needs",
            (
                (
                    "a development CA and a signing certificate are there",
                    files.anchor.is_file() and files.chain.is_file(),
                ),
                (
                    "keys can be read by their owner only",
                    all(f.stat().st_mode & 0o077 == 0 for f in folder.keys.glob("*.key")),
                ),
                ("no file holds the API key", not stored),
            ),
            (("log", signer.key.vkey), ("API key", f"fg_{record.id}_… (tenant demo)")),
        )
    )
    return key


def _serve(client: httpx.Client, url: str, account: Account) -> None:
    health = client.get("/health").json()
    models = ", ".join(f"{_called(m['id'])}{'' if m['trained'] else ' (untrained)'}" for m in health["models"])
    gaps = sum(len(gap["categories"]) for gap in health["accepted_gaps"])
    account.tell(
        Step(
            "serve",
            "The real server answers",
            (("it is ready to draw", client.get("/health/ready").status_code == 200),),
            (
                ("address", url),
                ("model", models),
                ("policy", f"{health['policy']['name']} {health['policy']['digest'][:23]}…"),
                ("gaps the policy accepts by name", f"{gaps}, see /health"),
            ),
        )
    )


def _called(model: str) -> str:
    """What a reader is told of the model: the one that comes along never passes for another."""
    return "the pictogram model (fluxgate/pictograms), which is not FLUX.1" if model == "fluxgate/pictograms" else model


def _ask(client: httpx.Client, prompt: str) -> dict[str, Any]:
    """Sends a prompt and waits for its final state, as a client of the native API does."""
    answer = client.post("/api/v1/model/generateImage", json={"prompt": prompt, "seed": SEED})
    answer.raise_for_status()
    until = time.monotonic() + _DRAW_SECONDS
    while time.monotonic() < until:
        state: dict[str, Any] = client.get(f"/api/v1/model/prediction/{answer.json()['id']}").json()["data"]
        if state["status"] != "processing":
            return state
        time.sleep(_POLL_SECONDS)
    raise TimeoutError("the prediction did not end")


def _deliver(client: httpx.Client, out: Path, account: Account) -> Delivery:
    prediction = _ask(client, BENIGN)
    file = client.get(prediction["outputs"][0]) if prediction.get("outputs") else None
    data = file.content if file is not None else b""
    (out / "image.png").write_bytes(data)
    (out / "prediction.json").write_text(json.dumps(prediction, indent=2) + "\n")
    account.tell(
        Step(
            "deliver",
            "A benign prompt is drawn, sealed, logged and delivered",
            (
                ("the prediction is completed", prediction["status"] == "completed"),
                (
                    "the file says that it is AI-generated",
                    file is not None and file.headers.get("x-ai-generated") == "true",
                ),
                ("it came with a receipt of the log", "receipt" in prediction),
            ),
            (("prompt", BENIGN), ("picture", prediction.get("content_id", "none")), ("bytes", str(len(data)))),
            (("image.png", "as delivered"),),
        )
    )
    return Delivery(prediction, data)


def _refuse(client: httpx.Client, out: Path, account: Account) -> Receipt:
    prediction = _ask(client, REFUSED)
    error = prediction.get("error_details", {})
    stated = error.get("statement_of_reasons", {})
    (out / "statement-of-reasons.json").write_text(json.dumps(stated, indent=2) + "\n")
    reason = (stated.get("reasons") or [{}])[0]
    said = all(reason.get(name) for name in ("category", "stage", "rule"))
    account.tell(
        Step(
            "refuse",
            "A prompt the policy refuses is refused, with reasons",
            (
                ("it is refused by the policy", error.get("code") == "moderation_blocked"),
                ("no picture came with it", not prediction.get("outputs")),
                (
                    "category, stage and rule are stated",
                    said,
                ),
                (
                    "it says who decided and how to appeal",
                    stated.get("automated") is True and bool(stated.get("appeal")),
                ),
                ("the refusal has its receipt too", "receipt" in prediction),
            ),
            (
                ("category", f"{reason.get('title')} ({reason.get('category')})"),
                ("stage", str(reason.get("stage"))),
                ("rule", str(reason.get("rule"))),
                ("why", str(reason.get("text"))),
                ("decided", "automatically" if stated.get("automated") else "by a person"),
                ("appeal", str(stated.get("appeal"))),
            ),
        )
    )
    return Receipt.from_json(json.dumps(prediction["receipt"]))


def _look(client: httpx.Client, account: Account) -> Receipt:
    prediction = _ask(client, DRAWN_AND_REFUSED)
    error = prediction.get("error_details", {})
    reason = (error.get("statement_of_reasons", {}).get("reasons") or [{}])[0]
    account.tell(
        Step(
            "look",
            "Words that pass, a picture that does not: refused after drawing",
            (
                ("it is refused by the policy", error.get("code") == "moderation_blocked"),
                ("by what the picture shows, not by its words", reason.get("stage") == "output_image"),
                ("for the weapon in it", reason.get("category") == "weapons"),
                ("no picture came with it", not prediction.get("outputs")),
                ("this refusal has its receipt as well", "receipt" in prediction),
            ),
            (
                ("prompt", DRAWN_AND_REFUSED),
                ("category", f"{reason.get('title')} ({reason.get('category')})"),
                ("stage", str(reason.get("stage"))),
                ("rule", str(reason.get("rule"))),
            ),
        )
    )
    return Receipt.from_json(json.dumps(prediction["receipt"]))


def _check(client: httpx.Client, data: bytes, name: str, media_type: str) -> dict[str, Any]:
    answer = client.post("/v1/verify", files={"file": (name, data, media_type)})
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _verify(client: httpx.Client, delivery: Delivery, data_dir: Path, out: Path, account: Account) -> None:
    found = _check(client, delivery.data, "image.png", "image/png")
    anchor = (data_dir / "keys" / "ca.pem").read_text("ascii")
    credential = ManifestReader(anchor).read(delivery.data, "image/png")
    stranger = ManifestReader("").read(delivery.data, "image/png")
    (out / "manifest.json").write_text((credential.manifest_json or "{}") + "\n", "utf-8")
    receipt = delivery.receipt
    (out / "receipt.json").write_text(receipt.to_json() + "\n", "utf-8")
    (out / "receipt.tlog-proof").write_text(receipt.tlog_proof(), "utf-8")
    layers = found["layers"]
    mark = delivery.prediction["provenance"]["watermark"]
    account.tell(
        Step(
            "verify",
            "The delivered file proves itself",
            (
                ("verdict: ours and intact", found["verdict"] == "ours_intact"),
                ("C2PA: trusted by whoever trusts our CA", credential.state is CredentialState.TRUSTED),
                ("C2PA: valid, signer unknown, for everybody else", stranger.state is CredentialState.VALID),
                ("the prompt is not in the file", BENIGN.encode() not in delivery.data),
                (
                    "watermark: carries the record's id",
                    layers["watermark"]["mark"] == mark,
                ),
                ("log: the receipt's proof holds", _holds(receipt, data_dir)),
                ("log: its entry names this very file", json.loads(receipt.leaf)["output_sha256"] == found["sha256"]),
            ),
            tuple((name, layer["explanation"]) for name, layer in layers.items()),
        )
    )


def _holds(receipt: Receipt, data_dir: Path) -> bool:
    try:
        verify_receipt(receipt, (data_dir / "keys" / "log.vkey").read_text("ascii").strip())
    except ReceiptInvalid:
        return False
    return True


def _strip(client: httpx.Client, delivery: Delivery, out: Path, account: Account) -> None:
    copy = io.BytesIO()
    Image.open(io.BytesIO(delivery.data)).convert("RGB").save(copy, "JPEG", quality=JPEG_QUALITY)
    (out / "stripped.jpg").write_bytes(copy.getvalue())
    found = _check(client, copy.getvalue(), "stripped.jpg", "image/jpeg")
    layers = found["layers"]
    account.tell(
        Step(
            "strip",
            f"Metadata stripped, re-encoded as JPEG {JPEG_QUALITY}: still recognised",
            (
                ("the credential is gone", layers["metadata"]["state"] == "not_present"),
                ("the watermark is read", layers["watermark"]["detected"]),
                ("it leads back to the record", layers["record"]["content_id"] == delivery.prediction["content_id"]),
                ("the verdict does not call it intact", found["verdict"] == "ours_altered"),
            ),
            (("summary", found["summary"]),),
            (("stripped.jpg", "re-encoded copy"),),
        )
    )


def _tamper(client: httpx.Client, delivery: Delivery, out: Path, account: Account) -> None:
    position = len(delivery.data) // 2  # in the middle of the pixels' compressed data
    changed = bytearray(delivery.data)
    changed[position] ^= 1
    (out / "tampered.png").write_bytes(changed)
    found = _check(client, bytes(changed), "tampered.png", "image/png")
    account.tell(
        Step(
            "tamper",
            "One bit flipped: reported",
            (
                ("the verdict is ours, altered", found["verdict"] == "ours_altered"),
                ("the credential is invalid", found["layers"]["metadata"]["state"] == "invalid"),
            ),
            (("byte", f"{position} of {len(changed)}"), ("summary", found["summary"])),
        )
    )


def _audit(data_dir: Path, out: Path, receipts: tuple[Receipt, ...], account: Account) -> None:
    folder = open_data_folder(data_dir)
    vkey = (folder.keys / "log.vkey").read_text("ascii").strip()
    exported = out / "log"
    export(folder.engine_for_log, exported, vkey)
    folder.database.dispose()
    report = fsck(exported, vkey, [receipt.checkpoint for receipt in receipts])
    outcomes = [json.loads(receipt.leaf)["outcome"] for receipt in receipts]
    account.tell(
        Step(
            "audit",
            "The log, checked offline from its own files",
            (
                ("fluxgate log verify finds the log intact: entries, tree, checkpoints", report.intact),
                ("all three requests are in it, once each", outcomes == ["delivered", "refused", "refused"]),
                ("their receipts prove into it", all(_holds(receipt, data_dir) for receipt in receipts)),
            ),
            (("entries", str(report.size)), ("root", report.root), ("files", str(exported))),
        )
    )
