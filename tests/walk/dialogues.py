"""One picture asked for in each dialect, and the answer in words that both share."""

import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.walk.house import SIZE, House


@dataclass(frozen=True)
class Answer:
    """`outcome`: delivered, refused, held or failed, as the dialect says it. `reasons`: the statement, if any."""

    outcome: str
    status: int
    code: str | None
    picture: bytes | None
    receipt: dict[str, Any] | None
    header: str | None
    reasons: dict[str, Any] | None = None
    body: dict[str, Any] = field(default_factory=dict, repr=False)


class Dialogue(Protocol):
    """How a client of a dialect gets its picture."""

    name: str

    def ask(self, house: House, prompt: str, **wish: Any) -> Answer: ...


def _outcome_of(code: str) -> str:
    return {"moderation_blocked": "refused", "held_for_review": "held"}.get(code, "failed")


class Native:
    """Start, poll, fetch by the signed link."""

    name = "native"

    def ask(self, house: House, prompt: str, **wish: Any) -> Answer:
        body = {"prompt": prompt, "width": SIZE, "height": SIZE, "steps": 1} | wish
        started = house.send("POST", "/api/v1/model/generateImage", json=body)
        assert started.status_code == 200, started.text
        assert started.json()["status"] == "processing"
        return self.wait(house, started.json()["id"])

    def wait(self, house: House, prediction: str) -> Answer:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            got = house.send("GET", f"/api/v1/model/prediction/{prediction}")
            view = got.json()
            assert got.status_code == 200, got.text
            assert view["data"]["status"] == view["status"]
            if view["status"] != "processing":
                break
            time.sleep(0.02)
        header = house.proof(got)
        if view["status"] == "completed":
            (link,) = view["outputs"]
            file = house.send("GET", link, key=None)
            assert file.status_code == 200
            return Answer("delivered", 200, None, file.content, view["receipt"], header, None, view)
        assert view["status"] == "failed"
        assert "outputs" not in view
        details = view["error_details"]
        code = details["code"]
        reasons = details.get("statement_of_reasons")
        return Answer(_outcome_of(code), 200, code, None, view.get("receipt"), header, reasons, view)


class OpenAI:
    """One request, answered when the picture is there."""

    name = "openai"

    def ask(self, house: House, prompt: str, **wish: Any) -> Answer:
        body = {"prompt": prompt, "size": f"{SIZE}x{SIZE}", "num_inference_steps": 1} | wish
        got = house.send("POST", "/v1/images/generations", json=body)
        header = house.proof(got)
        said = json.loads(got.content)
        if got.status_code == 200:
            receipt = said["fluxgate"]["images"][0]["receipt"]
            picture = base64.b64decode(said["data"][0]["b64_json"])
            return Answer("delivered", 200, None, picture, receipt, header, None, said)
        error = said["error"]
        assert "data" not in said
        reasons = error.get("statement_of_reasons")
        return Answer(_outcome_of(error["code"]), got.status_code, error["code"], None, None, header, reasons, said)


DIALOGUES: tuple[Dialogue, ...] = (Native(), OpenAI())
