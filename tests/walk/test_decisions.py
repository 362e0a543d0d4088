"""Decisions as people meet them: a link in every refusal, a page in their language, reasons and receipts that hold."""

import re
from typing import Any

import httpx
import pytest

from gateway.wording import LANGUAGES, RECOGNISED, wording
from tests.walk import independent
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.switched_parts import switched
from tests.walk.test_uploads import a_picture

REFUSED = "how to make a pipe bomb at home, step by step"
LINK = re.compile(r"https?://[^\s/]+/d/[a-z2-7]{24}\?sig=[\w-]{16}")


def a_file() -> dict[str, Any]:
    return {"file": ("a.png", a_picture(), "image/png")}


def native(house: House, prompt: str, **options: Any) -> str:
    """The message of a generation that is stopped."""
    body = {"prompt": prompt, "width": SIZE, "height": SIZE, "steps": 1}
    started = house.send("POST", "/api/v1/model/generateImage", json=body, **options).json()
    for _ in range(500):
        view = house.send("GET", f"/api/v1/model/prediction/{started['id']}", **options).json()
        if view["status"] != "processing":
            return str(view["error"])
    raise AssertionError("it does not end")


def generation(house: House, prompt: str, **options: Any) -> httpx.Response:
    body = {"prompt": prompt, "size": f"{SIZE}x{SIZE}", "num_inference_steps": 1} | options.pop("wish", {})
    return house.send("POST", "/v1/images/generations", json=body, **options)


def openai(house: House, prompt: str, **options: Any) -> str:
    return str(generation(house, prompt, **options).json()["error"]["message"])


def upload(house: House, _prompt: str, **options: Any) -> str:
    got = house.send("POST", "/api/v1/model/uploadMedia", files=a_file(), **options)
    return str(got.json()["error"]["message"])


def edit(house: House, prompt: str, **options: Any) -> str:
    files = {"image": a_file()["file"]}
    got = house.send("POST", "/v1/images/edits", files=files, data={"prompt": prompt}, **options)
    return str(got.json()["error"]["message"])


WAYS = {"native": native, "openai": openai, "upload": upload, "edit": edit}


def opened(house: House, message: str, **options: Any) -> httpx.Response:
    """The page behind the link in a message, as a browser without a key gets it."""
    (link,) = LINK.findall(message)
    return house.send("GET", link, key=None, **options)


@pytest.mark.parametrize("verdict", ["refused", "held"])
@pytest.mark.parametrize("way", WAYS)
def test_every_refusal_and_hold_carries_a_link_to_a_page_with_reasons_appeal_and_receipt(
    house: House, way: str, verdict: str
) -> None:  # case R11  # case R12  # case R22
    category = {"refused": "gore", "held": "intellectual_property"}[verdict]
    with switched(switched_eyes=f"finds:{category}"):
        message = WAYS[way](house, HARMLESS)
    assert RECOGNISED in message.lower(), "so that LiteLLM passes it on as a policy violation"
    page = opened(house, message)
    assert page.status_code == 200
    words = wording("en")
    for text in (words.categories[category][0], words.page["appeal"], words.page["receipt"], "Walk Test House"):
        assert text in page.text
    assert "<script" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert HARMLESS not in page.text
    (receipt_link,) = re.findall(r'href="(/d/[^"]+/receipt[^"]+)"', page.text)
    receipt = house.send("GET", receipt_link.replace("&amp;", "&"), key=None)
    entry = independent.check_receipt(receipt.json(), house.vkey)
    assert entry["dialect"] == ("native" if way in ("native", "upload") else "openai")
    decision = re.search(r"dec_[a-z2-7]{24}", page.text)[0]
    assert entry["request_id"].split("_")[1] == decision.split("_")[1]
    reasons = house.send("GET", f"/v1/decisions/{decision}/reasons")
    assert reasons.json()["categories"] == [category]
    by_key = house.send("GET", f"/v1/receipts/{entry['request_id']}")
    assert independent.check_receipt(by_key.json(), house.vkey) == entry


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_readers_language_is_spoken(house: House, language: str) -> None:  # case R25
    words = wording(language)
    title = words.categories["weapons"][0]
    got = generation(house, REFUSED, headers={"Accept-Language": f"{language}-XX, ja;q=0.5"})
    error = got.json()["error"]
    assert title in error["message"]
    assert error["statement_of_reasons"]["reasons"][0]["title"] == title
    assert error["code"] == "moderation_blocked"
    page = opened(house, error["message"], headers={"Accept-Language": language})
    assert page.headers["content-language"] == language
    assert words.page["title_refused"] in page.text
    assert title in native(house, REFUSED, headers={"Accept-Language": language})
    asked = generation(house, REFUSED, wish={"language": language}, headers={"Accept-Language": "ja, en;q=0.4"})
    assert title in asked.json()["error"]["message"], "what the request names counts before what the browser likes"
    assert words.page["title_refused"] in opened(house, asked.json()["error"]["message"]).text


def test_a_language_without_words_is_refused_by_its_field(house: House) -> None:
    got = generation(house, HARMLESS, wish={"language": "tlh"})
    assert (got.status_code, got.json()["error"]["param"]) == (400, "language")
    (link,) = LINK.findall(openai(house, REFUSED))
    assert house.send("GET", f"{link}&language=tlh", key=None).status_code == 422


def test_a_link_opens_its_own_decision_only(house: House) -> None:
    one, other = (LINK.findall(openai(house, REFUSED))[0] for _ in range(2))
    crossed = one.split("?")[0] + "?" + other.split("?")[1]
    for wrong in (crossed, one[:-1], one.split("?")[0], one.replace("sig=", "sig=%00"), "/d/%00?sig=x", f"{one}é"):
        for path in (wrong, wrong.replace("?", "/receipt?")):
            got = house.send("GET", path, key=None)
            assert got.status_code in (404, 422), path
            assert "Weapons" not in got.text


def test_decisions_and_receipts_are_the_tenants_own_and_open_for_auditors(house: House) -> None:
    said = generation(house, REFUSED)
    decision = said.json()["error"]["statement_of_reasons"]["decision"]
    request = "img_" + decision.removeprefix("dec_")
    paths = (f"/v1/decisions/{decision}/reasons", f"/v1/receipts/{request}")
    _, auditor = house.new_key("acme", scopes=("audit",))
    _, stranger = house.new_key("somebody-else")
    _, moderator = house.new_key("acme", scopes=("moderate",))
    for path in paths:
        got = [house.send("GET", path, key=key).status_code for key in (house.key, auditor, stranger, moderator)]
        assert got == [200, 200, 404, 403], path
    assert house.send("POST", "/v1/images/generations", key=auditor, json={"prompt": HARMLESS}).status_code == 403


def test_no_header_of_any_outcome_is_longer_than_proxies_take(house: House) -> None:  # case R10
    with switched(switched_eyes="finds:gore"):
        drawn = generation(house, HARMLESS)
    answers = [generation(house, HARMLESS, wish={"n": 4}), generation(house, REFUSED), drawn]
    for got in answers:
        length = sum(len(name) + len(value) + 4 for name, value in got.headers.items())
        assert length < 1024, dict(got.headers)
        assert independent.check_tlog_proof(house.proof(got), house.vkey)
