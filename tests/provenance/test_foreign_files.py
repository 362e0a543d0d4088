"""Other people's signed, tampered and unsigned files read as their makers say they should."""

import json
from pathlib import Path

import pytest

from provenance.reading import CredentialState, ManifestReader
from provenance.reports import Verdict
from provenance.verification import verify
from tests.provenance.operators import Gateway

pytestmark = pytest.mark.data

PUBLIC = Path("c2pa_public_testfiles/image/jpeg")
FIXTURES = Path("c2pa_python_fixtures")

EXPECTED = {
    # The letters are the public test files' own: C claim, A action, I ingredient, E error (and where), X altered.
    PUBLIC / "adobe-20220124-C.jpg": (CredentialState.VALID, "signingCredential.untrusted"),
    PUBLIC / "adobe-20220124-CA.jpg": (CredentialState.VALID, "signingCredential.untrusted"),
    PUBLIC / "adobe-20220124-CAI.jpg": (CredentialState.VALID, "signingCredential.untrusted"),
    PUBLIC / "adobe-20220124-CAICA.jpg": (CredentialState.VALID, "signingCredential.untrusted"),
    PUBLIC / "adobe-20220124-CAICAI.jpg": (CredentialState.VALID, "signingCredential.untrusted"),
    PUBLIC / "adobe-20220124-E-clm-CAICAI.jpg": (CredentialState.INVALID, "ingredient.manifest.missing"),
    PUBLIC / "adobe-20220124-E-sig-CA.jpg": (CredentialState.INVALID, "claimSignature.mismatch"),
    PUBLIC / "adobe-20220124-E-uri-CA.jpg": (CredentialState.INVALID, "assertion.hashedURI.mismatch"),
    PUBLIC / "adobe-20220124-XCA.jpg": (CredentialState.INVALID, "assertion.dataHash.mismatch"),
    PUBLIC / "adobe-20220124-I.jpg": (CredentialState.NOT_PRESENT, None),
    PUBLIC / "nikon-20221019-building.jpeg": (CredentialState.INVALID, "signingCredential.expired"),
    FIXTURES / "A.jpg": (CredentialState.NOT_PRESENT, None),
    FIXTURES / "C.jpg": (CredentialState.VALID, "signingCredential.untrusted"),
    FIXTURES / "C_with_CAWG_data.jpg": (CredentialState.VALID, "cawg.x509.credential.untrusted"),
    FIXTURES / "files-for-reading-tests/boxhash.jpg": (CredentialState.VALID, "signingCredential.untrusted"),
    FIXTURES / "files-for-reading-tests/CIE-sig-CA.jpg": (CredentialState.INVALID, "claimSignature.mismatch"),
    FIXTURES / "files-for-reading-tests/XCA.jpg": (CredentialState.INVALID, "assertion.dataHash.mismatch"),
}


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.name)
def test_public_test_files_read_as_their_makers_say(shared_data: Path, path: Path) -> None:
    state, code = EXPECTED[path]

    credential = ManifestReader("").read((shared_data / path).read_bytes(), "image/jpeg")

    assert credential.state is state
    assert code is None or code in credential.codes
    assert not credential.signer_trusted


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.name)
def test_no_foreign_file_is_taken_for_ours(shared_data: Path, gateway: Gateway, path: Path) -> None:
    state, _ = EXPECTED[path]

    report = verify(gateway.verifying(), (shared_data / path).read_bytes())

    assert report.verdict is (Verdict.NOT_FOUND if state is CredentialState.NOT_PRESENT else Verdict.FOREIGN)
    assert report.exit_code == 1


def test_a_reader_given_their_anchors_trusts_them(shared_data: Path) -> None:
    settings = json.loads((shared_data / FIXTURES / "trust_config_test_settings.json").read_text())
    file = (shared_data / FIXTURES / "C.jpg").read_bytes()

    credential = ManifestReader(settings["trust"]["trust_anchors"]).read(file, "image/jpeg")

    assert credential.signer_trusted
    assert credential.state is CredentialState.TRUSTED
