"""`python -m tests.faults.fuzz --count 10000 --seed 1`: mutated files, verified in a process that may die of them.

Seals PNG, JPEG and WebP pictures (generated, edited, unmarked, with their manifest elsewhere), adds the public test
files where the data folder is there, and lets a child process verify mutations of them. Fails if one crashes or hangs
the child, makes `verify` raise, is called ours and intact though it was changed, or makes anything connect to the
address that the files name.
"""

import argparse
import collections
import contextlib
import json
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from provenance.claims import Source
from provenance.files.encoding import encode
from provenance.marks.tile_watermark import TileWatermark
from provenance.sealing import SealerSetup, seal
from tests.faults.fuzzed import TILE_KEY
from tests.provenance.forgeries import referring
from tests.provenance.formats import FORMATS
from tests.provenance.operators import make_claim, make_gateway, record_of
from tests.provenance.pictures import make_picture

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = ROOT.parent / "shared" / "data"
LARGEST_PUBLIC_BYTES = 400_000
HANGS_SECONDS = 60.0


@dataclass
class Outcome:
    """`wrong`: (number, what happened); nothing else is a failure. `slowest`: CPU seconds of two verifications, and
    of which file. `memory_mib`: the child's largest resident size. `fetched`: connections to the named address."""

    files: int = 0
    wrong: list[tuple[int, str]] = field(default_factory=list)
    verdicts: dict[str, int] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, -1)
    memory_mib: int = 0
    fetched: int = 0


def fuzz(folder: Path, seed: int, count: int, *, first: int = 0, progress: bool = False) -> Outcome:
    """Verifies `count` mutations from number `first` on; a child that dies or hangs is replaced behind the culprit."""
    outcome, verdicts = Outcome(), collections.Counter[str]()
    with listening() as (address, taken), _bar(progress) as bar:
        prepare(folder, address)
        task = bar.add_task("verifying", total=count)
        number, end = first, first + count
        while number < end:
            for line in _child(folder, seed, number, end - number):
                if "wrong" not in line:
                    number = line.get("begins", number)
                    if "died" in line:
                        outcome.wrong.append((number, line["died"]))
                    continue
                bar.advance(task)
                outcome.files += 1
                verdicts.update(line["verdicts"])
                outcome.memory_mib = max(outcome.memory_mib, line["memory_mib"])
                outcome.slowest = max(outcome.slowest, (line["seconds"], line["ended"]))
                if line["wrong"]:
                    outcome.wrong.append((line["ended"], f"{line['wrong']} ({line['done']})"))
            number += 1
        outcome.fetched = len(taken)
    outcome.verdicts = dict(verdicts)
    return outcome


def _bar(shown: bool) -> Progress:
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)


def _child(folder: Path, seed: int, first: int, count: int) -> Iterator[dict[str, Any]]:
    """What the child says, line by line, and at last `died` if it did not end well."""
    command = [sys.executable, "-m", "tests.faults.fuzzed", str(folder), str(seed), str(first), str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as child:
        assert child.stdout is not None
        began = False
        while True:
            if not select.select([child.stdout], [], [], HANGS_SECONDS)[0]:
                child.kill()
                yield {"died": f"hangs for {HANGS_SECONDS:.0f} s"}
                return
            line = child.stdout.readline()
            if not line:
                break
            began = True
            yield json.loads(line)
        if not began:
            raise RuntimeError("the verifying process did not start")
        if child.wait() != 0:
            yield {"died": f"the process died ({child.returncode})"}


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, list[object]]]:
    """An address that files may name, and the connections made to it."""
    taken: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    taken.append(connection)
                    connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa", taken
        server.shutdown(socket.SHUT_RDWR)


def prepare(folder: Path, address: str) -> None:
    """Keys, records and files to mutate. `address`: where some of them say that their manifest lies."""
    gateway = make_gateway(folder, "Fuzz Test")
    tile = TileWatermark(TileWatermark.Options.model_validate({"keys": [{"id": "own", "hex": TILE_KEY}]}))
    parts = SealerSetup(tile, gateway.sealing.signer, gateway.sealing.reader, gateway.sealing.fingerprint)
    own, public = folder / "own", folder / "public"
    own.mkdir()
    public.mkdir()
    records = []

    for number, media_type in enumerate(FORMATS):
        kind = media_type.removeprefix("image/")
        mark = b"sealed %d" % number
        sealed = seal(parts, make_picture(256, 256, number), make_claim(media_type, mark=mark))
        edit = make_claim(media_type, parent=Source(sealed.data, media_type), mark=b"edited %d" % number)
        edited = seal(gateway.sealing, make_picture(256, 320, 10 + number), edit)
        for name, image in (("sealed", sealed), ("edited", edited)):
            (own / f"{name}.{kind}").write_bytes(image.data)
            records.append({**asdict(record_of(image)), "mark": image.mark.hex()})
        plain = encode(make_picture(120, 200, 20 + number), media_type, 90)
        (own / f"plain.{kind}").write_bytes(plain)
        (own / f"elsewhere.{kind}").write_bytes(referring(folder, media_type, plain, address))
    for path in sorted(PUBLIC.glob("c2pa_*/**/*.jpg")):
        if path.stat().st_size <= LARGEST_PUBLIC_BYTES:
            (public / path.name).write_bytes(path.read_bytes())
    (folder / "records.json").write_text(json.dumps(records))


def main() -> int:
    """Prints what came of it; 1 if anything went wrong."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--count", type=int, default=10_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--first", type=int, default=0, help="number of the first file, to repeat one of a run")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = fuzz(Path(folder), chosen.seed, chosen.count, first=chosen.first, progress=True)
    print(json.dumps(asdict(outcome), indent=1))
    return 1 if outcome.wrong or outcome.fetched else 0


if __name__ == "__main__":
    sys.exit(main())
