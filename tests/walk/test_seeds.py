"""Every image says with what it was drawn: enough to draw it again."""

import base64
import io

import numpy as np
import orjson
from PIL import Image

from tests.walk.dialogues import Native
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.switched_parts import DRAWN

OPENAI = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": 2}


def red(picture: bytes) -> np.ndarray:
    """What the watermark leaves as the engine drew it."""
    return np.asarray(Image.open(io.BytesIO(picture)))[..., 0]


# case R6
def test_seeds_nobody_asked_for_are_in_the_answer_and_in_the_log_and_draw_the_same_again(house: House) -> None:
    DRAWN.clear()
    answer = house.send("POST", "/v1/images/generations", json=OPENAI | {"n": 2}).json()
    seeds = [each["seed"] for each in answer["data"]]
    assert sorted(seeds) == sorted(DRAWN)
    assert seeds[0] != seeds[1]
    assert all(0 <= seed < 2**53 for seed in seeds), "also exact where JSON knows only doubles"
    for seed, facts, data in zip(seeds, answer["fluxgate"]["images"], answer["data"], strict=True):
        leaf = orjson.loads(facts["receipt"]["leaf"])
        assert leaf["drawing"] == facts["drawing"]
        assert facts["drawing"] | {"guidance": None} == {
            "seed": seed,
            "width": SIZE,
            "height": SIZE,
            "steps": 2,
            "guidance": None,
        }
        again = house.send("POST", "/v1/images/generations", json=OPENAI | {"seed": seed}).json()["data"][0]
        assert again["seed"] == seed
        assert np.array_equal(red(base64.b64decode(again["b64_json"])), red(base64.b64decode(data["b64_json"])))


# case R6
def test_a_seed_that_was_asked_for_is_counted_up_and_told(house: House) -> None:
    answer = house.send("POST", "/v1/images/generations", json=OPENAI | {"n": 3, "seed": 7}).json()
    assert [each["seed"] for each in answer["data"]] == [7, 8, 9]


# case R6
def test_a_prediction_tells_its_seed(house: House) -> None:
    answer = Native().ask(house, HARMLESS)
    assert answer.body["drawing"]["seed"] == answer.body["seed"] >= 0
    assert answer.picture is not None
    again = Native().ask(house, HARMLESS, seed=answer.body["seed"])
    assert again.picture is not None
    assert np.array_equal(red(again.picture), red(answer.picture))
