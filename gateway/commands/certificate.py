"""`fluxgate certificate`: which certificate signs, and how to sign with one from a CA that others trust."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, existing, stop
from gateway.commands.revocation import revoke

if TYPE_CHECKING:
    from cryptography import x509

    from gateway.store.data_folder import DataFolder

certificate_app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Show, request, install and revoke the certificate that signs pictures.",
)
certificate_app.command(
    epilog="Example: fluxgate certificate revoke --reason key_compromise --since 2026-12-01T08:00Z"
)(revoke)

_REQUESTED_KEY = "requested.key"


@certificate_app.command()
def show(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show who signs, issued by whom, until when, and whether C2PA readers would take it."""
    from gateway.signing.provisioning import SigningFiles
    from provenance.errors import CertificateProblem
    from provenance.signing.certificates import check_chain, end_of, expiry_warning

    folder = _opened(data_dir)
    now, files = datetime.now(UTC), SigningFiles.of(folder.keys)
    chain = _chain_in_use(folder)
    leaf = chain[0]
    try:
        check_chain(chain, None, now)
        problem = None
    except CertificateProblem as failure:
        problem = str(failure)
    said = {
        "subject": leaf.subject.rfc4514_string(),
        "issuer": leaf.issuer.rfc4514_string(),
        "serial": str(leaf.serial_number),
        "not_after": end_of(chain).isoformat(),
        "development_ca": files.renewed_here,
        "problem": "It is revoked." if _is_revoked(folder, leaf) else problem,
        "warning": expiry_warning(end_of(chain), now, renewed_here=files.renewed_here),
    }
    if as_json:
        typer.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())
        return
    typer.echo(f"{said['subject']}\n  issued by {said['issuer']}\n  until {said['not_after']}")
    typer.echo(f"  {said['problem'] or 'fit for signing'}")
    if said["warning"]:
        typer.echo(f"  Warning: {said['warning']}")
    if files.renewed_here:
        typer.echo("  A development CA: only who is given keys/ca.pem trusts it. See `fluxgate certificate request`.")


@certificate_app.command(
    epilog="Example: fluxgate certificate request --organisation 'Example GmbH' --country DE -o fluxgate.csr"
)
def request(
    organisation: Annotated[str, typer.Option(help="Legal name, as the certificate is to carry it.")],
    country: Annotated[str, typer.Option(help="Two letters.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the request (PEM).")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a new signing key, and a request (CSR) to take to a CA: one of the C2PA trust list, or your own."""
    from provenance.signing.certificates import make_csr

    if len(country) != 2 or not country.isalpha():
        stop("--country is two letters, such as DE")
    folder = _opened(data_dir)
    key = folder.keys / _REQUESTED_KEY
    try:
        make_csr(output, key, organisation=organisation, country=country.upper(), passphrase=folder.key_passphrase)
    except FileExistsError:
        stop(f"{key} exists: a request is open already; move it away to begin another")
    typer.echo(f"{output}: take it to your CA, then: fluxgate certificate install CHAIN.pem --anchor ROOT.pem")


@certificate_app.command()
def install(
    chain: Annotated[Path, typer.Argument(help="PEM chain, leaf first, as the CA gave it.")],
    anchor: Annotated[Path, typer.Option(help="PEM of the root that it chains to.")],
    key: Annotated[Path | None, typer.Option(help="PEM key; default: that of `certificate request`.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Sign with this chain. What it replaces is kept in keys/retired, and its root stays one of ours.

    A running gateway takes a chain under the same root from its next picture on; for another root restart it. With the
    signers `pkcs11` and `remote` the key is not on this disk, and none is asked for.
    """
    from gateway.signing.provisioning import SigningFiles, anchors_pem
    from gateway.signing.provisioning import install as put_in_place
    from gateway.signing.signers import KEY_ELSEWHERE, chain_path
    from provenance.signing.certificates import chain_pem, check_chain, load_chain
    from provenance.signing.key_files import key_pem, load_key

    folder = _opened(data_dir)
    if chain_path(folder) != SigningFiles.of(folder.keys).chain:
        stop(f"the signer's options say that its chain is {chain_path(folder)}: replace it there")
    source = key or folder.keys / _REQUESTED_KEY
    local = key is not None or folder.settings.signer not in KEY_ELSEWHERE
    private = load_key(source, folder.key_passphrase) if local else None
    certificates, roots, now = load_chain(chain), load_chain(anchor), datetime.now(UTC)
    check_chain(certificates, None if private is None else private.public_key(), now)
    _refuse_revoked(folder, certificates[0])
    before = anchors_pem(folder.keys)
    put_in_place(
        folder.keys,
        now,
        chain=chain_pem(certificates).encode("ascii"),
        key=None if private is None else key_pem(private, folder.key_passphrase),
        anchor=chain_pem(roots).encode("ascii"),
    )
    if local and key is None:
        source.unlink()
    same = anchors_pem(folder.keys) == before
    typer.echo("Installed. A running gateway signs with it from now on." if same else "Installed. Restart the gateway.")


@certificate_app.command()
def protect(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Encrypt the signing key, the CA key and the log key where they lie, with the passphrase in key_passphrase_file.

    Files that hold no such key (of vault, pepper, links and watermark) stay as they are: put the data folder on an
    encrypted volume. Copies made earlier, such as backups, are not touched.
    """
    from gateway.signing.provisioning import locked
    from provenance.log.checkpoints import CheckpointSigner
    from provenance.signing.key_files import protected, replace_secret

    folder = _opened(data_dir)
    passphrase = folder.key_passphrase
    if passphrase is None:
        stop("name a file with a passphrase in key_passphrase_file or FLUXGATE_KEY_PASSPHRASE_FILE first")
    with locked(folder.keys):
        for path in sorted((*folder.keys.glob("*.key"), *folder.keys.glob("retired/*.key"))):
            found = path.read_bytes()
            if found.startswith(b"PRIVATE+KEY"):
                sealed: bytes | None = CheckpointSigner.load(path).text(passphrase).encode("ascii")
            else:
                sealed = protected(found, path.name, passphrase)
            if sealed is not None:
                replace_secret(path, sealed)
            typer.echo(f"{path.relative_to(folder.keys)}: {'encrypted' if sealed is not None else 'left as it is'}")


def _opened(data_dir: Path) -> "DataFolder":
    from gateway.store.data_folder import open_data_folder

    return open_data_folder(existing(data_dir))


def _chain_in_use(folder: "DataFolder") -> "tuple[x509.Certificate, ...]":
    from gateway.signing.signers import chain_path
    from provenance.signing.certificates import load_chain

    return load_chain(chain_path(folder))


def _is_revoked(folder: "DataFolder", leaf: "x509.Certificate") -> bool:
    from gateway.signing.revocations import Revocations

    return Revocations(folder.database).of(str(leaf.serial_number)) is not None


def _refuse_revoked(folder: "DataFolder", leaf: "x509.Certificate") -> None:
    """A certificate for a key that was compromised is no better for being new."""
    from gateway.signing.provisioning import known_leaves

    for known in (leaf, *known_leaves(folder.keys)):
        if known.public_key() == leaf.public_key() and _is_revoked(folder, known):
            stop(
                "this chain is for a key whose certificate was revoked: ask for one with `fluxgate certificate request`"
            )
