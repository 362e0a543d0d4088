"""Manifests are named by their content, checked when read, and found again by whoever clears up after a crash."""

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.exchange import StoredImage
from gateway.store.blobs import BlobMissing, Blobs, BlobsUnavailable
from gateway.store.pictures import Pictures
from provenance.claims import SealedImage

DATA, STORE = b"a signed file", b"its manifest store"
DIGEST = hashlib.sha256(STORE).hexdigest()
SEALED = SealedImage(
    data=DATA,
    media_type="image/png",
    width=256,
    height=256,
    sha256=hashlib.sha256(DATA).hexdigest(),
    pdq="0" * 64,
    pdq_quality=100,
    landmarks=b"",
    mark=b"8 bytes.",
    mark_algorithm="dev.fluxgate.tile.1",
    manifest_id="urn:c2pa:one",
    manifest=STORE,
    manifest_json="{}",
    psnr_db=42.0,
    timestamped=False,
)
IMAGE = StoredImage("fg_one", "image/png", SEALED.sha256, "urn:c2pa:one", DIGEST, "00" * 8, 256, 256, "demo")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def pictures(folder: Path) -> Pictures:
    return Pictures(Blobs(str(folder)))


def keep(pictures: Pictures, job: str = "pred_a", content_id: str = "fg_one") -> None:
    asyncio.run(pictures.keep(job, content_id, SEALED))


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_a_manifest_is_named_by_its_digest_and_keeping_it_twice_changes_nothing(
    pictures: Pictures, folder: Path
) -> None:
    keep(pictures)
    before = files(folder)
    keep(pictures)

    assert files(folder) == before == {f"images/pred_a-fg_one.{DIGEST}.png", f"manifests/{DIGEST}.c2pa"}
    assert pictures.manifest("pred_a", IMAGE) == STORE
    assert pictures.file("pred_a", IMAGE) == DATA


def test_a_manifest_that_was_changed_on_disk_is_not_given_out(pictures: Pictures, folder: Path) -> None:
    keep(pictures)
    (folder / "manifests" / f"{DIGEST}.c2pa").write_bytes(STORE + b"!")

    with pytest.raises(BlobsUnavailable, match="not the one that was recorded"):
        pictures.manifest("pred_a", IMAGE)


def test_what_a_crash_left_of_a_job_is_swept_and_nothing_of_another(pictures: Pictures, folder: Path) -> None:
    keep(pictures)
    other = replace(SEALED, manifest=b"another store")
    asyncio.run(pictures.keep("pred_b", "fg_two", other))
    kept = files(folder) - {f"images/pred_a-fg_one.{DIGEST}.png", f"manifests/{DIGEST}.c2pa"}
    half_written = folder / "manifests" / f"{DIGEST}.c2pa.0123.part"
    half_written.write_bytes(STORE[:4])

    asyncio.run(pictures.sweep("pred_a"))

    assert files(folder) == kept


def test_a_crash_between_file_and_manifest_is_swept_too(pictures: Pictures, folder: Path) -> None:
    keep(pictures)
    (folder / "manifests" / f"{DIGEST}.c2pa").unlink()

    asyncio.run(pictures.sweep("pred_a"))

    assert files(folder) == set()


def test_a_discarded_picture_leaves_neither_file_nor_manifest(pictures: Pictures, folder: Path) -> None:
    keep(pictures)

    asyncio.run(pictures.discard("pred_a", IMAGE))

    assert files(folder) == set()
    with pytest.raises(BlobMissing):
        pictures.manifest("pred_a", IMAGE)


def test_a_file_stays_where_its_manifest_cannot_be_removed(folder: Path) -> None:
    class Stuck(Blobs):
        def remove(self, name: str) -> None:
            if name.startswith("manifests/"):
                raise BlobsUnavailable("away")
            super().remove(name)

    pictures = Pictures(Stuck(str(folder)))
    keep(pictures)

    asyncio.run(pictures.sweep("pred_a"))

    assert len(files(folder)) == 2, "the file is the trace by which the next sweep finds the manifest"


def test_pictures_from_before_keep_the_names_they_had(pictures: Pictures, folder: Path) -> None:
    for name in ("images/pred_a-fg_one.png", "manifests/pred_a-fg_one.c2pa"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(DATA)

    assert pictures.file("pred_a", replace(IMAGE, manifest_sha256=None)) == DATA
