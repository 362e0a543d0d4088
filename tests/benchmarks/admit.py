"""Key check and quota of one request, beside the usual ways to do it, in one run.

    python -m tests.benchmarks.admit [--keys 10000] [--tenants 100] [--requests 20000] [--rounds 9]
                                     [--redis redis://127.0.0.1:6379/0] [--json]

Contestants take turns in every round over the same random order of keys; figures are microseconds of wall-clock per
request. Ratios count; absolute figures belong to the machine.

- `admit`: `ApiKeys.identify` and `Limits.admit`, in memory. `admit (ASGI headers)`: the same on Starlette's headers.
- `orm`: SQLAlchemy ORM look-up of the key in SQLite, HMAC, then the `limits` library in memory for key and tenant.
- `slow hash`: the same with `hashlib.scrypt` (n=2^15, r=8, p=1) in place of the HMAC, as for passwords.
- `limits`: only the `limits` library's sliding window in memory, for key and tenant, without any key check.
- `shared`: `ApiKeys.identify` and `Limits.admit` leasing from Redis; `shared, limits`: the same with the `limits`
  library's asyncio Redis storage. These two see a hundred keys, each of a tenant of
  its own, in bursts of 200: a lease pays only for a caller who comes again. Left out without a Redis.

Exits 1 if `admit` is not at least 20 times as fast as `orm`, or `shared` not 5 times as fast as `shared, limits`
(the limits of this guard are far below what a quiet machine shows, so that only a real loss trips it).
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import random
import socket
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import limits.aio.storage
import limits.aio.strategies
import limits.storage
import limits.strategies
from limits import RateLimitItemPerMinute
from sqlalchemy import Engine, insert
from sqlalchemy.orm import DeclarativeBase, Session
from starlette.datastructures import Headers

from gateway.auth.api_keys import ApiKeys
from gateway.auth.identity import Principal
from gateway.auth.key_store import KeyStore, split_key
from gateway.limits import Limits, LimitSettings
from gateway.store.database import open_database
from gateway.store.schema import api_keys, metadata

PEPPER = bytes(32)
PLENTY = 10**7
SLOW_REQUESTS = 3
ORM_REQUESTS = 400
SHARED_BURST = 200
MIN_RATIO_ORM = 20.0
MIN_RATIO_SHARED = 5.0
OTHER_HEADERS = {
    "host": "gateway.example",
    "user-agent": "OpenAI/Python 2.0",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
    "content-type": "application/json",
    "content-length": "180",
}


class Base(DeclarativeBase):
    metadata = metadata


class KeyRow(Base):
    __table__ = api_keys


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--requests", type=int, default=20_000, help="of the fast contestants in a round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/0")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluxgate-admit-") as folder:
        figures = asyncio.run(measure(chosen, Path(folder)))
    report(figures, as_json=chosen.json)
    ratios = [ratio(figures, "orm", "admit") >= MIN_RATIO_ORM]
    if "shared" in figures:
        ratios.append(ratio(figures, "shared, limits", "shared") >= MIN_RATIO_SHARED)
    return 0 if all(ratios) else 1


async def measure(chosen: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Microseconds per request of every contestant in every round."""
    engine = open_database(f"sqlite:///{folder / 'keys.db'}")
    metadata.create_all(engine)
    store = KeyStore(engine, PEPPER)
    keys = filled(store, engine, chosen.keys, chosen.tenants)
    provider = ApiKeys(ApiKeys.Options(store=store))
    now = datetime.now(UTC)
    order = random.Random(7).choices(keys, k=chosen.requests)
    plain = [{"authorization": f"Bearer {key}"} for key in order]
    asgi = [Headers(OTHER_HEADERS | headers) for headers in plain]
    windows = limits.strategies.SlidingWindowCounterRateLimiter(limits.storage.MemoryStorage())
    item = RateLimitItemPerMinute(PLENTY)
    ours = Limits(LimitSettings(PLENTY, PLENTY, 1e9, 30))

    async def admit(all_headers: Sequence[Mapping[str, str]]) -> int:
        for headers in all_headers:
            who = provider.identify(headers, now)
            assert who is not None
            await ours.admit(who)
        return len(all_headers)

    def looked_up(headers: Mapping[str, str], digest: Callable[[str], bytes]) -> Any:
        parts = split_key(headers["authorization"][7:])
        assert parts is not None
        with Session(engine) as session:
            row: Any = session.get(KeyRow, parts[0])
            assert row is not None
            hmac.compare_digest(digest(parts[1]), row.digest)
            session.expunge(row)
        return row

    async def orm(digest: Callable[[str], bytes], requests: int) -> int:
        for headers in plain[:requests]:
            row = looked_up(headers, digest)
            assert windows.hit(item, "key", row.id)
            assert windows.hit(item, "tenant", row.tenant)
        return requests

    people = [provider.identify(headers, now) for headers in plain]

    async def only_limits() -> int:
        for who in people:
            assert who is not None
            assert windows.hit(item, "key", who.key_id)
            assert windows.hit(item, "tenant", who.tenant)
        return len(people)

    contestants: dict[str, Callable[[], Awaitable[int]]] = {
        "admit": lambda: admit(plain),
        "admit (ASGI headers)": lambda: admit(asgi),
        "orm": lambda: orm(store.digest, ORM_REQUESTS),
        "slow hash": lambda: orm(scrypt, SLOW_REQUESTS),
        "limits": only_limits,
    }
    closing: list[Callable[[], Awaitable[None]]] = []
    if redis_answers(chosen.redis):
        shared = Limits(LimitSettings(PLENTY, PLENTY, 1e9, 30, chosen.redis))
        closing.append(shared.aclose)
        theirs = limits.aio.storage.RedisStorage(f"async+{chosen.redis}", implementation="redispy")
        their_windows = limits.aio.strategies.SlidingWindowCounterRateLimiter(theirs)
        # Another prefix in every run, so that no earlier run's counts are met.
        run = uuid.uuid4().hex
        bursts = [headers for headers in plain[:100] for _ in range(SHARED_BURST)]

        async def leased() -> int:
            for headers in bursts:
                who = provider.identify(headers, now)
                assert who is not None
                await shared.admit(Principal(run + who.key_id, run + who.key_id, who.scopes, who.assurance))
            assert not shared.degraded
            return len(bursts)

        async def asked_every_time() -> int:
            for headers in bursts[:: SHARED_BURST // 5]:
                who = provider.identify(headers, now)
                assert who is not None
                assert await their_windows.hit(item, run, "key", who.key_id)
                assert await their_windows.hit(item, run, "tenant", who.tenant)
            return len(bursts[:: SHARED_BURST // 5])

        contestants |= {"shared": leased, "shared, limits": asked_every_time}
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for counted in [False] + [True] * chosen.rounds:
        for name, contestant in contestants.items():
            began = time.perf_counter()
            requests = await contestant()
            if counted:
                figures[name].append((time.perf_counter() - began) * 1e6 / requests)
    provider.close()
    for close in closing:
        await close()
    engine.dispose()
    return figures


def filled(store: KeyStore, engine: Engine, keys: int, tenants: int) -> list[str]:
    """So many keys, written in one transaction instead of one each."""
    secrets = [hashlib.sha256(str(number).encode()).hexdigest()[:52] for number in range(keys)]
    rows = [
        {
            "id": f"{number:016d}",
            "tenant": f"tenant-{number % tenants}",
            "label": "",
            "digest": store.digest(secret),
            "scopes": "generate moderate",
            "assurance": 1,
            "created_at": time.time(),
        }
        for number, secret in enumerate(secrets)
    ]
    with engine.begin() as connection:
        connection.execute(insert(api_keys), rows)
    return [f"fg_{row['id']}_{secret}" for row, secret in zip(rows, secrets, strict=True)]


def scrypt(secret: str) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=PEPPER, n=2**15, r=8, p=1, maxmem=2**26, dklen=32)


def redis_answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), 0.5):
            return True
    except OSError:
        return False


def ratio(figures: Mapping[str, Sequence[float]], slow: str, fast: str) -> float:
    """Median over the rounds: each compares neighbours in time."""
    return statistics.median(a / b for a, b in zip(figures[slow], figures[fast], strict=True))


def report(figures: Mapping[str, Sequence[float]], *, as_json: bool) -> None:
    pairs = [("orm", "admit"), ("slow hash", "admit"), ("limits", "admit"), ("shared, limits", "shared")]
    ratios = {f"{slow} / {fast}": ratio(figures, slow, fast) for slow, fast in pairs if slow in figures}
    if as_json:
        micros = {name: {"min": min(each), "median": statistics.median(each)} for name, each in figures.items()}
        print(json.dumps({"benchmark": "admit", "microseconds": micros, "ratios": ratios}))
        return
    print("microseconds per request (min / median)")
    for name, each in figures.items():
        print(f"  {name:22} {min(each):12.2f} / {statistics.median(each):12.2f}")
    print("ratios (median over rounds)")
    for name, value in ratios.items():
        print(f"  {name:22} {value:12.1f}")


if __name__ == "__main__":
    sys.exit(main())
