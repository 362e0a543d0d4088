"""Headers decide first: a key, a rate, a declared length. Only then is a body read, in memory and within bounds."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from gateway.errors import BadRequest, BodyTimedOut, ServerBusy
from gateway.intake.bodies import MOST_VALUES, BodyBounds, BodyMemory, BoundedRequest
from gateway.serving.app import build_app
from gateway.settings import IntakeOptions
from tests.walk.house import HARMLESS, House
from tests.walk.test_bad_input import picture

PUBLIC = {
    "POST /v1/verify",
    "POST /c2pa/v1/matches/byBinding",
    "POST /c2pa/v1/matches/byContent",
    "POST /c2pa/v1/manifests/{manifest_id}/receipts",
}
"""Routes that take a body from anybody. Whoever adds one here gives it a rate, and bounds."""


def taking_bodies(house: House) -> list[tuple[str, str]]:
    """(method, path) of every route that is not a GET, of every dialect."""
    routes = [route for route in house.app.state.routes if isinstance(route, APIRoute)]
    return [(method, route.path) for route in routes for method in sorted(route.methods) if method != "GET"]


def asked(house: House, method: str, path: str, *headers: tuple[bytes, bytes], app: Any = None) -> tuple[int, int]:
    """(status, messages of the body that were asked for)."""
    asked_for = 0
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        nonlocal asked_for
        asked_for += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.replace("{", "").replace("}", "").replace(":path", ""),
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"gate.test"), *headers],
        "client": ("192.0.2.9", 4711),
        "server": ("gate.test", 443),
    }
    house.run((app or house.app)(scope, receive, send))
    return statuses[0], asked_for


# case S1
def test_no_route_reads_a_byte_without_a_key(the_house: House) -> None:
    routes = taking_bodies(the_house)
    assert len(routes) > 8
    assert {f"{method} {path}" for method, path in routes} >= PUBLIC
    for method, path in routes:
        if f"{method} {path}" in PUBLIC:
            continue
        for kind in (b"application/json", b"multipart/form-data; boundary=x", b"image/png"):
            status, asked_for = asked(the_house, method, path, (b"content-type", kind))
            assert (status, asked_for) == (401, 0), (method, path)


# case S1
def test_a_public_route_past_its_rate_reads_nothing(the_house: House) -> None:
    settings = replace(the_house.parts.limit_settings, public_requests_per_minute=1)
    app = the_house.beside(limit_settings=settings)
    for route in PUBLIC:
        method, path = route.split(" ")
        json = (b"content-type", b"application/json")
        assert asked(the_house, method, path, json, (b"content-length", b"99999999"), app=app) == (413, 0), route
        assert asked(the_house, method, path, json, app=app) == (429, 0), route


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"deflate, gzip", b"zstd", b"x"])
def test_a_compressed_body_is_not_read(the_house: House, encoding: bytes) -> None:
    authorization = (b"authorization", f"Bearer {the_house.key}".encode())
    for method, path in taking_bodies(the_house):
        if "cancel" in path or "variations" in path:
            continue
        status, asked_for = asked(the_house, method, path, authorization, (b"content-encoding", encoding))
        assert (status, asked_for) in {(415, 0), (403, 0)}, (method, path)


GENERATE = "/api/v1/model/generateImage"
HOSTILE = {
    "a million references": b'{"prompt":"x","references":[' + b"1," * 490_000 + b"1]}",
    "unknown fields": b"{" + b",".join(b'"f%d":1' % n for n in range(60_000)) + b"}",
    "objects": b'{"prompt":"x","references":[' + b"{}," * 300_000 + b"{}]}",
    "a nest": b'{"prompt":' + b"[" * 400_000,
    "a shallow nest": b'{"prompt":' + b"[" * 40 + b"]" * 40 + b"}",
    "a nest of objects": b'{"a":' * 150_000,
    "a huge integer": b'{"prompt":"x","seed":' + b"9" * 900_000 + b"}",
    "commas": b'{"prompt":"' + b"," * 900_000 + b'"}',
    "a name twice": b'{"prompt":"a","prompt":"b"}',
    "a name twice, within": b'{"model":"demo","input":{"prompt":"a","seed":1,"seed":2}}',
    "UTF-16": '{"prompt":"a","prompt":"b"}'.encode("utf-16"),
    "2 MB": b'{"prompt":"' + b"a" * 2_000_000 + b'"}',
}


# case S1
@pytest.mark.parametrize("path", [GENERATE, "/v1/images/generations", "/v1/moderations"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_body_costs_little_even_with_a_key(the_house: House, path: str, body: bytes, built: list[int]) -> None:
    got = the_house.send("POST", path, content=body, headers={"Content-Type": "application/json"})
    assert got.status_code in (400, 413, 422), got.text
    assert len(got.content) < 2000
    assert sum(built) <= 2 * MOST_VALUES  # two kinds of list are tried at `input`


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of validation errors that were built."""
    counts: list[int] = []
    began = RequestValidationError.__init__

    def counted(self: RequestValidationError, errors: Any, **rest: Any) -> None:
        counts.append(len(errors))
        began(self, errors, **rest)

    monkeypatch.setattr(RequestValidationError, "__init__", counted)
    return counts


@pytest.mark.parametrize("path", ["/c2pa/v1/matches/byBinding", "/c2pa/v1/manifests/x/receipts"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_body_from_anybody_costs_less(the_house: House, path: str, body: bytes) -> None:
    got = the_house.send("POST", path, content=body, headers={"Content-Type": "application/json"}, key=None)
    assert got.status_code in (400, 413, 422), got.text
    if len(body) > 70_000:
        assert got.status_code == 413


def test_a_name_twice_is_named(the_house: House) -> None:
    twice = b'{"prompt":"a","prompt":"b"}'
    got = the_house.send("POST", GENERATE, content=twice, headers={"Content-Type": "application/json"})
    assert (got.status_code, got.json()["error"]["field"]) == (422, "prompt")


def test_a_chunked_body_is_cut_off_at_its_bound(the_house: House) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50_000_000:
            sent += 100_000
            yield b"x" * 100_000

    got = the_house.send("POST", GENERATE, content=endless(), headers={"Content-Type": "application/json"})
    assert got.status_code == 413
    assert sent < 2_000_000


FORM = b"multipart/form-data; boundary=b"
FORMS = {
    "many parts": b"".join(
        b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n' % n for n in range(10_000)
    ),
    "many files": b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n' * 5_000,
    "many headers": b"--b\r\n" + b"X-A: b\r\n" * 50_000,
    "a huge header": b"--b\r\nContent-Disposition: form-data; name=" + b"a" * 900_000,
    "a huge field": b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n'
    + b"a" * 900_000
    + b"\r\n--b--\r\n",
    "no boundary in it": b"a" * 900_000,
    "no end": b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx',
}


@pytest.mark.parametrize("path", ["/api/v1/model/uploadMedia", "/v1/images/edits", "/v1/verify"])
@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_a_hostile_form_is_the_callers_fault(the_house: House, path: str, body: bytes) -> None:
    got = the_house.send("POST", path, content=body, headers={"Content-Type": FORM.decode()})
    assert got.status_code in (200, 400, 422), got.text
    assert got.status_code != 200 or path == "/v1/verify"


# case S12
@pytest.mark.parametrize("path", ["/api/v1/model/uploadMedia", "/v1/images/edits", "/v1/verify"])
def test_an_upload_touches_no_temporary_file(the_house: House, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: Any, **__: Any) -> Any:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "TemporaryFile", nowhere)
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", nowhere)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", nowhere)
    name = "image" if path.endswith("edits") else "file"
    data = picture(size=(600, 400))  # noise: its file is large
    got = the_house.send("POST", path, files={name: ("a.png", data)}, data={"prompt": HARMLESS})
    assert got.status_code in (200, 400), got.text
    assert len(data) > 200_000


# case S12
def test_a_large_file_of_a_form_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: Any) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", nowhere)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    data = b"x" * 5_000_000

    async def read() -> bytes:
        request = bounded([head, data, b"\r\n--b--\r\n"], content_type=FORM)
        form = await request.form()
        content: bytes = await form["file"].read()
        await request.close()
        return content

    assert asyncio.run(read()) == data


# -- the reader itself -------------------------------------------------------------------------------------------------


def bounded(
    chunks: list[bytes], memory: BodyMemory | None = None, seconds: float = 5, content_type: bytes = b"application/json"
) -> BoundedRequest:
    """A request whose body comes in these chunks, and then never ends if the last one is missing."""
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(60)
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": chunk != chunks[-1]}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", content_type)]}
    return BoundedRequest(scope, receive, BodyBounds(20_000_000, seconds, memory or BodyMemory(20_000_000)))


def test_a_body_that_drips_is_given_up() -> None:
    async def dripping() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.02)
            return {"type": "http.request", "body": b"x", "more_body": True}

        scope = {"type": "http", "method": "POST", "headers": []}
        request = BoundedRequest(scope, receive, BodyBounds(1000, 0.1, BodyMemory(1000)))
        with pytest.raises(BodyTimedOut):
            await request.body()

    asyncio.run(dripping())


def test_bodies_share_one_memory_and_give_it_back() -> None:
    memory = BodyMemory(1000)

    async def both() -> None:
        first, second = bounded([b"x" * 800], memory), bounded([b"x" * 300], memory)
        await first.body()
        with pytest.raises(ServerBusy):
            await second.body()
        await first.close()
        await second.close()
        third = bounded([b"x" * 1000], memory)
        await third.body()
        await third.close()

    asyncio.run(both())
    memory.take(1000)


def test_json_is_decoded_once_and_never_echoed() -> None:
    async def read() -> None:
        request = bounded([b'{"a":1}'])
        assert await request.json() is await request.json()
        with pytest.raises(BadRequest) as refused:
            await bounded([b'{"zq7 canary":1,"zq7 canary":2}']).json()
        assert refused.value.field == "body"

    asyncio.run(read())


def test_a_slow_body_is_told_so(the_house: House) -> None:
    settings = the_house.parts.settings.model_copy(update={"intake": IntakeOptions(body_timeout_seconds=0.1)})
    app = build_app(replace(the_house.parts, settings=settings))

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    got = the_house.send("POST", GENERATE, content=slow(), headers={"Content-Type": "application/json"}, app=app)
    assert (got.status_code, got.json()["error"]["code"]) == (408, "body_timeout")


# -- addresses ---------------------------------------------------------------------------------------------------------


# case S15
@pytest.mark.parametrize(
    ("host", "allowed", "wanted"),
    [
        ("evil.example", (), "https://gate.test"),
        ("evil.example", ("gate.example",), "https://gate.test"),
        ("gate.example", ("gate.example",), "https://gate.example"),
        ("GATE.example:8443", ("gate.example:8443",), "https://gate.example:8443"),
        ("gate.example:666", ("gate.example",), "https://gate.test"),
        ("gate.example/evil.example", ("gate.example",), "https://gate.test"),
    ],
)
def test_a_link_names_only_hosts_that_are_allowed(
    the_house: House, host: str, allowed: tuple[str, ...], wanted: str
) -> None:
    app = the_house.beside(settings=the_house.parts.settings.model_copy(update={"allowed_hosts": allowed}))
    hosted = {"Host": host, "X-Forwarded-Host": "evil.example"}
    taken = the_house.send(
        "POST", "/api/v1/model/uploadMedia", files={"file": ("a.png", picture())}, headers=hosted, app=app
    )
    assert taken.json()["data"]["download_url"].startswith(f"{wanted}/files/"), taken.text
    found = the_house.send("GET", "/.well-known/c2pa-soft-binding-resolution", headers=hosted, app=app).json()
    assert found["apiEndpoint"] == f"{wanted}/c2pa/v1"


# case S15
def test_no_redirection_names_the_host_that_was_called(the_house: House) -> None:
    got = the_house.send("GET", "/v1/models/", headers={"Host": "evil.example"})
    assert got.status_code == 404
    assert "evil.example" not in got.text + str(got.headers)


# case S15
def test_the_documents_page_can_load_and_run_nothing(the_house: House) -> None:
    page = the_house.send("GET", "/docs", key=None)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert "<script" not in page.text
    assert page.headers["x-content-type-options"] == "nosniff"


# case S15
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", GENERATE, "POST"),
        ("GET", GENERATE, "POST"),
        ("DELETE", "/c2pa/v1/matches/byBinding", "GET, POST"),
        ("POST", "/v1/log/key", "GET"),
    ],
)
def test_a_wrong_method_names_the_right_ones(the_house: House, method: str, path: str, allowed: str) -> None:
    got: httpx.Response = the_house.send(method, path)
    assert (got.status_code, got.headers.get("allow")) == (405, allowed)
