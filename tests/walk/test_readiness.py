"""`/health/ready` tells the truth about everything a request needs; `/health/live` asks none of it."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from tests.walk.house import House
from tests.walk.switched_parts import switched


def ready(house: House, **changes: Any) -> tuple[int, list[str]]:
    """Asked of an app of its own, which remembers no earlier answer."""
    app = house.beside(**changes)
    answer = house.send("GET", "/health/ready", key=None, app=app)
    assert house.send("GET", "/health/live", key=None, app=app).status_code == 200
    return answer.status_code, answer.json()["waiting_for"]


@pytest.fixture
def down() -> Iterator[str]:
    """A PostgreSQL that is down: nothing listens at its port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"postgresql+psycopg://postgres@127.0.0.1:{taken.getsockname()[1]}/test"


def test_a_gateway_that_can_draw_is_ready_and_leaves_nothing_behind(house: House) -> None:
    # case R26
    assert ready(house) == (200, [])
    before = house.written(), sorted(house.path.rglob("*"))
    assert ready(house) == (200, [])
    assert (house.written(), sorted(house.path.rglob("*"))) == before


@pytest.mark.parametrize(
    ("mood", "missing"),
    [
        ({"disk": "full"}, "blob_store"),
        ({"switched_signer": "gone"}, "signer"),
        ({"switched_words": "raises"}, "classifiers"),
        ({"switched_eyes": "raises"}, "classifiers"),
    ],
)
def test_a_part_that_does_not_do_its_work_is_named(house: House, mood: dict[str, str], missing: str) -> None:
    # case S14
    with switched(**mood):
        assert ready(house) == (503, [missing])
    assert ready(house) == (200, [])


def test_a_database_that_is_down_is_named(house: House, down: str) -> None:
    # case S14
    assert ready(house, database=create_engine(down)) == (503, ["database"])


def test_a_database_that_takes_no_writes_is_named(house: House) -> None:
    # case S14
    reading_only = create_engine(f"sqlite:///file:{house.database}?mode=ro&uri=true")
    assert ready(house, database=reading_only) == (503, ["database"])


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_named(house: House, tmp_path: Path) -> None:
    # case S14
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        settings = house.parts.settings.model_copy(update={"data_dir": disk})
        assert ready(house, settings=settings) == (503, ["disk_space"])
        with (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                try:
                    filler.write(bytes(4096))
                except OSError:
                    break
        status, missing = ready(house, settings=settings)
        assert status == 503
        assert {"data_folder", "disk_space"} <= set(missing)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_redis_counts_where_limits_are_kept_in_it(house: House, down: str) -> None:
    # case S14
    from dataclasses import replace

    from gateway.limits import Limits

    port = down.rsplit(":", 1)[1].split("/")[0]
    limits = Limits(replace(house.parts.limit_settings, redis_url=f"redis://127.0.0.1:{port}/0"))
    try:
        assert ready(house, limits=limits) == (503, ["redis"])
    finally:
        house.run(limits.aclose())
