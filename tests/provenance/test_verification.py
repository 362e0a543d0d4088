"""A file from anywhere gets one verdict, and every layer its own sentence."""

import dataclasses

import pytest

from provenance.claims import MediaType
from provenance.credentials.reading import CredentialState
from provenance.files.encoding import FileBounds, decode
from provenance.sealing import seal
from provenance.standings import Standing
from provenance.verification import VerifierSetup, verify
from tests.provenance.formats import Sealed, every_format
from tests.provenance.operators import MARK, Gateway, make_claim, record_of
from tests.provenance.pictures import jpeg, make_photo_like, make_picture


@every_format
def test_the_delivered_file_is_ours_and_intact(gateway: Gateway, sealed: Sealed, media_type: MediaType) -> None:
    file = sealed(media_type)

    report = verify(gateway.verifying(record_of(file)), file.data)

    assert (report.standing, report.exit_code) == (Standing.OURS_INTACT, 0)
    assert report.credential.state is CredentialState.TRUSTED
    assert report.credential.issuer == "Example Operator"
    assert report.detection is not None
    assert report.detection.mark == MARK
    assert report.record is not None
    assert report.record.same_bytes
    assert file.psnr_db > 40
    assert not file.timestamped
    assert "There is no time-stamp" in dict(report.statements)["metadata"]


@every_format
def test_without_records_the_credential_alone_speaks(gateway: Gateway, sealed: Sealed, media_type: MediaType) -> None:
    report = verify(gateway.without_records(), sealed(media_type).data)

    assert report.standing is Standing.OURS_INTACT
    assert "Only a record can tell of every byte" in dict(report.statements)["verdict"]


def test_a_stripped_and_reencoded_copy_is_recognised_by_its_watermark(gateway: Gateway, sealed: Sealed) -> None:
    file = sealed("image/png")
    copy = jpeg(decode(file.data, FileBounds()), 90)

    report = verify(gateway.keeping(file), copy)

    assert (report.standing, report.exit_code) == (Standing.OURS_ALTERED, 2)
    assert report.credential.state is CredentialState.NOT_PRESENT
    assert report.record is not None
    assert report.record.known.sha256 == file.sha256
    assert "recognised by its watermark; its content credential was stripped" in dict(report.statements)["verdict"]


def test_a_stripped_copy_without_records_could_not_be_checked(gateway: Gateway, sealed: Sealed) -> None:
    report = verify(gateway.without_records(), jpeg(decode(sealed("image/png").data, FileBounds()), 90))

    assert (report.standing, report.exit_code) == (Standing.UNCHECKABLE, 3)


def test_a_mark_copied_onto_another_picture_is_said_so(gateway: Gateway) -> None:
    file = seal(gateway.sealing, make_photo_like(1), make_claim())
    forged = gateway.sealing.watermarker.embed(make_photo_like(2), MARK, 1.0)

    report = verify(gateway.verifying(record_of(file)), jpeg(forged, 95))

    assert (report.standing, report.exit_code) == (Standing.COPIED_MARK, 1)
    assert report.record is not None
    assert report.record.same_picture is False
    assert "copied onto another picture" in dict(report.statements)["record"]


def test_another_operators_file_is_foreign_and_its_words_are_honest(gateway: Gateway, stranger: Gateway) -> None:
    theirs = seal(stranger.sealing, make_picture(), make_claim(mark=b"theirs..")).data

    report = verify(gateway.verifying(), theirs)

    assert (report.standing, report.exit_code) == (Standing.FOREIGN, 1)
    assert report.credential.state is CredentialState.VALID
    assert report.credential.codes == ("signingCredential.untrusted",)
    assert "does not know its signer" in dict(report.statements)["metadata"]


def test_nothing_found_never_says_that_no_ai_was_used(gateway: Gateway) -> None:
    report = verify(gateway.verifying(), jpeg(make_picture(), 95))

    assert (report.standing, report.exit_code) == (Standing.NOT_FOUND, 1)
    words = " ".join(sentence for _, sentence in report.statements).lower()
    assert "does not tell how the picture was made" in words
    for claim in ("not ai", "not made by", "not generated", "human", "authentic", "real photo"):
        assert claim not in words


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" * 40])
def test_what_is_no_picture_could_not_be_checked(gateway: Gateway, data: bytes) -> None:
    assert verify(gateway.verifying(), data).exit_code == 3


def test_a_file_over_the_limits_could_not_be_checked(gateway: Gateway, sealed: Sealed) -> None:
    parts = dataclasses.replace(gateway.without_records(), limits=FileBounds(max_pixels=1000))

    assert verify(parts, sealed("image/png").data).standing is Standing.UNCHECKABLE


def test_another_organisation_under_the_same_anchor_is_not_us(gateway: Gateway, sealed: Sealed) -> None:
    parts = dataclasses.replace(gateway.without_records(), organisations=frozenset({"Somebody Else"}))

    assert verify(parts, sealed("image/png").data).standing is Standing.FOREIGN


def test_a_lookup_that_cannot_answer_is_not_taken_for_no_record(gateway: Gateway, sealed: Sealed) -> None:
    def gone(_: object) -> None:
        raise ConnectionError

    verifying = gateway.verifying()
    assert verifying.lookups is not None
    parts: VerifierSetup = dataclasses.replace(verifying, lookups=dataclasses.replace(verifying.lookups, by_mark=gone))

    with pytest.raises(ConnectionError):
        verify(parts, sealed("image/png").data)
