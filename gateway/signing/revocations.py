"""What this gateway's log says about revoked signing certificates, and the roots whose time-stamps count."""

from sqlalchemy import Engine as Database
from sqlalchemy import inspect

from gateway.settings import Settings
from gateway.store.database import reading
from provenance.credentials.revocations import Revocation, read_revocation, revocation_id
from provenance.log.tables import leaf_of, log_entries
from provenance.signing.certificates import chain_pem, load_chain


class Revocations:
    """The revoked certificates in the log on this database."""

    def __init__(self, database: Database) -> None:
        self._database = reading(database)
        self._is_there = False

    def of(self, serial: str) -> Revocation | None:
        """The revocation of a certificate, None if there is none. `serial`: decimal."""
        self._is_there = self._is_there or inspect(self._database).has_table(log_entries.name)
        leaf = leaf_of(self._database, revocation_id(serial)) if self._is_there else None  # no log yet: nothing revoked
        return None if leaf is None else read_revocation(leaf)


def timestamp_anchors_pem(settings: Settings) -> str:
    """The roots whose time-stamps count. Raises `CertificateProblem` if the file holds no certificate."""
    file = settings.timestamp_anchors
    return "" if file is None else chain_pem(load_chain(file))
