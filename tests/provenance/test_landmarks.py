"""A part of a picture, a turned or a mirrored copy leads to its record by its points; two witnesses must agree."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from moderation.known_pictures.pdq import pdq
from provenance.files.encoding import encode
from provenance.looks.fingerprint import PDQ_MATCH_DISTANCE, pdq_distance
from provenance.looks.landmarks import LEAST_VOTES, POINTS, as_row, asked, landmarks, votes
from provenance.looks.likeness import likeness
from provenance.marks.watermarkers import Pixels
from provenance.reports import KnownImage
from provenance.standings import Standing
from provenance.tracing import Lookups
from provenance.verification import VerifierSetup, verify
from tests.provenance.operators import Gateway
from tests.provenance.pictures import make_picture, photographs

CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "half of it": lambda a: a[a.shape[0] // 7 : a.shape[0] * 6 // 7, a.shape[1] // 7 : a.shape[1] * 6 // 7],
    "a quarter turn": lambda a: np.rot90(a),
    "mirrored": lambda a: a[:, ::-1],
    "mirrored, and a part": lambda a: a[20:, ::-1][:, 60:],
    "half size": lambda a: cv2.resize(a, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
}


@pytest.fixture(scope="module")
def originals(shared_data: Path) -> dict[str, Pixels]:
    return dict(photographs("kodak"))


def record(name: str, pixels: Pixels) -> KnownImage:
    return KnownImage(name, "0" * 64, name[:8].encode(), *pdq(pixels), f"urn:c2pa:{name}")


def by_points(originals: dict[str, Pixels]) -> Callable[[Pixels], tuple[KnownImage, ...]]:
    names, recorded = list(originals), np.stack([as_row(landmarks(pixels)) for pixels in originals.values()])

    def found(pixels: Pixels) -> tuple[KnownImage, ...]:
        counted = votes(asked(pixels), recorded)
        best = [place for place in np.argsort(-counted, kind="stable")[:3] if counted[place] >= LEAST_VOTES]
        return tuple(record(names[place], originals[names[place]]) for place in best)

    return found


def parts_of(gateway: Gateway, originals: dict[str, Pixels], *, kept: bool = True) -> VerifierSetup:
    records = [record(name, pixels) for name, pixels in originals.items()]
    lookups = Lookups(
        by_mark=lambda mark: None,
        by_sha256=lambda digest: None,
        by_looks=lambda wanted: next((r for r in records if pdq_distance(r.pdq, wanted) <= PDQ_MATCH_DISTANCE), None),
        original=lambda known: originals[known.content_id] if kept else None,
        by_points=by_points(originals),
    )
    return replace(gateway.without_records(), lookups=lookups)


@pytest.mark.data
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_without_mark_and_credential_looks_like_ours(
    gateway: Gateway, originals: dict[str, Pixels], change: str
) -> None:
    parts = parts_of(gateway, originals)
    for name in ("kodim03.png", "kodim07.png"):
        copy = np.ascontiguousarray(CHANGES[change](originals[name]))

        found = verify(parts, encode(copy, "image/jpeg", 85))

        assert found.standing is Standing.LOOKS_LIKE_OURS, (name, change)
        assert found.record is not None
        assert found.record.known.content_id == name


@pytest.mark.data
def test_other_photographs_do_not_look_like_ours(gateway: Gateway, originals: dict[str, Pixels]) -> None:
    ours = dict(list(originals.items())[:6])
    for name, pixels in list(originals.items())[6:9]:
        found = verify(parts_of(gateway, ours), encode(np.ascontiguousarray(pixels[:384, :512]), "image/jpeg", 85))
        assert found.standing is Standing.NOT_FOUND, name


@pytest.mark.data
def test_where_the_original_is_gone_both_searches_must_agree(gateway: Gateway, originals: dict[str, Pixels]) -> None:
    few = {name: originals[name] for name in ("kodim03.png", "kodim07.png")}
    parts = parts_of(gateway, few, kept=False)
    whole = encode(few["kodim07.png"], "image/jpeg", 60)

    assert verify(parts, whole).standing is Standing.LOOKS_LIKE_OURS
    assert verify(parts, encode(few["kodim07.png"][:340, :500], "image/jpeg", 85)).standing is Standing.NOT_FOUND
    assert parts.lookups is not None
    alone = replace(parts, lookups=replace(parts.lookups, by_points=lambda pixels: ()))
    assert verify(alone, whole).standing is Standing.NOT_FOUND


def test_landmarks_are_at_most_sixteen_codes_and_the_same_each_time() -> None:
    busy = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    assert len(landmarks(busy)) == POINTS * 8
    assert landmarks(busy) == landmarks(busy.copy())
    assert votes(asked(busy), as_row(landmarks(busy))[None])[0] == POINTS


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 2), (3, 3), (8, 900)])
def test_pictures_of_every_shape_are_looked_for(shape: tuple[int, int]) -> None:
    sliver = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    assert len(landmarks(sliver)) % 8 == 0
    assert votes(asked(sliver), as_row(landmarks(make_picture()))[None]).shape == (1,)
    assert likeness(sliver, make_picture()).same is not True


def test_a_plain_picture_has_none_and_finds_none() -> None:
    plain = np.full((256, 256, 3), 90, np.uint8)
    assert landmarks(plain) == b""
    assert votes(asked(make_picture()), as_row(b"")[None])[0] == 0
