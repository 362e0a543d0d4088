"""Words that were masked, cut apart, run together or written by ear are read; honest writing stays as it is."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.text import respelling as prompt_respelling
from moderation.text.folding import fold
from moderation.text.respelling import respelled

prompt_respelling.prepare()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a k*ll in the night", "a kill in the night"),
        ("a n*de figure", "a nude figure"),
        ("the wo.man in the kit.chen", "the woman in the kitchen"),
        ("a wo man in an al ley", "a woman in an alley"),
        ("an old bu ild ing", "an old building"),
        ("anoldmanwithabrokenlamp", "an old man with a broken lamp"),
        ("th wmn wth th brkn lmp stnds hr", "the woman with the broken lamp stands her"),
        ("a fotograf of a street", "a photograph of a street"),
        ("a wmoan in a pakr", "a woman in a park"),
    ],
)
def test_a_word_made_unreadable_is_read(written: str, meant: str) -> None:
    assert respelled(written) == meant
    assert fold(written).readings[-1] == meant
    assert meant in fold(written).guessed


@pytest.mark.parametrize(
    "honest",
    [
        "a black-and-white x-ray of a t-shirt, spider-man, his/her, mid-air",
        "a photo, 35mm, f1.8, hdr, uhd, 8k",
        "eine alte frau sitzt auf der bank vor dem haus",
        "un chien qui court sur la plage au coucher du soleil",
        "a cat and a dog in the park",
        "一只猫坐在屋顶上",
        "",
    ],
)
def test_honest_writing_stays_as_it_is(honest: str) -> None:
    assert respelled(honest) == honest


@given(st.text(alphabet="abekln o*.-", max_size=60))
def test_respelling_never_raises_and_loses_no_text(text: str) -> None:
    assert bool(respelled(text).strip()) == bool(text.strip())


@pytest.mark.parametrize("pattern", ["qxz", "wo man ", "k*ll ", "a.", "bcd fgh ", "thecat"])
def test_respelling_stays_linear(pattern: str) -> None:
    def seconds(length: int) -> float:
        text = (pattern * length)[:length]
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            respelled(text)
            best = min(best, time.process_time() - start)
        return best

    seconds(100)
    assert seconds(16_000) < 16 * seconds(2_000) + 0.05


@pytest.mark.parametrize(
    ("leet", "meant"),
    [("r4p1d h4nd5", "rapid hands"), ("a p1pe and a g1ft", "a pipe and a gift"), ("the $tr33t", "the street")],
)
def test_digits_are_read_as_the_letters_that_make_a_word(leet: str, meant: str) -> None:
    assert fold(leet).readings[-1] == meant


@pytest.mark.parametrize("quantity", ["35mm", "1080p", "f16", "1990s", "4x4", "canon eos r5", "iso 400", "80s"])
def test_a_quantity_stays_one(quantity: str) -> None:
    assert fold(f"a photo, {quantity}").readings[-1] == f"a photo, {quantity}"


def test_pictures_are_named_in_the_last_reading() -> None:
    assert fold("a man with a 🔪").readings[-1] == "a man with a knife"
