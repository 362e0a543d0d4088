"""Manifests kept beside their pictures: found by whoever has them, and by us for whoever has only the picture."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import c2pa
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.parts import BootError
from gateway.settings import load_settings
from gateway.store.data_folder import open_data_folder
from gateway.wiring import wire
from tests.walk.dialogues import Answer, Native
from tests.walk.house import HARMLESS, House, walk_settings


@pytest.fixture(scope="module", params=["sidecar", "remote"])
def detaching(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, parts_path: str
) -> Iterator[House]:
    house = House(
        tmp_path_factory.mktemp(request.param) / "data", manifest=request.param, public_url="https://pictures.example"
    )
    yield house
    house.close()


def drawn(house: House) -> tuple[Answer, bytes, bytes]:
    """The answer, the picture and its manifest store, fetched by the address in the answer, with no key."""
    answer = Native().ask(house, HARMLESS)
    assert answer.picture is not None
    got = house.send("GET", answer.body["provenance"]["manifest_url"], key=None)
    assert got.status_code == 200
    assert got.headers["content-type"] == "application/c2pa"
    return answer, answer.picture, got.content


def test_the_picture_holds_no_manifest_and_both_together_are_valid(detaching: House) -> None:
    _, picture, store = drawn(detaching)

    assert b"jumb" not in picture
    named = b"https://pictures.example/files/manifests/" in picture
    assert named == (detaching.parts.settings.manifest == "remote")
    settings = {"trust": {"user_anchors": detaching.parts.signer.anchors_pem}}
    with c2pa.Context.from_dict(settings) as context:
        reader = c2pa.Reader("image/png", io.BytesIO(picture), manifest_data=store, context=context)
        assert reader.get_validation_state() == "Trusted"


def test_our_records_lead_from_the_picture_to_its_manifest(detaching: House) -> None:
    _, picture, _ = drawn(detaching)

    said = detaching.send("POST", "/v1/verify", files={"file": ("p.png", picture)}, key=None).json()

    assert said["verdict"] == "ours_intact"
    assert said["layers"]["metadata"]["state"] == "trusted"
    assert "beside the file" in said["layers"]["metadata"]["explanation"]


def test_a_stranger_with_the_anchor_checks_both_files(detaching: House, tmp_path: Path) -> None:
    _, picture, store = drawn(detaching)
    file, beside, anchor = tmp_path / "p.png", tmp_path / "p.c2pa", tmp_path / "ca.pem"
    file.write_bytes(picture)
    beside.write_bytes(store)
    anchor.write_text(detaching.parts.signer.anchors_pem)
    command = ["verify", str(file), "--data-dir", str(tmp_path / "none"), "--anchor", str(anchor)]

    assert CliRunner().invoke(app, command).exit_code in (1, 3), "the file alone cannot speak"
    assert CliRunner().invoke(app, [*command, "--manifest", str(beside)]).exit_code == 0
    altered = bytearray(picture)
    altered[-60] ^= 1
    file.write_bytes(bytes(altered))
    assert CliRunner().invoke(app, [*command, "--manifest", str(beside)]).exit_code in (2, 3)


def test_another_pictures_manifest_does_not_fit(detaching: House) -> None:
    _, picture, _ = drawn(detaching)
    _, _, other = drawn(detaching)
    said = detaching.send(
        "POST", "/v1/verify", files={"file": ("p.png", picture + b" "), "manifest": ("m.c2pa", other)}, key=None
    ).json()

    assert said["layers"]["metadata"]["state"] == "invalid"


def test_the_manifest_in_the_log_is_the_one_that_is_served(detaching: House) -> None:
    answer, _, store = drawn(detaching)
    (image,) = detaching.rows("select manifest_sha256 from images where content_id = ?", answer.body["content_id"])
    assert image["manifest_sha256"] == hashlib.sha256(store).hexdigest()


def test_no_manifest_of_a_picture_that_is_not_there(detaching: House) -> None:
    for name in ("fg_aaaaaaaaaaaaa.c2pa", "%00.c2pa", "..%2F..%2Fetc%2Fpasswd"):
        assert detaching.send("GET", f"/files/manifests/{name}", key=None).status_code == 404


def test_an_address_that_is_not_known_is_not_signed(tmp_path: Path, parts_path: str) -> None:
    path = tmp_path / "data"
    settings = load_settings(path, walk_settings(path, manifest="remote"), environ={})
    with pytest.raises(BootError, match="public_url"):
        wire(open_data_folder(path, settings))
