"""`python -m tests.benchmarks.verify`: a mixed folder verified, ours beside the stock parts one after another.

The folder: 1024 x 1024 pictures as PNG, JPEG and WebP, a quarter each sealed and recorded here, sealed here and
stripped by saving them again, signed by somebody else's tool, and bare. Stock is what each library does as its README
says: Pillow decodes, c2pa-python's Reader with its defaults, invisible-watermark's `dwtDctSvd` decoder at the one size
it knows, pdqhash, SHA-256. Ours reads both marks that a gateway reads by default, `tile` at any scale and angle, and
looks records up; the mark is read even of files that are known by their bytes, for every layer speaks for itself. Not
among the files: pictures with another operator's `tile` mark, which take ours longest to say no to.

CPU time is that of one process. Wall time is the folder: stock serially, ours over processes that are up already, as
`fluxgate verify FOLDER` works. Fails on the ratio of wall times.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `gateway/cli.py` sets it

import argparse
import hashlib
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import c2pa
import cv2
import numpy as np
import pdqhash
from imwatermark import WatermarkDecoder
from PIL import Image

from moderation.known_pictures.pdq import pdq
from provenance.credentials.manifest import definition
from provenance.files.encoding import MEDIA_TYPES, decode_own
from provenance.marks.library import LibraryWatermark
from provenance.marks.watermarkers import Pixels
from provenance.reports import KnownImage
from provenance.sealing import seal
from provenance.signing.local import ManifestSigner
from provenance.tracing import Lookups
from provenance.verification import VerifierSetup, verify
from tests.benchmarks import operator
from tests.benchmarks.interleaved import Timing, interleave
from tests.benchmarks.seal import photograph

GOAL = 6.0
VERDICTS = {"sealed": "ours_intact", "stripped": "ours_altered", "foreign": "foreign", "unmarked": "not_found"}


def make_folder(folder: Path, side: int) -> None:
    """Two operators' keys, our records, and twelve files: `files/KIND.TYPE`."""
    for name in ("ours", "theirs", "files"):
        (folder / name).mkdir()
    operator.found(folder / "ours")
    operator.found(folder / "theirs", "Another")
    ours, theirs = operator.sealing(folder / "ours"), ManifestSigner(operator.signer(folder / "theirs"))
    records = []
    for number, media_type in enumerate(list(MEDIA_TYPES)[:3]):
        picture = np.ascontiguousarray(np.rot90(photograph(side), number))
        mark = bytes([number]) * 8
        foreign = definition(operator.claim(media_type), None)
        sealed = seal(ours, picture, operator.claim(media_type, mark))
        records.append([f"known {number}", sealed.sha256, mark.hex(), sealed.pdq, sealed.pdq_quality, ""])
        files = {
            "sealed": sealed.data,
            "stripped": saved(decode_own(sealed.data, media_type), media_type),
            "foreign": theirs.sign(foreign, media_type, saved(picture[:, ::-1], media_type))[0],
            "unmarked": saved(picture[::-1], media_type),
        }
        for kind, data in files.items():
            (folder / "files" / f"{kind}.{media_type.removeprefix('image/')}").write_bytes(data)
    (folder / "records.json").write_text(json.dumps(records))


def saved(pixels: Pixels, media_type: str) -> bytes:
    """A file as people save it, with Pillow's defaults."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, MEDIA_TYPES[media_type])
    return out.getvalue()


def verifying(folder: Path) -> VerifierSetup:
    """As a gateway with these records verifies."""
    rows = json.loads((folder / "records.json").read_text())
    records = [KnownImage(name, sha, bytes.fromhex(mark), *rest) for name, sha, mark, *rest in rows]
    lookups = Lookups(
        by_mark={record.mark: record for record in records}.get,
        by_sha256={record.sha256: record for record in records}.get,
        by_looks=lambda _: None,
        original=lambda _: None,
    )
    watermarkers = (operator.watermarker(), LibraryWatermark(LibraryWatermark.Options()))
    return VerifierSetup(operator.reader(folder / "ours"), watermarkers, pdq, lookups)


def stock(path: Path) -> None:
    """One file through the libraries' own doors."""
    data = path.read_bytes()
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    media_type = f"image/{path.suffix[1:]}"
    reader = c2pa.Reader.try_create(media_type, io.BytesIO(data))
    if reader is not None:
        with reader:
            reader.json()
    WatermarkDecoder("bytes", 96).decode(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), "dwtDctSvd")
    pdqhash.compute(pixels)
    hashlib.sha256(data).hexdigest()


_parts: VerifierSetup | None = None


def begin(folder: Path) -> None:
    """In a worker process."""
    global _parts
    cv2.setNumThreads(1)
    _parts = verifying(folder)


def ours(path: Path) -> str:
    """One file's verdict."""
    assert _parts is not None
    return verify(_parts, path.read_bytes()).standing.value


def wall(files: list[Path], folder: Path, rounds: int, processes: int) -> dict[str, list[float]]:
    """Seconds for the whole folder, in turns."""
    spent: dict[str, list[float]] = {"ours": [], "stock": []}
    with ProcessPoolExecutor(processes, get_context("spawn"), begin, (folder,)) as pool:
        several = files * processes
        list(pool.map(ours, several))  # all are up, and have read the code
        rivals: dict[str, Callable[[], object]] = {
            "ours": lambda: list(pool.map(ours, files)),
            "stock": lambda: list(map(stock, files)),
        }
        for _ in range(rounds):
            for name, run in rivals.items():
                before = time.perf_counter()
                run()
                spent[name].append(time.perf_counter() - before)
    return spent


def main() -> int:
    """Prints the figures; returns 1 if the goal is missed."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--side", type=int, default=1024)
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_folder(folder, chosen.side)
        files = sorted((folder / "files").iterdir())
        begin(folder)
        wrong = [path.name for path in files if ours(path) != VERDICTS[path.stem]]
        if wrong:
            sys.exit(f"not judged as they should be: {', '.join(wrong)}")
        kinds = {path.name: path for path in files}
        cpu: dict[str, dict[str, Timing]] = {
            kind: interleave({"ours": partial(ours, path), "stock": partial(stock, path)}, chosen.rounds)
            for kind, path in kinds.items()
        }
        walls = wall(files, folder, chosen.rounds, chosen.processes)
    ratios = {
        "cpu": sum(t["stock"].median for t in cpu.values()) / sum(t["ours"].median for t in cpu.values()),
        "wall_least": min(walls["stock"]) / min(walls["ours"]),
        "wall_median": statistics.median(walls["stock"]) / statistics.median(walls["ours"]),
    }
    if chosen.json:
        rows = {kind: {name: [t.least, t.median] for name, t in timings.items()} for kind, timings in cpu.items()}
        print(json.dumps({"cpu_ms": rows, "wall_seconds": walls, "ratios": ratios, "goal": GOAL}))
    else:
        print(f"verifying {chosen.side} x {chosen.side}, CPU time, least / median of {chosen.rounds} rounds")
        for kind, timings in cpu.items():
            ratio = timings["stock"].median / timings["ours"].median
            print(f"  {kind:15} ours {timings['ours']}   stock {timings['stock']}   {ratio:5.1f}")
        print(f"  CPU time, all files: {ratios['cpu']:.1f} times less than stock")
        each = {name: statistics.median(times) / len(files) * 1000 for name, times in walls.items()}
        print(f"  wall time a file: {each['ours']:.1f} ms over {chosen.processes} processes, stock {each['stock']:.1f}")
        print(f"  ratio  {ratios['wall_least']:8.1f} / {ratios['wall_median']:8.1f}    goal {GOAL:.0f}")
    return 0 if ratios["wall_median"] >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
