"""What went into a picture stands in its manifest: the parent, the references, the region, and what was done after."""

import json
from typing import Any

import pytest

from provenance.claims import Region, SealedImage, Source
from provenance.credentials.reading import CredentialState
from provenance.sealing import seal
from tests.provenance.operators import Gateway, make_claim, make_gateway
from tests.provenance.pictures import jpeg, make_picture


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return make_gateway(tmp_path_factory.mktemp("operator"), "Sources Test")


@pytest.fixture(scope="module")
def signed(gateway: Gateway) -> SealedImage:
    return seal(gateway.sealing, make_picture(seed=5), make_claim("image/jpeg", mark=b"parent.."))


def manifest_of(sealed: SealedImage) -> dict[str, Any]:
    store = json.loads(sealed.manifest_json)
    manifest: dict[str, Any] = store["manifests"][sealed.manifest_id]
    return manifest


def actions_of(sealed: SealedImage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(
        a["data"]["actions"] for a in manifest_of(sealed)["assertions"] if a["label"] == "c2pa.actions.v2"
    )
    return found


def test_references_are_inputs_of_a_generated_picture(gateway: Gateway, signed: SealedImage) -> None:
    plain = Source(jpeg(make_picture(seed=6), 90), "image/jpeg")

    sealed = seal(gateway.sealing, make_picture(), make_claim(references=(Source(signed.data, "image/jpeg"), plain)))

    created = actions_of(sealed)[0]
    assert created["action"] == "c2pa.created"
    assert created["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert len(created["parameters"]["ingredients"]) == 2
    assert [i["relationship"] for i in manifest_of(sealed)["ingredients"]] == ["inputTo", "inputTo"]
    assert signed.manifest_id in json.loads(sealed.manifest_json)["manifests"]


def test_a_region_painted_anew_is_told_in_pixels(gateway: Gateway, signed: SealedImage) -> None:
    claim = make_claim(parent=Source(signed.data, "image/jpeg"), region=Region(16, 8, 100, 60))

    edited = actions_of(seal(gateway.sealing, make_picture(), claim))[1]

    assert edited["action"] == "c2pa.edited"
    shape = edited["changes"][0]["region"][0]["shape"]
    assert (shape["origin"]["x"], shape["origin"]["y"], shape["width"], shape["height"]) == (16, 8, 100, 60)
    assert shape["unit"] == "pixel"


def test_what_was_done_after_drawing_is_told_in_its_order(gateway: Gateway) -> None:
    sealed = seal(gateway.sealing, make_picture(), make_claim(steps=("recoloured", "upscaled")))

    actions = actions_of(sealed)
    assert [a["action"] for a in actions[:3]] == ["c2pa.created", "c2pa.adjustedColor", "c2pa.resized.proportional"]
    assert actions[1]["digitalSourceType"].endswith("/algorithmicallyEnhanced")


def test_a_tampered_parent_is_kept_and_its_state_recorded(gateway: Gateway, signed: SealedImage) -> None:
    altered = bytearray(signed.data)
    altered[-100] ^= 0xFF
    state = gateway.sealing.reader.read(bytes(altered), "image/jpeg").state
    assert state is CredentialState.INVALID

    sealed = seal(gateway.sealing, make_picture(), make_claim(parent=Source(bytes(altered), "image/jpeg")))

    results = manifest_of(sealed)["ingredients"][0]["validation_results"]["activeManifest"]
    assert [failure["code"] for failure in results["failure"]] == ["assertion.dataHash.mismatch"]


def test_a_region_needs_a_parent() -> None:
    with pytest.raises(ValueError, match="parent"):
        make_claim(region=Region(0, 0, 8, 8))
