"""`fluxgate keys`: makes, lists, rotates and revokes API keys, straight in the database; running gateways follow."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from gateway.auth.identity import Assurance, Scope
from gateway.auth.key_store import KeyRecord, KeyRefused, KeyStore
from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, stop
from gateway.folder import holds_gateway
from gateway.settings import SettingsError
from gateway.store.data_folder import open_data_folder

keys_app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Make, list, rotate and revoke API keys. Running gateways notice within a second.",
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9})([smhdw])")
_OPTION_OF_FIELD = {
    "tenant": "--tenant",
    "label": "--label",
    "scopes": "--scope",
    "expires_at": "--expires-in",
    "grace_seconds": "--grace",
    "key_id": "KEY_ID",
}
_LONGEST = timedelta(days=3650)

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="Public id of the key, as `fluxgate keys list` shows it.")]


@keys_app.command(epilog="Example: fluxgate keys create --tenant acme --level 2 --expires-in 90d --json | jq -r .key")
def create(
    tenant: Annotated[str, typer.Option(help="Who the key belongs to; limits, history and pictures are per tenant.")],
    label: Annotated[str, typer.Option(help="What it is for, to tell keys apart.")] = "",
    level: Annotated[
        int,
        typer.Option(
            min=int(min(Assurance)),
            max=int(max(Assurance)),
            help="How well the tenant is known: 0 not at all, 1 e-mail or organisation, 2 identity verified, "
            "3 identity and adulthood verified.",
        ),
    ] = 0,
    scope: Annotated[list[Scope] | None, typer.Option(help="What it may do; repeat for more than one.")] = None,
    trust_end_user_header: Annotated[
        bool,
        typer.Option(
            "--trust-end-user-header",
            help="For a front end that names its users in the header of the setting end_user_header: adds that scope.",
        ),
    ] = False,
    expires_in: Annotated[str | None, typer.Option(help="Lifetime such as 12h, 90d or 52w. Default: no end.")] = None,
    init: Annotated[bool, typer.Option("--init", help="Make a new gateway if the folder holds no gateway.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, once. Only a keyed hash of it is stored."""
    lifetime = None if expires_in is None else _duration(expires_in, "--expires-in")
    scopes = tuple(scope) if scope else (Scope.GENERATE, Scope.MODERATE)
    if trust_end_user_header:
        scopes += (Scope.END_USER_HEADER,)
    store = _open(data_dir, make=init)
    try:
        record, key = store.create(
            tenant,
            label,
            scopes,
            Assurance(level),
            None if lifetime is None else _now() + lifetime,
        )
    except KeyRefused as refused:
        _refuse(refused)
    _show_key(record, key, as_json)


@keys_app.command(name="list", epilog="Example: fluxgate keys list --tenant acme")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only the keys of this tenant.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Show every key, also revoked and expired ones. Secrets are not stored and cannot be shown."""
    records = _open(data_dir).list(tenant)
    if as_json:
        typer.echo(json.dumps([_described(record) for record in records], indent=2))
        return
    if not records:
        typer.echo("No keys. Make one: fluxgate keys create --tenant NAME")
        return
    id_column = Column("id", no_wrap=True, min_width=16)  # an id cut short is of no use to rotate or revoke
    names = ("tenant", "label", "state", "level", "scopes", "made", "expires")
    table = Table(id_column, *(Column(name, overflow="fold") for name in names))
    for record in records:
        told = _described(record)
        state = told["state"] if record.replaced_by is None else f"{told['state']}, replaced by {record.replaced_by}"
        scopes = ", ".join(told["scopes"])
        row = (
            record.id,
            record.tenant,
            escape(record.label),
            state,
            str(told["level"]),
            scopes,
            _day(record.created_at),
        )
        table.add_row(*row, _day(record.expires_at))
    Console().print(table)


@keys_app.command(epilog="Example: fluxgate keys rotate KEY_ID --grace 24h")
def rotate(
    key_id: KeyId,
    grace: Annotated[str, typer.Option(help="How long the old key goes on working: 0s, 30m, 24h, 7d.")] = "24h",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Make a successor with the same tenant, level, scopes and lifetime; the old key ends after the grace."""
    seconds = _duration(grace, "--grace", zero=True).total_seconds()
    try:
        record, key = _open(data_dir).rotate(key_id, seconds)
    except KeyRefused as refused:
        _refuse(refused)
    _show_key(record, key, as_json)


@keys_app.command(epilog="Example: fluxgate keys revoke KEY_ID")
def revoke(key_id: KeyId, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """End a key for good. Running gateways refuse it within a second; what it made stays."""
    try:
        record = _open(data_dir).revoke(key_id)
    except KeyRefused as refused:
        _refuse(refused)
    typer.echo(json.dumps(_described(record)) if as_json else f"Revoked {record.id} of tenant {record.tenant}.")


def _open(data_dir: Path, *, make: bool = False) -> KeyStore:
    if not make and not holds_gateway(data_dir):
        stop(
            f"there is no gateway in {data_dir}: name the gateway's folder with --data-dir; "
            "`fluxgate keys create --init` or `fluxgate serve` makes a new gateway"
        )
    try:
        folder = open_data_folder(data_dir)
        return KeyStore(folder.database, folder.pepper)
    except (SettingsError, OSError, ValueError) as failure:
        raise typer.BadParameter(str(failure), param_hint="--data-dir") from failure


def _duration(text: str, option: str, *, zero: bool = False) -> timedelta:
    match = _DURATION.fullmatch(text.strip())
    seconds = int(match[1]) * _UNITS[match[2]] if match else -1
    if seconds < 0 or (seconds == 0 and not zero) or seconds > _LONGEST.total_seconds():
        raise typer.BadParameter(
            "must be a whole number and a unit (s, m, h, d, w), at most ten years, for example 12h or 90d",
            param_hint=option,
        )
    return timedelta(seconds=seconds)


def _refuse(refused: KeyRefused) -> NoReturn:
    raise typer.BadParameter(str(refused), param_hint=_OPTION_OF_FIELD[refused.field]) from refused


def _show_key(record: KeyRecord, key: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"key": key} | _described(record)))
        return
    told = _described(record)
    table = Table(show_header=False, box=None)
    for name in ("id", "tenant", "level", "scopes", "expires_at"):
        value = ", ".join(told[name]) if name == "scopes" else str(told[name] if told[name] is not None else "never")
        table.add_row(name.replace("_", " "), value)
    console = Console()
    console.print(table)
    typer.echo(f"\n{key}\n")  # not through rich: a key must never be wrapped or coloured
    console.print("[bold yellow]Keep it now: it is not stored and cannot be shown again.[/]")


def _described(record: KeyRecord) -> dict[str, Any]:
    def stamp(moment: datetime | None) -> str | None:
        return None if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")

    return {
        "id": record.id,
        "tenant": record.tenant,
        "label": record.label,
        "level": int(record.assurance),
        "scopes": sorted(scope.value for scope in record.scopes),
        "state": record.state(_now()),
        "created_at": stamp(record.created_at),
        "expires_at": stamp(record.expires_at),
        "revoked_at": stamp(record.revoked_at),
        "replaced_by": record.replaced_by,
    }


def _day(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _now() -> datetime:
    return datetime.now(UTC)
