"""Reads the words in a picture, so that they can be screened as words: the text reader `rapidocr`. Owns rapidocr.

The models are the ones that lie in the installed wheel (or in `model_folder`) and are handed over by path: left to its
own defaults, rapidocr fetches a model that is missing or changed from the network.
"""

import hashlib
import importlib.metadata
import threading
from pathlib import Path

import cv2
import numpy
from pydantic import BaseModel, ConfigDict, Field

from moderation.classifiers import Pixels
from moderation.errors import ClassifierFailed, PartUnusable

PART = "rapidocr"

SMALLEST_LETTER_PIXELS = 5
"""Height of the smallest legible Latin bitmap letters; a picture thinner than that holds no words."""

MAX_ASPECT_RATIO = 8
"""Longer strips, reduced to `READ_SIDES`, keep too little of their short side to be read."""

READ_SIDES = (736, 2000)
"""Pixels. Small pictures are enlarged until the short side has the first, which is rapidocr's own default for finding
letters, or the long side the second, to which rapidocr reduces large ones. Left alone it minds only the first, and a
picture of 64 x 512 becomes one of 736 x 5888, eight times the work of a square one."""

_PROBE_WORD = "FLUXGATE"


class RapidOcr:
    """Finds lines of Latin and Chinese script, upright or turned, with RapidOCR's models on onnxruntime.

    Small letters alone on a large empty ground are missed: at 1024 x 1024 those of 11 pixels' size are and those of 14
    are read, at 1536 x 1024 those of 14 are and those of 18 are read. On photographs 14 pixels were read in 20 of 20
    pictures. Mirrored words are not read.

    `version` names rapidocr's release and the digest of its three models. One picture is read at a time: a second
    thread waits, because the library keeps state between its steps.
    """

    name = PART
    version = "1"
    steady = True

    class Options(BaseModel):
        """`model_folder`: a folder with one `.onnx` file each whose name contains `_det_`, `_rec_` and `_cls_`; without
        it the wheel's own. `minimum_confidence`: lines read with less are dropped; 0.5 is rapidocr's default.
        `threads`: of onnxruntime; without it as many as there are cores.
        """

        model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

        model_folder: Path | None = None
        minimum_confidence: float = Field(default=0.5, ge=0.0, le=1.0)
        threads: int | None = Field(default=None, ge=1)

    def __init__(self, options: Options) -> None:
        """Loads the models and reads a word as a test. Raises `PartUnusable` if the extra or a model is missing."""
        try:
            import rapidocr
        except ImportError as error:
            remedy = "Install it: pip install 'fluxgate[ocr]'"
            raise PartUnusable(PART, "part", "the extra `ocr` is not installed", remedy) from error
        folder = options.model_folder or Path(rapidocr.__file__).parent / "models"
        models = {step: _model(folder, step) for step in ("det", "cls", "rec")}
        digest = hashlib.sha256(b"".join(models[step].read_bytes() for step in sorted(models))).hexdigest()
        self.version = f"{importlib.metadata.version('rapidocr')}+sha256.{digest}"
        self._lock = threading.Lock()
        try:
            self._engine = rapidocr.RapidOCR(
                params={
                    "Global.log_level": "error",  # below that it writes a line for each picture without words
                    "Global.text_score": options.minimum_confidence,
                    "EngineConfig.onnxruntime.intra_op_num_threads": options.threads or -1,
                    "Det.limit_type": "max",  # the enlarging is done here, see READ_SIDES
                    "Det.limit_side_len": READ_SIDES[1],
                    "Det.model_path": str(models["det"]),
                    "Cls.model_path": str(models["cls"]),
                    "Rec.model_path": str(models["rec"]),
                }
            )
            # The library loads its models at the first word it meets; that is to happen now and not during a request.
            readable = _PROBE_WORD in self.read(_probe())
        except Exception as error:
            raise PartUnusable(PART, "model_folder", f"the models in {folder} do not load", _REINSTALL) from error
        if not readable:
            raise PartUnusable(PART, "model_folder", f"the models in {folder} cannot read a plain word", _REINSTALL)

    def read(self, pixels: Pixels) -> str:
        """The lines found, from top to bottom, one a line; the empty string if there are none.

        `pixels`: (height, width, 3), uint8, sRGB; not changed, not kept. A picture thinner than five pixels holds no
        words. Raises `ClassifierFailed` if one side is more than eight times the other, and on anything but RGB bytes.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != numpy.uint8 or not pixels.size:
            raise ClassifierFailed(f"{PART} needs pixels of shape (height, width, 3) and type uint8")
        short, long = sorted(pixels.shape[:2])
        if short < SMALLEST_LETTER_PIXELS:
            return ""
        if long > MAX_ASPECT_RATIO * short:
            raise ClassifierFailed(f"{PART} cannot read pictures beyond {MAX_ASPECT_RATIO}:1")
        bgr = numpy.ascontiguousarray(pixels[:, :, ::-1])
        enlarged = min(READ_SIDES[0] / short, READ_SIDES[1] / long)
        if enlarged > 1:
            bgr = cv2.resize(bgr, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_CUBIC)
        with self._lock:
            lines = self._engine(bgr).txts
        return "\n".join(lines or ())


_REINSTALL = "Reinstall rapidocr, or set `model_folder` to a folder with its models"


def _model(folder: Path, step: str) -> Path:
    found = sorted(folder.glob(f"*_{step}_*.onnx"))
    if len(found) != 1:
        problem = f"{folder} has {len(found)} files *_{step}_*.onnx, needed is one"
        raise PartUnusable(PART, "model_folder", problem, _REINSTALL)
    return found[0]


def _probe() -> Pixels:
    picture = numpy.full((96, 480, 3), 255, numpy.uint8)
    cv2.putText(picture, _PROBE_WORD, (40, 65), cv2.FONT_HERSHEY_SIMPLEX, 1.8, (0, 0, 0), 4)
    return picture
