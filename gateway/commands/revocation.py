"""`fluxgate certificate revoke`: ends a signing certificate that is not to be relied on, and replaces it at once."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import DEFAULT_DATA_DIR, DataDir, existing, stop
from provenance.credentials.revocations import Reason

if TYPE_CHECKING:
    from cryptography import x509

    from gateway.store.data_folder import DataFolder


def revoke(
    reason: Annotated[Reason, typer.Option(help="Why, in the words of RFC 5280.")],
    since: Annotated[
        str | None, typer.Option(help="From when on signatures are not to be relied on, ISO 8601; default: now.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM of an earlier one; default: the one in use.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Revoke the signing certificate for good: it goes into the log, and a new key takes its place.

    From now on verification relies on its signatures only where a trusted time-stamp is older than --since, or the log
    recorded exactly that file before. Under the development CA a running gateway goes on with a new certificate; under
    another CA it signs nothing until a chain for the new request is installed. Tell that CA, too: other verifiers learn
    it only from there.
    """
    from gateway.signing.provisioning import known_leaves, open_ledger
    from gateway.signing.signers import chain_path
    from gateway.store.data_folder import open_data_folder
    from gateway.version import SYSTEM_VERSION
    from provenance.credentials.revocations import Revocation, revocation_entry
    from provenance.errors import AlreadyRecorded
    from provenance.signing.certificates import load_chain

    folder = open_data_folder(existing(data_dir))
    now = datetime.now(UTC)
    start = (now if since is None else _time(since, now)).replace(microsecond=0)
    in_use = chain_path(folder)
    leaf = load_chain(certificate or in_use)[0]
    replaced = in_use.exists() and load_chain(in_use)[0].public_key() == leaf.public_key()
    ledger = open_ledger(folder)
    same_key = {leaf, *(known for known in known_leaves(folder.keys) if known.public_key() == leaf.public_key())}
    for each in sorted(same_key, key=lambda found: found.serial_number):
        try:
            receipt = ledger.record(
                revocation_entry(Revocation(str(each.serial_number), reason, start, now), SYSTEM_VERSION)
            )
        except AlreadyRecorded:
            typer.echo(f"Certificate {each.serial_number} was revoked before; the first entry stands.")
        else:
            typer.echo(
                f"Certificate {each.serial_number} is revoked from {start.isoformat()} on: entry {receipt.index}."
            )
    if replaced:
        typer.echo(_replace(folder, leaf, now))


def _replace(folder: "DataFolder", leaf: "x509.Certificate", now: datetime) -> str:
    """Takes chain and key out of use, and makes what comes next. Says what that is."""
    from cryptography.x509.oid import NameOID

    from gateway.signing.provisioning import SigningFiles, locked, retire, signing_files
    from gateway.signing.signers import KEY_ELSEWHERE, chain_path
    from provenance.signing.certificates import make_csr

    if folder.settings.signer in KEY_ELSEWHERE or chain_path(folder) != SigningFiles.of(folder.keys).chain:
        return "Nothing is signed with it any more. Make a new key where keys are kept, and put its chain in place."
    with locked(folder.keys):
        retire(folder.keys, now, end=True)
    if SigningFiles.of(folder.keys).renewed_here:
        signing_files(folder.keys, folder.settings.provider, now, folder.key_passphrase)
        return "A new key and certificate are in place."
    organisation, country = (
        next((str(found.value) for found in leaf.subject.get_attributes_for_oid(oid)), default)
        for oid, default in ((NameOID.ORGANIZATION_NAME, folder.settings.provider), (NameOID.COUNTRY_NAME, None))
    )
    csr, key = folder.keys / "requested.csr", folder.keys / "requested.key"
    try:
        make_csr(csr, key, organisation=organisation or "", country=country, passphrase=folder.key_passphrase)
    except FileExistsError:
        return f"{key} holds a new key already. Install the chain that was asked for with it."
    return f"{csr}: take it to your CA, then: fluxgate certificate install CHAIN.pem --anchor ROOT.pem"


def _time(text: str, now: datetime) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        stop("--since is a time in ISO 8601, such as 2026-12-01T08:00Z")
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    if time > now:
        stop("--since is not in the future")
    return time
