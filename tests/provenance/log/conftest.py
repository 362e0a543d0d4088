"""A fresh log on each database that the log supports."""

import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import create_engine, event
from sqlalchemy.exc import OperationalError

from provenance.log.checkpoints import CheckpointSigner
from provenance.log.ledger import Ledger
from tests.provenance.log.entries_made import OPENINGS

POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432/test"


@pytest.fixture(scope="session")
def signer():
    return CheckpointSigner("gateway.example/log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@pytest.fixture(params=["sqlite", "sqlite_with_listener", "postgresql"])
def engine(request, tmp_path):
    """An engine on an empty database. The listener begins every SQLite transaction itself, as a gateway's may."""
    if request.param == "postgresql":
        yield from postgresql_schema()
        return
    engine = create_engine(f"sqlite:///{tmp_path / 'log.db'}")
    if request.param == "sqlite_with_listener":
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    yield engine
    engine.dispose()


def postgresql_schema():
    schema = f"log_{secrets.token_hex(6)}"
    engine = create_engine(POSTGRESQL, connect_args={"options": f"-csearch_path={schema}", "connect_timeout": 3})
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    except OperationalError:
        pytest.skip("PostgreSQL is not reachable at 127.0.0.1:5432")
    yield engine
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    engine.dispose()


@pytest.fixture
def ledger(engine, signer):
    return Ledger(engine, signer, OPENINGS)
