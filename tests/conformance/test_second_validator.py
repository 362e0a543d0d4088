"""Everything that is sealed is valid to a second, independent C2PA validator (Encypher C2PA), strictly too.

It shares no code with c2pa-rs, which signs and reads here. Its telemetry and its fetching are off.
"""

import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

os.environ.update(ENCYPHER_C2PA_TELEMETRY="off", ENCYPHER_C2PA_ONLINE="off", ENCYPHER_C2PA_UPDATE_CHECK="off")

import pytest

from provenance.claims import Claim, Detached, MediaType, Region, SealedImage, Source, VisibleLabel
from provenance.credentials.ingredients import IngredientTrial
from provenance.sealing import seal
from tests.provenance.broken_credentials import holding
from tests.provenance.formats import every_format
from tests.provenance.operators import Gateway, make_claim, make_gateway
from tests.provenance.pictures import make_picture

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("encypher_c2pa") is None, reason="the second validator needs the package encypher-c2pa"
)

PIXELS = make_picture(256, 256)

NEEDS_A_REAL_CA = {
    "com.encypher.conformance.revocationInformationMissing",
    "com.encypher.conformance.trustedTimeStampMissing",
}
"""What the conformance programme asks for beyond the standard: OCSP answers and time-stamps of listed authorities."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return make_gateway(tmp_path_factory.mktemp("operator"), "Second Validator Test")


@pytest.fixture(scope="module")
def parent(gateway: Gateway) -> Source:
    return Source(seal(gateway.sealing, make_picture(256, 256, 5), make_claim("image/jpeg")).data, "image/jpeg")


def claims(media_type: MediaType, parent: Source, broken: Source) -> dict[str, Claim]:
    """One of every kind of manifest that `provenance/credentials/manifest.py` writes."""
    return {
        "generated": make_claim(media_type),
        "with references": make_claim(media_type, references=(parent, broken)),
        "edited": make_claim(media_type, parent=parent),
        "edited, of a picture without a readable credential": make_claim(media_type, parent=broken),
        "edited in a region": make_claim(media_type, parent=parent, region=Region(8, 8, 64, 64)),
        "finished and labelled": make_claim(
            media_type, steps=("upscaled", "recoloured"), visible_label=VisibleLabel("text")
        ),
        "labelled for China": make_claim(media_type, labels=("iptc", "china"), provider_code="001191310"),
        "kept beside the file": make_claim(media_type, detached=Detached("https://gate.test/files/manifests/x.c2pa")),
    }


KINDS = tuple(claims("image/png", Source(b"", "image/png"), Source(b"", "image/png")))


def judged(sealed: SealedImage, claim: Claim, anchors_pem: str, *, strict: bool) -> Mapping[str, Any]:
    import encypher_c2pa

    report: Mapping[str, Any] = encypher_c2pa.verify(
        sealed.data,
        sealed.media_type,
        manifest_store=None if claim.detached is None else sealed.manifest,
        trust_pem=anchors_pem,
        no_default_trust=True,
        strict_conformance=strict,
        online=False,
    )
    return report


def failures(report: Mapping[str, Any]) -> set[str]:
    return {entry["code"] for entry in report["validation_results"]["failure"]}


# case V7
@every_format
@pytest.mark.parametrize("kind", KINDS)
def test_a_second_validator_finds_nothing_wrong(
    gateway: Gateway, parent: Source, media_type: MediaType, kind: str
) -> None:
    trial = IngredientTrial(gateway.sealing.reader, gateway.anchors_pem)
    (broken,) = trial.settle([Source(holding(b"c2pa hello", "image/png"), "image/png")], media_type, edits=True)
    claim = claims(media_type, parent, broken)[kind]
    sealed = seal(gateway.sealing, PIXELS, claim)

    plain = judged(sealed, claim, gateway.anchors_pem, strict=False)
    strict = judged(sealed, claim, gateway.anchors_pem, strict=True)

    assert failures(plain) == set()
    assert (plain["integrity"], plain["signature"], plain["hard_binding"]) == ("valid", "valid", "match")
    assert plain["trust"]["status"] == "valid_for_supplied_material"
    assert failures(strict) <= NEEDS_A_REAL_CA


# case V7
@every_format
def test_metadata_stands_in_a_json_box(gateway: Gateway, media_type: MediaType) -> None:
    sealed = seal(gateway.sealing, PIXELS, make_claim(media_type))

    start = sealed.manifest.index(b"cawg.metadata\x00")
    box = sealed.manifest.index(b"json", start)
    length = int.from_bytes(sealed.manifest[box - 4 : box], "big")
    assert json.loads(sealed.manifest[box + 4 : box - 4 + length])["dc:publisher"] == "Example & Sons"


# case V7
@every_format
def test_the_second_validator_sees_what_was_changed(gateway: Gateway, media_type: MediaType) -> None:
    claim = make_claim(media_type)
    sealed = seal(gateway.sealing, PIXELS, claim)
    place = sealed.data.index(b"digitalsourcetype/trainedAlgorithmicMedia")  # in the label, which the signature covers
    changed = bytearray(sealed.data)
    changed[place] ^= 1

    report = judged(replace(sealed, data=bytes(changed)), claim, gateway.anchors_pem, strict=False)

    assert report["integrity"] != "valid"
