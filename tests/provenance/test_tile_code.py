"""The code under the tile watermark: what goes in comes out, through noise, and nothing else does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.marks.tile import keystream
from provenance.marks.tile.code import LENGTH, decode, encode, information_positions
from provenance.marks.tile.pattern import DATA, PILOTS, Pattern
from provenance.payload import protect, to_bits, unprotect

BITS = 96


def evidence(word: np.ndarray, amplitude: float, seed: int) -> np.ndarray:
    """Log-likelihood ratios of a code word heard at `amplitude` in noise of deviation 1."""
    heard = amplitude * (1 - 2.0 * word) + np.random.default_rng(seed).normal(size=LENGTH)
    return (2 * amplitude * heard).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(mark=st.binary(min_size=8, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_every_mark_is_read_at_an_amplitude_where_a_quarter_of_the_bits_are_wrong(mark: bytes, seed: int) -> None:
    heard = evidence(encode(to_bits(protect(mark))), 0.7, seed)

    assert mark in [unprotect(message) for message in decode(heard, BITS, 8)]


@settings(max_examples=10, deadline=None)
@given(mark=st.binary(min_size=16, max_size=16), seed=st.integers(0, 2**32 - 1))
def test_long_marks_are_read_too(mark: bytes, seed: int) -> None:
    heard = evidence(encode(to_bits(protect(mark, 16))), 0.9, seed)

    assert mark in [unprotect(message) for message in decode(heard, 160, 8)]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_noise_passes_no_checksum(seed: int) -> None:
    heard = np.random.default_rng(seed).normal(size=LENGTH).astype(np.float32)

    assert [unprotect(message) for message in decode(heard, BITS, 8)] == [None] * 8


def test_a_list_reads_what_a_single_path_loses() -> None:
    word = encode(to_bits(protect(b"12345678")))
    read = dict.fromkeys((1, 8), 0)
    for seed in range(20):
        for paths in read:
            messages = decode(evidence(word, 0.43, seed), BITS, paths)
            read[paths] += b"12345678" in [unprotect(message) for message in messages]

    assert read[8] > read[1]


@given(first=st.integers(0, 2**32 - 1), second=st.integers(0, 2**32 - 1))
def test_the_sum_of_two_code_words_is_a_code_word(first: int, second: int) -> None:
    one, other = (np.random.default_rng(seed).integers(0, 2, BITS).astype(np.uint8) for seed in (first, second))

    assert np.array_equal(encode(one) ^ encode(other), encode(one ^ other))


def test_the_most_reliable_positions_are_the_late_ones() -> None:
    positions = information_positions(BITS)

    assert len(positions) == BITS
    assert positions[-1] == LENGTH - 1
    assert 0 not in positions


def test_a_mark_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        protect(b"12345678", 16)


def test_key_material_never_changes() -> None:
    """Written down on the day it was made: a mark must be readable years later, under any numpy."""
    key = bytes(range(32))

    assert keystream.bits(key, "scrambler", 16).tolist() == [1, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 1, 0, 0]
    assert keystream.permutation(key, "slots", 8).tolist() == [6, 3, 2, 0, 1, 5, 7, 4]
    assert keystream.uniform(key, "pilot phases", 3).tolist() == pytest.approx([0.069558, 0.887366, 0.436312], abs=1e-6)
    assert PILOTS[:4].tolist() == [[1, 9], [2, 10], [3, 9], [5, 9]]


def test_keys_share_the_pilots_places_and_nothing_else() -> None:
    one, other = Pattern("one", b"1" * 32), Pattern("other", b"2" * 32)

    assert len(PILOTS) == 24
    assert not {tuple(pair) for pair in PILOTS} & {tuple(pair) for pair in DATA}
    assert abs(np.vdot(one.pilot_phases, other.pilot_phases)) < 15
    word = encode(to_bits(protect(b"12345678")))
    (_, data), (_, other_data) = one.tiles(word), other.tiles(word)
    assert abs(float((data * other_data).mean())) < 0.1


def test_the_data_layer_cancels_when_tiles_are_averaged() -> None:
    signs = Pattern("one", b"1" * 32).tile_signs

    assert float(signs.sum()) == 0
