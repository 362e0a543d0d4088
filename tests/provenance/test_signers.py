"""Every signer, wherever its key is: the same file comes out, from many threads, and nothing when the key fails."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateway.parts import connected
from provenance.credentials.reading import CredentialState
from provenance.errors import CertificateProblem, SigningFailed
from provenance.sealing import seal
from provenance.signing.certificates import chain_pem
from provenance.signing.local import LocalSigner, ManifestSigner, Signer
from provenance.signing.pkcs11 import Pkcs11Signer
from provenance.signing.remote import RemoteSigner
from tests.provenance.issuing import issue, written
from tests.provenance.key_services import PIN, TOKEN, SigningService, serving, softhsm
from tests.provenance.operators import Gateway, make_claim
from tests.provenance.pictures import make_picture

KINDS = ("es256", "es384", "ps256")
PARTS = ("local", "remote", "pkcs11")


@dataclass
class Kept:
    """A key somewhere. `broken`: makes it fail from then on."""

    signer: Signer
    broken: Callable[[], object]


def made(kind: str) -> Any:
    if kind == "ps256":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1() if kind == "es256" else ec.SECP384R1())


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return softhsm(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture(params=[(part, kind) for part in PARTS for kind in KINDS], ids="-".join)
def kept(request: pytest.FixtureRequest, gateway: Gateway, tmp_path: Path) -> Iterator[Kept]:
    part, kind = request.param
    if part == "local":
        written(tmp_path, gateway, made(kind))
        signer = LocalSigner(LocalSigner.Options(chain_path=tmp_path / "chain.pem", key_path=tmp_path / "leaf.key"))
        yield Kept(signer, lambda: setattr(signer, "_key", None))
    elif part == "remote":
        service = SigningService(made(kind))
        with serving(service) as url:
            yield Kept(
                remote_signer(remote_options(tmp_path, gateway, service, url)),
                lambda: setattr(service, "mood", "refuses"),
            )
    else:
        module = request.getfixturevalue("module")
        options = hsm_options(module, gateway, tmp_path, kind)
        hardware = Pkcs11Signer(options)

        def lost() -> None:
            options.pin_path.unlink()
            logged_out(module)

        yield Kept(hardware, lost)


def remote_options(folder: Path, gateway: Gateway, service: SigningService, url: str, **more: Any) -> Any:
    (folder / "chain.pem").write_text(chain_pem(issue(gateway, service.key.public_key())))
    (folder / "token").write_text(f"{TOKEN}\n")
    fixed = {"chain_path": folder / "chain.pem", "url": url, "key_id": "k1", "token_path": folder / "token"}
    return RemoteSigner.Options(**(fixed | more))


def remote_signer(options: Any) -> RemoteSigner:
    """Able to reach the service, as a gateway makes it."""
    signer: RemoteSigner = connected(RemoteSigner(options))
    return signer


@contextmanager
def logged_in(module: Path) -> Iterator[Any]:
    import pkcs11

    token = pkcs11.lib(str(module)).get_token(token_label="fluxgate")
    try:
        session = token.open(rw=True, user_pin=PIN)
    except pkcs11.UserAlreadyLoggedIn:
        session = token.open(rw=True)
    with session:
        yield session


def logged_out(module: Path) -> None:
    """As after a restart of the module: every session and login of this process is gone."""
    import pkcs11

    pkcs11.lib(str(module)).reinitialize()


def hsm_options(module: Path, gateway: Gateway, folder: Path, kind: str) -> Any:
    """Makes a key inside the token, as an operator would, and certifies its public half."""
    import pkcs11
    from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
    from pkcs11.util.rsa import encode_rsa_public_key

    label = f"signing-{folder.name}"
    with logged_in(module) as session:
        if kind == "ps256":
            public, private = session.generate_keypair(pkcs11.KeyType.RSA, 2048, label=label, store=True)
            der = encode_rsa_public_key(public)
        else:
            curve = encode_named_curve_parameters("secp256r1" if kind == "es256" else "secp384r1")
            parameters = session.create_domain_parameters(
                pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
            )
            public, private = parameters.generate_keypair(label=label, store=True)
            der = encode_ec_public_key(public)
        assert private[pkcs11.Attribute.SENSITIVE]
        assert not private[pkcs11.Attribute.EXTRACTABLE]
        assert private[pkcs11.Attribute.NEVER_EXTRACTABLE]
    if kind == "ps256":
        from asn1crypto.keys import PublicKeyInfo, RSAPublicKey

        der = PublicKeyInfo.wrap(RSAPublicKey.load(der), "rsa").dump()
    (folder / "chain.pem").write_text(chain_pem(issue(gateway, serialization.load_der_public_key(der))))
    (folder / "pin").write_text(f"{PIN}\n")
    return Pkcs11Signer.Options(
        chain_path=folder / "chain.pem",
        module_path=module,
        token_label="fluxgate",
        key_label=label,
        pin_path=folder / "pin",
    )


def test_a_sealed_picture_is_trusted_whoever_signed_it(gateway: Gateway, kept: Kept) -> None:
    sealed = seal(replace(gateway.sealing, signer=ManifestSigner(kept.signer)), make_picture(), make_claim())

    assert gateway.sealing.reader.read(sealed.data, "image/png").state is CredentialState.TRUSTED


def test_many_threads_sign_at_once(gateway: Gateway, kept: Kept) -> None:
    parts = replace(gateway.sealing, signer=ManifestSigner(kept.signer))
    with ThreadPoolExecutor(4) as pool:
        sealed = list(pool.map(lambda _: seal(parts, make_picture(256, 256), make_claim()).data, range(8)))

    assert {gateway.sealing.reader.read(data, "image/png").state for data in sealed} == {CredentialState.TRUSTED}


def test_there_is_no_picture_when_the_key_fails(gateway: Gateway, kept: Kept) -> None:
    parts = replace(gateway.sealing, signer=ManifestSigner(kept.signer))
    kept.broken()

    with pytest.raises(SigningFailed):
        seal(parts, make_picture(256, 256), make_claim())


def test_a_key_in_hardware_cannot_be_taken_out(module: Path, gateway: Gateway, tmp_path: Path) -> None:
    import pkcs11

    options = hsm_options(module, gateway, tmp_path, "es256")
    with logged_in(module) as session:
        private = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, label=options.key_label)
        with pytest.raises(pkcs11.AttributeSensitive):
            private[pkcs11.Attribute.VALUE]
        wrapping = session.generate_key(pkcs11.KeyType.AES, 256)
        with pytest.raises(pkcs11.PKCS11Error):
            wrapping.wrap_key(private, mechanism=pkcs11.Mechanism.AES_KEY_WRAP_PAD)
    assert not [file for file in tmp_path.iterdir() if b"PRIVATE KEY" in file.read_bytes()]


def test_a_module_that_was_restarted_signs_again(module: Path, gateway: Gateway, tmp_path: Path) -> None:
    signer = Pkcs11Signer(hsm_options(module, gateway, tmp_path, "es256"))
    logged_out(module)

    assert signer.sign(b"message")


def test_a_wrong_pin_is_tried_once(module: Path, gateway: Gateway, tmp_path: Path) -> None:
    options = hsm_options(module, gateway, tmp_path, "es256")
    signer = Pkcs11Signer(options)
    options.pin_path.write_text("000000")
    logged_out(module)

    for _ in range(2):
        with pytest.raises(SigningFailed, match="refused the PIN"):
            signer.sign(b"message")
    with pytest.raises(CertificateProblem, match="refused the PIN"):
        Pkcs11Signer(options)
    options.pin_path.write_text(PIN)
    with pytest.raises(SigningFailed, match="restart"):
        signer.sign(b"message")
    assert Pkcs11Signer(options).sign(b"message")


def test_a_signature_of_another_hardware_key_is_noticed_at_the_start(
    module: Path, gateway: Gateway, tmp_path: Path
) -> None:
    options = hsm_options(module, gateway, tmp_path, "es256")
    (tmp_path / "chain.pem").write_text(chain_pem(issue(gateway, made("es256").public_key())))

    with pytest.raises(CertificateProblem, match="not of the key that the certificate names"):
        Pkcs11Signer(options)


def test_only_a_hash_leaves_for_the_signing_service(gateway: Gateway, tmp_path: Path) -> None:
    service = SigningService(made("es256"))
    with serving(service) as url:
        remote_signer(remote_options(tmp_path, gateway, service, url)).sign(b"the claim")

    (asked,) = service.asked
    assert asked == {
        "key_id": "k1",
        "algorithm": "es256",
        "hash": "sha256",
        "digest": base64.b64encode(hashlib.sha256(b"the claim").digest()).decode(),
    }


def test_a_key_that_would_have_to_see_the_message_is_refused(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_text(chain_pem(issue(gateway, ed25519.Ed25519PrivateKey.generate().public_key())))
    with pytest.raises(CertificateProblem, match="Use P-256 or RSA"):
        RemoteSigner(RemoteSigner.Options(chain_path=tmp_path / "chain.pem", url="https://sign.example", key_id="k1"))
