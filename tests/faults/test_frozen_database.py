"""PostgreSQL stops answering without closing anything, as a stopped machine does: the server lives and says so.

The database is reached through a proxy that can stop forwarding; skipped, by name, where there is no PostgreSQL.
"""

import os
import socket
import threading
import uuid
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from tests.walk import switched_parts
from tests.walk.dialogues import Native, OpenAI
from tests.walk.house import HARMLESS, SIZE, House

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")


class Proxy:
    """Forwards to one address, except while it is frozen: then bytes and connections wait."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self.flows = threading.Event()
        self.flows.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self.flows.wait()
        server = socket.create_connection(self._to)
        for one, other in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                self.flows.wait()
                other.sendall(data)
        except OSError:
            pass
        finally:
            for each in (one, other):
                each.close()

    def close(self) -> None:
        self.flows.set()
        self._listening.close()


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Proxy]]:
    switched_parts.install(tmp_path_factory.mktemp("frozen-parts") / "site")
    administration = create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    name, url = f"frozen_{uuid.uuid4().hex[:12]}", make_url(POSTGRESQL)
    try:
        with administration.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError:
        pytest.skip(f"PostgreSQL does not answer at {url.host}: this test needs it")
    proxy = Proxy(url.host or "127.0.0.1", url.port or 5432)
    reached = url.set(host="127.0.0.1", port=proxy.port, database=name).render_as_string(hide_password=False)
    house = House(tmp_path_factory.mktemp("frozen") / "data", database_url=reached, database_timeout_seconds=1.0)
    yield house, proxy
    proxy.flows.set()
    house.close()
    proxy.close()
    with administration.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    administration.dispose()


# case S4: PostgreSQL frozen and one history request
def test_a_server_whose_database_is_frozen_lives_says_so_and_works_again(frozen: tuple[House, Proxy]) -> None:
    house, proxy = frozen
    prediction = Native().ask(house, HARMLESS).body["id"]
    requests = {
        "history": ("GET", "/api/v1/model/predictions", None),
        "prediction": ("GET", f"/api/v1/model/prediction/{prediction}", None),
        "cancel": ("POST", f"/api/v1/model/prediction/{prediction}/cancel", None),
        "reasons": ("GET", "/v1/decisions/dec_none/reasons", None),
        "receipt": ("GET", f"/v1/receipts/{prediction}", None),
        "generation": ("POST", "/v1/images/generations", {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}"}),
        "start": ("POST", "/api/v1/model/generateImage", {"prompt": HARMLESS}),
        "checkpoint": ("GET", "/v1/log/checkpoint", None),
        "metrics": ("GET", "/metrics", None),
    }
    answers: dict[str, httpx.Response] = {}

    def ask(name: str) -> None:
        method, path, body = requests[name]
        answers[name] = house.send(method, path, **({} if body is None else {"json": body}))

    proxy.flows.clear()
    asking = [threading.Thread(target=ask, args=(name,)) for name in requests for _ in range(4)]
    for thread in asking:
        thread.start()
    lives = 0
    while any(thread.is_alive() for thread in asking):
        lives += house.send("GET", "/health/live", key=None).status_code == 200
    assert lives >= 20, "answered again and again while they waited"
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(requests, 503)
    codes = {name: answer.json().get("error", answer.json())["code"] for name, answer in answers.items()}
    assert set(codes.values()) <= {"database_unavailable", "ledger_unavailable"}
    assert codes["history"] == codes["cancel"] == "database_unavailable"

    proxy.flows.set()
    assert house.send("GET", "/api/v1/model/predictions").status_code == 200
    assert OpenAI().ask(house, HARMLESS).outcome == "delivered"
