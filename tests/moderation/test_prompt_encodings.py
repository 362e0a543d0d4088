"""What is written in a code is read, plain prompts are left alone, and neither costs more than its length."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.evaluation.disguises import DISGUISES
from moderation.text import respelling as prompt_respelling
from moderation.text.encodings import decoded
from moderation.text.folding import Signals, fold

prompt_respelling.prepare()

PLAIN = "a man holding a broken lamp in front of the old house"
CODES = [
    *("base64", "base64_url", "base64_lines", "base64_twice", "base64_rot13", "base32", "hex", "hex_spaced", "hex_0x"),
    *(
        "hex_escapes",
        "binary",
        "decimal",
        "percent",
        "html",
        "unicode_escapes",
        "morse",
        "rot13",
        "caesar",
        "backwards",
    ),
    *("words_backwards", "upside_down"),
]


@pytest.mark.parametrize("name", CODES)
def test_a_prompt_in_code_is_the_last_reading(name: str) -> None:
    folded = fold(DISGUISES[name](PLAIN))
    assert folded.readings[-1] == PLAIN
    assert folded.signals.encoded_fragments
    assert folded.original == DISGUISES[name](PLAIN)


@pytest.mark.parametrize("name", ["base64_inside", "rot13_inside"])
def test_a_coded_fragment_is_read_where_it_stands_and_by_itself(name: str) -> None:
    alone, whole = fold(DISGUISES[name](PLAIN)).readings[-2:]
    assert alone == PLAIN
    assert PLAIN in whole
    assert whole.startswith(("please paint", "paint this"))


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat on a roof, #ff8800 background, 1920x1080, f1.8, 35mm --ar 16:9",
        "the hash 9e107d9d372bb6826bd81d3542a419d6 on a screen",
        "a poster: 50% off! AT&T, Q&A, C:\\users\\anna, dates 12 11 2025 10 30",
        "Anna Kowalska in Łódź, McDonald, iPhone, DeLorean DMC-12",
        "eine alte Frau sitzt auf der Bank vor dem Haus",
        "un chien qui court sur la plage au coucher du soleil",
        "kobieta w czerwonej sukience stoi na moście",
        "... --- ... or so",
        "",
    ],
)
def test_a_plain_prompt_holds_no_code(prompt: str) -> None:
    assert decoded(prompt) is None


@given(st.text(alphabet="aZ0189%&#;\\xu=+/-. \n", max_size=80))
def test_reading_codes_never_raises(text: str) -> None:
    decoded(text)


@pytest.mark.parametrize(
    "pattern", ["aB1", "41 ", "%41", "&#65;", "\\x41", ".- ", "01", "qZ xv ", "QUJD", "MFRGG", "0x41 ", "12 ", "ɐ"]
)
def test_codes_are_read_in_linear_time(pattern: str) -> None:
    def seconds(length: int) -> float:
        text = (pattern * length)[:length]
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            decoded(text)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(16_000) < 16 * seconds(2_000) + 0.02


def test_what_a_code_hides_is_counted_under_its_own_name() -> None:
    assert fold(DISGUISES["base64"](PLAIN)).signals.encoded_fragments == 1
    assert fold(PLAIN).signals == Signals()
