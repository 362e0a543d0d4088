"""The data folder is its owner's alone, whatever the umask and whatever an earlier version left."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.signing.provisioning import open_ledger, signing_files
from gateway.stations.records import utc_now
from gateway.store.blobs import Blobs
from gateway.store.data_folder import open_data_folder


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def loose(path: Path) -> dict[str, str]:
    return {str(p): oct(p.stat().st_mode) for p in (path, *path.rglob("*")) if p.stat().st_mode & 0o077}


def furnished(path: Path) -> None:
    folder = open_data_folder(path)
    open_ledger(folder)
    signing_files(folder.keys, "Example", utc_now())
    Blobs(folder.blob_url).write("uploads/upl_a.png", b"pixels")
    folder.database.dispose()


def test_nothing_in_a_data_folder_is_made_for_others_to_read(tmp_path: Path) -> None:
    # case S11
    furnished(tmp_path / "data")
    assert not loose(tmp_path / "data")


def test_what_an_earlier_version_left_open_is_closed_at_the_next_start_and_links_are_left_alone(tmp_path: Path) -> None:
    # case S11
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    furnished(data)
    elsewhere.write_text("another's")
    elsewhere.chmod(0o644)
    (data / "link").symlink_to(elsewhere)
    for path in (data, *(p for p in data.rglob("*") if not p.is_symlink())):
        path.chmod(0o755 if path.is_dir() else 0o644)
    open_data_folder(data).database.dispose()
    assert set(loose(data)) == {str(data / "link")}
    assert elsewhere.stat().st_mode & 0o777 == 0o644


def test_images_kept_outside_the_data_folder_are_private_too(tmp_path: Path) -> None:
    # case S11
    Blobs(str(tmp_path / "blobs")).write("images/pred_a-fg_b.png", b"pixels")
    assert not loose(tmp_path / "blobs")
