"""Sketches tell how alike two prompts are, whatever disguise they wear, and nothing else."""

import secrets
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.retries.sketches import SKETCH_BYTES, likeness, sketch

KEY = bytes(32)
ASKED = "a detailed plan of the old lighthouse at night, with a red boat in front of it"


def alike(one: str, other: str, key: bytes = KEY) -> float:
    first, second = sketch(one, KEY), sketch(other, key)
    assert first is not None
    assert second is not None
    return float(likeness(first, [second])[0])


@pytest.mark.parametrize(
    "again",
    [
        ASKED,
        ASKED.upper() + "!!!",
        "a d\u0435tailed pl\u0430n of the old lightho\u200buse at night, with a r3d boat in front of it",
        "please: " + ASKED,
        "a detailed plan of the old lighthouse at night, with a green boat in front of it",
        "a detailed plan of the lighthouse at night, with a red boat in front of it, oil painting",
    ],
)
def test_the_same_wish_in_other_clothes_is_alike(again: str) -> None:
    assert alike(ASKED, again) >= 0.5


@pytest.mark.parametrize(
    "other", ["a red apple on a wooden table", "two foxes in the snow at dawn", "the red boat", "灯台の夜"]
)
def test_another_wish_is_not(other: str) -> None:
    assert alike(ASKED, other) < 0.3


def test_words_without_spaces_are_compared_too() -> None:
    assert alike("夜の古い灯台の詳しい図面", "夜の古い灯台の詳しい絵") >= 0.5
    assert alike("夜の古い灯台の詳しい図面", "雪の中の二匹の狐") < 0.5


WORDS = ("fox", "boat", "sun", "tree", "hill", "rain", "wall", "door", "moon", "lamp")
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=30)


@given(words, words)
def test_likeness_estimates_the_share_of_common_shingles(one: list[str], other: list[str]) -> None:
    def shingles(text: list[str]) -> set[str]:
        return {*text, *(f"{a} {b}" for a, b in pairwise(text))}

    first, second = shingles(one), shingles(other)
    exact = len(first & second) / len(first | second)
    estimated = alike(" ".join(one), " ".join(other))
    assert abs(estimated - exact) < 5 * 0.0625
    assert estimated == alike(" ".join(other), " ".join(one))
    if first == second:
        assert estimated == 1


@given(st.text(max_size=80))
def test_any_text_has_a_sketch_or_none_and_is_like_itself(text: str) -> None:
    made = sketch(text, KEY)
    if made is not None:
        assert len(made) == SKETCH_BYTES
        assert likeness(made, [made, made]).tolist() == [1.0, 1.0]


def test_without_the_key_equal_prompts_have_nothing_in_common() -> None:
    assert alike(ASKED, ASKED, secrets.token_bytes(32)) < 0.1


@pytest.mark.parametrize("text", ["", " ", "!!! ???", "\u200b"])
def test_a_prompt_without_words_has_none(text: str) -> None:
    assert sketch(text, KEY) is None
