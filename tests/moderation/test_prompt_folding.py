"""The folding undoes disguises, leaves honest writing alone, and cannot be made slow."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.text import respelling as prompt_respelling
from moderation.text.folding import FoldedText, Signals, fold, tokens
from moderation.text.lookalikes import FOREIGN

prompt_respelling.prepare()
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=200)  # lone surrogates too
INVISIBLES = [chr(code) for code in (0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x202E, 0x00AD, 0xFE0F, 0xE0041, 0x034F)]
LATIN_WORDS = st.text(alphabet="abcdefghijklmnopqrstuvwxyz ", min_size=1, max_size=60)


@given(ANY_TEXT)
@settings(max_examples=500)
def test_folding_never_raises_and_is_pure(text: str) -> None:
    assert fold(text) == fold(text)
    assert fold(text).original == text


@given(ANY_TEXT)
@settings(max_examples=500)
def test_folding_what_is_folded_changes_nothing(text: str) -> None:
    once = fold(text).folded
    assert fold(once).folded == once


@given(ANY_TEXT)
def test_variants_differ_from_the_folded_text_and_from_each_other(text: str) -> None:
    folded = fold(text)
    assert len({folded.folded, *folded.variants}) == 1 + len(folded.variants)


@given(LATIN_WORDS, st.lists(st.tuples(st.integers(0, 60), st.sampled_from(INVISIBLES)), max_size=8))
def test_inserted_invisible_characters_change_nothing_that_is_read(
    text: str, insertions: list[tuple[int, str]]
) -> None:
    hidden = text
    for place, character in insertions:
        hidden = hidden[:place] + character + hidden[place:]
    assert fold(hidden).folded == fold(text).folded


@given(LATIN_WORDS)
def test_fullwidth_and_mathematical_letters_read_as_plain_ones(text: str) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) if c != " " else c for c in text)
    bold = "".join(chr(0x1D41A + ord(c) - 97) if c != " " else c for c in text)
    assert fold(wide).folded == fold(bold).folded == fold(text).folded


@pytest.mark.parametrize("foreign", ["а", "е", "о", "р", "с", "ο", "α", "ѕ", "і"])
def test_a_lookalike_inside_a_latin_word_reads_as_latin(foreign: str) -> None:
    folded = fold(f"wx{foreign}yz")
    assert folded.folded == f"wx{FOREIGN[ord(foreign)]}yz"
    assert folded.signals == Signals(mixed_script_words=1)


@pytest.mark.parametrize(
    "honest", ["красивая кошка на крыше", "όμορφη γάτα", "一只猫坐在屋顶上", "屋根の上の猫", "قطة على السطح"]
)
def test_honest_writing_in_another_script_stays_as_it_is(honest: str) -> None:
    folded = fold(honest)
    assert folded.folded == unicodedata.normalize("NFKC", honest)
    assert folded.signals.total == 0


def test_a_word_of_lookalikes_throughout_is_read_both_ways() -> None:
    folded = fold("сосо")  # Cyrillic throughout
    assert folded.folded == "сосо"
    assert "coco" in folded.variants


@pytest.mark.parametrize(
    ("disguised", "meant"),
    [
        ("a b.o.m.b here", "a bomb here"),
        ("b o m b", "bomb"),
        ("b-o_m*b", "bomb"),
        ("b0mb", "bomb"),
        ("k1ll", "kill"),
        ("k!ll", "kill"),
        ("booooomb", "bomb"),
        ("b̶o̶m̶b̶", "bomb"),
        ("BÖMB", "bomb"),
        ("🅱🅾🅼🅱", "bomb"),
        ("ʙᴏᴍʙ", "bomb"),
        ("🇧🇴🇲🇧", "bomb"),
        ("b⭕mb", "bomb"),
        ("b🔥o🌸m🔥b", "bomb"),
        ("a 💣 in a hand", "a bomb in a hand"),
        ("a 👧🏽", "a girl"),
        ("nдkеd", "naked"),
        ("قُنْبُلَة", "قنبله"),  # Arabic vowel signs, ta marbuta
        ("قنـــبلة", "قنبله"),  # tatweel
        ("ज़हर", "जहर"),  # nukta
        ("b . 0 . m . b", "b . 0 . m . b"),
        ("b 0 m b", "bomb"),
        ("ВОМВ", "bomb"),  # Cyrillic capitals
        ("ｂ\u200bо\u0301mb", "bomb"),
    ],
)
def test_a_disguised_word_is_among_the_readings(disguised: str, meant: str) -> None:
    assert meant in fold(disguised).readings


def test_two_spaced_words_with_a_wide_gap_are_joined_as_two_words() -> None:
    folded = fold("b o m b  p l a n")
    assert "bomb plan" in folded.variants
    assert folded.runs == ("bomb", "plan")


@pytest.mark.parametrize(
    "prompt",
    [
        "a 35mm photo at f1.8, 4k, 16:9, 1920s style, 8k uhd",
        "a cat that doesn't care, black-and-white",
        "2 dogs and 3 cats on the 1st of May, 50% off",
        "👨‍👩‍👧 a family picnic ☀️",
        "Größe, café, naïve, mañana, Łódź",
    ],
)
def test_an_ordinary_prompt_gives_no_sign_of_disguise(prompt: str) -> None:
    assert fold(prompt).signals.total == 0


def test_each_disguise_is_counted_under_its_own_name() -> None:
    signals = fold("bo\u200bmb kіll d i e p0ison blooood " + "x" + "\u0301\u0316" * 9).signals
    assert signals == Signals(1, 1, 3, 1, 1, 14)


@pytest.mark.parametrize(
    "pattern",
    [
        "a ",
        "n.",
        "1a",
        "aаb ",
        "\u0316\u0301",
        "a\u0316\u0301",
        "\ufdfa",
        "㌖",
        "ΐ",
        "\u200b",
        "🅰",
        "aaab",
        "!",
        "x\u202e",
        "é",
        "@",
    ],
)
def test_folding_stays_linear_in_a_hostile_text(pattern: str) -> None:
    def seconds(length: int) -> float:
        text = (pattern * length)[:length]
        return min(_timed(text) for _ in range(3))

    # Eight times the text may cost eight times as much, and twice that for a noisy machine; quadratic would be 64.
    assert seconds(32_000) < 16 * seconds(4_000) + 0.02


def _timed(text: str) -> float:
    start = time.process_time()
    fold(text)
    return time.process_time() - start


@pytest.mark.parametrize("character", ["\ufdfa", "\ufdfb", "㌖", "ΐ", "\u0344"])
def test_no_character_makes_a_text_much_longer(character: str) -> None:
    folded = fold(character * 1000)
    assert len(folded.folded) <= 8_000


MARKED = st.text(alphabet="أإآٱاىيةهقنبلـًٌٍَُِّْٰज़हर्ड़ँंकिताब炸弹人 a\u200c\u200d", max_size=60)


@given(MARKED)
@settings(max_examples=500)
def test_folding_arabic_devanagari_and_han_twice_changes_nothing_more(text: str) -> None:
    once = fold(text)
    assert fold(once.folded).folded == once.folded
    assert fold(once.readings[-1]).readings[-1] == once.readings[-1]


@given(MARKED)
def test_tokens_hold_every_letter_once_and_in_order(text: str) -> None:
    letters = [c for c in text if c.isalnum()]
    assert [c for token in tokens(text) for c in token if c.isalnum()] == letters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red-hot cat_2", ["a", "red", "hot", "cat", "2"]),
        ("हिन्दी किताब", ["हिन्दी", "किताब"]),
        ("一只猫 sits在屋顶", ["一", "只", "猫", "sits", "在", "屋", "顶"]),
        ("قِطّة", ["قِطّة"]),
    ],
)
def test_marks_stay_in_their_word_and_han_characters_stand_alone(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_a_picture_inside_a_word_is_a_sign_of_disguise_and_one_beside_it_is_not() -> None:
    assert fold("b🔥mb").signals == Signals(pictures_in_words=1)
    assert fold("a cat 🐱 and ☀️ sun").signals == Signals()


def test_the_empty_text_folds_to_itself() -> None:
    assert fold("") == FoldedText("", "")
