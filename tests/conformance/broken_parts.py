"""Parts that break one promise each, and the words of the fault that the check must name."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from gateway.auth.identity import Assurance, Principal, Scope
from gateway.dialects.native import Native
from inference.demo import WEIGHTS
from inference.engines import Rendering, RenderOrder
from inference.flux.engine import FluxEngine
from moderation.classifiers import Pixels
from moderation.text.folding import FoldedText
from policies.findings import Finding, Stage
from provenance.marks.foreign import ForeignMark
from provenance.marks.library import LibraryWatermark
from provenance.marks.watermarkers import Detection


class _Part:
    name = "sound"
    version = "1"

    class Options(BaseModel):
        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: Options) -> None:
        self.options = options


class Words(_Part):
    """A sound prompt classifier."""

    categories = frozenset({"weapons"})

    def found(self, text: FoldedText) -> float:
        return float("rifle" in text.folded)

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        return (Finding("weapons", self.found(text), Stage.PROMPT, self.name, self.version),)


class Thawed(Words):
    class Options(BaseModel):
        pass


class Greedy(Words):
    def __init__(self, options: Words.Options, another: int) -> None:
        super().__init__(options)


class Nameless(Words):
    name = "Has Blanks"


class SaysNothing(Words):
    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        return super().classify(text) if self.found(text) else ()


class SwallowsFailures(Words):
    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        try:
            return super().classify(text)
        except Exception:  # noqa: BLE001  the fault that is looked for
            return (Finding("weapons", 0.0, Stage.PROMPT, self.name, self.version),)


class Quotes(Words):
    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        return (Finding("weapons", 0.0, Stage.PROMPT, self.name, self.version, (("matched", text.folded),)),)


class Unclaimed(Words):
    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        return (Finding("drugs", self.found(text), Stage.PROMPT, self.name, self.version),)


class Alternating(Words):
    """Its answer depends on how often it was asked."""

    def __init__(self, options: Words.Options) -> None:
        self.calls = itertools.count()

    def found(self, text: FoldedText) -> float:
        return super().found(text) or (next(self.calls) % 10) / 10


class Eyes(_Part):
    """A sound image classifier."""

    categories = frozenset({"weapons"})

    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        return (Finding("weapons", float(pixels.mean()) / 255, stage, self.name, self.version),)


class OneStage(Eyes):
    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        return super().classify(pixels, Stage.OUTPUT_IMAGE)


class Scribbles(Eyes):
    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        pixels.flags.writeable = True
        pixels[0, 0] = 255 - pixels[0, 0] // 2
        pixels.flags.writeable = False
        return super().classify(pixels, stage)


class Blind(Eyes):
    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        return (Finding("weapons", 0.0, stage, self.name, self.version),)


class ReadsNothing(_Part):
    def read(self, pixels: Pixels) -> str:
        return ""


class _Engine(FluxEngine):
    name = "sound"


class Unstoppable(_Engine):
    def render(
        self, order: RenderOrder, *, progress: Callable[[int, int], None], cancelled: Callable[[], bool]
    ) -> Rendering:
        def deaf() -> bool:
            cancelled()
            return False

        return super().render(order, progress=progress, cancelled=deaf)


def _with(order: RenderOrder, **changes: Any) -> RenderOrder:
    return dataclasses.replace(order, drawing=dataclasses.replace(order.drawing, **changes))


class OneNoise(_Engine):
    def render(self, order: RenderOrder, **told: Any) -> Rendering:
        return super().render(_with(order, seed=5), **told)


class AnyPrompt(_Engine):
    def render(self, order: RenderOrder, **told: Any) -> Rendering:
        return super().render(_with(order, prompt=order.drawing.prompt.strip() or "a cat"), **told)


class _Mark(LibraryWatermark):
    name = "sound"


class Faint(_Mark):
    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        return pixels.copy()


class Loud(_Mark):
    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        return np.full_like(super().embed(pixels, mark, strength), 90)


class Guesses(_Mark):
    def detect(self, pixels: Pixels) -> Detection | None:
        return super().detect(pixels) or Detection(bytes(8), self.algorithm, 0.1, 0)


class QuietlyUnmarked(_Mark):
    marks = False


class SeesMarks(_Part):
    def read(self, pixels: Pixels) -> tuple[ForeignMark, ...]:
        return (ForeignMark("somebody", "dwtDct", 48, 9, 0.4),)


class SignsNothing(_Part):
    """With a certificate that another key than its own belongs to."""

    algorithm = "es256"

    def __init__(self, options: _Part.Options) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=A")
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now.replace(year=now.year + 1))
        self.chain_pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, message: bytes) -> bytes:
        return b""


class LetsEverybodyIn(_Part):
    async def identify_fresh(self, headers: Mapping[str, str], now: datetime) -> Principal | None:
        return Principal("1", "acme", frozenset(Scope), Assurance.ADULT)

    def close(self) -> None:
        pass


class RaisesAtClose(LetsEverybodyIn):
    async def identify_fresh(self, headers: Mapping[str, str], now: datetime) -> Principal | None:
        return None

    def close(self) -> None:
        raise OSError


class OpenDoor(Native):
    """Its routes do not ask who is there."""

    def router(self, desk: Any) -> APIRouter:
        router = APIRouter(prefix=self.prefix)
        router.get("/anything")(lambda: "for everybody")
        return router


class AlwaysFine(Native):
    def problem(self, problem: Any, request: Request) -> Response:
        return Response("fine", 200)


_FLUX = {"model": str(WEIGHTS), "device": "cpu"}
BROKEN: tuple[tuple[str, type, dict[str, Any], str], ...] = (
    ("prompt_classifiers", Thawed, {}, "freeze the options"),
    ("prompt_classifiers", Greedy, {}, "the options and nothing else"),
    ("prompt_classifiers", Nameless, {}, "attribute `name`"),
    ("prompt_classifiers", SaysNothing, {}, "is empty: report a low score"),
    ("prompt_classifiers", SwallowsFailures, {}, "let failures raise"),
    ("prompt_classifiers", Quotes, {}, "quote the prompt"),
    ("prompt_classifiers", Unclaimed, {}, "which `categories` does not hold"),
    ("prompt_classifiers", Alternating, {}, "when several threads ask"),
    ("prompt_classifiers", Eyes, {}, "the part raised TypeError about an ordinary prompt"),
    ("image_classifiers", OneStage, {}, "it must be input_image"),
    ("image_classifiers", Scribbles, {}, "changed the pixels"),
    ("image_classifiers", Blind, {}, "let failures raise"),
    ("image_text_readers", ReadsNothing, {}, "does not find 'HELLO'"),
    ("engines", Unstoppable, _FLUX, "finished an order that was called off"),
    ("engines", OneNoise, _FLUX, "another seed gave the same pixels"),
    ("engines", AnyPrompt, _FLUX, "drew an order with an empty prompt"),
    ("watermarkers", Faint, {}, "returned the image as it was"),
    ("watermarkers", Loud, {}, "the mark is visible"),
    ("watermarkers", Guesses, {}, "found a mark in an unmarked image"),
    ("watermarkers", QuietlyUnmarked, {}, "must say so in its name"),
    ("foreign_marks", SeesMarks, {}, "it guesses"),
    ("signers", SignsNothing, {}, "does not confirm"),
    ("identity_providers", LetsEverybodyIn, {}, "must return None for a request without credentials"),
    ("identity_providers", RaisesAtClose, {}, "`close` raised OSError"),
    ("dialects", OpenDoor, {}, "route_class=speaking(self)"),
    ("dialects", AlwaysFine, {}, "answered 200 to a problem of status 429"),
)
