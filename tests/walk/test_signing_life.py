"""A gateway with a time-stamp authority and its own CA: stamped pictures, an authority that goes away, a stolen key."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from provenance.credentials.manifest import definition
from provenance.credentials.reading import ManifestReader
from provenance.files.encoding import encode
from provenance.signing.local import LocalSigner, ManifestSigner
from tests.provenance.authority import Authority, serving
from tests.provenance.operators import make_claim
from tests.provenance.pictures import make_photo_like
from tests.walk import independent
from tests.walk.dialogues import Native
from tests.walk.house import HARMLESS, House


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def stamping(tmp_path_factory: pytest.TempPathFactory, parts_path: str, authority: Authority) -> Iterator[House]:
    path = tmp_path_factory.mktemp("stamping") / "data"
    anchors = path.with_name("authority.pem")
    anchors.write_text(authority.anchor_pem)
    with serving(authority) as url:
        house = House(path, signer="local", parts={}, timestamp_url=url, timestamp_anchors=str(anchors))
        yield house
        house.close()


@pytest.fixture
def house(stamping: House, authority: Authority) -> House:
    authority.mood = "stamps"
    return stamping


def health(house: House) -> dict[str, Any]:
    found: dict[str, Any] = house.send("GET", "/health", key=None).json()
    return found


def verified(house: House, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = house.send("POST", "/v1/verify", key=None, files={"file": ("p.png", data)}).json()
    return found


def test_a_delivered_picture_is_stamped_and_its_receipt_and_health_say_so(house: House) -> None:
    answer = Native().ask(house, HARMLESS)

    entry = independent.check_receipt(answer.receipt or {}, house.vkey)
    assert entry["timestamped"] is True
    metadata = verified(house, answer.picture or b"")["layers"]["metadata"]
    assert metadata["time_trusted"]
    assert abs(datetime.fromisoformat(metadata["signed_at"]) - datetime.now(UTC)).total_seconds() < 60
    said = health(house)["timestamps"]
    assert (said["authority"], said["required"], said["made"]) == ("127.0.0.1", True, 1)
    assert health(house)["certificate"]["warning"] is None
    metrics = house.send("GET", "/metrics", key=None).text
    assert 'fluxgate_timestamps{result="made"} 1.0' in metrics
    (left,) = (float(line.split()[1]) for line in metrics.splitlines() if line.startswith("fluxgate_certificate_sec"))
    assert 89 * 86400 < left < 90 * 86400


def test_without_the_authority_there_is_no_picture_and_the_budget_is_given_back(
    house: House, authority: Authority
) -> None:
    authority.mood, budget, blobs, before = (
        "refuses",
        house.left(),
        house.blobs(),
        health(house)["timestamps"]["failed"],
    )

    answer = Native().ask(house, HARMLESS)

    assert (answer.outcome, answer.code, answer.picture) == ("failed", "timestamp_failed", None)
    assert independent.check_receipt(answer.receipt or {}, house.vkey)["failure"] == "timestamp_failed"
    assert house.left() == budget
    assert house.blobs() == blobs
    said = health(house)["timestamps"]
    assert said["failed"] == before + 1
    assert said["last_failed"] is not None


def test_a_stolen_key_makes_nothing_of_ours_from_its_revocation_on(house: House, tmp_path: Path) -> None:
    keys = house.path / "keys"
    delivered = Native().ask(house, HARMLESS).picture or b""
    for name in ("signing-chain.pem", "signing.key"):
        shutil.copy2(keys / name, tmp_path / name)
    thief = LocalSigner(
        LocalSigner.Options(chain_path=tmp_path / "signing-chain.pem", key_path=tmp_path / "signing.key")
    )
    picture = encode(make_photo_like(7), "image/png", 95)
    forged = ManifestSigner(thief).sign(definition(make_claim(), None), "image/png", picture)[0]
    assert verified(house, forged)["verdict"] == "ours_intact", "so far nobody can tell"

    command = ["certificate", "revoke", "--reason", "key_compromise", "--data-dir", str(house.path)]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output

    found = verified(house, forged)
    assert found["verdict"] == "revoked"
    assert "not to be relied on" in found["layers"]["metadata"]["explanation"]
    assert found["layers"]["metadata"]["revoked_since"] is not None
    assert verified(house, delivered)["verdict"] == "ours_intact", "its record, and its time-stamp, are older"
    (tmp_path / "forged.png").write_bytes(forged)
    offline = CliRunner().invoke(app, ["verify", str(tmp_path / "forged.png"), "--json", "--data-dir", str(house.path)])
    assert (offline.exit_code, json.loads(offline.stdout)["verdict"]) == (1, "revoked")

    after = Native().ask(house, HARMLESS).picture or b""
    assert verified(house, after)["verdict"] == "ours_intact"
    serials = {ManifestReader("").read(data, "image/png").certificate_serial for data in (delivered, forged, after)}
    assert len(serials) == 2, "without a restart, the next picture is signed with another certificate"
    entries = independent.check_whole_log(house.database, house.vkey)
    (revocation,) = (entry for entry in entries if entry["outcome"] == "revoked")
    assert revocation["revocation"]["reason"] == "key_compromise"
