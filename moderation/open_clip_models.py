"""Opens and builds two-tower models of open_clip, and looks at pictures with them. Owns open_clip."""

import hashlib
import json
import re
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from weakref import WeakValueDictionary

import numpy
import numpy.typing
import open_clip
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from moderation.classifiers import Pixels
from moderation.errors import ClassifierFailed, PartUnusable
from moderation.picture_views import views

PART = "open_clip"
"""What refusals name; whoever builds the part says which it was."""

Dtype = Literal["fp32", "bf16", "fp16"]

SHIPPED_PREFIX = "shipped:"
"""A model name that starts so is a folder beside this file, wherever the package is installed."""

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
"""The names in a folder of open_clip's hub form."""


class ModelOptions(BaseModel):
    """Which model, which weights.

    `model`: an open_clip architecture (`ViT-B-32`); or the path of a JSON file in open_clip's `model_configs` form
    or in the form of a hub folder's `open_clip_config.json`; or a folder in hub form with config, weights and
    tokenizer; or `shipped:demo_clip`, such a folder that comes along. `weights`: the path of a local file
    (`.safetensors`, `.pt`, `.bin`), or a pretrained tag of the architecture, which open_clip takes from its cache
    or fetches once at construction; left out, a folder's own `open_clip_model.safetensors`. `sha256`: 64 hex
    digits of that file; other weights are refused. `dtype`: `bf16` is three times as fast as `fp32` on processors
    that have it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str
    weights: str | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    device: str = "cpu"
    dtype: Dtype = "fp32"

    def opened(self) -> "OpenedModel":
        """The model. Raises `PartUnusable`."""
        return open_model(self.model, self.weights, sha256=self.sha256, device=self.device, dtype=self.dtype)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class OpenedModel:
    """`network`: open_clip's CLIP in eval mode, not to be changed. `preprocess`: PIL picture to tensor (3, side, side).

    `tokenizer`: list of sentences to token ids (n, context length). `weights_digest`: SHA-256, 64 hex digits.
    `eyes_digest`: SHA-256 over all that a picture's embedding depends on but the dtype: the weights, the
    architecture without its words, the preprocessing.
    """

    network: Any
    preprocess: Any
    tokenizer: Any
    weights_digest: str
    eyes_digest: str
    device: str
    input_dtype: torch.dtype
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def look(self, pixels: Pixels) -> numpy.typing.NDArray[numpy.float32]:
        """(views, embedding width), rows of length one: the whole picture first, then parts (`picture_views`).

        `pixels`: (height, width, 3), uint8, sRGB, of any size; not changed, not kept. Raises `ClassifierFailed` on
        anything else. A second thread waits, so that memory is bounded.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != numpy.uint8 or not pixels.size:
            raise ClassifierFailed("pixels of shape (height, width, 3) and type uint8 are needed")
        return self.embed(views(pixels))

    def embed(self, pictures: Sequence[Pixels]) -> numpy.typing.NDArray[numpy.float32]:
        """(pictures, embedding width), rows of length one; each picture as a whole, `look` says how."""
        prepared = torch.stack([self.preprocess(Image.fromarray(picture)) for picture in pictures])
        with self._one_at_a_time, torch.inference_mode():
            prepared = prepared.to(device=self.device, dtype=self.input_dtype)
            embedded = self.network.encode_image(prepared, normalize=True).float().cpu().numpy()
        return numpy.asarray(embedded, dtype=numpy.float32)


_opened: "WeakValueDictionary[tuple[str, ...], OpenedModel]" = WeakValueDictionary()
"""Models in use, so that two parts with the same weights hold them once."""

_opening = threading.Lock()


def open_model(
    model: str,
    weights: str | None,
    *,
    sha256: str | None = None,
    device: str = "cpu",
    dtype: Dtype = "fp32",
) -> OpenedModel:
    """Loads a model with its preprocessing and tokenizer; `ModelOptions` tells what the arguments mean.

    What is already open in this process is given again. Raises `PartUnusable` if anything is missing, does not fit, or
    is not what `sha256` pins.
    """
    folder = _folder(model)
    architecture, preprocessing = _architecture(str(folder / CONFIG) if folder else model)
    if weights is None:
        if folder is None:
            remedy = "Set it to a local weights file or a pretrained tag; only a folder brings its own weights"
            raise PartUnusable(PART, "weights", f"no weights are named for {model}", remedy)
        weights = str(folder / WEIGHTS)
    file = _weights_file(architecture, model, weights)
    digest = _sha256(file, sha256)
    # `model` and `weights` too: preprocessing and tokenizer come from a folder or a tag.
    with _opening:
        key = (architecture, model, weights, digest, device, dtype)
        shared = _opened.get(key)
        if shared is None:
            shared = _opened[key] = _loaded(architecture, preprocessing, folder, file, key)
    return shared


def _loaded(
    architecture: str, preprocessing: dict[str, Any], folder: Path | None, file: Path, key: tuple[str, ...]
) -> OpenedModel:
    _, model, weights, digest, device, dtype = key
    try:
        network, preprocess = open_clip.create_model_from_pretrained(
            architecture,
            # A tag stays a tag, because open_clip takes mean and deviation of the training pictures from it.
            weights if _is_tag(architecture, weights) else str(file),
            precision=dtype,
            device=device,
            # The whole picture is squeezed in: a crop would hide what stands at the border, and open_clip's default
            # first enlarges a picture of 16384 x 1 to billions of pixels.
            image_resize_mode="squash",
            **preprocessing,
        )
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}" if folder else architecture)
    except Exception as error:
        remedy = "Check that the weights belong to the model and that the device exists"
        problem = f"{weights} could not be loaded as {model} on {device}"
        raise PartUnusable(PART, "weights", problem, remedy) from error
    network.eval()
    config = {name: value for name, value in open_clip.get_model_config(architecture).items() if name != "text_cfg"}
    described = (digest, config, open_clip.get_model_preprocess_cfg(network))
    eyes = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    input_dtype = open_clip.get_input_dtype(dtype) or torch.float32
    return OpenedModel(network, preprocess, tokenizer, digest, eyes, device, input_dtype)


def new_network(folder: Path) -> tuple[Any, Any]:
    """A network with random weights and the tokenizer, for training: as the folder's config file asks."""
    config = json.loads((folder / CONFIG).read_text("utf-8"))["model_cfg"]
    return open_clip.CLIP(**config), open_clip.get_tokenizer(f"local-dir:{folder}")


def _folder(model: str) -> Path | None:
    """The folder `model` names, if it names one: `shipped:NAME`, or a path."""
    if not model.startswith(SHIPPED_PREFIX):
        return Path(model) if Path(model, CONFIG).is_file() else None
    name = model.removeprefix(SHIPPED_PREFIX)
    folder = Path(__file__).parent / name
    if not re.fullmatch(r"[a-z0-9_]+", name) or not (folder / CONFIG).is_file():
        raise PartUnusable(PART, "model", f"no model called {model} is shipped", "Use `shipped:demo_clip`")
    return folder


def _architecture(model: str) -> tuple[str, dict[str, Any]]:
    """The name open_clip knows the model by, and the preprocessing its config file asks for."""
    if model in open_clip.list_models():
        return model, {}
    try:
        content = Path(model).read_bytes()
        config = json.loads(content)
        architecture = config.get("model_cfg", config)
        preprocessing = config.get("preprocess_cfg", {})
        complete = {"embed_dim", "vision_cfg", "text_cfg"} <= architecture.keys()
    except (OSError, ValueError, AttributeError) as error:
        problem = f"{model} is neither an architecture of open_clip nor a readable JSON file nor a folder with {CONFIG}"
        raise PartUnusable(PART, "model", problem, "`open_clip.list_models()` lists the names") from error
    if not complete:
        remedy = "Use a file of open_clip's `model_configs` or a hub folder's `open_clip_config.json`"
        raise PartUnusable(PART, "model", f"{model} lacks embed_dim, vision_cfg or text_cfg", remedy)
    # open_clip registers configs by file name for the whole process: a name by content never replaces another one.
    name = "fluxgate-" + hashlib.sha256(content).hexdigest()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, f"{name}.json")
        copy.write_text(json.dumps(architecture), encoding="utf-8")
        open_clip.add_model_config(copy)
    return name, {
        f"image_{key}": preprocessing[key] for key in ("mean", "std", "interpolation") if key in preprocessing
    }


def _weights_file(architecture: str, model: str, weights: str) -> Path:
    """The local file of the weights; a tag's is fetched into open_clip's cache if it is not there."""
    local = Path(weights)
    if local.is_file():
        return local
    if not _is_tag(architecture, weights):
        problem = f"{weights} is neither a file nor a pretrained tag of {model}"
        remedy = "Set it to a local weights file, or to a tag of `open_clip.list_pretrained_tags_by_model`"
        raise PartUnusable(PART, "weights", problem, remedy)
    tag = open_clip.get_pretrained_cfg(architecture, weights)
    activation = bool(open_clip.get_model_config(architecture).get("quick_gelu", False))
    if bool(tag.get("quick_gelu", False)) != activation:
        problem = f"{weights} was trained with another activation than {model} has"
        raise PartUnusable(PART, "model", problem, "Use the architecture with or without `-quickgelu`")
    try:
        return Path(open_clip.download_pretrained(tag))
    except Exception as error:
        problem = f"{weights} is not in the cache and could not be fetched"
        remedy = "Fetch it on a connected machine and set `weights` to the file"
        raise PartUnusable(PART, "weights", problem, remedy) from error


def _is_tag(architecture: str, weights: str) -> bool:
    return not Path(weights).is_file() and weights in open_clip.list_pretrained_tags_by_model(architecture)


def _sha256(weights: Path, pinned: str | None) -> str:
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if pinned not in (None, digest):
        remedy = "Find out who changed the weights, or pin the new digest"
        raise PartUnusable(PART, "sha256", f"{weights} has the digest {digest}, pinned is {pinned}", remedy)
    return digest
