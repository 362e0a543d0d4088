"""Lists in the shapes in which they are handed over: what was taken back un-matches, and nothing of them is quoted.

Every hash here is of a synthetic picture or drawn at random.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.classifiers import FileClassifier
from moderation.errors import ClassifierFailed, PartUnusable
from moderation.image_hash_match import PdqList
from moderation.known_pictures.formats import READERS, Unreadable, entries_of
from moderation.known_pictures.pdq import pdq
from policies.findings import Finding, Stage

SECRET = "c0ffee" * 10 + "c0ff"
PICTURE = np.random.default_rng(9).integers(0, 256, (64, 64, 3), np.uint8).repeat(4, 0).repeat(4, 1)
OTHER = "0f" * 32
KNOWN = pdq(PICTURE)[0]
FILE = b"the bytes of a file"
MD5, SHA1, SHA256 = (hashlib.new(kind, FILE).hexdigest() for kind in ("md5", "sha1", "sha256"))


def part(path: Path, **settings: Any) -> PdqList:
    source = {"id": "feed", "category": "ncii", "path": path, **settings}
    return PdqList(PdqList.Options.model_validate({"lists": [source]}))


def look(classifier: PdqList) -> Finding:
    (finding,) = classifier.classify(PICTURE, Stage.INPUT_IMAGE)
    return finding


def stopncii(*records: tuple[float, str, str]) -> str:
    """(time, hash, status) each."""
    rows = [
        {
            "lastModtimestamp": time,
            "signalType": "ImagePDQ",
            "hashValue": value,
            "hashStatus": status,
            "caseNumbers": {"case-1": status},
            "CSPFeedbacks": [],
        }
        for time, value, status in records
    ]
    return json.dumps({"count": len(rows), "nextPageToken": "t", "hasMoreRecords": True, "hashRecords": rows})


def ncmec(*images: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        '<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">'
        f'<images count="2">{"".join(images)}</images>'
        '<videos count="1"><video><member id="1">m</member><id>v</id><fingerprints><md5>zz</md5></fingerprints></video>'
        "</videos></queryResult>"
    )


def image(name: str, time: str, **fingerprints: str) -> str:
    prints = "".join(f"<{kind}>{value}</{kind}>" for kind, value in fingerprints.items())
    return (
        f'<image><member id="42">Example</member><timestamp>{time}</timestamp><id>{name}</id>'
        f"<classification>A1</classification><fingerprints>{prints}</fingerprints><feedback/></image>"
    )


def deleted(name: str, time: str) -> str:
    return f'<deletedImage><member id="42">E</member><id>{name}</id><timestamp>{time}</timestamp></deletedImage>'


def threatexchange(*rows: tuple[str, str, str]) -> str:
    """(type, hash, category) each."""
    lines = [f"a collab,{kind},{value},{category},tag one" for kind, value, category in rows]
    return "\n".join(["collab,signal_type,signal_str,category,tags", *lines, ""])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.json", stopncii((5, KNOWN.upper(), "Active"), (6, OTHER, "Received"))),
        ("page.json", json.dumps(json.loads(stopncii((5, KNOWN, "Active")))["hashRecords"])),
        ("page.xml", ncmec(image("i-1", "2026-01-31T15:00:00Z", pdq=KNOWN, md5=MD5, pdna="abc"))),
        ("set.csv", threatexchange(("pdq", KNOWN, "POSITIVE_CLASS"), ("md5", MD5, "INVESTIGATION_SEED"))),
    ],
)
def test_a_listed_picture_matches_in_every_flip_and_turn(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    classifier = part(tmp_path / name)
    for turned in (PICTURE, PICTURE[:, ::-1], np.rot90(PICTURE), np.rot90(PICTURE, 3).swapaxes(0, 1)):
        (finding,) = classifier.classify(np.ascontiguousarray(turned), Stage.OUTPUT_IMAGE)
        assert finding.score > 0.75
        assert KNOWN not in str(finding.facts)
        assert dict(finding.facts)["entry"]


@pytest.mark.parametrize("status", ["Withdrawn", "Deleted"])
def test_a_record_taken_back_matches_no_more_whatever_the_order_of_the_pages(status: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(stopncii((20, KNOWN, status), (1, OTHER, "Active")))
    (tmp_path / "b.json").write_text(stopncii((10, KNOWN, "Active")))
    assert look(part(tmp_path)).score == 0
    (tmp_path / "c.json").write_text(stopncii((30, KNOWN, "Active")))
    assert look(part(tmp_path)).score > 0.75


def test_a_deleted_image_takes_back_the_entry_of_its_member_and_id_alone(tmp_path: Path) -> None:
    early, late = "2026-01-31T15:00:00Z", "2026-02-01T00:00:00.5Z"
    other = image("other", early, pdq=OTHER)
    for images, matches in (
        ((deleted("i", late), image("i", early, pdq=KNOWN)), False),
        ((image("i", late, pdq=KNOWN), deleted("i", early)), True),
        ((image("i", early, pdq=KNOWN), deleted("another", late)), True),
        ((image("i", early, pdq=KNOWN), image("i", late, pdq=OTHER)), False),
    ):
        path = tmp_path / "page.xml"
        path.write_text(ncmec(other, *images))
        assert (look(part(path)).score > 0.75) is matches


def test_a_row_judged_negative_takes_back_what_stands_above_it(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text(
        threatexchange(("pdq", KNOWN, "POSITIVE_CLASS"), ("pdq", KNOWN, "NEGATIVE_CLASS"), ("pdq", OTHER, "X"))
    )
    assert look(part(path)).score == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
def test_the_last_change_of_an_entry_in_time_decides_and_of_one_time_the_last_in_the_file(
    changes: list[tuple[int, bool]],
) -> None:
    page = stopncii(*((time, KNOWN, "Active" if active else "Withdrawn") for time, active in changes))
    expected = [active for time, active in changes if time == max(time for time, _ in changes)][-1]
    latest = {each.key: each for each in sorted(entries_of(".json", page.encode(), "l"), key=lambda each: each.time)}
    assert [each.active for each in latest.values()] == [expected]


@pytest.mark.parametrize(("kind", "digits"), [("md5", MD5), ("sha1", SHA1), ("sha256", SHA256)])
def test_a_file_is_known_by_its_digest(kind: str, digits: str, tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text(
        threatexchange((kind, digits.upper(), "POSITIVE_CLASS"), ("url", "https://x.test", "POSITIVE_CLASS"))
    )
    classifier = part(path)
    assert isinstance(classifier, FileClassifier)
    (finding,) = classifier.classify_file(FILE)
    assert (finding.score, dict(finding.facts)["matched_by"]) == (1.0, kind)
    assert digits not in str(finding.facts)
    assert [each.score for each in classifier.classify_file(FILE + b"!")] == [0.0]
    assert look(classifier).score == 0


def replace(path: Path, content: str) -> None:
    """As an operator should: written beside it, then renamed."""
    beside = path.with_suffix(".new")
    beside.write_text(content)
    os.replace(beside, path)


def test_a_changed_file_counts_from_the_next_screening_on(tmp_path: Path) -> None:
    path = tmp_path / "page.json"
    path.write_text(stopncii((1, OTHER, "Active")))
    classifier = part(path)
    assert look(classifier).score == 0
    replace(path, stopncii((1, OTHER, "Active"), (2, KNOWN, "Active")))
    assert look(classifier).score > 0.75
    replace(path, stopncii((3, KNOWN, "Withdrawn"), (3, OTHER, "Withdrawn")))
    assert look(classifier).score == 0
    assert classifier.categories == {"ncii"}, "what was claimed at the start is still looked for"


def test_a_changed_file_that_cannot_be_read_is_no_answer_until_it_can(tmp_path: Path) -> None:
    path = tmp_path / "page.json"
    good = stopncii((1, KNOWN, "Active"))
    path.write_text(good)
    classifier = part(path)
    replace(path, good[:-9])
    for _ in range(2):
        with pytest.raises(ClassifierFailed, match="list feed") as raised:
            look(classifier)
        assert KNOWN not in str(raised.value)
    path.unlink()
    with pytest.raises(ClassifierFailed):
        classifier.classify_file(FILE)
    path.write_text(good)
    assert look(classifier).score > 0.75


def test_a_pinned_list_does_not_follow_a_change(tmp_path: Path) -> None:
    path = tmp_path / "page.json"
    path.write_text(stopncii((1, KNOWN, "Active")))
    classifier = part(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    replace(path, stopncii((1, KNOWN, "Withdrawn"), (2, OTHER, "Active")))
    with pytest.raises(ClassifierFailed):
        look(classifier)


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("p.json", stopncii((1, OTHER, "Active"), (1, SECRET + "ff", "Active")), "record 2: its pdq has not 64"),
        ("p.json", stopncii((1, SECRET, "Gone")), "record 1: hashStatus"),
        ("p.json", stopncii((float("nan"), SECRET, "Active")), "record 1: lastModtimestamp"),
        ("p.json", f'{{"hashes":\n["{SECRET}"', "line 2: it is not JSON"),
        ("p.json", f'{{"{SECRET}": []}}', "no array hashRecords"),
        ("p.json", "[" * 100_000, "nested too deeply"),
        ("p.xml", f"<queryResult>\n<hash>{SECRET}", "line 2: it is not XML"),
        ("p.xml", f'<!DOCTYPE a [<!ENTITY b "{SECRET}">]><a>&b;</a>', "DTD"),
        ("p.xml", f"<queryResult><hash>{SECRET}</hash></queryResult>", "its root is no queryResult"),
        ("p.xml", ncmec(image("i", "2026-01-31T15:00:00Z", pdq=SECRET + "0")), "image 1: its pdq"),
        ("p.xml", ncmec(image("i", SECRET, pdq=SECRET)), "image 1: its timestamp"),
        ("p.xml", ncmec(image(f"{SECRET} x", "2026-01-31T15:00:00Z", pdq=SECRET)), "image 1: it has no member id"),
        ("p.csv", threatexchange(("pdq", SECRET[1:], "POSITIVE_CLASS")), "line 2: its pdq"),
        ("p.csv", f"collab,signal_type,signal_str\nx,pdq,{SECRET}\n", "line 2: a row has"),
        ("p.csv", f"signal_type,signal_str,category\npdq,{SECRET},P,more\n", "line 2: a row has"),
        ("p.jsonl", f'\n{{"id": "a", "hash": "{SECRET}", "{SECRET}": 1}}', "line 2: Extra inputs"),
        ("p.txt", SECRET, "must end in"),
    ],
)
def test_a_malformed_list_names_file_and_place_and_quotes_nothing(
    name: str, content: str, where: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(PartUnusable) as raised:
        part(tmp_path / name)
    said = str(raised.value)
    assert where in said
    assert name in said
    assert "c0ffee" not in said
    assert raised.value.remedy


def test_a_list_is_read_up_to_its_limit_and_not_beyond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = stopncii((1, KNOWN, "Active"))
    (tmp_path / "a.json").write_text(page)
    (tmp_path / "b.json").write_text(page)
    monkeypatch.setattr("moderation.known_pictures.lists.MAX_LIST_BYTES", 2 * len(page))
    assert look(part(tmp_path)).score > 0.75
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(PartUnusable, match="bytes"):
        part(tmp_path)


@given(st.sampled_from(sorted(READERS)), st.binary(max_size=200))
def test_any_bytes_are_entries_or_a_named_fault(suffix: str, data: bytes) -> None:
    with suppress(Unreadable):
        list(entries_of(suffix, data, "l"))
