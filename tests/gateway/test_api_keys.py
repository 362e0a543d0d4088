"""API keys: made, shown once, followed by every gateway within a second, and never guessable from an answer."""

import asyncio
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, select
from starlette.datastructures import Headers

from gateway.auth.api_keys import ApiKeys, IdentityUnavailable, KeyRefused, KeyStore, UnknownKey
from gateway.auth.identity import Assurance, NotAuthenticated, Scope
from gateway.auth.key_store import split_key
from gateway.store.database import open_database
from gateway.store.schema import api_keys, metadata

PEPPER = bytes(range(32))
START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Clock:
    """Time that stands still until told."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def engine(tmp_path: Path):
    engine = open_database(f"sqlite:///{tmp_path / 'keys.db'}")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> KeyStore:
    return KeyStore(engine, PEPPER, Clock(START.timestamp()))


@pytest.fixture
def provider_for():
    made: list[ApiKeys] = []

    def make(store: KeyStore, **options: object) -> ApiKeys:
        made.append(ApiKeys(ApiKeys.Options(store=store, **options)))
        return made[-1]

    yield make
    for provider in made:
        provider.close()


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def code_of(provider: ApiKeys, headers: dict[str, str], now: datetime = START) -> str:
    with pytest.raises(NotAuthenticated) as refusal:
        provider.identify(headers, now)
    return refusal.value.code


def test_a_key_names_its_principal_in_each_of_the_three_headers(store, provider_for):
    record, key = store.create("acme", "ci", {Scope.GENERATE}, Assurance.IDENTITY)
    provider = provider_for(store)
    for headers in (bearer(key), {"x-key": key}, {"x-api-key": key}, {"authorization": f"bEARER  {key} "}):
        who = provider.identify(headers, START)
        assert (who.key_id, who.tenant, who.scopes, who.assurance) == (
            record.id,
            "acme",
            frozenset({Scope.GENERATE}),
            Assurance.IDENTITY,
        )
    assert provider.identify(Headers({"X-API-Key": key}), START).key_id == record.id


def test_another_kind_of_credential_is_left_to_the_next_provider(store, provider_for):
    provider = provider_for(store)
    for headers in ({}, bearer("eyJhbGciOi.x.y"), {"authorization": "Basic Zm9v"}, {"x-key": "sk-abc"}):
        assert provider.identify(headers, START) is None


def test_a_bearer_token_of_another_kind_does_not_hide_our_key_in_another_header(store, provider_for):
    record, key = store.create("acme")
    headers = bearer("eyJhbGciOi.x.y") | {"x-key": key}
    assert provider_for(store).identify(headers, START).key_id == record.id


@pytest.mark.parametrize(
    "garbage",
    [
        "fg_",
        "fg__",
        "fg_a_b",
        "fg_" + "a" * 16,
        "fg_" + "a" * 16 + "_" + "b" * 51,
        "fg_" + "a" * 16 + "_" + "b" * 53,
        "fg_" + "a" * 16 + "_" + "b" * 52 + "_c",
        "fg_" + "\0" * 16 + "_" + "ÿ" * 52,
        "fg_" + "a" * 16 + "_" + "\udcff" * 52,
        "fg_" + "a" * 1_000_000,
    ],
)
def test_garbage_is_an_invalid_key_and_nothing_worse(store, provider_for, garbage):
    assert code_of(provider_for(store), bearer(garbage)) == "invalid_key"


def test_every_other_spelling_of_a_key_is_refused(store, provider_for):
    _, key = store.create("acme")
    provider = provider_for(store)
    other = key[:-1] + ("a" if key[-1] != "a" else "q")
    for spelling in (key.upper().replace("FG_", "fg_"), other, key + "=", key.replace("fg_", "fg_ ")):
        assert code_of(provider, bearer(spelling)) == "invalid_key"


def test_a_secret_under_another_keys_id_is_refused(store, provider_for):
    (_, one), (_, two) = store.create("acme"), store.create("acme")
    mixed = "_".join([*one.split("_")[:2], two.split("_")[2]])
    assert code_of(provider_for(store), bearer(mixed)) == "invalid_key"


def test_a_key_under_another_pepper_is_refused(engine, store, provider_for):
    _, key = store.create("acme")
    assert code_of(provider_for(KeyStore(engine, bytes(32))), bearer(key)) == "invalid_key"


def test_a_short_pepper_is_refused_at_start(engine):
    with pytest.raises(ValueError, match="pepper"):
        KeyStore(engine, b"short")


def test_a_key_works_until_the_moment_it_expires(store, provider_for):
    end = START + timedelta(hours=1)
    _, key = store.create("acme", expires_at=end)
    provider = provider_for(store)
    assert provider.identify(bearer(key), end - timedelta(microseconds=1)).expires_at == end
    assert code_of(provider, bearer(key), end) == "expired_key"


def test_only_who_holds_the_secret_learns_that_a_key_was_revoked(store, provider_for):
    record, key = store.create("acme")
    store.revoke(record.id)
    provider = provider_for(store)
    assert code_of(provider, bearer(key)) == "revoked_key"
    assert code_of(provider, bearer(f"fg_{record.id}_{'a' * 52}")) == "invalid_key"


def test_a_rotated_key_works_through_its_grace_and_its_successor_at_once(store, provider_for):
    old, old_key = store.create("acme", "ci", {Scope.AUDIT}, Assurance.ADULT, START + timedelta(days=90))
    store._clock.seconds += 86_400 * 10
    now = START + timedelta(days=10)
    new, new_key = store.rotate(old.id, 3600)
    provider = provider_for(store)
    assert (new.tenant, new.label, new.scopes, new.assurance) == ("acme", "ci", {Scope.AUDIT}, Assurance.ADULT)
    assert new.expires_at == now + timedelta(days=90)
    assert provider.identify(bearer(new_key), now).key_id == new.id
    assert provider.identify(bearer(old_key), now + timedelta(seconds=3599)).key_id == old.id
    assert code_of(provider, bearer(old_key), now + timedelta(seconds=3600)) == "expired_key"
    (listed,) = (record for record in store.list() if record.id == old.id)
    assert listed.replaced_by == new.id


def test_the_grace_of_a_rotation_never_lengthens_a_life(store):
    old, _ = store.create("acme", expires_at=START + timedelta(minutes=1))
    store.rotate(old.id, 3600)
    (listed,) = (record for record in store.list() if record.id == old.id)
    assert listed.expires_at == START + timedelta(minutes=1)


def test_a_key_is_rotated_once_and_a_revoked_one_never(store):
    old, _ = store.create("acme")
    store.rotate(old.id, 0)
    with pytest.raises(KeyRefused, match="replaced already"):
        store.rotate(old.id, 0)
    gone, _ = store.create("acme")
    store.revoke(gone.id)
    with pytest.raises(KeyRefused, match="revoked"):
        store.rotate(gone.id, 0)
    with pytest.raises(KeyRefused, match="keys list"):
        store.revoke("nobody")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("tenant", {"tenant": ""}),
        ("tenant", {"tenant": "a" * 65}),
        ("tenant", {"tenant": "a\0b"}),
        ("tenant", {"tenant": "-a"}),
        ("label", {"tenant": "a", "label": "x" * 129}),
        ("label", {"tenant": "a", "label": "a\nb"}),
        ("scopes", {"tenant": "a", "scopes": ()}),
        ("expires_at", {"tenant": "a", "expires_at": START}),
    ],
)
def test_a_key_with_values_out_of_range_is_not_made(store, field, values):
    with pytest.raises(KeyRefused) as refusal:
        store.create(**values)
    assert refusal.value.field == field
    assert store.list() == ()
    assert store.changes() == 0


def test_neither_table_nor_record_nor_log_holds_the_secret(store, engine, provider_for, caplog):
    caplog.set_level(logging.DEBUG)
    record, key = store.create("acme", "ci")
    _, secret = split_key(key)
    with pytest.raises(NotAuthenticated) as refusal:
        provider_for(store).identify(bearer(key[:-1] + "!"), START)
    with engine.connect() as connection:
        row = repr(connection.execute(select(api_keys)).all())
    said = row + repr(record) + repr(store) + repr(store.load()) + str(refusal.value) + caplog.text
    assert secret not in said
    assert secret.encode() not in Path(engine.url.database).read_bytes()


def test_every_change_is_counted_once(store):
    record, _ = store.create("acme")
    new, _ = store.rotate(record.id, 0)
    store.revoke(new.id)
    store.revoke(new.id)
    assert store.changes() == 3


def test_a_revocation_by_another_process_is_seen_within_a_second(engine, store, provider_for):
    record, key = store.create("acme")
    provider = provider_for(store)
    assert provider.identify(bearer(key), START)
    other = KeyStore(open_database(str(engine.url)), PEPPER)
    other.revoke(record.id)
    time.sleep(1.0)
    assert code_of(provider, bearer(key)) == "revoked_key"


def test_a_key_made_by_another_process_works_at_its_very_first_request(engine, store, provider_for):
    provider = provider_for(store)
    record, key = KeyStore(open_database(str(engine.url)), PEPPER).create("acme")
    with pytest.raises(UnknownKey):
        provider.identify(bearer(key), START)
    assert asyncio.run(provider.identify_fresh(bearer(key), START)).key_id == record.id
    assert provider.identify(bearer(key), START).key_id == record.id


def test_made_up_ids_cannot_hammer_the_database(engine, store, provider_for):
    provider = provider_for(store)
    queries: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: queries.append(args[2]))

    async def flood() -> list[object]:
        keys = [f"fg_{number:016d}_{'a' * 52}" for number in range(500)]
        return await asyncio.gather(
            *(provider.identify_fresh(bearer(key), START) for key in keys), return_exceptions=True
        )

    began = time.monotonic()
    answers = asyncio.run(flood())
    seconds = time.monotonic() - began
    assert {type(answer) for answer in answers} == {UnknownKey}
    assert sum("key_changes" in query for query in queries) <= 3 + seconds * 10


def test_a_garbage_flood_does_not_keep_a_new_key_out(engine, store, provider_for):
    provider = provider_for(store)
    other = KeyStore(open_database(str(engine.url)), PEPPER)

    async def first_request_in_a_flood() -> None:
        garbage = [f"fg_{number:016d}_{'a' * 52}" for number in range(200)]
        flood = [asyncio.create_task(provider.identify_fresh(bearer(key), START)) for key in garbage]
        await asyncio.sleep(0)
        record, key = await asyncio.to_thread(other.create, "acme")
        who = await provider.identify_fresh(bearer(key), START)
        await asyncio.gather(*flood, return_exceptions=True)
        assert who.key_id == record.id

    asyncio.run(first_request_in_a_flood())


class UnreachableStore(KeyStore):
    """A store whose database stops answering when told: with an error, or by hanging."""

    broken: Exception | None = None
    hanging = threading.Event()

    def changes(self) -> int:
        if self.hanging.is_set():
            time.sleep(0.2)
        if self.broken:
            raise self.broken
        return super().changes()


def test_identification_fails_closed_when_the_store_was_unreachable_for_too_long(engine, provider_for):
    store = UnreachableStore(engine, PEPPER)
    _, key = store.create("acme")
    clock = Clock(0.0)
    provider = provider_for(store, poll_seconds=0.01, unavailable_after_seconds=10, monotonic=clock)
    store.broken = ValueError("no database")
    time.sleep(0.3)
    clock.seconds = 9.9
    assert provider.identify(bearer(key), START)
    clock.seconds = 10.1
    with pytest.raises(IdentityUnavailable) as refusal:
        provider.identify(bearer(key), START)
    assert refusal.value.code == "identity_unavailable"
    store.broken = None
    time.sleep(0.3)
    assert provider.identify(bearer(key), START)


def test_an_unknown_id_is_not_called_invalid_while_the_store_cannot_be_asked(engine, provider_for):
    store = UnreachableStore(engine, PEPPER)
    provider = provider_for(store)
    store.broken = ValueError("no database")
    with pytest.raises(IdentityUnavailable):
        asyncio.run(provider.identify_fresh(bearer(f"fg_{'a' * 16}_{'b' * 52}"), START))


def test_a_slow_store_never_holds_up_the_event_loop(engine, provider_for):
    store = UnreachableStore(engine, PEPPER)
    _, key = store.create("acme")
    provider = provider_for(store)
    store.hanging = threading.Event()
    store.hanging.set()

    async def longest_pause() -> float:
        unknown = asyncio.create_task(provider.identify_fresh(bearer(f"fg_{'a' * 16}_{'b' * 52}"), START))
        longest, last = 0.0, time.monotonic()
        while not unknown.done():
            assert provider.identify(bearer(key), START)
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert isinstance(unknown.exception(), UnknownKey)
        return longest

    assert asyncio.run(longest_pause()) < 0.15


def test_a_gateway_that_cannot_read_its_keys_does_not_start(engine):
    store = UnreachableStore(engine, PEPPER)
    store.broken = ValueError("no database")
    with pytest.raises(ValueError, match="no database"):
        ApiKeys(ApiKeys.Options(store=store))


def test_keys_made_at_once_by_many_threads_all_work_and_are_all_counted(store, provider_for):
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.extend(store.create("acme")[1] for _ in range(5))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    provider = provider_for(store)
    assert len({provider.identify(bearer(key), START).key_id for key in made}) == 40
    assert store.changes() == 40


def test_a_scope_of_a_newer_version_grants_nothing(store, engine, provider_for):
    _, key = store.create("acme", scopes={Scope.GENERATE})
    with engine.begin() as connection:
        connection.execute(api_keys.update().values(scopes="generate rule_the_world"))
    assert provider_for(store).identify(bearer(key), START).scopes == {Scope.GENERATE}
