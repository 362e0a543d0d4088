"""Compares a picture with sentences by an open_clip model: the image classifier `clip`. Owns open_clip.

The policy's data names the sentences:

    [[category]]
    id = "weapons"
    prompts = ["a photo of a gun", "a photo of a knife used as a weapon"]

    [benign]
    prompts = ["a photo of a landscape", "a photo of people having dinner"]

Score of a category c, with cos the cosine of picture and sentence embeddings, s the model's own trained logit scale and
T the option `prompt_temperature`:

    e(p)     = exp(s · cos(picture, p) / T)
    score(c) = Σ e(p) over p of c  /  ( Σ e(p) over p of c  +  Σ e(p) over benign p )

Categories do not compete with each other, only with the benign sentences. A picture equally near to every sentence
scores (sentences of c) / (sentences of c + benign sentences), so thresholds belong to one model and one set of
sentences and are to be calibrated on both.
"""

import hashlib
import json
import tempfile
import threading
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy
import numpy.typing
import open_clip
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from moderation.classifiers import Pixels
from moderation.errors import ClassifierFailed, PartUnusable
from policies.findings import Category, Finding, Stage

PART = "clip"

Prompts = Annotated[tuple[Annotated[str, StringConstraints(min_length=1, max_length=300)], ...], Field(min_length=1)]


class CategoryPrompts(BaseModel):
    """Sentences that describe pictures of one category."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Category
    prompts: Prompts


class BenignPrompts(BaseModel):
    """Sentences that describe what every category is weighed against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: Prompts


class PromptTable(BaseModel):
    """One table of the policy's data; several are added up, and a category may stand in more than one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: tuple[CategoryPrompts, ...] = ()
    benign: BenignPrompts | None = None


class Clip:
    """Reports for each category of its data how much nearer the picture is to its sentences than to benign ones.

    `version` is `sha256:` over the weights' file. Equal pixels, weights and device give equal scores. One picture is
    looked at at a time: a second thread waits, so that memory is bounded. Nothing is fetched after construction.
    """

    name = PART
    version = "1"

    class Options(BaseModel):
        """Which model, which weights, which sentences.

        `model`: an open_clip architecture (`ViT-B-32`), or the path of a JSON file in open_clip's `model_configs` form
        or in the form of a hub folder's `open_clip_config.json`. `weights`: the path of a local file (`.safetensors`,
        `.pt`, `.bin`), or a pretrained tag of the architecture, which open_clip takes from its cache or fetches once
        at construction. `sha256`: 64 hex digits of that file; other weights are refused. `dtype`: `bf16` is three
        times as fast as `fp32` on processors that have it. `prompt_temperature`: T of the formula above.
        """

        model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

        model: str
        weights: str
        sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
        data: tuple[PromptTable, ...]
        device: str = "cpu"
        dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
        prompt_temperature: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)

    def __init__(self, options: Options) -> None:
        """Loads the model and embeds every sentence. Raises `PartUnusable` if any of it is missing or does not fit."""
        by_category: dict[str, list[str]] = {}
        benign: list[str] = []
        for table in options.data:
            for described in table.category:
                by_category.setdefault(described.id.value, []).extend(described.prompts)
            benign += table.benign.prompts if table.benign else ()
        if not by_category or not benign:
            remedy = "Give at least one [[category]] and [benign] with prompts"
            raise PartUnusable(PART, "data", "nothing to compare pictures with", remedy)

        architecture, preprocessing = _architecture(options.model)
        weights = _weights_file(architecture, options)
        self.version = "sha256:" + _sha256(weights, options.sha256)
        try:
            self._model, self._preprocess = open_clip.create_model_from_pretrained(
                architecture,
                # A tag stays a tag, because open_clip takes mean and deviation of the training pictures from it.
                options.weights if _is_tag(architecture, options.weights) else str(weights),
                precision=options.dtype,
                device=options.device,
                # The whole picture is squeezed in: a crop would hide what stands at the border, and open_clip's default
                # first enlarges a picture of 16384 x 1 to billions of pixels.
                image_resize_mode="squash",
                **preprocessing,
            )
            tokenizer = open_clip.get_tokenizer(architecture)
        except Exception as error:
            remedy = "Check that the weights belong to the model and that the device exists"
            problem = f"{options.weights} could not be loaded as {options.model} on {options.device}"
            raise PartUnusable(PART, "weights", problem, remedy) from error
        self._model.eval()
        self._device = options.device
        self._input_dtype = open_clip.get_input_dtype(options.dtype) or torch.float32
        self._lock = threading.Lock()
        with torch.inference_mode():
            self._scale = float(self._model.logit_scale.float().exp()) / options.prompt_temperature
            self._benign = self._embed(tokenizer, benign)
            self._described = {category: self._embed(tokenizer, prompts) for category, prompts in by_category.items()}

    @property
    def categories(self) -> frozenset[str]:
        """Exactly the categories of the data."""
        return frozenset(self._described)

    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        """One finding per category, sorted by category, scored as the module's docstring says.

        `pixels`: (height, width, 3), uint8, sRGB, of any size; not changed, not kept. Raises `ClassifierFailed` on
        anything else.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != numpy.uint8 or not pixels.size:
            raise ClassifierFailed(f"{PART} needs pixels of shape (height, width, 3) and type uint8")
        prepared = self._preprocess(Image.fromarray(pixels)).unsqueeze(0)
        with self._lock, torch.inference_mode():
            prepared = prepared.to(device=self._device, dtype=self._input_dtype)
            picture = self._model.encode_image(prepared, normalize=True)[0].float().cpu().numpy()
        against = _log_sum_exp(self._scale * (self._benign @ picture))
        return tuple(
            Finding(
                category,
                # The formula above with both sums as logarithms: a sigmoid of their difference.
                float(numpy.exp(-numpy.logaddexp(0.0, against - _log_sum_exp(self._scale * (described @ picture))))),
                stage,
                self.name,
                self.version,
            )
            for category, described in sorted(self._described.items())
        )

    def _embed(self, tokenizer: Any, prompts: list[str]) -> numpy.typing.NDArray[numpy.float32]:
        """(len(prompts), embedding width), rows of length one."""
        tokens = tokenizer(prompts).to(self._device)
        embedded = self._model.encode_text(tokens, normalize=True).float().cpu().numpy()
        return numpy.asarray(embedded, dtype=numpy.float32)


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
        problem = f"{model} is neither an architecture of open_clip nor a readable JSON file"
        raise PartUnusable(PART, "model", problem, "`open_clip.list_models()` lists the names") from error
    if not complete:
        remedy = "Use a file of open_clip's `model_configs` or a hub folder's `open_clip_config.json`"
        raise PartUnusable(PART, "model", f"{model} lacks embed_dim, vision_cfg or text_cfg", remedy)
    # open_clip registers configs by file name for the whole process: a name by content never replaces another one.
    name = "fluxgate-" + hashlib.sha256(content).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, f"{name}.json")
        copy.write_text(json.dumps(architecture), encoding="utf-8")
        open_clip.add_model_config(copy)
    return name, {
        f"image_{key}": preprocessing[key] for key in ("mean", "std", "interpolation") if key in preprocessing
    }


def _weights_file(architecture: str, options: Clip.Options) -> Path:
    """The local file of the weights; a tag's is fetched into open_clip's cache if it is not there."""
    local = Path(options.weights)
    if local.is_file():
        return local
    if not _is_tag(architecture, options.weights):
        problem = f"{options.weights} is neither a file nor a pretrained tag of {options.model}"
        remedy = "Set it to a local weights file, or to a tag of `open_clip.list_pretrained_tags_by_model`"
        raise PartUnusable(PART, "weights", problem, remedy)
    tag = open_clip.get_pretrained_cfg(architecture, options.weights)
    activation = bool(open_clip.get_model_config(architecture).get("quick_gelu", False))
    if bool(tag.get("quick_gelu", False)) != activation:
        problem = f"{options.weights} was trained with another activation than {options.model} has"
        raise PartUnusable(PART, "model", problem, "Use the architecture with or without `-quickgelu`")
    try:
        return Path(open_clip.download_pretrained(tag))
    except Exception as error:
        problem = f"{options.weights} is not in the cache and could not be fetched"
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


def _log_sum_exp(logits: numpy.typing.NDArray[numpy.float32]) -> float:
    return float(numpy.logaddexp.reduce(logits.astype(numpy.float64)))
