"""Several pictures of one request: what one of them shows stops that one, by number and with reasons, and no other.

Native requests are one picture each; OpenAI's have `n`. The pictures are judged by the real hash list.
"""

import base64
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from inference.drawing import Drawing
from inference.engines import RenderOrder
from moderation.known_pictures.pdq import pdq
from provenance.looks.fingerprint import sha256
from tests.walk import independent
from tests.walk.house import HARMLESS, SIZE, House, walk_settings
from tests.walk.test_edits import PLAIN, png

STEPS, SEED = 4, 5
HEAD = "collab,signal_type,signal_str,category,tags"


class Listed:
    """A house with a hash list that a test adds pictures to."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "list.csv"
        self.file.write_text(f"{HEAD}\nours,md5,{'0' * 32},POSITIVE_CLASS,\n")
        # The demo model's pictures of one prompt are much alike: the listed one alone is to match, bit for bit.
        known = {"lists": [{"id": "feed", "category": "gore", "path": str(self.file), "max_distance": 0}]}
        path = folder / "data"
        self.house = House(path, parts=walk_settings(path)["parts"] | {"pdq_list": known})

    def ask(self, route: str, **wish: Any) -> httpx.Response:
        body = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": STEPS, "seed": SEED, "n": 3} | wish
        if route == "generations":
            return self.house.send("POST", "/v1/images/generations", json=body)
        fields = {name: str(value) for name, value in body.items()} | {"strength": "1.0"}
        return self.house.send("POST", "/v1/images/edits", data=fields, files={"image": ("a.png", png(PLAIN))})

    def forbid(self, route: str, number: int) -> None:
        """Lists the picture of that number as the engine draws it."""
        card = self.house.parts.dispatcher.models[0]
        drawing = Drawing(HARMLESS, SEED + number, SIZE, SIZE, STEPS, card.default_guidance, strength=1.0)
        order = RenderOrder(drawing, card.id, init_pixels=PLAIN if route == "edits" else None)
        work = self.house.parts.dispatcher.render(order, progress=lambda done, total: None, cancel=Event())
        hashes, _ = pdq(self.house.run(work).pixels)
        with self.file.open("a") as rows:
            rows.write(f"ours,pdq,{hashes},POSITIVE_CLASS,\n")


@pytest.fixture
def listed(tmp_path: Path, parts_path: str) -> Iterator[Listed]:
    made = Listed(tmp_path)
    yield made
    made.house.close()


@pytest.mark.parametrize("route", ["generations", "edits"])
def test_one_refused_picture_is_named_and_the_others_are_delivered(listed: Listed, route: str) -> None:
    everything = listed.ask(route).json()
    assert [facts["index"] for facts in everything["fluxgate"]["images"]] == [0, 1, 2]
    listed.forbid(route, 1)

    got = listed.ask(route)

    assert got.status_code == 200, got.text
    answer = got.json()
    assert len(answer["data"]) == 2
    assert [facts["index"] for facts in answer["fluxgate"]["images"]] == [0, 2]
    for facts, picture in zip(answer["fluxgate"]["images"], answer["data"], strict=True):
        assert facts["sha256"] == sha256(base64.b64decode(picture["b64_json"]))
        independent.check_receipt(facts["receipt"], listed.house.vkey)
    (stopped,) = answer["fluxgate"]["stopped"]
    assert (stopped["index"], stopped["code"]) == (1, "moderation_blocked")
    assert stopped["moderation_details"] == {"moderation_stage": "output", "categories": ["gore"]}
    assert stopped["statement_of_reasons"]["reasons"][0]["classifier"] == "pdq_list"
    outcomes = [entry["outcome"] for entry in independent.check_whole_log(listed.house.database, listed.house.vkey)]
    assert sorted(outcomes) == ["delivered"] * 5 + ["refused"]
    assert len(listed.house.rows("select * from images")) == 5


def test_when_every_picture_is_refused_the_answer_is_an_error(listed: Listed) -> None:
    for number in range(3):
        listed.forbid("generations", number)
    got = listed.ask("generations")
    assert got.status_code == 400
    assert got.json()["error"]["moderation_details"] == {"moderation_stage": "output", "categories": ["gore"]}
    assert "data" not in got.json()
