"""`fluxgate certificate`: which certificate signs, and how to sign with one from a CA that others trust."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, existing, stop

certificate_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Show, request and install the certificate that signs pictures.",
)

_REQUESTED_KEY = "requested.key"


@certificate_app.command()
def show(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show who signs, issued by whom, until when, and whether C2PA readers would take it."""
    from provenance.certificates import check_chain, load_chain
    from provenance.errors import CertificateProblem

    keys = existing(data_dir) / "keys"
    chain = load_chain(keys / "signing-chain.pem")
    try:
        check_chain(chain, None, datetime.now(UTC))
        problem = None
    except CertificateProblem as failure:
        problem = str(failure)
    leaf = chain[0]
    said = {
        "subject": leaf.subject.rfc4514_string(),
        "issuer": leaf.issuer.rfc4514_string(),
        "not_after": leaf.not_valid_after_utc.isoformat(),
        "development_ca": (keys / "ca.key").exists(),
        "problem": problem,
    }
    if as_json:
        typer.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())
        return
    typer.echo(f"{said['subject']}\n  issued by {said['issuer']}\n  until {said['not_after']}")
    typer.echo(f"  {problem or 'fit for signing'}")
    if said["development_ca"]:
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
    from provenance.certificates import make_csr

    if len(country) != 2 or not country.isalpha():
        stop("--country is two letters, such as DE")
    key = existing(data_dir) / "keys" / _REQUESTED_KEY
    try:
        make_csr(output, key, organisation=organisation, country=country.upper())
    except FileExistsError:
        stop(f"{key} or {output} exists: a request is open already; move them away to begin another")
    typer.echo(f"{output}: take it to your CA, then: fluxgate certificate install CHAIN.pem --anchor ROOT.pem")


@certificate_app.command()
def install(
    chain: Annotated[Path, typer.Argument(help="PEM chain, leaf first, as the CA gave it.")],
    anchor: Annotated[Path, typer.Option(help="PEM of the root that it chains to.")],
    key: Annotated[Path | None, typer.Option(help="PEM key; default: that of `certificate request`.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Sign with this chain from the next start on. The files in use are kept beside, with the date in their names."""
    from provenance.certificates import check_chain, load_chain, load_key

    keys = existing(data_dir) / "keys"
    source = key or keys / _REQUESTED_KEY
    check_chain(load_chain(chain), load_key(source), datetime.now(UTC))
    load_chain(anchor)
    stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    for name, new in (("signing-chain.pem", chain), ("signing.key", source), ("ca.pem", anchor)):
        if (keys / name).exists():
            (keys / name).rename(keys / f"{name}.{stamp}")
        shutil.copy(new, keys / name)
    (keys / "signing.key").chmod(0o600)
    if (keys / "ca.key").exists():  # it issued what has just been replaced, and must not renew it
        (keys / "ca.key").rename(keys / f"ca.key.{stamp}")
    if key is None:
        source.unlink()
    typer.echo("Installed. Restart the gateway to sign with it.")
