"""What tests of a running signer do: move its clock, sign with it, command its certificate, be another CA."""

from datetime import datetime, timedelta
from pathlib import Path

from typer.testing import CliRunner, Result

from gateway.commands.certificate import certificate_app
from gateway.signing.signers import CurrentSigner
from gateway.store.data_folder import DataFolder
from provenance.credentials.manifest import definition
from provenance.credentials.reading import ManifestReader
from provenance.files.encoding import encode
from provenance.signing.certificates import LEAF_DAYS, make_development_ca, make_leaf
from provenance.signing.local import SignsManifests
from tests.provenance.operators import make_claim
from tests.provenance.pictures import make_picture

PICTURE = encode(make_picture(32, 32), "image/png", 95)


class Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def run(folder: DataFolder, *arguments: object) -> Result:
    """`fluxgate certificate …` on the folder."""
    command = [str(argument) for argument in (*arguments, "--data-dir", folder.path)]
    return CliRunner().invoke(certificate_app, command, env={"COLUMNS": "200"})


def signed_by(signer: SignsManifests) -> bytes:
    return signer.sign(definition(make_claim(), None), "image/png", PICTURE)[0]


def serial_of(data: bytes) -> str | None:
    return ManifestReader("").read(data, "image/png").certificate_serial


class OtherCA:
    """A CA of somebody else."""

    def __init__(self, folder: Path, now: datetime) -> None:
        folder.mkdir()
        self.folder = folder
        self._now = now
        make_development_ca(folder / "root.pem", folder / "root.key", organisation="Other CA", now=now)

    def leaf(self, name: str = "leaf", organisation: str = "Example GmbH", days_left: float = 90) -> tuple[Path, Path]:
        """A chain and its key."""
        chain, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        make_leaf(
            chain,
            key,
            ca_certificate_path=self.folder / "root.pem",
            ca_key_path=self.folder / "root.key",
            organisation=organisation,
            now=self._now - timedelta(days=LEAF_DAYS - days_left),
        )
        return chain, key

    def installed(self, folder: DataFolder, chain: Path, key: Path) -> Result:
        """`fluxgate certificate install`."""
        return run(folder, "install", chain, "--anchor", self.folder / "root.pem", "--key", key)


def running(folder: DataFolder, clock: Clock) -> CurrentSigner:
    return CurrentSigner(folder, None, clock)
