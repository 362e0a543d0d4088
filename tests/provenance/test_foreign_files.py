"""Other people's signed, tampered and unsigned files read as their makers say they should; other types are not read."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from gateway.stations.credentials import Credentials
from provenance.claims import MediaType, Source
from provenance.credentials.reading import CredentialState, ManifestReader
from provenance.files.embedded import manifest_store
from provenance.sealing import seal
from provenance.standings import Standing
from provenance.verification import verify
from tests.provenance.broken_credentials import holding
from tests.provenance.formats import every_format
from tests.provenance.operators import Gateway, make_claim
from tests.provenance.pictures import make_picture

PUBLIC = Path("c2pa_public_testfiles/image/jpeg")
FIXTURES = Path("c2pa_python_fixtures")
READING = FIXTURES / "files-for-reading-tests"

VALID, INVALID, NONE = CredentialState.VALID, CredentialState.INVALID, CredentialState.NOT_PRESENT
UNTRUSTED = "signingCredential.untrusted"

EXPECTED = {
    # The letters are the public test files' own: C claim, A action, I ingredient, E error (and where), X altered.
    PUBLIC / "adobe-20220124-C.jpg": (VALID, {UNTRUSTED}),
    PUBLIC / "adobe-20220124-CA.jpg": (VALID, {UNTRUSTED}),
    PUBLIC / "adobe-20220124-CAI.jpg": (VALID, {UNTRUSTED}),
    PUBLIC / "adobe-20220124-CAICA.jpg": (VALID, {UNTRUSTED}),
    PUBLIC / "adobe-20220124-CAICAI.jpg": (VALID, {UNTRUSTED}),
    PUBLIC / "adobe-20220124-E-clm-CAICAI.jpg": (
        INVALID,
        {"assertion.hashedURI.mismatch", "ingredient.manifest.missing", UNTRUSTED},
    ),
    PUBLIC / "adobe-20220124-E-sig-CA.jpg": (INVALID, {"claimSignature.mismatch", UNTRUSTED}),
    PUBLIC / "adobe-20220124-E-uri-CA.jpg": (INVALID, {"assertion.hashedURI.mismatch", UNTRUSTED}),
    PUBLIC / "adobe-20220124-I.jpg": (NONE, set()),
    PUBLIC / "adobe-20220124-XCA.jpg": (INVALID, {"assertion.dataHash.mismatch", UNTRUSTED}),
    PUBLIC / "nikon-20221019-building.jpeg": (INVALID, {"signingCredential.expired", UNTRUSTED}),
    # Intact when they were made. The range they leave out of the hash reaches beyond the manifest, from the first byte
    # of the file on; readers no longer accept that, because anything could be put there.
    PUBLIC / "truepic-20230212-camera.jpg": (INVALID, {"assertion.dataHash.mismatch", UNTRUSTED}),
    PUBLIC / "truepic-20230212-library.jpg": (INVALID, {"assertion.dataHash.mismatch", UNTRUSTED}),
    FIXTURES / "A.jpg": (NONE, set()),
    FIXTURES / "C.jpg": (VALID, {UNTRUSTED}),
    FIXTURES / "C_with_CAWG_data.jpg": (VALID, {"cawg.x509.credential.untrusted", UNTRUSTED}),
    FIXTURES / "cloud.jpg": (NONE, {"manifest.inaccessible"}),  # it is kept elsewhere, and not fetched
    FIXTURES / "file_with_wrong_extension.xyz.jpg": (VALID, {UNTRUSTED}),
    READING / "CA.jpg": (VALID, {UNTRUSTED}),
    READING / "CA_ct.jpg": (VALID, {UNTRUSTED}),
    READING / "CACAE-uri-CA.jpg": (VALID, {UNTRUSTED}),  # the error was known and is recorded with the ingredient
    READING / "CIE-sig-CA.jpg": (INVALID, {"claimSignature.mismatch", UNTRUSTED}),
    READING / "E-sig-CA.jpg": (INVALID, {"claimSignature.mismatch", UNTRUSTED}),
    READING / "XCA.jpg": (INVALID, {"assertion.dataHash.mismatch", UNTRUSTED}),
    READING / "boxhash.jpg": (VALID, {UNTRUSTED}),
    READING / "cloud.jpg": (NONE, {"manifest.inaccessible"}),
    READING / "legacy_ingredient_hash.jpg": (VALID, {UNTRUSTED}),
}

Published = Callable[[Path | str], Path]

RENAMED = {  # codes of the makers' reports of 2022 that today's readers say otherwise, or say as information
    "claim.missing": "ingredient.manifest.missing",
    "timeStamp.mismatch": None,
}
OTHERWISE = {"nikon-20221019-building": {"claimSignature.mismatch"}}
"""Of a certificate that had expired, readers of 2022 said that the signature does not fit. It does."""

each_file = pytest.mark.parametrize("path", EXPECTED, ids=lambda path: str(path.relative_to(path.parts[0])))


@pytest.mark.data
def test_no_public_file_is_left_out(shared_data: Path) -> None:
    found = {
        path.relative_to(shared_data)
        for folder in (PUBLIC, FIXTURES)
        for path in (shared_data / folder).rglob("*")
        if path.suffix not in (".json", ".pem", ".pub", ".txt") and path.is_file()
    }

    assert found == set(EXPECTED)


@each_file
def test_public_test_files_read_as_their_makers_say(published: Published, path: Path) -> None:
    state, codes = EXPECTED[path]

    credential = ManifestReader("").read(published(path).read_bytes(), "image/jpeg")

    assert (credential.state, set(credential.codes)) == (state, codes)
    assert not credential.signer_trusted


@pytest.mark.data
@pytest.mark.parametrize("name", [path.stem for path in EXPECTED if path.parent == PUBLIC])
def test_every_error_in_a_makers_report_is_reported(shared_data: Path, name: str) -> None:
    report = shared_data / PUBLIC / "manifests" / name / "manifest_store.json"
    if not report.is_file():
        pytest.skip(f"no report comes with {name}")
    said = {status["code"] for status in json.loads(report.read_text()).get("validation_status", ())}
    wanted = {RENAMED.get(code, code) for code in said - OTHERWISE.get(name, set())} - {None}

    state, codes = next(EXPECTED[path] for path in EXPECTED if path.stem == name)

    assert wanted <= codes
    assert state is VALID or wanted or name.startswith("truepic")


# case V6
@each_file
def test_only_what_no_longer_fits_its_hashes_or_signature_counts_as_tampered(
    published: Published, gateway: Gateway, path: Path
) -> None:
    state, codes = EXPECTED[path]
    changed = any(code.endswith(".mismatch") for code in codes) and not path.name.startswith("truepic")

    file = published(path).read_bytes()
    said = dict(verify(gateway.without_records(), file).statements)["metadata"]
    finding = Credentials(gateway.sealing.reader).report(Source(file, "image/jpeg")).findings[0]

    assert finding.category == "tampered_credential"
    assert finding.score == (1.0 if changed else 0.5 if state is INVALID else 0.0)
    assert ("does not hold for this file" in said) == changed
    if path.name == "C_with_CAWG_data.jpg":
        assert ("identity", "unconfirmed") in finding.facts
        assert "That says nothing against the image." in said


# case V6
@every_format
@pytest.mark.parametrize("store", [b"c2pa hello", b"\xff" * 4 + b"jumb" + b"c2pa" * 10, b"\x00\x00\x00\x08jumbc2pa"])
def test_what_cannot_be_read_accuses_nobody(gateway: Gateway, media_type: MediaType, store: bytes) -> None:
    file = holding(store, media_type)

    report = verify(gateway.without_records(), file)
    finding = Credentials(gateway.sealing.reader).report(Source(file, media_type)).findings[0]

    assert finding.score == 0.0
    assert not report.credential.altered
    unread = report.credential.state is CredentialState.UNREADABLE
    assert unread or media_type == "image/jpeg", "c2pa sees no store in a JPEG segment that does not begin as one"
    assert report.standing.value == ("unreadable_credential" if unread else "not_found")
    assert report.exit_code == 1
    assert "changed afterwards" not in str(report.statements)


@each_file
def test_no_foreign_file_is_taken_for_ours(published: Published, gateway: Gateway, path: Path) -> None:
    state, _ = EXPECTED[path]

    for parts in (gateway.verifying(), gateway.without_records()):
        report = verify(parts, published(path).read_bytes())

        assert report.standing is (Standing.NOT_FOUND if state is NONE else Standing.FOREIGN)
        assert report.exit_code == 1


def test_a_reader_given_their_anchors_trusts_them(published: Published) -> None:
    settings = json.loads(published(FIXTURES / "trust_config_test_settings.json").read_text())
    file = published(FIXTURES / "C.jpg").read_bytes()

    credential = ManifestReader(settings["trust"]["trust_anchors"]).read(file, "image/jpeg")

    assert credential.signer_trusted
    assert credential.state is CredentialState.TRUSTED


@pytest.mark.data
@every_format
def test_an_edit_of_a_foreign_picture_carries_its_large_manifest_and_stays_ours(
    shared_data: Path, gateway: Gateway, media_type: MediaType
) -> None:
    parent = (shared_data / PUBLIC / "adobe-20220124-CAICAI.jpg").read_bytes()
    claim = make_claim(media_type, parent=Source(parent, "image/jpeg"))

    file = seal(gateway.sealing, make_picture(), claim)

    assert len(file.manifest) > 3 * 65_535, "a JPEG needs several segments for it"
    assert verify(gateway.without_records(), file.data).standing is Standing.OURS_INTACT
    assert manifest_store(file.data, media_type) == file.manifest


@pytest.mark.parametrize("kind", ["GIF", "BMP", "JPEG2000"])
def test_a_type_we_do_not_read_cannot_be_checked_and_the_types_we_read_are_named(gateway: Gateway, kind: str) -> None:
    out = io.BytesIO()
    Image.fromarray(make_picture(64, 64)).save(out, kind)

    report = verify(gateway.verifying(), out.getvalue())

    assert (report.standing, report.exit_code) == (Standing.UNCHECKABLE, 3)
    assert "not a PNG, JPEG, WebP, AVIF or TIFF picture" in dict(report.statements)["verdict"]
