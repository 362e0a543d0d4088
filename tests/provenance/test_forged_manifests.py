"""Manifests that were forged, replayed, cut, doubled or stretched: one verdict each, with and without records."""

import pytest

from provenance.claims import SealedImage, Source
from provenance.credentials.reading import UNSIGNED_CHANGED
from provenance.sealing import seal
from provenance.standings import Standing
from provenance.verification import verify
from tests.provenance.anatomy import boxes
from tests.provenance.forgeries import box, label_of, manifests, relabelled, store_with, with_chunks, with_padding_cut
from tests.provenance.operators import Gateway, make_claim
from tests.provenance.pictures import make_picture


@pytest.fixture(scope="module")
def file(gateway: Gateway) -> SealedImage:
    return seal(gateway.sealing, make_picture(256, 256), make_claim())


@pytest.fixture(scope="module")
def other(gateway: Gateway) -> SealedImage:
    return seal(gateway.sealing, make_picture(256, 256, 9), make_claim(mark=b"another."))


def codes_of(gateway: Gateway, file: SealedImage, forged: bytes) -> set[str]:
    """The codes, once both kinds of verifier have said that the file is not as it was delivered."""
    reports = [verify(parts, forged) for parts in (gateway.keeping(file), gateway.without_records())]

    assert {report.standing for report in reports} == {Standing.OURS_ALTERED}
    assert {report.exit_code for report in reports} == {2}
    return set(reports[1].credential.codes)


def test_the_surgery_itself_changes_nothing(gateway: Gateway, file: SealedImage) -> None:
    same = with_chunks(file.data, store_with(file.manifest, *manifests(file.manifest)))

    assert same == file.data
    assert verify(gateway.without_records(), same).standing is Standing.OURS_INTACT


def test_a_manifest_moved_from_another_picture_is_reported(
    gateway: Gateway, file: SealedImage, other: SealedImage
) -> None:
    assert codes_of(gateway, file, with_chunks(file.data, other.manifest)) == {"assertion.dataHash.mismatch"}


@pytest.mark.parametrize("first", ["own", "other"])
def test_two_manifest_stores_in_one_file_are_reported(
    gateway: Gateway, file: SealedImage, other: SealedImage, first: str
) -> None:
    stores = (file.manifest, other.manifest) if first == "own" else (other.manifest, file.manifest)

    assert codes_of(gateway, file, with_chunks(file.data, *stores)) == {"unreadable.C2paManifest"}
    assert codes_of(gateway, file, with_chunks(file.data, b"".join(stores)))


def test_a_second_manifest_in_the_store_is_reported_whichever_is_active(
    gateway: Gateway, file: SealedImage, other: SealedImage
) -> None:
    (own,), (theirs,) = manifests(file.manifest), manifests(other.manifest)
    for inside in ((theirs, own), (own, theirs), (own, own)):
        forged = with_chunks(file.data, store_with(file.manifest, *inside))
        assert "assertion.dataHash.mismatch" in codes_of(gateway, file, forged)


def test_a_manifest_put_where_the_padding_was_is_reported_though_every_hash_fits(
    gateway: Gateway, file: SealedImage, other: SealedImage
) -> None:
    (theirs,) = manifests(with_padding_cut(other.manifest, 9000))
    (own,) = manifests(with_padding_cut(file.manifest, len(theirs)))
    store = store_with(file.manifest, theirs, own)
    assert len(store) == len(file.manifest)

    assert codes_of(gateway, file, with_chunks(file.data, store)) == {UNSIGNED_CHANGED}


def test_a_manifest_cut_at_any_edge_of_a_box_is_reported(gateway: Gateway, file: SealedImage) -> None:
    store = file.manifest
    inside = list(boxes(store, 0, len(store)))
    edges = {edge for box in inside for edge in (box.start, box.start + 8, box.end)} - {len(store)}
    for edge in sorted(edges):
        forged = with_chunks(file.data, store[:edge])
        with_records = verify(gateway.keeping(file), forged)
        alone = verify(gateway.without_records(), forged)
        assert with_records.standing is Standing.OURS_ALTERED, edge
        # Down to the first two headers nothing of a manifest is left, and the mark alone speaks.
        assert alone.standing is (Standing.OURS_ALTERED if edge > 16 else Standing.UNCHECKABLE), edge


@pytest.mark.parametrize("length", [0, 1, 7, 8, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_a_box_that_lies_about_its_length_is_reported(gateway: Gateway, file: SealedImage, length: int) -> None:
    """0 means to the end, 1 that a 64-bit length follows; the others claim nothing, or gigabytes."""
    store = file.manifest
    for inside in boxes(store, 0, len(store)):
        forged = store[: inside.start] + length.to_bytes(4, "big") + store[inside.start + 4 :]
        assert codes_of(gateway, file, with_chunks(file.data, forged)), inside


@pytest.mark.parametrize("depth", [10, 1000, 20_000])
def test_boxes_nested_in_boxes_are_reported(gateway: Gateway, file: SealedImage, depth: int) -> None:
    description = file.manifest[8 : next(box for box in boxes(file.manifest, 0, 200) if box.kind == "jumd").end]
    nested = file.manifest
    for _ in range(depth):
        nested = box(b"jumb", description + nested)

    assert codes_of(gateway, file, with_chunks(file.data, nested))


@pytest.fixture(scope="module")
def edits(gateway: Gateway, file: SealedImage, other: SealedImage) -> tuple[SealedImage, SealedImage]:
    """Two edits of two parents."""
    made = [
        seal(
            gateway.sealing,
            make_picture(256, 256, 30 + number),
            make_claim(parent=Source(parent.data, "image/png"), mark=b"edit   %d" % number),
        )
        for number, parent in enumerate((file, other))
    ]
    return made[0], made[1]


def test_an_ingredients_manifest_swapped_for_another_is_reported(
    gateway: Gateway, edits: tuple[SealedImage, SealedImage]
) -> None:
    (parent, active), (other_parent, _) = manifests(edits[0].manifest), manifests(edits[1].manifest)
    assert len(parent) == len(other_parent)
    disguised = relabelled(other_parent, label_of(parent))

    swapped = codes_of(gateway, edits[0], with_chunks(edits[0].data, store_with(edits[0].manifest, disguised, active)))
    missing = codes_of(
        gateway, edits[0], with_chunks(edits[0].data, store_with(edits[0].manifest, other_parent, active))
    )

    assert "ingredient.manifest.mismatch" in swapped
    assert "ingredient.manifest.missing" in missing
