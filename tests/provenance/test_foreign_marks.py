"""Marks that other systems write are read from pictures that the real library marked, and from no other picture."""

from collections.abc import Sequence
from math import comb

import numpy as np
import numpy.typing as npt
import pytest
from diffusers.pipelines.stable_diffusion_xl import watermark as sdxl
from hypothesis import given
from hypothesis import strategies as st
from imwatermark import WatermarkEncoder
from pydantic import ValidationError

from provenance.marks import foreign as foreign_marks
from provenance.marks.foreign import LARGEST_CHANCE, REFERENCE, InvisibleWatermarks, KnownPayload, chance
from provenance.marks.library import LibraryWatermark, blocks_of, low_band
from provenance.marks.watermarkers import Pixels
from provenance.standings import Standing
from provenance.verification import VerifierSetup, verify
from tests.provenance.operators import MARK, Gateway
from tests.provenance.pictures import make_picture, photographs, reencoded_as_jpeg

READER = InvisibleWatermarks(InvisibleWatermarks.Options())
FLOATS = ("Stable Diffusion XL", "FLUX")


def marked(pixels: Pixels, bits: Sequence[int], method: str, *, floats: bool = False) -> Pixels:
    """By the library's own encoder, given bytes as its command does, or floats as the reference code of SD XL does."""
    encoder = WatermarkEncoder()
    encoder.set_watermark("bits", list(bits))
    blue_first = np.ascontiguousarray(pixels[..., ::-1]).astype(np.float32 if floats else np.uint8)
    done = np.asarray(encoder.encode(blue_first, method))
    return np.ascontiguousarray(np.clip(np.rint(done), 0, 255).astype(np.uint8)[..., ::-1])


def test_the_reference_payload_is_the_one_in_diffusers() -> None:
    assert REFERENCE[0].bits.tolist() == sdxl.WATERMARK_BITS
    assert [known.bits.size for known in REFERENCE] == [48, 46, 136, 32]


@pytest.mark.data
@pytest.mark.parametrize("known", REFERENCE, ids=lambda known: known.writer)
def test_every_photograph_is_read_as_what_marked_it(shared_data: object, known: foreign_marks._Known) -> None:
    for name, pixels in [*photographs("kodak"), *photographs("skimage")][::4]:
        copy = marked(pixels, known.bits.tolist(), "dwtDct", floats=known.writer in FLOATS)

        (found,) = READER.read(copy)

        assert (found.writer, found.wrong_bits) == (known.writer, 0), name
        assert found.chance < 1e-7


@pytest.mark.data
def test_unmarked_photographs_carry_none_also_as_jpeg(shared_data: object) -> None:
    for name, pixels in [*photographs("kodak"), *photographs("skimage")]:
        assert READER.read(pixels) == (), name
        assert READER.read(reencoded_as_jpeg(pixels, 80)) == (), name


def test_our_own_mark_is_nobody_elses() -> None:
    ours = LibraryWatermark(LibraryWatermark.Options()).embed(make_picture(), MARK, 1.0)
    assert READER.read(ours) == ()


def read_named_payload(picture: Pixels, method: foreign_marks.Method) -> None:
    payload = KnownPayload(writer="our old shop", method=method, hex="5ca1ab1e")
    reader = InvisibleWatermarks(InvisibleWatermarks.Options(known=(payload,)))
    bits = np.unpackbits(np.frombuffer(payload.payload, np.uint8)).tolist()

    (found,) = reader.read(marked(picture, bits, method))

    assert (found.writer, found.method, found.wrong_bits) == ("our old shop", method, 0)
    assert reader.read(picture) == ()


@pytest.mark.parametrize("method", ["dwtDct", "dwtDctSvd"])
def test_a_payload_the_operator_names_is_read(method: foreign_marks.Method) -> None:
    read_named_payload(make_picture(256, 320), method)


@pytest.mark.data
def test_a_rivagan_payload_the_operator_names_is_read_from_a_photograph(shared_data: object) -> None:
    pytest.importorskip("onnxruntime")
    WatermarkEncoder.loadModel()
    read_named_payload(next(photographs("kodak"))[1], "rivaGan")


@pytest.mark.parametrize(
    "wrong",
    [
        {"hex": "00000000"},  # any dark picture would carry it
        {"hex": "abc"},
        {"text": "ж" * 64},
        {"text": "sd"},
        {"text": "SDV2", "hex": "5ca1ab1e"},
        {},
        {"method": "rivaGan", "text": "five!"},
    ],
)
def test_payloads_that_chance_would_find_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        KnownPayload.model_validate({"writer": "us", "method": "dwtDct"} | wrong)


@given(bits=st.integers(2, 12), data=st.data())
def test_the_stated_chance_is_the_share_of_payloads_that_agree_as_well(bits: int, data: st.DataObject) -> None:
    ones = data.draw(st.integers(1, bits - 1))
    read = np.array([1] * ones + [0] * (bits - ones))
    payloads = [np.array([n >> k & 1 for k in range(bits)]) for n in range(2**bits)]
    payloads = [payload for payload in payloads if payload.sum() == ones]
    wrong = data.draw(st.integers(0, bits))

    agree = sum(int((payload != read).sum()) <= wrong for payload in payloads)

    assert chance(bits, ones, wrong) == pytest.approx(agree / comb(bits, ones))


@pytest.mark.data
def test_payloads_drawn_at_random_are_found_in_photographs_as_rarely_as_stated(shared_data: object) -> None:
    random = np.random.default_rng(1)
    pictures = [pixels for _, pixels in photographs("kodak")][:6]
    spoken = [foreign_marks._speaks(foreign_marks._largest(blocks_of(low_band(picture))))
              for picture in pictures]  # fmt: skip
    rare = 0
    for _ in range(2000):
        known = foreign_marks._Known("nobody", "dwtDct", _drawn(random))
        rare += sum(foreign_marks._agreement(known, foreign_marks._per_bit(s, 48)).chance <= 0.01 for s in spoken)

    assert rare <= 0.01 * 2000 * len(pictures) * 1.3


def _drawn(random: np.random.Generator) -> npt.NDArray[np.uint8]:
    return random.permutation(np.repeat(np.array([1, 0], np.uint8), (27, 21)))


@pytest.mark.parametrize("shape", [(255, 256), (4, 65536), (1, 1)])
def test_pictures_that_are_too_small_carry_none(shape: tuple[int, int]) -> None:
    assert READER.read(np.zeros((*shape, 3), np.uint8)) == ()


def test_a_picture_of_another_generator_is_called_foreign_and_not_ours(gateway: Gateway) -> None:
    from provenance.files.encoding import encode

    copy = marked(make_picture(), REFERENCE[0].bits.tolist(), "dwtDct", floats=True)
    plain = gateway.verifying()
    parts = VerifierSetup(plain.reader, plain.watermarkers, plain.fingerprint, plain.lookups, foreign=(READER,))

    found = verify(parts, encode(copy, "image/png", 95))

    assert (found.standing, found.exit_code) == (Standing.FOREIGN, 1)
    assert found.foreign[0].chance <= 8 * LARGEST_CHANCE
    assert "Stable Diffusion XL's code writes" in dict(found.statements)["watermark"]
    assert "likely AI-generated by another system" in dict(found.statements)["verdict"]
    assert verify(parts, encode(make_picture(), "image/png", 95)).standing is Standing.NOT_FOUND
