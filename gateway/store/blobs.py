"""Stores files by name through fsspec: a local folder by default, `s3://…` and others by URL.

Every call has an end: a store that hangs is one that is away.
"""

import contextlib
import os
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import fsspec

from gateway.errors import GatewayError

Answer = TypeVar("Answer")

_NAME = re.compile(r"[a-z]+/[A-Za-z0-9_-]+(\.[a-z0-9]+)*")


class BlobsUnavailable(GatewayError):
    """The blob store cannot be read or written (full disk, lost bucket)."""

    code = "storage_unavailable"


class BlobMissing(GatewayError):
    """No blob of that name."""

    code = "not_found"
    what = "file"


class Blobs:
    """`url`: a folder or an fsspec URL. Names look like `images/fg_abc.png`; anything else is a programming error.

    `seconds`: how long one call may take, whatever the store; then it raises `BlobsUnavailable`.
    """

    def __init__(self, url: str, seconds: float = 60.0, threads: int = 16) -> None:
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(threads, "blobs")
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))

    @property
    def local_folder(self) -> Path | None:
        """The folder, if it is on a disk of this machine."""
        return Path(self._root) if self._local else None

    def write(self, name: str, data: bytes) -> None:
        """All or nothing: on a local disk the bytes are written beside and renamed. Raises `BlobsUnavailable`."""
        path = self._path(name)

        def write() -> None:
            beside = f"{path}.{uuid.uuid4().hex}.part" if self._local else path
            if self._local:
                _make_private(beside, self._root)
            else:
                self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            try:
                self._fs.pipe_file(beside, data)
                if self._local:
                    self._fs.mv(beside, path)
            except BaseException:
                if self._local and self._fs.exists(beside):
                    self._fs.rm_file(beside)
                raise

        try:
            self._in_time(write)
        except FileNotFoundError as failure:
            raise BlobsUnavailable("the blob store did not take a file") from failure

    def read(self, name: str) -> bytes:
        """Raises `BlobMissing` or `BlobsUnavailable`."""
        path = self._path(name)
        try:
            data: bytes = self._in_time(lambda: self._fs.cat_file(path))
        except FileNotFoundError as failure:
            raise BlobMissing(name) from failure
        return data

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names that begin with `prefix`, such as `images/pred_abc-`. Walks a folder: not for every request."""
        folder, _, start = prefix.partition("/")
        pattern = f"{self._path(folder + '/' + start)}*"
        try:
            found = self._in_time(lambda: self._fs.glob(pattern))
        except FileNotFoundError:
            return ()
        return tuple(f"{folder}/{str(path).rsplit('/', 1)[-1]}" for path in found)

    def remove(self, name: str) -> None:
        """Removing what is not there is no error."""
        path = self._path(name)
        with contextlib.suppress(FileNotFoundError):
            self._in_time(lambda: self._fs.rm_file(path))

    def _path(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("blob name is not of the form folder/name.ext")
        return f"{self._root}/{name}"

    def _in_time(self, work: Callable[[], Answer]) -> Answer:
        """What `work` returns; its own `FileNotFoundError`, `BlobsUnavailable` for whatever else."""
        try:
            return self._pool.submit(work).result(self._seconds)
        except FileNotFoundError:
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as failure:
            raise BlobsUnavailable("the blob store did not answer as it should") from failure


def _make_private(path: str, root: str) -> None:
    """An empty file that only its owner can read, whatever the umask, and the folders below `root` that it needs."""
    for folder in (root, path.rsplit("/", 1)[0]):
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
