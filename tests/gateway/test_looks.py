"""Recorded pictures are found by their looks, whole or in part; those of an older database as far as it knows them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, MetaData, Table

from gateway.store import database
from gateway.store.blobs import Blobs
from gateway.store.images import Images
from gateway.store.looks import Looks
from gateway.store.pictures import Pictures
from moderation.known_pictures.pdq import pdq
from provenance.looks.landmarks import landmarks
from provenance.marks.watermarkers import Pixels


def squares(seed: int) -> Pixels:
    """Coloured squares: many points, none like those of another seed."""
    coarse = np.random.default_rng(seed).integers(20, 235, (20, 20, 3), np.uint8)
    return np.repeat(np.repeat(coarse, 16, axis=0), 16, axis=1)


def insert(engine: Engine, content_id: str, pixels: Pixels, **changes: Any) -> None:
    """One job and its picture, by the columns the database has."""
    tables = MetaData()
    jobs, images = (Table(name, tables, autoload_with=engine) for name in ("jobs", "images"))
    pdq_hash, quality = pdq(pixels)
    job = {"id": f"pred_{content_id}", "tenant": "acme", "key_id": "k", "assurance": 1, "dialect": "native"}
    job |= {"model": "demo", "state": "delivered", "created_at": 1.0, "steps_done": 1, "steps": 1, "attempt": 1}
    image = {"content_id": content_id, "job_id": job["id"], "tenant": "acme", "media_type": "image/png", "width": 320}
    image |= {
        "height": 320,
        "size": 9,
        "sha256": content_id * 8,
        "pdq": pdq_hash,
        "pdq_quality": quality,
        "held": False,
    }
    image |= {
        "mark_algorithm": "",
        "manifest_id": content_id,
        "model": "demo",
        "model_trained": True,
        "created_at": 1.0,
    }
    with engine.begin() as connection:
        connection.execute(jobs.insert().values(job | {"cancel_requested": False}))
        connection.execute(images.insert().values(image | changes))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return database.open_database(f"sqlite:///{tmp_path / 'fluxgate.db'}")


def test_whole_and_partial_copies_lead_to_the_delivered_picture_and_to_no_held_one(engine: Engine) -> None:
    database.migrate(engine)
    for number in range(5):
        insert(engine, f"fg_{number}", squares(number), landmarks=landmarks(squares(number)), held=number == 4)
    looks = Looks(engine)

    assert [look.content_id for look in looks.nearest(pdq(squares(2))[0])] == ["fg_2"]
    part = np.ascontiguousarray(squares(2)[50:290, 40:300][:, ::-1])
    assert looks.nearest(pdq(part)[0]) == (), "a mirrored part has another hash"
    assert looks.by_points(part)[0] == "fg_2"
    assert "fg_4" not in looks.by_points(squares(4))
    assert looks.nearest(pdq(squares(4))[0]) == ()


def test_pictures_from_before_landmarks_and_digests_are_found_as_they_were(engine: Engine, tmp_path: Path) -> None:
    old = Config()
    old.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.begin() as connection:
        old.attributes["connection"] = connection
        command.upgrade(old, "0001")
    insert(engine, "fg_old", squares(1))
    for name in ("images/pred_fg_old-fg_old.png", "manifests/pred_fg_old-fg_old.c2pa"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(name.encode())

    database.migrate(engine)

    looks, pictures = Looks(engine), Pictures(Blobs(str(tmp_path)))
    assert [look.content_id for look in looks.nearest(pdq(squares(1))[0])] == ["fg_old"]
    assert looks.by_points(squares(1)) == ()
    found = Images(engine).by_content_id("fg_old")
    assert found is not None
    assert pictures.file(found.job_id, found.image).startswith(b"images/")
    assert pictures.manifest(found.job_id, found.image).startswith(b"manifests/")
