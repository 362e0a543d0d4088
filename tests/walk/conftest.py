"""One house for all walks: booting it is the slow part, so tests switch its parts instead of building another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.walk import switched_parts
from tests.walk.dialogues import DIALOGUES, Dialogue
from tests.walk.house import House


@pytest.fixture(scope="session")
def parts_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path entry under which the switched parts are installed, for servers in other processes."""
    return switched_parts.install(tmp_path_factory.mktemp("parts") / "site")


@pytest.fixture(scope="session")
def the_house(tmp_path_factory: pytest.TempPathFactory, parts_path: str) -> Iterator[House]:
    path = tmp_path_factory.mktemp("house") / "data"
    house = House(
        path,
        blob_url=f"switched://{path / 'blobs'}",
        prompt_timeout_seconds=1,
        image_timeout_seconds=1,
        max_upload_bytes=1_000_000,
        max_upload_pixels=1_000_000,
        overlays={"stricter": str(Path(__file__).with_name("overlay.toml"))},
        jurisdictions={"in-india": ["in"]},
    )
    yield house
    house.close()


@pytest.fixture
def house(the_house: House) -> Iterator[House]:
    yield the_house
    assert not switched_parts.SWITCHES, "a test left a part switched"


@pytest.fixture(params=DIALOGUES, ids=lambda dialogue: dialogue.name)
def dialogue(request: pytest.FixtureRequest) -> Dialogue:
    return request.param
