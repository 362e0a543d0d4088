"""Labelled folders become embeddings: which pictures there are, which are passed over, and what was seen before.

    FOLDER/<category>/…    pictures of one category of the taxonomy, in folders as deep as you like
    FOLDER/harmless/…      pictures that nothing should be found in, near misses among them

A picture that lies in two categories has both. Files are known by their SHA-256, so copies count once.
"""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy

from moderation.classifiers import Pixels
from moderation.errors import ModerationError
from moderation.probes.files import FLOOR, TRAINABLE, Embeddings
from policies.findings import Category

HARMLESS = "harmless"

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})

LEAST_PICTURES = 30
"""Per folder. A fifth is held out and the rest cut into five; with fewer, a part often has none at all."""

_BATCH = 16
_BATCH_BYTES = 256 * 1024 * 1024
"""Pictures seen at once: so many, or fewer if their pixels take more."""


class TrainingRefused(ModerationError):
    """Probes cannot be trained on these folders; the message says what to change."""


class Eyes(Protocol):
    """What looks at the pictures; `OpenedModel` is one."""

    @property
    def weights_digest(self) -> str:
        """SHA-256, 64 hex digits."""
        ...

    @property
    def eyes_digest(self) -> str:
        """SHA-256 over all that an embedding depends on."""
        ...

    def embed(self, pictures: Sequence[Pixels]) -> Embeddings:
        """(pictures, width), rows of length one."""
        ...


Read = Callable[[Path], bytes]
"""A file's bytes. Raises `PictureSkipped` if it is too large."""

Decode = Callable[[bytes], Pixels]
"""A picture's pixels. Raises `PictureSkipped` if it has too many, or is not a picture."""


class PictureSkipped(ModerationError):
    """A file that is passed over and counted; the message is the reason, a few words."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """`digests`: SHA-256 of the pictures, sorted. `labels`: of each, empty for harmless ones. `embeddings`: of each.

    `skipped`: how many files were passed over, by reason. `looked_at`: how many embeddings were not in the cache.
    """

    digests: tuple[str, ...]
    labels: tuple[frozenset[Category], ...]
    embeddings: Embeddings
    skipped: Mapping[str, int]
    looked_at: int


def labelled_files(folder: Path) -> tuple[tuple[Path, Category | None], ...]:
    """Every picture file with its label, None for harmless, in the order of paths. Raises `TrainingRefused`.

    Hidden files and links are passed over in silence, as are files of other kinds.
    """
    if not folder.is_dir():
        raise TrainingRefused(f"there is no folder {folder}")
    found: list[tuple[Path, Category | None]] = []
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    for name in names:
        label = _label(name)
        inside = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in SUFFIXES)
        inside = [path for path in inside if path.is_file() and not path.is_symlink() and path.name[0] != "."]
        _enough(name, len(inside))
        found += [(path, label) for path in inside]
    if HARMLESS not in names or len(names) < 2:
        raise TrainingRefused(f"{folder} needs a folder {HARMLESS} and at least one that is named like a category")
    return tuple(found)


def _label(name: str) -> Category | None:
    if name == HARMLESS:
        return None
    if name in FLOOR:
        raise TrainingRefused(
            f"no probe is trained for {name}: pictures of it must not be collected, and the part "
            "pdq_list, which compares with lists of known ones, is for it"
        )
    if name not in TRAINABLE:
        known = ", ".join(sorted(TRAINABLE))
        raise TrainingRefused(f"the folder {name} is neither {HARMLESS} nor a category that a picture shows: {known}")
    return Category(name)


def _enough(name: str, count: int) -> None:
    if count < LEAST_PICTURES:
        raise TrainingRefused(f"the folder {name} has {count} usable pictures, at least {LEAST_PICTURES} are needed")


def look_at(
    files: tuple[tuple[Path, Category | None], ...],
    eyes: Eyes,
    cache: Path,
    *,
    read: Read,
    decode: Decode,
    dtype: str,
    progress: Callable[[], None] = lambda: None,
) -> Labelled:
    """The embedding of every picture; `progress` is called after each file.

    Embeddings are kept in the SQLite file `cache` after every few pictures, so that a killed run goes on where it was;
    it holds no pictures and no names. Raises `TrainingRefused` for a picture both harmless and not, and where too few
    are left.
    """
    labels: dict[str, set[Category | None]] = {}
    skipped: Counter[str] = Counter()
    with closing(_Seen(cache, eyes, dtype)) as kept:
        for path, label in files:
            try:
                labels.setdefault(kept.see(read(path), decode), set()).add(label)
            except PictureSkipped as why:
                skipped[str(why)] += 1
            progress()
        stored = kept.all()
    if both := sum(None in each and len(each) > 1 for each in labels.values()):
        raise TrainingRefused(f"{both} pictures lie both in {HARMLESS} and in a category: decide which they are")
    for each in sorted({label for _, label in files}, key=str):
        _enough(each.value if each else HARMLESS, sum(each in found for found in labels.values()))
    digests = tuple(sorted(labels))
    return Labelled(
        digests,
        tuple(frozenset(filter(None, labels[digest])) for digest in digests),
        numpy.stack([numpy.frombuffer(stored[digest], numpy.float32) for digest in digests]),
        dict(skipped),
        kept.looked_at,
    )


class _Seen:
    """The cache, and the pictures that wait to be looked at together."""

    def __init__(self, cache: Path, eyes: Eyes, dtype: str) -> None:
        self._eyes, self._key = eyes, (f"{eyes.eyes_digest}/{dtype}",)
        try:
            self._kept = sqlite3.connect(cache)
            self._kept.execute(
                "create table if not exists embeddings (eyes text, picture text, embedding blob, "
                "primary key (eyes, picture)) without rowid"
            )
        except sqlite3.DatabaseError as error:
            raise TrainingRefused(f"{cache} is no cache that can be used: {error}") from error
        self._known = {row[0] for row in self._kept.execute("select picture from embeddings where eyes = ?", self._key)}
        self._waiting: dict[str, Pixels] = {}
        self.looked_at = 0

    def see(self, data: bytes, decode: Decode) -> str:
        """The digest of the picture, which now has an embedding or waits for one."""
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._known and digest not in self._waiting:
            self._waiting[digest] = decode(data)
        if len(self._waiting) == _BATCH or sum(each.nbytes for each in self._waiting.values()) > _BATCH_BYTES:
            self._embed()
        return digest

    def _embed(self) -> None:
        rows = self._eyes.embed(tuple(self._waiting.values()))
        kept = [(*self._key, digest, row.tobytes()) for digest, row in zip(self._waiting, rows, strict=True)]
        with self._kept:
            self._kept.executemany("insert or replace into embeddings values (?, ?, ?)", kept)
        self.looked_at += len(kept)
        self._known.update(self._waiting)
        self._waiting.clear()

    def all(self) -> dict[str, bytes]:
        """Every embedding of these eyes, by digest; none waits any longer."""
        if self._waiting:
            self._embed()
        return dict(self._kept.execute("select picture, embedding from embeddings where eyes = ?", self._key))

    def close(self) -> None:
        """What waits is not kept."""
        self._kept.close()
