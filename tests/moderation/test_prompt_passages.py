"""What stands around a request is taken off, nothing else is, and a long prompt gives no more than twice its words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.evaluation.disguises import DISGUISES
from moderation.text.folding import fold
from moderation.text.passages import LONGEST, SHORTEST, passages, unframed

WORDS = st.lists(
    st.sampled_from(["cat", "a", "red.", "house", "sky,", "role:", "of", "imagine", "novel!"]), max_size=200
)


def test_one_short_sentence_has_no_passages() -> None:
    assert passages("a cat on a roof") == ()


def test_every_sentence_is_a_passage_and_so_is_what_follows_a_colon() -> None:
    assert passages("a calm meadow. draw this: a burning house at night. yes") == (
        "a calm meadow.",
        "a burning house at night.",
    )


def test_a_long_sentence_is_read_through_windows_that_overlap_by_half() -> None:
    words = [f"w{number}" for number in range(3 * LONGEST)]
    found = passages(" ".join(words))
    assert found[0].split() == words[:LONGEST]
    assert found[1].split() == words[LONGEST // 2 : LONGEST // 2 + LONGEST]
    assert found[-1].split()[-1] == words[-1]


@given(WORDS)
def test_every_word_of_a_text_without_ends_stands_in_a_passage(words: list[str]) -> None:
    plain = [word.strip(".,:!") for word in words]
    found = passages(" ".join(plain))
    assert not found or {word for passage in found for word in passage.split()} == set(plain)


@given(WORDS)
def test_passages_are_no_more_than_twice_the_text_and_never_too_short(words: list[str]) -> None:
    found = [passage.split() for passage in passages(" ".join(words))]
    assert sum(map(len, found)) <= 2 * len(words)
    assert all(SHORTEST <= len(passage) <= LONGEST for passage in found)


@pytest.mark.parametrize("name", ["fictional_frame", "roleplay_frame"])
def test_the_frames_of_the_evasion_suite_come_off(name: str) -> None:
    left = unframed(fold(DISGUISES[name]("a burning house at night")).folded)
    assert left in ("a burning house at night", "draw this now: a burning house at night")


@pytest.mark.parametrize(
    "text",
    [
        "a cat on a roof, at night",
        "imagine a red house",  # the frame is all there is
        "a novel",
        "",
    ],
)
def test_a_text_without_a_frame_or_with_nothing_else_stays_as_it_is(text: str) -> None:
    assert unframed(text) == text


@given(WORDS)
def test_taking_frames_off_twice_takes_no_more_than_once(words: list[str]) -> None:
    once = unframed(" ".join(words))
    assert unframed(once) == once
