"""Checks files on disk, many at once: one verifier per process, since looking for marks is what takes the time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import cv2

from gateway.settings import load_settings
from gateway.signing.marks import foreign_marks, watermarkers
from gateway.signing.provisioning import anchors_pem
from gateway.signing.revocations import timestamp_anchors_pem
from gateway.signing.signers import organisations
from gateway.store.blobs import Blobs
from gateway.store.data_folder import open_data_folder
from gateway.store.looks import Looks
from gateway.store.pictures import Pictures
from gateway.verifying.records import StoredRecords
from gateway.verifying.verifier import Verifier, to_dict
from provenance.credentials.reading import ManifestReader
from provenance.files.encoding import FileBounds
from provenance.looks.change_map import ChangeMap
from provenance.signing.certificates import chain_pem, load_chain
from provenance.standings import Standing

_WORTH_PROCESSES: Final = 16
"""From so many files on it pays to start processes; each takes a second or two to begin."""

_PICTURES: Final = frozenset((".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff"))


@dataclass(frozen=True, slots=True)
class Checked:
    """One file. `found`: as `gateway.verifying.verifier.to_dict` says it; `exit_code`: see
    `provenance.standings.Standing`. `change_map`: where it differs from the original, if the two were compared."""

    path: Path
    found: dict[str, Any]
    exit_code: int
    change_map: ChangeMap | None = None


@dataclass(frozen=True, slots=True)
class _Desk:
    verifier: Verifier
    max_bytes: int
    beside: bytes | None

    def check(self, path: Path) -> Checked:
        try:
            if path.stat().st_size > self.max_bytes:
                return _unread(path, f"The file is larger than {self.max_bytes} bytes.")
            found = self.verifier.check(path.read_bytes(), self.beside)
            changes = None if found.record is None else found.record.change_map
            return Checked(path, to_dict(found), found.exit_code, changes)
        except OSError as failure:
            return _unread(path, f"The file cannot be read: {failure.strerror or type(failure).__name__}.")
        except Exception as failure:  # noqa: BLE001  every other exit code is a statement about the image
            return _unread(path, f"The image could not be checked: internal error ({type(failure).__name__}).")


def pictures_in(paths: Sequence[Path]) -> list[Path]:
    """The files named, and all picture files (by their names) below the folders named, in order."""
    found: list[Path] = []
    for path in paths:
        inside = (file for file in path.rglob("*") if file.suffix.lower() in _PICTURES and file.is_file())
        found += sorted(inside) if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def check_files(
    files: Sequence[Path], data_dir: Path, anchor: Path | None, processes: int, beside: bytes | None = None
) -> Iterator[Checked]:
    """What can be said about each file, in order, as it becomes known. `anchor`: PEM of the root to trust instead of
    the data folder's own. `beside`: the manifest of a single file that has none. Raises what opening
    the data folder raises.
    """
    if processes == 1 or len(files) < _WORTH_PROCESSES:
        yield from map(_open(data_dir, anchor, beside).check, files)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (data_dir, anchor)) as pool:
        for path, checking in [(path, pool.submit(_check, path)) for path in files]:
            try:
                yield checking.result()
            except BrokenProcessPool:  # a worker was killed, perhaps for its memory: what it worked on is not known
                yield _unread(path, "The image could not be checked: the process that checked it was killed.")


def _open(data_dir: Path, anchor: Path | None, beside: bytes | None = None) -> _Desk:
    settings = load_settings(data_dir)
    keys = data_dir / "keys"
    folder = open_data_folder(data_dir, settings) if (keys / "ca.pem").is_file() else None
    trusted = anchors_pem(keys) if anchor is None else chain_pem(load_chain(anchor))
    limits = FileBounds(settings.max_upload_bytes, settings.max_upload_pixels)
    reader = ManifestReader(trusted, timestamp_anchors_pem(settings))
    records = StoredRecords(Looks(folder.database), Pictures(Blobs(folder.blob_url))) if folder else None
    ours = organisations(folder) if folder and anchor is None else frozenset()
    marks, foreign = watermarkers(settings, folder), foreign_marks(settings)
    return _Desk(Verifier(reader, marks, limits, records, ours, foreign), limits.max_bytes, beside)


_desk: _Desk | None = None  # of a worker process


def _begin(data_dir: Path, anchor: Path | None) -> None:
    global _desk
    cv2.setNumThreads(1)  # the processes share the cores
    _desk = _open(data_dir, anchor)


def _check(path: Path) -> Checked:
    assert _desk is not None
    return _desk.check(path)


def _unread(path: Path, problem: str) -> Checked:
    standing = Standing.UNCHECKABLE
    return Checked(path, {"verdict": standing.value, "summary": problem}, standing.exit_code)
