"""Bad input: a clear error in the dialect's own shape that names field and remedy; nothing echoed, nothing written."""

import base64
import io
import json
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from PIL import Image

from gateway.auth.identity import Scope
from gateway.auth.key_store import KeyStore
from tests.walk.dialogues import Native
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.switched_parts import switched

CANARY = "zq7canary"
GENERATE = {"native": "/api/v1/model/generateImage", "openai": "/v1/images/generations"}
GOOD: dict[str, dict[str, Any]] = {
    "native": {"prompt": f"{CANARY} apple", "width": SIZE, "height": SIZE, "steps": 1},
    "openai": {"prompt": f"{CANARY} apple", "size": f"{SIZE}x{SIZE}", "num_inference_steps": 1},
}
NAN, INFINITY = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def nothing_is_written(the_house: House, someone_elses: dict[str, Any]) -> Iterator[None]:
    """`someone_elses`: what others have written is there before."""
    before = (the_house.written(), the_house.left())
    yield
    assert (the_house.written(), the_house.left()) == before


def check(got: httpx.Response, dialect: str, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The answer is that problem in the dialect's shape, names a remedy and echoes nothing; returns the error."""
    # OpenAI's clients know 400 for every request that cannot be used.
    expected = 400 if dialect == "openai" and status == 422 else status
    assert got.status_code == expected, got.text
    assert CANARY not in got.text
    assert CANARY not in str(got.headers)
    assert got.headers["x-request-id"]
    if dialect == "public":
        assert got.headers["content-type"] == "application/problem+json"
        error = got.json()
        assert error["status"] == status
        assert error["type"] == f"urn:fluxgate:problem:{code}"
    else:
        error = got.json()["error"]
        assert error["message"]
    assert error["code"] == code
    if dialect == "openai":
        assert set(error) >= {"message", "type", "param", "code"}
        assert error["param"] == field
        assert got.headers.get("x-should-retry") == "false"
    elif field is not None:
        assert error["field"] == field
        assert error["remedy"]
    return error


# -- bodies ------------------------------------------------------------------------------------------------------------

OF_BOTH: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": ({"colour": CANARY}, "colour"),
    "a field whose name is content": ({f"{CANARY} {CANARY}": 1}, "body"),
    "a field named by half a surrogate pair": ({"\ud800": 1}, "body"),
    "an empty prompt": ({"prompt": ""}, "prompt"),
    "a blank prompt": ({"prompt": " \n\t "}, "prompt"),
    "an over-long prompt": ({"prompt": CANARY * 1000}, "prompt"),
    "a prompt that is a number": ({"prompt": 7}, "prompt"),
    "a prompt that is null": ({"prompt": None}, "prompt"),
    "half a surrogate pair": ({"prompt": f"{CANARY} \ud83d"}, "prompt"),
    "a negative seed": ({"seed": -1}, "seed"),
    "a seed past the range": ({"seed": 2**63}, "seed"),
    "a seed of 65 bits": ({"seed": 2**64}, "seed"),
    "a seed that is NaN": ({"seed": NAN}, "seed"),
    "a seed that is infinite": ({"seed": INFINITY}, "seed"),
    "a seed in words": ({"seed": CANARY}, "seed"),
    "a broken seed": ({"seed": 1.5}, "seed"),
    "guidance that is NaN": ({"guidance_scale": NAN}, "guidance_scale"),
    "infinite guidance": ({"guidance_scale": INFINITY}, "guidance_scale"),
    "absurd guidance": ({"guidance_scale": 1000}, "guidance_scale"),
    "an unknown format": ({"output_format": CANARY}, "output_format"),
    "an empty end user": ({"safety_identifier": " "}, "safety_identifier"),
    "an over-long end user": ({"safety_identifier": CANARY * 100}, "safety_identifier"),
    "an end user with control characters": ({"safety_identifier": f"{CANARY}\0"}, "safety_identifier"),
}
NATIVE_ONLY: dict[str, tuple[dict[str, Any], str]] = {
    "no width": ({"width": 0}, "width"),
    "a negative height": ({"height": -256}, "height"),
    "an absurd width": ({"width": 10**30}, "width"),
    "a width beyond the largest": ({"width": 1025}, "width"),
    "a width in words": ({"width": CANARY}, "width"),
    "a width that is NaN": ({"width": NAN}, "width"),
    "a picture too small for a watermark": ({"width": 64, "height": 64}, "width"),
    "no steps": ({"steps": 0}, "steps"),
    "absurd steps": ({"steps": 10**6}, "steps"),
    "two different numbers of steps": ({"steps": 1, "num_inference_steps": 2}, "steps"),
    "no quality": ({"output_quality": 0}, "output_quality"),
    "too much quality": ({"output_quality": 101}, "output_quality"),
    "no strength": ({"strength": 0}, "strength"),
    "too much strength": ({"strength": 1.5}, "strength"),
    "strength that is NaN": ({"strength": NAN}, "strength"),
    "a tolerance below the scale": ({"safety_tolerance": -1}, "safety_tolerance"),
    "a tolerance above the scale": ({"safety_tolerance": 7}, "safety_tolerance"),
    "a tolerance in words": ({"safety_tolerance": CANARY}, "safety_tolerance"),
    "half a tolerance": ({"safety_tolerance": 2.5}, "safety_tolerance"),
    "an address as the picture": ({"image": f"https://example.com/{CANARY}.png"}, "image"),
    "a file address as the picture": ({"image": "file:///etc/passwd"}, "image"),
    "a field in both forms": ({"input": {"prompt": CANARY}}, "prompt"),
}
OPENAI_ONLY: dict[str, tuple[dict[str, Any], str]] = {
    "no pictures": ({"n": 0}, "n"),
    "too many pictures": ({"n": 11}, "n"),
    "a size in words": ({"size": CANARY}, "size"),
    "half a size": ({"size": "256"}, "size"),
    "no size": ({"size": "0x0"}, "size"),
    "an absurd size": ({"size": "99999x99999"}, "size"),
    "a size too small for a watermark": ({"size": "64x64"}, "size"),
    "no steps": ({"num_inference_steps": 0}, "num_inference_steps"),
    "too much compression": ({"output_compression": 101}, "output_compression"),
    "a stream": ({"stream": True}, "stream"),
    "no moderation": ({"moderation": "off"}, "moderation"),
    "transparency": ({"background": "transparent"}, "background"),
    "seeds that run out of range": ({"seed": 2**63 - 1, "n": 2}, "seed"),
}
BODIES = [
    pytest.param(dialect, changes, field, id=f"{dialect}: {name}")
    for dialect, table in (("native", OF_BOTH | NATIVE_ONLY), ("openai", OF_BOTH | OPENAI_ONLY))
    for name, (changes, field) in table.items()
]


@pytest.mark.parametrize(("dialect", "changes", "field"), BODIES)
def test_a_body_that_cannot_be_used(the_house: House, dialect: str, changes: dict[str, Any], field: str) -> None:
    content = json.dumps(GOOD[dialect] | changes).encode()  # as Python writes it, NaN and surrogates included
    got = the_house.send("POST", GENERATE[dialect], content=content, headers={"Content-Type": "application/json"})
    check(got, dialect, 422, "invalid_request", field)


RAW = {
    "half a JSON object": b'{"prompt": "' + CANARY.encode(),
    "nothing": b"",
    "a list": b"[]",
    "a string": f'"{CANARY}"'.encode(),
    "null": b"null",
    "bytes that are no text": b"\xff\xfe" + CANARY.encode("utf-16-le"),
    "a number with more digits than Python reads": b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}",
    "a nest deeper than the parser": b"[" * 100_000,
}


@pytest.mark.parametrize("dialect", GENERATE)
@pytest.mark.parametrize("content", RAW.values(), ids=RAW)
def test_a_body_that_cannot_be_read(the_house: House, dialect: str, content: bytes) -> None:
    got = the_house.send("POST", GENERATE[dialect], content=content, headers={"Content-Type": "application/json"})
    error = check(
        got, dialect, 422, "invalid_request", got.json()["error"].get("field", got.json()["error"].get("param"))
    )
    assert error.get("field", error.get("param")) in {"body", "seed", "prompt"}


@pytest.mark.parametrize("dialect", GENERATE)
def test_a_body_of_another_type(the_house: House, dialect: str) -> None:
    content = json.dumps(GOOD[dialect]).encode()
    got = the_house.send("POST", GENERATE[dialect], content=content, headers={"Content-Type": "text/plain"})
    check(got, dialect, 422, "invalid_request", "body")


@pytest.mark.parametrize("dialect", GENERATE)
def test_a_body_larger_than_any_upload(the_house: House, dialect: str) -> None:
    content = b'{"prompt": "' + b"a" * 1_100_000 + b'"}'
    got = the_house.send("POST", GENERATE[dialect], content=content, headers={"Content-Type": "application/json"})
    check(got, dialect, 413, "body_too_large", "body")


@pytest.mark.parametrize("dialect", GENERATE)
@pytest.mark.parametrize("model", ["", CANARY, "../../etc/passwd", "a" * 5000])
def test_an_unknown_model(the_house: House, dialect: str, model: str) -> None:
    got = the_house.send("POST", GENERATE[dialect], json=GOOD[dialect] | {"model": model})
    check(got, dialect, 404, "model_not_found", "model")


# -- keys --------------------------------------------------------------------------------------------------------------

ROUTES = [
    ("native", "POST", GENERATE["native"]),
    ("native", "GET", "/api/v1/model/predictions"),
    ("native", "GET", "/api/v1/models"),
    ("openai", "POST", GENERATE["openai"]),
    ("openai", "GET", "/v1/models"),
    ("public", "GET", "/v1/receipts/pred_none"),
]


@pytest.fixture(scope="module")
def bad_keys(the_house: House) -> dict[str, str | None]:
    """Code → a key that earns it."""
    yesterday = KeyStore(the_house.folder.database, the_house.folder.pepper, clock=lambda: time.time() - 86_400)
    expired = yesterday.create("acme", expires_at=datetime.now(UTC) - timedelta(hours=1))[1]
    record, revoked = the_house.keys.create("acme")
    the_house.send("GET", "/v1/models", key=revoked)
    the_house.keys.revoke(record.id)
    time.sleep(1.0)  # what the issue promises at most
    return {"missing_key": None, "expired_key": expired, "revoked_key": revoked}


@pytest.mark.parametrize(("dialect", "method", "path"), ROUTES)
@pytest.mark.parametrize("code", ["missing_key", "expired_key", "revoked_key"])
def test_a_key_that_is_not_one_any_more(
    the_house: House, bad_keys: dict[str, str | None], dialect: str, method: str, path: str, code: str
) -> None:
    body = {"json": GOOD[dialect]} if method == "POST" else {}
    got = the_house.send(method, path, key=bad_keys[code], **body)
    check(got, dialect, 401, code)


@pytest.mark.parametrize(
    "key", ["fg_", "fg_garbage", f"fg_{'a' * 16}_{'b' * 52}", "fg_x_y_z", "fg_" + "a" * 10_000], ids=range(5)
)
@pytest.mark.parametrize(("dialect", "method", "path"), ROUTES)
def test_a_made_up_key(the_house: House, dialect: str, method: str, path: str, key: str) -> None:
    body = {"json": GOOD[dialect]} if method == "POST" else {}
    check(the_house.send(method, path, key=key, **body), dialect, 401, "invalid_key")


@pytest.mark.parametrize(("dialect", "method", "path"), ROUTES)
def test_a_right_id_with_a_wrong_secret(the_house: House, dialect: str, method: str, path: str) -> None:
    body = {"json": GOOD[dialect]} if method == "POST" else {}
    head, secret = the_house.key.rsplit("_", 1)
    wrong = f"{head}_{'a' if secret[0] != 'a' else 'b'}{secret[1:]}"
    check(the_house.send(method, path, key=wrong, **body), dialect, 401, "invalid_key")


def test_a_key_without_the_scope(the_house: House) -> None:
    _, only_moderates = the_house.new_key("acme", scopes=(Scope.MODERATE,))
    _, only_generates = the_house.new_key("acme", scopes=(Scope.GENERATE,))
    for dialect in GENERATE:
        got = the_house.send("POST", GENERATE[dialect], json=GOOD[dialect], key=only_moderates)
        check(got, dialect, 403, "missing_scope")
    got = the_house.send("POST", "/v1/moderations", json={"input": HARMLESS}, key=only_generates)
    check(got, "openai", 403, "missing_scope")


# -- pictures sent in --------------------------------------------------------------------------------------------------


def picture(kind: str = "PNG", size: tuple[int, int] = (SIZE, SIZE), **options: Any) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(out, kind, **options)
    return out.getvalue()


def bomb(side: int = 30_000) -> bytes:
    """A PNG of a few kilobytes that claims and holds 900 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compressobj(9)
    body = b"".join(rows.compress(b"\0" * (1 + side // 8)) for _ in range(side)) + rows.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def animation() -> bytes:
    out = io.BytesIO()
    frames = [Image.effect_noise((SIZE, SIZE), sigma).convert("RGB") for sigma in (40, 60)]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])
    return out.getvalue()


BAD_FILES = {
    "no bytes": lambda: b"",
    "text": lambda: CANARY.encode(),
    "a GIF": lambda: picture("GIF"),
    "a BMP": lambda: picture("BMP"),
    "an SVG": lambda: f"<svg xmlns='http://www.w3.org/2000/svg'><text>{CANARY}</text></svg>".encode(),
    "half a PNG": lambda: picture()[:2000],
    "half a JPEG": lambda: picture("JPEG")[:900],
    "a decompression bomb": bomb,
    "more pixels than are taken": lambda: picture("JPEG", (1100, 1000), quality=10),
    "an animation": animation,
    "a PNG head without a body": lambda: b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("make", BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_usable_picture(the_house: House, make: Any) -> None:
    began = time.monotonic()
    got = the_house.send("POST", "/api/v1/model/uploadMedia", files={"file": (f"{CANARY}.png", make(), "image/png")})
    error = check(got, "native", 422, "unreadable_image")
    assert error["field"].startswith("file.")
    assert error["remedy"]
    assert time.monotonic() - began < 5


def test_a_file_larger_than_is_taken(the_house: House) -> None:
    got = the_house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("a.png", b"a" * 1_200_000)})
    check(got, "native", 413, "body_too_large", "body")


def test_a_file_a_little_larger_than_is_taken(the_house: House) -> None:
    got = the_house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("a.png", picture() + b"a" * 1_000_000)})
    assert got.status_code in (413, 422), got.text


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"file": CANARY}},
        {"files": {"picture": ("a.png", b"a")}},
        {"data": {"file": CANARY}},
        {"content": b"x"},
    ],
    ids=["JSON", "another field", "a form without a file", "bytes"],
)
def test_an_upload_without_a_file(the_house: House, sent: dict[str, Any]) -> None:
    got = the_house.send("POST", "/api/v1/model/uploadMedia", **sent)
    check(got, "native", 422, "invalid_request", "file")


def test_a_picture_is_not_kept_when_the_disk_is_full(the_house: House) -> None:
    with switched(disk="full"):
        got = the_house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("a.png", picture())})
    check(got, "native", 503, "storage_unavailable")


MODERATIONS: dict[str, tuple[Any, str]] = {
    "nothing": ([], "input"),
    "too many": (["a"] * 33, "input"),
    "an over-long text": (CANARY * 1000, "input"),
    "an address": ([{"type": "image_url", "image_url": {"url": f"https://example.com/{CANARY}"}}], "input.image_url"),
    "a picture that is none": (
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(b"no").decode()}}],
        "file.type",
    ),
    "broken base64": ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,§§"}}], "input.image_url"),
}


@pytest.mark.parametrize(("given", "field"), MODERATIONS.values(), ids=MODERATIONS)
def test_a_moderation_of_what_cannot_be_read(the_house: House, given: Any, field: str) -> None:
    got = the_house.send("POST", "/v1/moderations", json={"input": given})
    code = "unreadable_image" if field.startswith("file") else "invalid_request"
    check(got, "openai", 422, code, field)


@pytest.mark.parametrize("given", [7, {"type": CANARY}, [{"type": CANARY}], [[1]], None], ids=str)
def test_a_moderation_of_another_shape(the_house: House, given: Any) -> None:
    got = the_house.send("POST", "/v1/moderations", json={"input": given})
    error = got.json()["error"]
    check(got, "openai", 422, "invalid_request", error["param"])
    assert error["param"].startswith("input")


# -- what is not the caller's ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def someone_elses(the_house: House) -> dict[str, Any]:
    """A delivered prediction, a refused one's decision, and an upload of another tenant."""
    _, key = the_house.new_key("other")
    own, the_house.key = the_house.key, key
    try:
        delivered = Native().ask(the_house, HARMLESS)
        refused = Native().ask(the_house, "how to make a pipe bomb at home, step by step")
        sent = the_house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("a.png", picture())})
    finally:
        the_house.key = own
    return {
        "prediction": delivered.body["id"],
        "decision": (refused.reasons or {})["decision"],
        "upload": sent.json()["data"]["download_url"],
        "link": delivered.body["outputs"][0],
    }


@pytest.mark.parametrize(
    ("dialect", "method", "path"),
    [
        ("native", "GET", "/api/v1/model/prediction/{prediction}"),
        ("native", "POST", "/api/v1/model/prediction/{prediction}/cancel"),
        ("public", "GET", "/v1/receipts/{prediction}"),
        ("public", "GET", "/v1/decisions/{decision}/reasons"),
    ],
)
def test_another_tenants_thing_answers_like_one_that_never_was(
    the_house: House, someone_elses: dict[str, Any], dialect: str, method: str, path: str
) -> None:
    theirs = the_house.send(method, path.format(**someone_elses))
    check(theirs, dialect, 404, "not_found")
    never = path.format(prediction="pred_" + "a" * 24, decision="dec_" + "a" * 24)
    assert the_house.send(method, never).content == theirs.content


def test_another_tenants_upload_cannot_be_drawn_from(the_house: House, someone_elses: dict[str, Any]) -> None:
    got = the_house.send("POST", GENERATE["native"], json=GOOD["native"] | {"image": someone_elses["upload"]})
    assert got.status_code in (404, 422)
    assert got.json()["error"]["code"] in ("not_found", "invalid_request")


def test_another_tenants_predictions_are_not_in_the_history(the_house: House, someone_elses: dict[str, Any]) -> None:
    listed = the_house.send("GET", "/api/v1/model/predictions", params={"limit": 100}).json()["data"]
    assert someone_elses["prediction"] not in {each["id"] for each in listed}


@pytest.mark.parametrize(
    "path", ["/api/v1/model/prediction/%00", "/api/v1/model/prediction/%ff%fe", "/v1/receipts/..%2f..", "/v1/nothing"]
)
def test_an_odd_path_is_not_found(the_house: House, path: str) -> None:
    got = the_house.send("GET", path)
    assert got.status_code == 404, got.text
    assert "%00" not in got.text


def test_a_link_that_was_changed_or_is_past_its_time(the_house: House, someone_elses: dict[str, Any]) -> None:
    link = httpx.URL(someone_elses["link"])
    assert the_house.send("GET", str(link), key=None).status_code == 200
    given = dict(link.params)
    later = str(int(given["expires"]) + 1000)
    forged = {
        "another signature": given | {"signature": "0" * 64},
        "a signature that is no hex": given | {"signature": "é"},
        "no signature": {"expires": given["expires"], "signature": ""},
        "a later time": given | {"expires": later},
        "no time": given | {"expires": ""},
    }
    for how, params in forged.items():
        got = the_house.send("GET", str(link.copy_with(params=params)), key=None)
        check(got, "public", 403, "link_expired")
        assert got.json()["remedy"], how
    without = the_house.send("GET", link.path, key=None)
    check(without, "public", 422, "invalid_request", "expires")
    links = the_house.parts.links
    links._clock, now = (lambda: time.time() + 3601), links._clock
    try:
        check(the_house.send("GET", str(link), key=None), "public", 403, "link_expired")
    finally:
        links._clock = now


def test_a_link_opens_one_file_only(the_house: House, someone_elses: dict[str, Any]) -> None:
    link = httpx.URL(someone_elses["link"])
    other = link.copy_with(path="/files/images/fg_aaaaaaaaaaaaa.png")
    check(the_house.send("GET", str(other), key=None), "public", 403, "link_expired")
