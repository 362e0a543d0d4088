"""The process in which files from anybody are checked: `gateway/verifying/checks.py` starts it, and ends it when it
takes too much. It has no database, no store and no key but the watermark's; what it asks of the records goes to its
parent.

From the parent come pickled objects, which are trusted; to the parent goes JSON, which is not.
"""

import contextlib
import os
import resource
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import cv2
import orjson

from gateway.settings import Settings
from gateway.signing.marks import foreign_marks, watermarkers
from gateway.verifying.verifier import Records, Verifier, to_dict
from provenance.credentials.reading import ManifestReader
from provenance.credentials.revocations import Revocation
from provenance.files.encoding import FileBounds
from provenance.reports import KnownImage, RecordMatch

_NICENESS: Final = 10  # whoever has a key goes first
_NO_MEMORY: Final = -4  # OpenCV's StsNoMem


@dataclass(frozen=True, slots=True)
class CheckerSetup:
    """What the process is given. `settings`: those that verification needs, see
    `gateway.verifying.checks.checker_setup`."""

    settings: Settings
    anchors_pem: str
    timestamp_anchors_pem: str
    organisations: frozenset[str]
    cpu_seconds: int
    memory_bytes: int


class AskedRecords:
    """`gateway.verifying.verifier.Records`, asked of the parent."""

    def __init__(self, parent: Connection) -> None:
        self._parent = parent

    def by_mark(self, mark: bytes) -> KnownImage | None:
        """See `Records`, as for all of these."""
        found: KnownImage | None = self._ask("by_mark", mark)
        return found

    def by_sha256(self, digest: str) -> KnownImage | None:
        """By digest."""
        found: KnownImage | None = self._ask("by_sha256", digest)
        return found

    def by_looks(self, wanted: str) -> KnownImage | None:
        """By PDQ."""
        found: KnownImage | None = self._ask("by_looks", wanted)
        return found

    def by_codes(self, codes: bytes) -> tuple[KnownImage, ...]:
        """By landmarks."""
        found: tuple[KnownImage, ...] = self._ask("by_codes", codes)
        return found

    def by_manifest(self, manifest_id: str) -> KnownImage | None:
        """By manifest."""
        found: KnownImage | None = self._ask("by_manifest", manifest_id)
        return found

    def original(self, content_id: str) -> tuple[bytes, str] | None:
        """The stored file."""
        kept: tuple[bytes, str] | None = self._ask("original", content_id)
        return kept

    def manifest(self, content_id: str) -> bytes | None:
        """The stored manifest."""
        kept: bytes | None = self._ask("manifest", content_id)
        return kept

    def revocation(self, serial: str) -> Revocation | None:
        """Of a certificate."""
        found: Revocation | None = self._ask("revocation", serial)
        return found

    def _ask(self, question: str, subject: str | bytes) -> Any:
        said = {"hex": subject.hex()} if isinstance(subject, bytes) else {"text": subject}
        self._parent.send_bytes(orjson.dumps({"ask": question, **said}))
        return self._parent.recv()  # or nothing more: a parent who cannot answer ends this process


def main(descriptor: int) -> None:
    """Answers checks on this socket until it is closed."""
    parent = Connection(descriptor)
    setup: CheckerSetup = parent.recv()
    os.nice(_NICENESS)
    cv2.setNumThreads(1)
    verifier = verifier_of(setup, AskedRecords(parent))
    _confine(setup.memory_bytes)
    parent.send_bytes(b'{"ready":true}')
    with contextlib.suppress(EOFError):  # the gateway is gone
        while True:
            kind, more = parent.recv()
            _allow_cpu(setup.cpu_seconds)
            parent.send_bytes(orjson.dumps(_answer(verifier, kind, parent.recv_bytes(), more)))


def verifier_of(setup: CheckerSetup, records: Records) -> Verifier:
    """As this process verifies."""
    settings = setup.settings
    return Verifier(
        ManifestReader(setup.anchors_pem, setup.timestamp_anchors_pem),
        watermarkers(settings, None),
        FileBounds(settings.max_upload_bytes, settings.max_upload_pixels),
        records,
        setup.organisations,
        foreign_marks(settings),
    )


def _answer(verifier: Verifier, kind: str, data: bytes, more: Any) -> dict[str, Any]:
    try:
        return {"said": to_dict(verifier.check(data, more)) if kind == "verify" else _match(verifier, data, more)}
    except MemoryError:
        return {"costly": True}
    except Exception as failure:  # noqa: BLE001  a part may raise anything; the parent is told its type, no words
        return {"costly": True} if getattr(failure, "code", None) == _NO_MEMORY else {"failed": type(failure).__name__}


def _match(verifier: Verifier, data: bytes, hinted: list[str]) -> dict[str, Any]:
    """What leads to manifests (`gateway/dialects/soft_binding.py`). `hinted`: ids of manifests to compare with, too."""
    found = verifier.check(data)
    verdict = to_dict(found)["verdict"]
    compared = [] if verdict == "uncheckable" else [verifier.compare(data, manifest_id) for manifest_id in hinted]
    return {
        "verdict": verdict,
        "algorithm": found.detection.algorithm if found.detection else None,
        "pdq": found.pdq,
        "record": _record(found.record),
        "hinted": [_record(each) for each in compared],
    }


def _record(record: RecordMatch | None) -> dict[str, Any] | None:
    """`score`: how alike, 0 to 100; None if the picture is too plain to say."""
    if record is None:
        return None
    score = None
    if record.overlay is not None:
        score = round(100 * record.overlay.correlation)
    elif record.distance is not None:
        score = round(100 * (1 - record.distance / 256))
    return {"content_id": record.known.content_id, "same_picture": record.same_picture, "score": score}


def _confine(memory_bytes: int) -> None:
    """No file is written and no memory taken beyond what this process has now and what a check may take."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with contextlib.suppress(OSError):  # not on Linux: the limit on time has to do
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        most = pages * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _allow_cpu(seconds: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
