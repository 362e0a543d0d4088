import csv
import hashlib
import json
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pdqhash
import pytest
from PIL import Image
from pydantic import ValidationError

from moderation.classifiers import ImageClassifier, Pixels
from moderation.errors import ClassifierFailed, PartUnusable
from moderation.image_hash_match import LOW_QUALITY_SCORE, PdqList, dihedral_hashes
from moderation.known_pictures.lists import InlineList, read_list, words_of
from policies import findings
from policies.findings import Finding, Stage

TURNS: dict[str, Callable[[Pixels], Pixels]] = {
    "upright": lambda pixels: pixels,
    "quarter turn": lambda pixels: np.rot90(pixels, 1),
    "half turn": lambda pixels: np.rot90(pixels, 2),
    "three-quarter turn": lambda pixels: np.rot90(pixels, 3),
    "flipped left to right": lambda pixels: pixels[:, ::-1],
    "flipped top to bottom": lambda pixels: pixels[::-1],
    "transposed": lambda pixels: pixels.swapaxes(0, 1),
    "transposed and turned": lambda pixels: np.rot90(pixels.swapaxes(0, 1), 2),
}


def sealed(pixels: Any) -> Pixels:
    copy: Pixels = np.array(pixels, dtype=np.uint8, order="C")
    copy.flags.writeable = False
    return copy


def clouds(seed: int, height: int = 600, width: int = 900) -> Pixels:
    """A picture with structure at several scales, as photographs have it."""
    random = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((3, 100), (7, 60), (20, 30), (60, 15)):
        noise = random.random((cells, cells, 3)).astype(np.float32)
        picture += weight * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return sealed(np.clip(picture, 0, 255))


def full_size_hash(pixels: Pixels) -> str:
    return np.packbits(pdqhash.compute(sealed(pixels))[0]).tobytes().hex()


def flipped_bits(hash_hex: str, count: int) -> str:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(hash_hex), np.uint8))
    bits[np.random.default_rng(count).permutation(256)[:count]] ^= 1
    return np.packbits(bits).tobytes().hex()


def part(*entries: dict[str, str], **settings: Any) -> PdqList:
    table = {"id": "own", "category": "ncii", "version": "7", "entries": entries, **settings}
    return PdqList(PdqList.Options.model_validate({"data": [table]}))


def look(classifier: PdqList, pixels: Any) -> Finding:
    (finding,) = classifier.classify(sealed(pixels), Stage.OUTPUT_IMAGE)
    return finding


@pytest.fixture(scope="module")
def known() -> Pixels:
    return clouds(1)


@pytest.fixture(scope="module")
def against_known(known: Pixels) -> PdqList:
    return part({"id": "entry-1", "hash": full_size_hash(known)}, {"id": "entry-2", "hash": "0f" * 32})


def test_the_part_is_an_image_classifier_and_claims_its_lists_categories(against_known: PdqList) -> None:
    assert isinstance(against_known, ImageClassifier)
    assert against_known.categories == {"ncii"}


@pytest.mark.parametrize("turn", TURNS)
def test_a_flipped_or_turned_copy_matches(turn: str, against_known: PdqList, known: Pixels) -> None:
    finding = look(against_known, TURNS[turn](known))
    assert finding.score >= 0.5
    assert dict(finding.facts)["entry"] == "entry-1"


@pytest.mark.parametrize("turn", TURNS)
def test_photographs_match_their_hash_at_full_size_however_they_are_turned(turn: str, shared_data: Path) -> None:
    for path in sorted((shared_data / "photos" / "kodak").glob("*.png"))[::3]:
        photo = np.array(Image.open(path).convert("RGB"))
        finding = look(part({"id": path.stem, "hash": full_size_hash(photo)}), TURNS[turn](photo))
        assert finding.score >= 0.5, (path.name, dict(finding.facts))


def test_a_smaller_recompressed_copy_matches_and_names_list_version_entry_distance_and_quality(
    against_known: PdqList, known: Pixels
) -> None:
    smaller = cv2.resize(known, (450, 300), interpolation=cv2.INTER_AREA)
    recompressed = cv2.imdecode(cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
    finding = look(against_known, recompressed)
    facts = dict(finding.facts)
    assert facts["list"] == "own"
    assert facts["list_version"] == "7"
    assert facts["list_digest"].startswith("sha256:")
    assert facts["entry"] == "entry-1"
    assert finding.score == 1 - int(facts["distance"]) / 256
    assert int(facts["quality"]) >= 50


def test_a_slightly_trimmed_copy_matches(against_known: PdqList, known: Pixels) -> None:
    assert look(against_known, known[4:-4, 6:-6]).score >= 0.5


def test_other_pictures_score_zero_and_the_finding_still_names_the_list(against_known: PdqList) -> None:
    for seed in range(2, 8):
        finding = look(against_known, clouds(seed))
        assert finding.score == 0
        assert "entry" not in dict(finding.facts)
        assert dict(finding.facts)["list_version"] == "7"


@pytest.mark.parametrize(("bits", "matches"), [(0, True), (31, True), (32, False)])
def test_thirty_one_bits_are_a_match_and_thirty_two_are_not(bits: int, matches: bool) -> None:
    picture = clouds(3, 512, 512)
    finding = look(part({"id": "e", "hash": flipped_bits(full_size_hash(picture), bits)}), picture)
    # The second, coarser hash may be nearer than the first, so only the far side of the limit is exact.
    assert (finding.score >= 0.5) is matches
    assert int(dict(finding.facts).get("distance", 32)) <= bits


def test_the_nearest_entry_is_named_and_of_equally_near_ones_the_first() -> None:
    picture = clouds(4, 512, 512)
    exact = full_size_hash(picture)
    near, far = flipped_bits(exact, 4), flipped_bits(exact, 20)
    classifier = part({"id": "far", "hash": far}, {"id": "b", "hash": near}, {"id": "a", "hash": near})
    assert ("entry", "b") in look(classifier, picture).facts


def test_the_search_agrees_with_counting_bit_by_bit() -> None:
    random = np.random.default_rng(5)
    hashes = [random.bytes(32) for _ in range(300)]
    entries = [{"id": f"e{row}", "hash": value.hex()} for row, value in enumerate(hashes)]
    (known,) = read_list(InlineList.model_validate({"id": "l", "category": "csae", "entries": entries}))
    for row, bits in ((7, 12), (200, 31), (299, 32), (0, 60)):
        query = flipped_bits(hashes[row].hex(), bits)
        expected = min(((int(query, 16) ^ int(value.hex(), 16)).bit_count(), at) for at, value in enumerate(hashes))
        found = known.nearest(words_of([bytes.fromhex(query)]))
        assert found == ((f"e{expected[1]}", expected[0]) if expected[0] <= 31 else None)


def test_a_withdrawn_entry_matches_no_more_and_a_later_reinstatement_matches_again(known: Pixels) -> None:
    exact = full_size_hash(known)
    other = {"id": "other", "hash": "0f" * 32}
    withdrawn = {"id": "entry-1", "hash": exact, "status": "withdrawn"}
    active = {"id": "entry-1", "hash": exact}
    assert look(part(active, other), known).score >= 0.5
    assert look(part(active, other, withdrawn), known).score == 0
    assert look(part(active, withdrawn, active, other), known).score >= 0.5


def test_a_list_whose_entries_are_all_withdrawn_claims_nothing_and_alone_does_not_start(known: Pixels) -> None:
    withdrawn = {"id": "e", "hash": full_size_hash(known), "status": "withdrawn"}
    with pytest.raises(PartUnusable, match="no list has an active entry"):
        part(withdrawn)
    with pytest.raises(PartUnusable, match="no list has an active entry"):
        PdqList(PdqList.Options())
    empty = {"id": "empty", "category": "csae", "entries": [withdrawn]}
    full = {"id": "full", "category": "ncii", "entries": [{"id": "e", "hash": "0f" * 32}]}
    assert PdqList(PdqList.Options.model_validate({"data": [empty, full]})).categories == {"ncii"}


def test_a_record_may_name_its_own_category_and_each_category_gets_a_finding(known: Pixels) -> None:
    classifier = part(
        {"id": "e1", "hash": full_size_hash(known), "category": "csae"}, {"id": "e2", "hash": "0f" * 32}, id="mixed"
    )
    assert classifier.categories == {"csae", "ncii"}
    scores = {finding.category: finding.score for finding in classifier.classify(known, Stage.INPUT_IMAGE)}
    assert scores["csae"] >= 0.5
    assert scores["ncii"] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 16384), (16384, 1), (2, 700), (512, 512)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_and_degenerate_pictures_are_near_each_other_but_never_claimed_as_a_match(
    shape: tuple[int, int], value: int
) -> None:
    flat = sealed(np.full((*shape, 3), value))
    finding = look(part({"id": "flat", "hash": full_size_hash(flat)}), flat)
    assert finding.score <= LOW_QUALITY_SCORE
    assert dict(finding.facts)["quality_below"] == "50"


def test_a_low_quality_match_states_its_distance_and_the_quality_it_lacks() -> None:
    ramp = np.linspace(120, 135, 64)[:, None] + np.linspace(0, 9, 64)[None, :]  # too smooth to be told apart
    flat = sealed(np.repeat(ramp[..., None].astype(np.uint8), 3, axis=2))
    finding = look(part({"id": "flat", "hash": full_size_hash(flat)}), flat)
    facts = dict(finding.facts)
    assert (finding.score, facts["distance"], facts["quality"]) == (LOW_QUALITY_SCORE, "0", "0")


@pytest.mark.parametrize("wrong", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))])
def test_anything_but_rgb_bytes_is_refused_not_passed(wrong: Any, against_known: PdqList) -> None:
    with pytest.raises(ClassifierFailed):
        against_known.classify(wrong, Stage.INPUT_IMAGE)


def test_eight_threads_get_the_findings_that_one_gets(against_known: PdqList, known: Pixels) -> None:
    pictures = [known, *(clouds(seed, 300, 300) for seed in range(10, 16))] * 3
    alone = [against_known.classify(picture, Stage.OUTPUT_IMAGE) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda picture: against_known.classify(picture, Stage.OUTPUT_IMAGE), pictures))
    assert together == alone


def test_the_derived_transposition_is_exact() -> None:
    picture = clouds(6, 512, 512)
    words, _ = dihedral_hashes(picture)
    swapped = words_of([bytes.fromhex(full_size_hash(sealed(picture.swapaxes(0, 1))))])
    assert np.array_equal(words[:, 1:2], swapped)


def test_the_shipped_test_card_is_found() -> None:
    folder = Path(findings.__file__).parent / "data" / "hashes"
    table = tomllib.loads((folder / "test_card.toml").read_text())
    card = np.array(Image.open(folder / "test_card.png").convert("RGB"))
    assert look(PdqList(PdqList.Options.model_validate({"data": [table]})), card).score >= 0.5


def from_file(path: Path, **settings: Any) -> PdqList:
    source = {"id": "file", "category": "csae", "path": path, **settings}
    return PdqList(PdqList.Options.model_validate({"lists": [source]}))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_file_is_read_and_its_digest_stands_in_the_findings(suffix: str, tmp_path: Path, known: Pixels) -> None:
    path = tmp_path / f"list{suffix}"
    rows = [
        {"hash": full_size_hash(known).upper(), "category": "", "id": "k-1", "status": "active"},
        {"hash": "0f" * 32, "category": "ncii", "id": "k-2", "status": "withdrawn"},
    ]
    if suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps({k: v for k, v in row.items() if v}) + "\n\n" for row in rows))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    classifier = from_file(path, sha256=digest)
    assert classifier.categories == {"csae"}
    facts = dict(look(classifier, known).facts)
    assert facts["entry"] == "k-1"
    assert facts["list_version"] == facts["list_digest"] == f"sha256:{digest}"
    with pytest.raises(PartUnusable, match="digest"):
        from_file(path, sha256="0" * 64)


SECRET = "c0ffee" * 10 + "c0ff"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.jsonl", f'{{"id": "a", "hash": "{SECRET}"}}\n{{"id": "b", "hash": "{SECRET}zz"}}'),
        ("list.jsonl", f'{{"id": "a", "hash": "{SECRET}"'),
        ("list.jsonl", f'["{SECRET}"]'),
        ("list.jsonl", f'{{"id": "{SECRET}", "hash": "{SECRET}"}}'),
        ("list.jsonl", f'{{"id": "a", "hash": "{SECRET}", "name": "someone"}}'),
        ("list.csv", f"hash,category,id,status\n{SECRET},csae,a,gone\n"),
        ("list.csv", f"hash,category,id,status\n{SECRET},csae,a,active,surplus\n"),
        ("list.csv", f"hash,category,id,status\n{SECRET}\n"),
        ("list.csv", "hash,category,id,status\n"),
        ("list.xml", f"<hash>{SECRET}</hash>"),
        ("missing.csv", None),
    ],
)
def test_a_bad_file_stops_the_start_and_is_not_quoted(name: str, content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(PartUnusable) as raised:
        from_file(tmp_path / name)
    assert "c0ffee" not in str(raised.value)
    assert raised.value.field.startswith("lists")


def test_a_bad_inline_table_is_not_quoted_either() -> None:
    with pytest.raises(ValidationError) as raised:
        part({"id": "a", "hash": SECRET + "ff"})
    assert "c0ffee" not in str(raised.value)


def test_two_lists_of_one_id_do_not_start() -> None:
    table = {"id": "twice", "category": "csae", "entries": [{"id": "a", "hash": "0f" * 32}]}
    with pytest.raises(PartUnusable, match="same id"):
        PdqList(PdqList.Options.model_validate({"data": [table, table]}))
