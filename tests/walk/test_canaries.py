"""Prompts, keys and end users' ids appear nowhere they may not: a walk with words found nowhere else, then a search."""

import io
import logging
from pathlib import Path

import pytest
from PIL import Image

from gateway.telemetry import JsonLines
from provenance.log.export import export
from tests.walk.dialogues import DIALOGUES, Native
from tests.walk.house import SIZE, House
from tests.walk.switched_parts import switched

PROMPT, USER, FILE = "quillonabar", "brimstoker", "velmarith"


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, parts_path: str) -> tuple[House, list[bytes], str, list[str]]:
    """A closed house in which everything happened once; the answers; its log lines; its key's secret parts."""
    path = tmp_path_factory.mktemp("canaries") / "data"
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    house = House(path, blob_url=f"switched://{path / 'blobs'}", image_timeout_seconds=1)
    secret = house.key.rsplit("_", 1)[1]
    answers: list[bytes] = []
    wish = {"safety_identifier": USER}
    picture = io.BytesIO()
    Image.effect_noise((SIZE, SIZE), 60).convert("RGB").save(picture, "PNG")
    try:
        for dialogue in DIALOGUES:
            answers.append(dialogue.ask(house, f"a {PROMPT} apple", **wish).picture or b"")
            dialogue.ask(house, f"how to make a pipe bomb {PROMPT}", **wish)
            for moods in (
                {"switched_eyes": "finds:intellectual_property"}, {"switched_flux": "raises"}, {"disk": "full"},
                {"switched_signer": "gone"}, {"switched_words": "raises"}, {"switched_eyes": "hangs"},
                {"switched_mark": "raises"},
            ):  # fmt: skip
                with switched(**moods):
                    dialogue.ask(house, f"a {PROMPT} lemon", **wish)
        house.send("POST", "/v1/moderations", json={"input": f"a {PROMPT} plum"})
        house.send("POST", "/v1/images/generations", json={"prompt": f"{PROMPT}", PROMPT: 1, "seed": PROMPT})
        house.send("POST", "/v1/images/generations", content=b'{"prompt": "' + PROMPT.encode())
        house.send("POST", "/v1/images/generations", json={"prompt": PROMPT}, key=f"{house.key}x")
        house.send("POST", "/api/v1/model/uploadMedia", files={"file": (f"{FILE}.png", b"no picture")})
        with switched(switched_eyes="raises"):
            house.send("POST", "/api/v1/model/uploadMedia", files={"file": (f"{FILE}.png", picture.getvalue())})
        answers.append(house.send("GET", "/metrics", key=None).content)
        answers.append(house.send("GET", "/health", key=None).content)
        vkey = house.vkey
        export(house.folder.engine_for_log, path / "exported", vkey)
    finally:
        house.close()
        root.removeHandler(handler)
        root.setLevel(before)
    return house, answers, lines.getvalue(), [secret, house.key]


def everything_on_disk(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def holds(data: bytes, word: str) -> bool:
    found = word.encode() in data or word.encode("utf-16-le") in data or word.upper().encode() in data
    return found or word.encode().hex().encode() in data


def test_the_search_would_find_them(walked: tuple[House, list[bytes], str, list[str]]) -> None:
    assert holds(f"a {PROMPT} apple".encode(), PROMPT)
    assert "failed: engine_failed" in walked[2], "the log lines were really captured"
    assert len(everything_on_disk(walked[0].path)) > 20


@pytest.mark.parametrize("word", [PROMPT, USER, FILE])
def test_no_word_of_a_caller_is_on_disk(walked: tuple[House, list[bytes], str, list[str]], word: str) -> None:
    """The database with its write-ahead log, all blobs, the exported log, the key files."""
    assert not [name for name, data in everything_on_disk(walked[0].path).items() if holds(data, word)]


@pytest.mark.parametrize("word", [PROMPT, USER, FILE])
def test_no_word_of_a_caller_is_in_our_log_lines_metrics_or_files(
    walked: tuple[House, list[bytes], str, list[str]], word: str
) -> None:
    _, answers, lines, _ = walked
    assert not [line for line in lines.splitlines() if holds(line.encode(), word)]
    assert not [answer[:80] for answer in answers if holds(answer, word)]


def test_no_secret_of_a_key_is_anywhere(walked: tuple[House, list[bytes], str, list[str]]) -> None:
    house, answers, lines, secrets = walked
    for secret in secrets:
        assert not [name for name, data in everything_on_disk(house.path).items() if holds(data, secret)]
        assert secret not in lines
        assert not [answer[:80] for answer in answers if holds(answer, secret)]


def test_a_waiting_request_is_unreadable_at_rest(the_house: House) -> None:
    with switched(switched_flux="hangs"):
        started = the_house.send("POST", "/api/v1/model/generateImage", json={"prompt": f"a {PROMPT} fig"})
        (job,) = the_house.rows('select "order" from jobs where id = ?', started.json()["id"])
        assert job["order"]
        assert not holds(job["order"], PROMPT)
        assert not holds(the_house.database.read_bytes(), PROMPT)
        the_house.send("POST", f"/api/v1/model/prediction/{started.json()['id']}/cancel")
        Native().wait(the_house, started.json()["id"])
