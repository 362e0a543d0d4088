"""The whole house in this process, spoken to through ASGI from ordinary test functions."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI

from gateway.auth.key_store import KeyStore
from gateway.house import House as Built
from gateway.serving.app import build_app
from gateway.settings import load_settings
from gateway.store.budgets import day_of, used
from gateway.store.data_folder import DataFolder, open_data_folder
from gateway.wiring import wire
from inference.demo import WEIGHTS

Result = TypeVar("Result")
POLICY = Path(__file__).with_name("policy.toml")
SIZE = 256  # the smallest that holds a watermark
HARMLESS = "a red apple on a wooden table"


def walk_settings(path: Path, **changes: Any) -> dict[str, Any]:
    """Settings of a house with switched parts in the data folder `path`."""
    return {
        "policy": str(POLICY),
        "provider": "Walk Test House",
        "engine": "switched_flux",
        "model": str(WEIGHTS),
        "watermarker": "switched_mark",
        "signer": "switched_signer",
        "parts": {
            "switched_signer": {
                "chain_path": str(path / "keys" / "signing-chain.pem"),
                "key_path": str(path / "keys" / "signing.key"),
            },
        },
        "limits": {
            "key_requests_per_minute": 1_000_000,
            "tenant_requests_per_minute": 1_000_000,
            "public_requests_per_minute": 1_000_000,
            "polls_per_minute": 1_000_000,
        },
        "retries": dict.fromkeys(("warn_after", "slow_after", "hold_after", "suspend_after"), 1_000_000),
    } | changes


class House:
    """A started gateway over the data folder `path`. Close it."""

    def __init__(self, path: Path, *, base_url: str = "https://gate.test", **changes: Any) -> None:
        self.path = path
        settings = load_settings(path, walk_settings(path, **changes), environ={})
        self.folder: DataFolder = open_data_folder(path, settings)
        self.keys = KeyStore(self.folder.database, self.folder.pepper)
        self.tenant, self.key = self.new_key("acme")
        self.parts: Built = wire(self.folder)
        self.app = build_app(self.parts)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._open = AsyncExitStack()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url=base_url, timeout=60)
        self.run(self._start())

    async def _start(self) -> None:
        await self._open.enter_async_context(self._client)
        await self._open.enter_async_context(self.app.router.lifespan_context(self.app))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs a coroutine on the house's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def close(self) -> None:
        """Shuts down as a server would."""
        self.run(self._open.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def new_key(self, tenant: str, **options: Any) -> tuple[str, str]:
        """(tenant, key)."""
        return tenant, self.keys.create(tenant, **options)[1]

    def beside(self, **changes: Any) -> FastAPI:
        """Another app over the same parts, some of them changed: for `send(app=…)`, on the same event loop."""
        return build_app(replace(self.parts, **changes))

    def send(
        self, method: str, path: str, *, key: str | None = "", app: FastAPI | None = None, **options: Any
    ) -> httpx.Response:
        """`key`: that of the house's tenant unless given; None sends none."""
        headers = dict(options.pop("headers", {}))
        chosen = self.key if key == "" else key
        if chosen is not None:
            headers["Authorization"] = f"Bearer {chosen}"
        if app is None:
            return self.run(self._client.request(method, path, headers=headers, **options))

        async def elsewhere() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url=self._client.base_url) as client:
                return await client.request(method, path, headers=headers, **options)

        return self.run(elsewhere())

    def proof(self, got: httpx.Response, key: str | None = "") -> str | None:
        """The receipt whose address an answer carries in its header, as C2SP writes it."""
        address = got.headers.get("x-fluxgate-receipt")
        if address is None:
            return None
        assert len(address) < 200, "proxies with usual settings take no long headers"
        fetched = self.send("GET", f"{address}?form=tlog-proof", key=key)
        assert fetched.status_code == 200, fetched.text
        return fetched.text

    # -- what is written where, read without the house's own code --------------------------------------------------

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "fluxgate.db"

    @property
    def vkey(self) -> str:
        """The log's public key."""
        return (self.path / "keys" / "log.vkey").read_text().strip()

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of the database as dicts."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    def ends(self, decision: str | None = None) -> list[dict[str, Any]]:
        """Entries that say that a suspension or a wait is over, of one decision or of all."""
        leaves = [json.loads(row["leaf"]) for row in self.rows("select leaf from log_entries order by idx")]
        return [leaf for leaf in leaves if leaf["outcome"] == "ended" and decision in (None, leaf["about"])]

    def blobs(self) -> set[str]:
        """Names of all files in the blob store."""
        root = self.path / "blobs"
        return {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}

    def kept(self, request_id: str) -> set[str]:
        """Names of a request's files, and of the manifests that their names name."""
        names = self.blobs()
        files = {name for name in names if request_id in name}
        digests = {digest for file in files for digest in file.split(".")}
        return files | {name for name in names if name.startswith("manifests/") and name[10:].split(".")[0] in digests}

    def written(self) -> tuple[int, int, int, int]:
        """Numbers of jobs, log entries, uploads and files: what a refused request must not change.

        Without the entries that a running gateway writes by itself, whenever the time of an earlier refusal is over.
        """
        counts = [self.rows(f"select count(*) as n from {t}")[0]["n"] for t in ("jobs", "log_entries", "uploads")]
        return counts[0], counts[1] - len(self.ends()), counts[2], len(self.blobs())

    def left(self, tenant: str = "acme") -> int:
        """Thousandths of megapixel-steps left of the tenant's day."""
        spent = used(self.folder.database, tenant, day_of(time.time()))
        return self.parts.limit_settings.budget_milli - spent
