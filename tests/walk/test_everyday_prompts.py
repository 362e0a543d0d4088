"""Twenty everyday prompts, written without knowing the vocabulary: each is drawn or told what is not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.demo import WEIGHTS
from tests.walk.house import House
from tests.walk.test_first_minutes import drawn

PROMPTS = (WEIGHTS.parent / "everyday_prompts.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def demo_house(tmp_path_factory: pytest.TempPathFactory, parts_path: str) -> Iterator[House]:
    house = House(Path(tmp_path_factory.mktemp("everyday")) / "data", policy="demo")
    yield house
    house.close()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_an_everyday_prompt_is_drawn_or_told_honestly_and_never_accused(demo_house: House, prompt: str) -> None:
    # cases first-01, first-02
    if "woman" in prompt:
        answer = demo_house.send("POST", "/api/v1/model/generateImage", json={"prompt": prompt})
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == "unknown_words"
        return
    view = drawn(demo_house, prompt=prompt, seed=1)
    assert view["status"] == "completed", view
