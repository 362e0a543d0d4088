"""The process that verifies mutated files: `python -m tests.faults.fuzzed FOLDER SEED FIRST COUNT`.

It says on standard output which file it begins, then what came of it, one JSON line each: where it dies or hangs, the
last line names the file. `FOLDER` holds the operator's keys and the files to mutate.
"""

import hashlib
import json
import random
import resource
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import cv2

from moderation.known_pictures.pdq import pdq
from provenance.credentials.reading import ManifestReader
from provenance.files.encoding import FileBounds
from provenance.marks.library import LibraryWatermark
from provenance.marks.tile_watermark import TileWatermark
from provenance.reports import KnownImage
from provenance.standings import Standing
from provenance.tracing import Lookups
from provenance.verification import VerifierSetup, verify
from tests.faults.mutations import mutate
from tests.provenance.anatomy import boxes, store_of

TILE_KEY = "5a" * 32
MOST_PIXELS = 4_000_000
SEARCHED = 4
"""Every so many files the tile watermark is looked for too, which takes longer than all the rest."""


def verifying(folder: Path) -> tuple[VerifierSetup, VerifierSetup]:
    """As the operator verifies, with the records of the folder, and as somebody does who has only the anchor."""
    rows = json.loads((folder / "records.json").read_text())
    records = [KnownImage(**{**row, "mark": bytes.fromhex(row["mark"])}) for row in rows]
    tile = TileWatermark(TileWatermark.Options.model_validate({"keys": [{"id": "own", "hex": TILE_KEY}]}))
    legacy = LibraryWatermark(LibraryWatermark.Options())
    reader = ManifestReader((folder / "ca.pem").read_text())
    lookups = Lookups(
        by_mark=lambda mark: next((record for record in records if record.mark == mark), None),
        by_sha256=lambda digest: next((record for record in records if record.sha256 == digest), None),
        by_looks=lambda _: None,
        original=lambda _: None,
    )
    limits = FileBounds(max_pixels=MOST_PIXELS)
    return (
        VerifierSetup(reader, (tile, legacy), pdq, lookups, limits=limits),
        VerifierSetup(reader, (legacy,), pdq, None, limits=limits),
    )


def mutated(own: list[bytes], public: list[bytes], seed: int, number: int) -> tuple[str, bytes, bytes]:
    """What was done, the file before and the file after. A function of `seed` and `number`; one in ten is public."""
    draw = random.Random(f"{seed}/{number}")
    before = draw.choice(public if public and draw.random() < 0.1 else own)
    done, after = mutate(before, own + public, draw)
    return done, before, after


def wrongly_intact(before: bytes, after: bytes) -> bool:
    """Whether a file that reads as intact, without records, differs in more than what nothing covers: the two bytes
    that number a JPEG's box, and the descriptions of boxes in an ingredient's manifest."""
    if before == after:
        return False
    if len(before) != len(after) or b"jumb" not in before:
        return True
    start, end = store_of(before)
    inside = list(boxes(before, start, end))
    active = [box for box in inside if box.kind == "jumb" and box.label.count("/") == 2][-1]
    free = {start - 6, start - 5} if before.startswith(b"\xff\xd8") else set()
    for box in inside:
        if box.kind == "jumd" and box.label.count("/") >= 2 and box.end <= active.start:
            free.update(range(box.start, box.end))
    return any(at not in free for at, (one, two) in enumerate(zip(before, after, strict=True)) if one != two)


def main() -> None:
    """Verifies files FIRST to FIRST + COUNT - 1."""
    folder, seed, first, count = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    with_records, alone = verifying(folder)
    own, public = ([path.read_bytes() for path in sorted((folder / kind).iterdir())] for kind in ("own", "public"))
    known = {row["sha256"] for row in json.loads((folder / "records.json").read_text())}
    for number in range(first, first + count):
        print(json.dumps({"begins": number}), flush=True)
        done, before, after = mutated(own, public, seed, number)
        began, wrong, verdicts = time.process_time(), "", []
        try:
            parts = with_records if number % SEARCHED == 0 else replace(with_records, watermarkers=alone.watermarkers)
            verdicts = [verify(parts, after).standing, verify(alone, after).standing]
        except Exception as failure:  # noqa: BLE001 - the very thing that must not happen
            wrong = f"raised {type(failure).__name__}: {failure}"
        spent = time.process_time() - began
        if verdicts and verdicts[0] is Standing.OURS_INTACT and hashlib.sha256(after).hexdigest() not in known:
            wrong = "changed, and called intact although it is not the recorded file"
        if verdicts and verdicts[1] is Standing.OURS_INTACT and wrongly_intact(before, after):
            wrong = "changed, and called intact by its credential"
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        ended = {"ended": number, "done": done, "wrong": wrong, "seconds": spent, "memory_mib": memory}
        print(json.dumps({**ended, "verdicts": [verdict.value for verdict in verdicts]}), flush=True)


if __name__ == "__main__":
    main()
