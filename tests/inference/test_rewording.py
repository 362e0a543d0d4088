"""A model of few words is asked in its own: what it draws is kept, what is near is put for it, the rest is named."""

import json

import pytest

from inference.demo import WEIGHTS
from inference.errors import WeightsError
from inference.rewording import Reworder
from inference.vocabulary import VOCABULARY, read_vocabulary


@pytest.fixture(scope="module")
def reworder() -> Reworder:
    shipped = read_vocabulary(WEIGHTS)
    assert shipped is not None
    return Reworder(shipped)


@pytest.mark.parametrize(
    "prompt",
    [
        "a blue car at night",  # case first-02
        "a red apple on a wooden table in morning light",
        "a fox and a red balloon at night",
        "a small blue butterfly above a big yellow rose in a meadow",
        "a dagger on a teal background",
    ],
)
def test_a_prompt_in_its_own_words_stays_as_it_is(reworder: Reworder, prompt: str) -> None:
    assert reworder.reword(prompt).prompt == prompt


@pytest.mark.parametrize(
    ("prompt", "drawn", "unknown"),
    [
        ("A beautiful landscape with mountains and lake", "a tree in a meadow", ()),  # case first-01
        ("a mountain lake", "a snowy day", ()),
        ("an old lighthouse at sunset", "a house at sunset", ()),
        ("two poodles in a garden", "a dog in a meadow", ()),
        ("a majestic blue sedan at midnight", "a blue car at night", ("majestic",)),
        ("an astronaut riding on the moon, 8k", "a moon", ("astronaut", "riding")),
        ("a poodle on a blue background", "a dog on a blue background", ()),
        ("a kitten, a puppy, a fox, a lion and an owl", "a cat, a dog and a fox", ()),
        ("a poodle above a tulip", "a dog above a rose", ()),
    ],
)
def test_another_one_is_put_into_its_words(
    reworder: Reworder, prompt: str, drawn: str, unknown: tuple[str, ...]
) -> None:
    said = reworder.reword(prompt)
    assert said.prompt == drawn
    assert said.unknown == unknown


@pytest.mark.parametrize(
    "prompt",
    [
        "portrait of a young woman smiling",
        "사과 하나",
        "something beautiful",
        "...",
        "4k",
    ],
)
def test_where_nothing_is_near_nothing_is_drawn_and_the_words_are_named(reworder: Reworder, prompt: str) -> None:
    said = reworder.reword(prompt)
    assert said.prompt is None
    assert all(word in prompt for word in said.unknown)


def test_what_it_says_it_understands_itself(reworder: Reworder) -> None:
    for prompt in ("a poodle and a rifle in the garden", "cottages", "a tiny taxi below a huge oak at midnight"):
        said = reworder.reword(prompt).prompt
        assert said is not None
        assert said != prompt
        assert reworder.reword(said).prompt == said


def test_people_are_never_taken_for_things(reworder: Reworder) -> None:
    for word in ("woman", "man", "child", "queen", "arab", "soldier", "humankind", "doctor", "nun"):
        assert reworder.reword(f"a {word}").prompt is None, word


def test_every_word_that_is_near_leads_to_something_that_is_drawn(reworder: Reworder) -> None:
    for word in reworder.vocabulary.near:
        assert reworder.reword(f"a picture of a {word}").prompt is not None, word


def test_the_length_counts_words_it_does_not_know_once(reworder: Reworder) -> None:
    assert reworder.readable("a photorealistic fox") == "a the fox"


def test_a_folder_without_a_vocabulary_is_of_a_model_that_reads_any_words(tmp_path, reworder: Reworder) -> None:
    assert read_vocabulary(tmp_path) is None
    words = reworder.vocabulary.model_dump(mode="json")
    (tmp_path / VOCABULARY).write_text(json.dumps(words))
    assert read_vocabulary(tmp_path) == reworder.vocabulary
    for lost in ("wolverine", "tree @wolverine", "@wolverine", ""):
        (tmp_path / VOCABULARY).write_text(json.dumps(words | {"near": {"poodle": lost}}))
        with pytest.raises(WeightsError, match="vocabulary"):
            read_vocabulary(tmp_path)
