"""Fake parts with a switch each: they work like the real ones until a test says how they are to break.

They are found through real entry points, as a stranger's parts would be: `install` writes the distribution that names
them. `SWITCHES` holds what each does now, for parts in this process; `Options` set it for a server in another one.
"""

import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec import register_implementation
from fsspec.implementations.local import LocalFileSystem
from pydantic import BaseModel, ConfigDict

from inference.engines import Rendering, RenderOrder
from inference.errors import EngineOutOfMemory, RenderCancelled
from inference.flux.engine import FluxEngine
from moderation.classifiers import Pixels
from moderation.prompt_guard import GuardPart
from moderation.text.folding import FoldedText
from policies.findings import Category, Fact, Finding, Stage
from provenance.signing.local import LocalSigner
from tests.walk.switched_mark import CALM, SWITCHES

LET_GO = threading.Event()
"""Ends what hangs."""

DRAWN: list[int] = []
"""Seeds of what the engine began to draw in this process, in order."""

_DISTRIBUTION = """
[fluxgate.prompt_classifiers]
switched_words = tests.walk.switched_parts:SwitchedWords
switched_guard = tests.walk.switched_parts:SwitchedGuard
[fluxgate.image_classifiers]
switched_eyes = tests.walk.switched_parts:SwitchedEyes
[fluxgate.engines]
switched_flux = tests.walk.switched_parts:SwitchedEngine
[fluxgate.watermarkers]
switched_mark = tests.walk.switched_mark:SwitchedWatermark
[fluxgate.signers]
switched_signer = tests.walk.switched_parts:SwitchedSigner
"""


def install(folder: Path) -> str:
    """Makes the parts known to this process; returns the path entry that another one needs."""
    described = folder / "switched_parts-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: switched-parts\nVersion: 1\n")
    (described / "entry_points.txt").write_text(_DISTRIBUTION)
    sys.path.append(str(folder))
    return str(folder)


@contextmanager
def switched(**moods: str) -> Iterator[None]:
    """The named parts do as they are told inside the block, and are calm again after it."""
    SWITCHES.update(moods)
    try:
        yield
    finally:
        SWITCHES.clear()
        LET_GO.set()
        LET_GO.clear()


class _Classifier:
    version = "1"
    name: str

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: Options) -> None:
        self._options = options

    @property
    def categories(self) -> frozenset[str]:
        return frozenset(category.value for category in Category)

    def _answer(self, stage: Stage) -> tuple[Finding, ...]:
        mood = SWITCHES.get(self.name, CALM)
        mood, _, only = mood.partition("@")  # `raises@input_image`
        if only and only != stage.value:
            mood = CALM
        if mood == "exits":
            sys.exit(3)
        if mood == "raises":
            raise RuntimeError("the weights are gone")
        if mood == "hangs":
            LET_GO.wait(30)
        if mood == "says_nothing":
            return ()
        found, _, score = (mood.removeprefix("finds:") if mood.startswith("finds:") else "").partition("=")
        return tuple(
            Finding(category, float(score or 1.0) if category == found else 0.0, stage, self.name, self.version)
            for category in sorted(map(str, Category))
        )


class SwitchedWords(_Classifier):
    name = "switched_words"

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        return self._answer(Stage.PROMPT)


class SwitchedGuard(GuardPart):
    """The real guard part, counted."""

    name = "switched_guard"
    asked = 0

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        SwitchedGuard.asked += 1
        mood = SWITCHES.get(self.name, CALM)
        if mood == "raises":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if mood == "hangs":
            LET_GO.wait(30)
        if mood == "says_nothing":
            return ()
        return super().classify(text)


class SwitchedEyes(_Classifier):
    """`asked`: about how many pictures. It is steady only where a test says so."""

    name = "switched_eyes"
    asked = 0
    steady = False

    @property
    def categories(self) -> frozenset[str]:
        return super().categories | {Fact.PERSON.value}

    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        SwitchedEyes.asked += stage is Stage.INPUT_IMAGE
        found = self._answer(stage)
        mood = SWITCHES.get(self.name, CALM)
        if not mood.startswith("sees:"):
            return found
        return (*found, Finding(Fact.PERSON, float(mood.removeprefix("sees:")), stage, self.name, self.version))


class SwitchedEngine(FluxEngine):
    """The real engine. `step_seconds` slows it down; `tap` gets a line with the digest of each picture's pixels."""

    name = "switched_flux"

    class Options(FluxEngine.Options):
        step_seconds: float = 0.0
        tap: Path | None = None

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._step_seconds = options.step_seconds
        self._tap = options.tap

    def render(
        self, order: RenderOrder, *, progress: Callable[[int, int], None], cancelled: Callable[[], bool]
    ) -> Rendering:
        DRAWN.append(order.drawing.seed)
        mood = SWITCHES.get(self.name, CALM)
        if mood == "exits":
            sys.exit(3)
        if mood == "out_of_memory":
            raise EngineOutOfMemory("no memory for this picture")
        if mood == "raises":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if mood == "cancelled":
            raise RenderCancelled
        if mood == "waits":
            LET_GO.wait(30)
        if mood == "hangs":
            while not cancelled():
                time.sleep(0.01)
            raise RenderCancelled

        def slowly(done: int, total: int) -> None:
            time.sleep(self._step_seconds)
            progress(done, total)

        rendering = super().render(order, progress=slowly, cancelled=cancelled)
        if self._tap is not None:
            with self._tap.open("a") as tapped:
                tapped.write(hashlib.sha256(rendering.pixels.tobytes()).hexdigest() + "\n")
        return rendering


class SwitchedSigner(LocalSigner):
    name = "switched_signer"

    def sign(self, message: bytes) -> bytes:
        if SWITCHES.get(self.name, CALM) == "exits":
            sys.exit(3)
        if SWITCHES.get(self.name, CALM) == "gone":
            raise ConnectionRefusedError("the key lives in another house")
        return super().sign(message)


class SwitchedDisk(LocalFileSystem):
    """The local disk, until it is full: a write then leaves a half-written file and fails as the kernel would."""

    protocol = ("file", "switched")

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if SWITCHES.get("disk") == "exits":
            sys.exit(3)
        if SWITCHES.get("disk", CALM) == "full" or (
            SWITCHES.get("disk") == "full_for_manifests" and "/manifests/" in path
        ):
            super().pipe_file(path, value[: len(value) // 2], mode, **kwargs)
            raise OSError(28, "No space left on device")
        super().pipe_file(path, value, mode, **kwargs)


register_implementation("switched", SwitchedDisk, clobber=True)
