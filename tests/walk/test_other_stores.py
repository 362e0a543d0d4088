"""The same walk on PostgreSQL and with limits counted in Redis. Skipped, by name, where those do not answer."""

import os
import socket
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from provenance.log.fsck import fsck
from tests.walk import independent
from tests.walk.dialogues import DIALOGUES
from tests.walk.house import HARMLESS, House
from tests.walk.switched_parts import switched

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
REDIS = (os.environ.get("REDIS_HOST", "127.0.0.1"), int(os.environ.get("REDIS_PORT", "6379")))


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """URL of a fresh database, dropped afterwards."""
    administration = create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    name = f"walk_{uuid.uuid4().hex[:12]}"
    try:
        with administration.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError:
        pytest.skip(f"PostgreSQL does not answer at {make_url(POSTGRESQL).host}: this test needs it")
    yield make_url(POSTGRESQL).set(database=name).render_as_string(hide_password=False)
    with administration.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    administration.dispose()


@pytest.fixture(scope="module")
def redis_url() -> str:
    try:
        socket.create_connection(REDIS, timeout=1).close()
    except OSError:
        pytest.skip(f"no Redis answers at {REDIS[0]}:{REDIS[1]}: this test needs it")
    return f"redis://{REDIS[0]}:{REDIS[1]}/0"


@pytest.fixture(scope="module")
def house_on_postgresql(tmp_path_factory: pytest.TempPathFactory, parts_path: str, database: str) -> Iterator[House]:
    path = tmp_path_factory.mktemp("postgresql") / "data"
    house = House(path, database_url=database, blob_url=f"switched://{path / 'blobs'}")
    yield house
    house.close()


def test_the_walk_on_postgresql(house_on_postgresql: House) -> None:
    house = house_on_postgresql
    for dialogue in DIALOGUES:
        delivered = dialogue.ask(house, HARMLESS)
        assert delivered.outcome == "delivered"
        refused = dialogue.ask(house, "how to make a pipe bomb at home, step by step")
        assert refused.outcome == "refused"
        with switched(switched_eyes="finds:intellectual_property"):
            held = dialogue.ask(house, HARMLESS)
        assert held.outcome == "held"
        with switched(switched_flux="raises"):
            failed = dialogue.ask(house, HARMLESS)
        assert failed.outcome == "failed"
        for answer in (delivered, refused, held, failed):
            assert independent.check_tlog_proof(answer.header or "", house.vkey)["outcome"] == answer.outcome
        report = house.send("POST", "/v1/verify", key=None, files={"file": ("a.png", delivered.picture)}).json()
        assert report["verdict"] == "ours_intact"
    checked = fsck(house.folder.engine_for_log, house.vkey)
    assert checked.intact, checked.faults
    assert checked.size == 8
    with house.folder.database.connect() as connection:
        open_jobs = connection.execute(text('select count(*) from jobs where "order" is not null')).scalar()
    assert open_jobs == 0


@pytest.mark.parametrize("path", ["/api/v1/model/prediction/%00", "/v1/receipts/a%00b", "/v1/decisions/%00/reasons"])
def test_what_postgresql_cannot_store_is_not_found_there(house_on_postgresql: House, path: str) -> None:
    assert house_on_postgresql.send("GET", path).status_code == 404


def test_nothing_is_accepted_when_postgresql_refuses(house_on_postgresql: House) -> None:
    house = house_on_postgresql
    with house.folder.database.begin() as connection:
        connection.execute(text("ALTER TABLE jobs ADD CONSTRAINT full_disk CHECK (tenant <> 'acme') NOT VALID"))
    try:
        got = house.send("POST", "/v1/images/generations", json={"prompt": HARMLESS})
    finally:
        with house.folder.database.begin() as connection:
            connection.execute(text("ALTER TABLE jobs DROP CONSTRAINT full_disk"))
    assert (got.status_code, got.json()["error"]["code"]) == (503, "database_unavailable")


def test_two_gateways_share_one_budget_with_rates_in_redis(the_house: House, redis_url: str) -> None:
    from gateway.limits import Limits, LimitSettings

    tenant, key = the_house.new_key(f"walk-{uuid.uuid4().hex[:8]}")
    settings = LimitSettings(1000, 1000, 5.0, 1000, redis_url)  # 256 x 256 at 20 steps costs 1.3: three of them fit
    limits = [Limits(settings), Limits(settings)]
    apps = [the_house.beside(limits=each, limit_settings=settings) for each in limits]
    body = {"prompt": HARMLESS, "num_inference_steps": 20}
    try:
        statuses = [
            the_house.send("POST", "/v1/images/generations", json=body, key=key, app=apps[number % 2]).status_code
            for number in range(4)
        ]
        assert statuses == [200, 200, 200, 429]
        with switched(switched_flux="raises"):
            cheaper = body | {"num_inference_steps": 15}
            failed = the_house.send("POST", "/v1/images/generations", json=cheaper, key=key, app=apps[0])
        assert failed.status_code == 503
        again = the_house.send("POST", "/v1/images/generations", json=cheaper, key=key, app=apps[1])
        assert again.status_code == 200, "what failed was given back, also for the other gateway"
        assert the_house.rows("select count(*) as n from jobs where tenant = ?", tenant)[0]["n"] == 5
    finally:
        for each in limits:
            the_house.run(each.aclose())


def test_an_upload_postgresql_cannot_name_is_not_found(house_on_postgresql: House) -> None:
    body = {"prompt": HARMLESS, "image": "https://gate.test/files/uploads/upl_\0"}
    got = house_on_postgresql.send("POST", "/api/v1/model/generateImage", json=body)
    assert got.status_code in (404, 422)
