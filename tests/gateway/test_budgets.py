"""Budgets in the database: all or nothing, shared by gateways, settled once. On SQLite and on PostgreSQL."""

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, insert, select, update
from sqlalchemy.exc import OperationalError

from gateway.store.budgets import BudgetSpent, day_of, settle, spend, used
from gateway.store.database import open_database
from gateway.store.jobs import Acceptance, Accepted, IdempotencyKey, JobTable, KeyReused
from gateway.store.schema import jobs, metadata

POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432/test"
DAY = 20_000


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        opened = open_database(f"sqlite:///{tmp_path / 'budgets.db'}")
        metadata.create_all(opened)
        yield opened
        opened.dispose()
        return
    schema = f"budgets_{secrets.token_hex(6)}"
    administration = create_engine(POSTGRESQL, connect_args={"connect_timeout": 3})
    try:
        with administration.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    except OperationalError:
        pytest.skip("PostgreSQL does not answer at 127.0.0.1:5432: this test needs it")
    opened = open_database(POSTGRESQL)

    @event.listens_for(opened, "connect")
    def own_schema(connection: Any, _record: object) -> None:
        connection.execute(f"SET search_path TO {schema}")
        connection.commit()

    metadata.create_all(opened)
    yield opened
    opened.dispose()
    with administration.begin() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    administration.dispose()


def spent(engine: Engine, cost: int, limit: int = 10_000, tenant: str = "acme", day: int = DAY) -> bool:
    with engine.begin() as connection:
        try:
            spend(connection, tenant, day, cost, limit)
        except BudgetSpent:
            return False
        return True


def job_row(job_id: str, cost: int, tenant: str = "acme") -> dict[str, Any]:
    plain = {"assurance": 0, "dialect": "native", "model": "demo", "state": "running", "created_at": DAY * 86_400.0}
    return plain | {"id": job_id, "tenant": tenant, "key_id": "k", "steps": 4, "cost": cost, "attempt": 1}


def test_a_budget_is_spent_to_the_last_thousandth(engine: Engine) -> None:
    assert spent(engine, 4_194)
    assert spent(engine, 5_805)
    assert not spent(engine, 2)
    assert spent(engine, 1)
    assert used(engine, "acme", DAY) == 10_000
    assert spent(engine, 10_000, tenant="other"), "another tenant has a budget of its own"
    assert spent(engine, 10_000, day=DAY + 1), "and every UTC day is another"
    assert (day_of(DAY * 86_400.0), day_of(DAY * 86_400.0 - 0.001)) == (DAY, DAY - 1)


def test_a_budget_is_exact_over_gateways_that_spend_at_once(engine: Engine) -> None:
    done: list[bool] = []

    def gateway() -> None:
        done.extend(spent(engine, 300) for _ in range(15))

    threads = [threading.Thread(target=gateway) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 33
    assert used(engine, "acme", DAY) == 9_900


# case S7
def test_a_job_gives_back_what_it_does_not_cost_whatever_else_its_tenant_does(engine: Engine) -> None:
    rows = JobTable(engine, 15, frozenset())
    (accepted,) = rows.accept([Acceptance("acme", DAY, 3_000, 10_000, (job_row("a", 1_000), job_row("b", 2_000)))])
    assert accepted == Accepted(("a", "b"))
    with engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == "b").values(charged=500))
        settle(connection, "b", "acme", DAY)
    assert used(engine, "acme", DAY) == 1_500
    with engine.begin() as connection:  # a job from before there were holds, and a day nobody has opened
        connection.execute(insert(jobs), [job_row("old", 0) | {"cost": None}])
        settle(connection, "old", "acme", DAY)
        settle(connection, "old", "acme", DAY - 1)
    assert used(engine, "acme", DAY) == 1_500


def test_jobs_beyond_the_budget_leave_no_row_and_do_not_hinder_those_written_with_them(engine: Engine) -> None:
    rows = JobTable(engine, 15, frozenset())
    wanted = [
        Acceptance("acme", DAY, 6_000, 10_000, (job_row("first", 6_000),)),
        Acceptance("acme", DAY, 6_000, 10_000, (job_row("second", 6_000),)),
        Acceptance("acme", DAY, 4_000, 10_000, (job_row("third", 4_000),)),
    ]
    first, second, third = rows.accept(wanted)
    assert (first, third) == (Accepted(("first",)), Accepted(("third",)))
    assert isinstance(second, BudgetSpent)
    assert second.used == 6_000
    with engine.connect() as connection:
        assert set(connection.execute(select(jobs.c.id)).scalars()) == {"first", "third"}


# case R5
def test_of_gateways_that_are_asked_at_once_with_one_key_one_accepts(engine: Engine) -> None:
    rows = JobTable(engine, 15, frozenset())
    start, answers = threading.Barrier(8), []

    def gateway(number: int) -> None:
        key = IdempotencyKey("one-key", "one-body", 1e12)
        wanted = Acceptance("acme", DAY, 1_000, 10_000, (job_row(f"job{number}", 1_000),), key)
        start.wait()
        answers.extend(rows.accept([wanted]))

    threads = [threading.Thread(target=gateway, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    assert len(accepted) == 8
    assert len({answer.ids for answer in accepted}) == 1
    assert [answer.again for answer in accepted].count(False) == 1
    assert used(engine, "acme", DAY) == 1_000


# case R5
def test_a_key_with_another_body_is_refused_until_it_is_past_its_time(engine: Engine) -> None:
    rows = JobTable(engine, 15, frozenset({"engine_failed"}))

    def ask(job_id: str, body: str, expires_at: float = 1e12) -> Accepted | Exception:
        key = IdempotencyKey("one-key", body, expires_at)
        return rows.accept([Acceptance("acme", DAY, 1, 10_000, (job_row(job_id, 1),), key)])[0]

    assert ask("a", "body", expires_at=1) == Accepted(("a",))
    assert ask("b", "other") == Accepted(("b",))
    assert isinstance(ask("c", "body"), KeyReused)
    assert ask("c", "other") == Accepted(("b",), again=True)
    with engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == "b").values(state="failed", code="engine_failed"))
    assert ask("d", "other") == Accepted(("d",)), "what failed on our side may be asked for again"
    rows.forget_keys()
    assert rows.led_to(IdempotencyKey("one-key", "other", 0)) == Accepted(("d",), again=True)


# case S15: a job leased by a clock two hours fast
@pytest.mark.parametrize(("ahead", "is_taken"), [(-1, True), (5, False), (7_200, True)])
def test_leases_are_judged_by_the_databases_clock(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, ahead: float, is_taken: bool
) -> None:
    rows = JobTable(engine, 15, frozenset())
    rows.accept([Acceptance("acme", DAY, 1, 10_000, (job_row("a", 1),))])
    with engine.begin() as connection:
        lease = connection.execute(select(jobs.c.lease_until)).scalar_one()
        connection.execute(update(jobs).values(lease_until=lease - 15 + ahead))
    monkeypatch.setattr("time.time", lambda: 0.0)
    taken = rows.claim_abandoned({}, (), frozenset())
    assert (taken is not None) is is_taken
    if taken is not None:
        assert taken.attempt == 2
        with engine.connect() as connection:
            renewed = connection.execute(select(jobs.c.lease_until)).scalar_one()
        assert abs(renewed - lease) < 5


# case S6
def test_after_a_crash_the_tenants_are_taken_up_in_turn(engine: Engine) -> None:
    rows = JobTable(engine, -1, frozenset())
    flood = tuple(job_row(f"flood{number}", 1) | {"created_at": float(number)} for number in range(4))
    rows.accept([Acceptance("acme", DAY, 4, 10_000, flood)])
    rows.accept([Acceptance("beta", DAY, 1, 10_000, (job_row("late", 1, "beta") | {"created_at": 99.0},))])
    rows = JobTable(engine, 15, frozenset())
    order, held = [], {"acme": 0, "beta": 0}
    while (row := rows.claim_abandoned(held, (), frozenset())) is not None:
        held[row.tenant] += 1
        order.append(row.id)
    assert order == ["flood0", "late", "flood1", "flood2", "flood3"]
    assert rows.claim_abandoned({}, (), frozenset()) is None
