"""Who signed cannot be borrowed: names, certificates, signatures and time-stamps of others; and nothing is fetched."""

import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import c2pa
import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from provenance.claims import MediaType, SealedImage
from provenance.credentials.reading import UNSIGNED_CHANGED, CredentialState
from provenance.files.embedded import manifest_store
from provenance.files.encoding import encode
from provenance.sealing import seal
from provenance.signing.local import LocalSigner
from provenance.standings import Standing
from provenance.verification import verify
from tests.provenance.anatomy import boxes
from tests.provenance.forgeries import referring, with_chunks, with_signature
from tests.provenance.formats import every_format
from tests.provenance.operators import Gateway, make_claim, make_gateway
from tests.provenance.pictures import make_picture


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """Somebody with a CA of their own, who calls themselves as the operator does."""
    return make_gateway(tmp_path_factory.mktemp("impostor"), "Example Operator")


@pytest.fixture(scope="module")
def file(gateway: Gateway) -> SealedImage:
    return seal(gateway.sealing, make_picture(256, 256), make_claim())


@every_format
def test_a_strangers_certificate_with_our_names_is_foreign(
    gateway: Gateway, impostor: Gateway, media_type: MediaType
) -> None:
    theirs = seal(impostor.sealing, make_picture(256, 256, 4), make_claim(media_type, mark=b"theirs.."))

    for parts in (gateway.verifying(), gateway.without_records()):
        report = verify(parts, theirs.data)
        assert (report.standing, report.exit_code) == (Standing.FOREIGN, 1)
        assert report.credential.issuer == "Example Operator"
        assert not report.credential.signer_trusted
        assert "does not know its signer" in dict(report.statements)["metadata"]


def test_our_certificate_beside_a_strangers_signature_is_not_trusted(
    gateway: Gateway, impostor: Gateway, file: SealedImage
) -> None:
    theirs = seal(impostor.sealing, make_picture(256, 256, 4), make_claim(mark=b"theirs.."))
    ours = _protected(file.manifest)

    forged = with_signature(theirs.manifest, lambda sign1: [ours, *sign1[1:]])
    report = verify(gateway.without_records(), with_chunks(theirs.data, forged))

    assert report.standing is Standing.OURS_ALTERED, "it claims to come from here, and does not hold"
    assert report.credential.state is CredentialState.INVALID
    assert "claimSignature.mismatch" in report.credential.codes
    assert not report.credential.signer_trusted


def test_our_certificate_beside_a_signature_made_over_it_with_another_key_is_not_trusted(
    gateway: Gateway, impostor: Gateway, file: SealedImage
) -> None:
    protected, claim = _protected(file.manifest), _claim(file.manifest)
    message = cbor2.dumps(["Signature1", protected, b"", claim])  # RFC 9052, 4.4
    signature = impostor_signature(impostor, message)

    forged = with_signature(file.manifest, lambda sign1: [*sign1[:3], signature])
    report = verify(gateway.without_records(), with_chunks(file.data, forged))

    assert report.standing is Standing.OURS_ALTERED
    assert "claimSignature.mismatch" in report.credential.codes
    assert not report.credential.signer_trusted


@pytest.mark.parametrize("header", ["sigTst", "sigTst2"])
def test_a_time_stamp_from_another_signature_is_reported_and_gives_no_time(
    vectors: Path, gateway: Gateway, file: SealedImage, header: str
) -> None:
    fixture = vectors / "c2pa_python_fixtures/C_with_CAWG_data.jpg"
    token = _unprotected(manifest_store(fixture.read_bytes(), "image/jpeg"))["sigTst2"]

    _assert_reported(gateway, file, {header: token})


@pytest.mark.parametrize(
    "header",
    [
        {"sigTst2": {"tstTokens": [{"val": b"no token"}]}},
        {"rVals": {"ocspVals": [b"no answer"]}},
        {"pad2": b"hidden"},
        {"note": "hidden"},
    ],
    ids=lambda header: next(iter(header)),
)
def test_whatever_is_put_beside_the_signature_is_reported(
    gateway: Gateway, file: SealedImage, header: dict[str, object]
) -> None:
    _assert_reported(gateway, file, header)


def _assert_reported(gateway: Gateway, file: SealedImage, header: dict[str, object]) -> None:
    forged = with_signature(file.manifest, lambda sign1: [sign1[0], {**sign1[1], **header}, *sign1[2:]])

    for parts in (gateway.keeping(file), gateway.without_records()):
        report = verify(parts, with_chunks(file.data, forged))
        assert report.standing is Standing.OURS_ALTERED
        assert report.credential.codes == (UNSIGNED_CHANGED,)
        assert not report.credential.timestamped


@pytest.fixture
def listening() -> Iterator[tuple[str, list[object]]]:
    """The address of a socket that takes connections, and those it took."""
    taken: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                taken.append(connection)
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa", taken
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@every_format
def test_a_manifest_elsewhere_is_never_fetched(
    gateway: Gateway, listening: tuple[str, list[object]], media_type: MediaType
) -> None:
    address, taken = listening
    data = referring(gateway.folder, media_type, encode(make_picture(256, 256), media_type, 90), address)
    assert address.encode() in data

    for parts in (gateway.verifying(), gateway.without_records()):
        report = verify(parts, data)
        assert (report.standing, report.credential.state) == (Standing.NOT_FOUND, CredentialState.NOT_PRESENT)
        assert report.credential.codes == ("manifest.inaccessible",)
        assert "nothing is fetched" in dict(report.statements)["metadata"]
    assert taken == []

    with pytest.raises(c2pa.C2paError):  # a reader with its defaults does ask: the socket would have seen us
        c2pa.Reader(media_type, io.BytesIO(data))
    assert len(taken) > 0


def impostor_signature(impostor: Gateway, message: bytes) -> bytes:
    """Of a P-256 key, as r‖s."""

    folder = impostor.folder
    signer = LocalSigner(LocalSigner.Options(chain_path=folder / "chain.pem", key_path=folder / "leaf.key"))
    return b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(signer.sign(message)))


def _content(store: bytes, label: str) -> bytes:
    at = [box for box in boxes(store, 0, len(store)) if box.label.endswith(label) and box.kind == "cbor"][-1]
    return store[at.start + 8 : at.end]


def _protected(store: bytes) -> bytes:
    return bytes(cbor2.loads(_content(store, "/c2pa.signature")).value[0])


def _unprotected(store: bytes) -> dict[str, object]:
    return dict(cbor2.loads(_content(store, "/c2pa.signature")).value[1])


def _claim(store: bytes) -> bytes:
    return _content(store, "/c2pa.claim.v2")
