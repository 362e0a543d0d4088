"""Every kind of byte in a sealed file, flipped: each is reported with a record, and without one too, but for two."""

import random
from collections.abc import Iterator

import pytest

from provenance.claims import MediaType, SealedImage
from provenance.credentials.reading import UNSIGNED_CHANGED, CredentialState
from provenance.sealing import seal
from provenance.standings import Standing
from provenance.verification import verify
from tests.provenance.anatomy import Part, parts
from tests.provenance.formats import Sealed, every_dissected, every_format
from tests.provenance.operators import Gateway, make_claim
from tests.provenance.pictures import make_picture

how_many = pytest.mark.parametrize("most", [1, pytest.param(7, marks=pytest.mark.slow)])
"""Bytes drawn of every part, besides its last: of each class of byte on every format one or two, or a full sweep."""

REPORTED = (Standing.OURS_ALTERED, Standing.UNCHECKABLE, Standing.COPIED_CREDENTIAL, Standing.CANNOT_TELL)
"""The last two where a bit of a table or of the size leaves nothing of the picture to be recognised."""

NOWHERE_COVERED = {"segment EB framing"}
"""Bytes 2 and 3 of a JPEG's JUMBF segment number the box; any number does, and no signature covers it."""


@pytest.fixture(scope="module")
def small(gateway: Gateway) -> Sealed:
    made: dict[MediaType, SealedImage] = {}

    def of(media_type: MediaType) -> SealedImage:
        if media_type not in made:
            made[media_type] = seal(gateway.sealing, make_picture(256, 256), make_claim(media_type))
        return made[media_type]

    return of


def flips(data: bytes, most: int) -> Iterator[tuple[Part, int, bytes]]:
    """Of every part the last byte and some before it, each with one bit turned over; in a sweep the first one too."""
    draw = random.Random(20)
    for part in parts(data):
        inside = range(part.start, part.end)
        drawn = draw.sample(inside, min(most, len(inside)))
        for at in dict.fromkeys((*inside[: most > 1], part.end - 1, *drawn)):
            altered = bytearray(data)
            altered[at] ^= 1 << draw.randrange(8)
            yield part, at - part.start, bytes(altered)


@how_many
@every_dissected
def test_with_a_record_a_flip_of_every_kind_of_byte_is_reported(
    gateway: Gateway, small: Sealed, media_type: MediaType, most: int
) -> None:
    file = small(media_type)
    parts_ = gateway.keeping(file)

    unseen = [
        (part.name, at)
        for part, at, altered in flips(file.data, most)
        if verify(parts_, altered).standing not in REPORTED
    ]

    assert unseen == []


@how_many
@every_dissected
def test_without_records_a_flip_of_every_kind_of_byte_is_reported_but_for_the_number_of_a_jpegs_box(
    gateway: Gateway, small: Sealed, media_type: MediaType, most: int
) -> None:
    unseen = {
        (part.name, at)
        for part, at, altered in flips(small(media_type).data, most)
        if verify(gateway.without_records(), altered).standing is Standing.OURS_INTACT
    }

    assert {name for name, _ in unseen} <= NOWHERE_COVERED
    assert {at for _, at in unseen} <= {2, 3}


@pytest.mark.slow
def test_without_records_every_byte_outside_the_compressed_picture_and_the_padding_is_reported(
    gateway: Gateway, small: Sealed
) -> None:
    """In a JPEG, whose manifest is the others' too."""
    data = small("image/jpeg").data
    unseen = set()
    for part in parts(data):
        if part.name in ("scan", "cose padding"):
            continue
        for at in range(part.start, part.end):
            altered = bytearray(data)
            altered[at] ^= 0x20
            if gateway.sealing.reader.read(bytes(altered), "image/jpeg").state is CredentialState.TRUSTED:
                unseen.add((part.name, at - part.start))

    assert unseen == {("segment EB framing", 2), ("segment EB framing", 3)}


@every_dissected
def test_what_other_readers_pass_over_has_a_code_of_its_own(
    gateway: Gateway, small: Sealed, media_type: MediaType
) -> None:
    data = small(media_type).data
    padding = next(part for part in parts(data) if part.name == "cose padding")
    hidden = bytearray(data)
    hidden[padding.end - 8 : padding.end] = b"a secret"

    report = verify(gateway.without_records(), bytes(hidden))

    assert report.standing is Standing.OURS_ALTERED
    assert UNSIGNED_CHANGED in report.credential.codes


@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("media_type", ["image/avif", "image/tiff"])
def test_bytes_of_the_formats_that_are_not_taken_apart_are_reported_too(
    gateway: Gateway, small: Sealed, media_type: MediaType, step: int
) -> None:
    file = small(media_type)
    draw = random.Random(21)
    head, tail = range(600), range(len(file.data) - 200, len(file.data))
    for at in (*head[::step], *draw.sample(range(len(file.data)), 300 // step), *tail[::-step]):
        altered = bytearray(file.data)
        altered[at] ^= 1 << draw.randrange(8)
        assert gateway.sealing.reader.read(bytes(altered), media_type).state is not CredentialState.TRUSTED, at


@every_format
def test_truncated_files_are_reported(gateway: Gateway, sealed: Sealed, media_type: MediaType) -> None:
    file = sealed(media_type)
    for kept in (0, 3, 40, len(file.data) // 2, len(file.data) - 1):
        report = verify(gateway.keeping(file), file.data[:kept])
        assert report.standing in REPORTED, kept


@every_format
def test_bytes_behind_the_end_are_reported(gateway: Gateway, small: Sealed, media_type: MediaType) -> None:
    file = small(media_type)

    for parts_ in (gateway.keeping(file), gateway.without_records()):
        assert verify(parts_, file.data + b"\x00").standing is Standing.OURS_ALTERED
