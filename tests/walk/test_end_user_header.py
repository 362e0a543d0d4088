"""Several people behind one key: a trusted front end names them in a header, and each answers for himself."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner

from gateway.auth.identity import Scope
from gateway.cli import app as command_line
from gateway.retries.counting import Retries
from tests.walk.dialogues import Native
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.test_retries import REFUSED, STEPS, Caller
from tests.walk.test_uploads import a_picture

HEADER = "X-OpenWebUI-User-Id"
TRUSTED = (Scope.GENERATE, Scope.MODERATE, Scope.END_USER_HEADER)


@pytest.fixture(scope="module")
def fronted(tmp_path_factory: pytest.TempPathFactory, parts_path: str) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("fronted") / "data", end_user_header=HEADER)
    yield house
    house.close()


def front_end(house: House, scopes: tuple[Scope, ...] = TRUSTED) -> Caller:
    tenant, key = house.new_key(f"front-{time.monotonic_ns()}", scopes=scopes)
    retries = Retries(
        house.folder.database,
        house.parts.database_calls,
        house.folder.secret("retries"),
        STEPS,
        "Write to us.",
        time.time,
    )
    return Caller(house, house.beside(retries=retries), key, tenant)


def ask(caller: Caller, prompt: str, person: str | None, **fields: str) -> httpx.Response:
    body = {"prompt": prompt, "size": f"{SIZE}x{SIZE}", "num_inference_steps": 1} | fields
    headers = {} if person is None else {HEADER: person}
    send = caller.house.send
    return send("POST", "/v1/images/generations", json=body, key=caller.key, app=caller.app, headers=headers)


def suspend(caller: Caller, person: str, **fields: str) -> None:
    for _ in range(5):
        assert ask(caller, REFUSED, person, **fields).status_code == 400
        caller.wait(4000)


def test_a_person_named_in_the_header_is_suspended_alone(fronted: House) -> None:
    # case R28
    caller = front_end(fronted)
    suspend(caller, "mallory")
    assert ask(caller, HARMLESS, "mallory").json()["error"]["code"] == "suspended"
    assert ask(caller, HARMLESS, "alice").status_code == 200
    assert ask(caller, HARMLESS, None).status_code == 200

    def elsewhere(person: str) -> list[int]:
        asked = [
            ("/api/v1/model/generateImage", {"json": {"prompt": HARMLESS, "width": SIZE, "height": SIZE}}),
            ("/v1/moderations", {"json": {"input": HARMLESS}}),
            ("/api/v1/model/uploadMedia", {"files": {"file": ("a.png", a_picture(), "image/png")}}),
            ("/v1/images/edits", {"files": {"image": ("a.png", a_picture())}, "data": {"prompt": HARMLESS}}),
        ]
        headers = {HEADER: person}
        sent = [
            caller.house.send("POST", path, key=caller.key, app=caller.app, headers=headers, **what)
            for path, what in asked
        ]
        return [got.status_code for got in sent]

    assert elsewhere("mallory") == [403] * 4
    assert 403 not in elsewhere("alice")


def test_the_header_counts_before_the_body_that_its_user_wrote(fronted: House) -> None:
    # case R28
    caller = front_end(fronted)
    suspend(caller, "mallory", safety_identifier="alice")
    assert ask(caller, HARMLESS, "mallory", user="somebody-else").json()["error"]["code"] == "suspended"
    assert ask(caller, HARMLESS, None, user="alice").status_code == 200
    suspend(caller, "", user="bob")
    assert ask(caller, HARMLESS, None, user="bob").json()["error"]["code"] == "suspended", "no header: the body counts"


@pytest.mark.parametrize("scopes", [(Scope.GENERATE,)])
def test_a_key_that_is_not_trusted_names_nobody_in_a_header(fronted: House, scopes: tuple[Scope, ...]) -> None:
    # case R28
    caller = front_end(fronted, scopes)
    suspend(caller, "mallory")
    assert ask(caller, HARMLESS, "alice").json()["error"]["code"] == "suspended", "the key itself is"


def test_a_header_that_cannot_be_a_name_is_refused_by_its_name(fronted: House) -> None:
    # case R28
    caller = front_end(fronted)
    got = ask(caller, HARMLESS, "x" * 300)
    assert (got.status_code, got.json()["error"]["param"]) == (400, HEADER)
    assert "xxx" not in got.text


def test_the_command_line_makes_keys_that_are_trusted(fronted: House) -> None:
    # case R28
    asked = ["keys", "create", "--tenant", "front", "--trust-end-user-header", "--json"]
    made = json.loads(CliRunner().invoke(command_line, [*asked, "--data-dir", str(fronted.path)]).stdout)
    assert made["scopes"] == ["end_user_header", "generate", "moderate"]
    headers = {HEADER: "carol"}
    got = fronted.send(
        "POST", "/api/v1/model/generateImage", key=made["key"], json={"prompt": HARMLESS}, headers=headers
    )
    own, fronted.key = fronted.key, made["key"]
    try:
        receipt = Native().wait(fronted, got.json()["id"]).receipt
    finally:
        fronted.key = own
    assert "end_user" in json.loads((receipt or {})["leaf"])["commitments"]
    assert "carol" not in json.dumps(receipt)
