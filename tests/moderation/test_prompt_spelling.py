"""A slip of the finger is put right; known words, short words and first letters are left alone."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.text.lexicon import english, is_frequent
from moderation.text.spelling import put_right, slips

RANKS = {"grenade": 1, "kitten": 2, "woman": 3, "women": 4, "house": 5}


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("wmoan", "woman"),
        ("granade", "grenade"),
        ("grennade", "grenade"),
        ("grnade", "grenade"),
        ("gernade", "grenade"),
        ("a gernade, a wmoan!", "a grenade, a woman!"),
        ("hose", "hose"),  # too short for anything but swapped letters
        ("rgenade", "rgenade"),  # the first letter
        ("genrdae", "genrdae"),  # two slips
        ("kitten", "kitten"),
        ("größe", "größe"),
        ("", ""),
    ],
)
def test_one_slip_is_put_right_and_nothing_else_is(mistyped: str, meant: str) -> None:
    assert put_right(mistyped, RANKS) == meant


def test_the_more_frequent_word_is_taken() -> None:
    assert put_right("wonem", {"women": 9, "wonme": 1, "woenm": 2}) == "wonme"


@given(st.text(alphabet="abgrenadkit ", max_size=60))
def test_what_is_put_right_is_right(text: str) -> None:
    once = put_right(text, RANKS)
    assert put_right(once, RANKS) == once
    assert len(once.split(" ")) == len(text.split(" "))


@given(st.sampled_from(sorted(RANKS)).flatmap(lambda word: st.sampled_from(sorted(set(slips(word))))))
def test_every_slip_of_a_long_word_leads_back_to_a_known_word(slip: str) -> None:
    if len(slip) >= 6:
        assert put_right(slip, RANKS) in RANKS


def test_the_english_vocabulary_ranks_frequent_words_first() -> None:
    words = english()
    assert words["with"] < words["woman"] < words["grenade"]
    assert is_frequent("grenade")
    assert not is_frequent("wmoan")
    assert not is_frequent("mm")  # an abbreviation


def test_a_text_of_unknown_words_costs_no_more_than_its_first_ones() -> None:
    def seconds(count: int) -> float:
        text = "qxzvbnmlkjhgfdsa " * count
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            put_right(text, english())
            best = min(best, time.process_time() - start)
        return best

    assert seconds(2_000) < 3 * seconds(250) + 0.02
