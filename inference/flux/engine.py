"""The engine part `flux`: diffusers' own FLUX pipelines on one device, one picture at a time, equal for equal orders.

What equality rests on: noise drawn on the CPU from the order's seed, batches of one, a fixed number of CPU threads
(`Options.cpu_threads`; sums are split by thread, so another number gives other last bits), and the same torch on the
same kind of processor. Nothing else in the order, the process or its history reaches the pixels.
"""

import gc
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import diffusers
import torch
import transformers
from pydantic import BaseModel, ConfigDict, Field

from inference.engines import ModelCard, Pixels, Rendering, RenderOrder, check_order, check_prompt_length
from inference.errors import (
    EngineBroken,
    EngineOutOfMemory,
    InferenceError,
    RenderCancelled,
    UnknownModel,
    WeightsError,
)
from inference.flux.cards import build_card
from inference.flux.families import recognise
from inference.flux.modes import Mode, mode_for
from inference.flux.prompt_lengths import PromptLengths
from inference.flux.tensors import repaint, to_pixels
from inference.flux.weights import PINS, check_pins, locate, take_digest

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class FluxEngine:
    """One FLUX model. Construction finds and checks the weights' files; `load` brings them to the device."""

    name = "flux"
    version = "1"

    class Options(BaseModel):
        """`model`: folder in diffusers' layout, or hub id. `model_id`: name shown to users; by default the sheet's, the
        hub id, or `local/<folder>`. `revision`: of the hub; a commit id is repeatable. `offline`: never ask the hub.
        `device`: `auto` takes CUDA where there is one. `dtype`: `auto` is bfloat16 on CUDA, float32 elsewhere.
        `pins`: `sha256sum` list the files must match; by default the folder's own `SHA256SUMS`, if any.
        `digest_cache`: see `weights.take_digest`. `trained`, `licence`, `commercial_use`: the operator's word, over
        the sheet's and the family's.
        """

        model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

        model: Annotated[str, Field(min_length=1)]
        model_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
        revision: str | None = None
        offline: bool = False
        device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
        cpu_threads: Annotated[int, Field(ge=1, le=256)] = 1
        pins: Path | None = None
        digest_cache: Path | None = None
        trained: bool | None = None
        licence: str | None = None
        commercial_use: bool | None = None
        price_credits: Annotated[int, Field(ge=0)] = 1

    def __init__(self, options: Options) -> None:
        """Raises `WeightsError` if the model is missing, unsafe, unknown or not the pinned one."""
        self._options = options
        self._folder = locate(options.model, revision=options.revision, offline=options.offline)
        self._family = recognise(self._folder.model_index, self._folder.config("transformer"))
        self._weights = take_digest(self._folder, cache=options.digest_cache)
        own_pins = self._folder.path / PINS
        pins = options.pins or (own_pins if own_pins.is_file() else None)
        if pins is not None:
            check_pins(self._weights, pins)
        self._device = _device(options.device)
        self._card = build_card(
            self._folder,
            self._family,
            self._weights.digest,
            model_id=options.model_id,
            trained=options.trained,
            licence=options.licence,
            commercial_use=options.commercial_use,
            price_credits=options.price_credits,
        )
        self._lengths = PromptLengths(self._folder, self._family.pipeline)
        self._pipeline: Any = None
        self._siblings: dict[str, Any] = {}
        self._owner: int | None = None

    @property
    def device(self) -> str:
        """Such as `cpu` or `cuda:0`."""
        return self._device

    @property
    def models(self) -> tuple[ModelCard, ...]:
        """The one model this engine was built for."""
        return (self._card,)

    def prompt_tokens(self, prompt: str) -> int:
        """Length of `prompt` as the model reads it; any thread may ask, also before `load`."""
        return self._lengths.count(prompt)

    def load(self) -> None:
        """Brings the weights to the device, once. The calling thread owns the engine from here on.

        Raises `WeightsError` if the files changed since construction, `EngineOutOfMemory`, `EngineBroken`.
        """
        if self._pipeline is not None:
            return
        self._owner = threading.get_ident()
        self._weights.check_unchanged()
        # Their warnings quote the words of a prompt that a text encoder cuts off: never in our logs.
        diffusers.utils.logging.set_verbosity_error()
        diffusers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        torch.backends.cudnn.deterministic = True  # convolutions; everything else FLUX runs is so already
        try:
            pipeline = getattr(diffusers, self._family.pipeline).from_pretrained(
                str(self._folder.path), dtype=self._dtype(), use_safetensors=True, local_files_only=True
            )
            pipeline.set_progress_bar_config(disable=True)
            self._pipeline = pipeline.to(self._device)
        except Exception as error:
            raise self._translated(error, "loading") from error

    def render(
        self, order: RenderOrder, *, progress: Callable[[int, int], None], cancelled: Callable[[], bool]
    ) -> Rendering:
        """Draws one picture; see `Engine.render`.

        Raises `OrderRefused` on `prompt` if it is longer than the model reads: cut off silently, it would be drawn as
        something else than was asked.
        """
        if order.model != self._card.id:
            raise UnknownModel((self._card.id,))
        check_order(order, self._card)
        self.load()
        if threading.get_ident() != self._owner:
            raise EngineBroken("an engine is used by the thread that loaded it, and by no other")
        if cancelled():
            raise RenderCancelled
        torch.set_num_threads(self._options.cpu_threads)  # each time: it is the process's setting, not ours alone
        started = time.perf_counter()
        try:
            check_prompt_length(self.prompt_tokens(order.drawing.prompt), self._card)
            pixels = self._draw(order, progress, cancelled)
            repainted = None
            if order.mask is not None and order.init_pixels is not None:
                stretch = order.drawing.finish.stretch
                pixels, repainted = repaint(order.init_pixels, order.mask, pixels, stretch=stretch)
        except InferenceError:
            raise
        except Exception as error:
            raise self._translated(error, "rendering") from error
        return Rendering(
            pixels=pixels,
            model_id=self._card.id,
            weights_digest=self._card.weights_digest,
            trained=self._card.trained,
            engine=f"{self.name}/{self.version}",
            exactness="exact",
            seconds=time.perf_counter() - started,
            repainted=repainted,
        )

    def close(self) -> None:
        """Frees the device; a later `load` starts anew."""
        self._pipeline = self._owner = None
        self._siblings.clear()
        _free_memory()

    def _dtype(self) -> torch.dtype:
        if self._options.dtype != "auto":
            return _DTYPES[self._options.dtype]
        return torch.bfloat16 if self._device.startswith("cuda") else torch.float32

    def _draw(self, order: RenderOrder, progress: Callable[[int, int], None], cancelled: Callable[[], bool]) -> Pixels:
        def after_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            progress(step + 1, pipeline.num_timesteps)
            # Raising ends the render here; setting `_interrupt` would still run the decoder.
            if cancelled():
                raise RenderCancelled
            return tensors

        mode = mode_for(self._family.modes, order)
        images = self._pipeline_for(mode)(
            prompt=order.drawing.prompt,
            height=order.drawing.height,
            width=order.drawing.width,
            num_inference_steps=order.drawing.steps,
            # 1 rather than the order's number where it has no effect: the pipelines warn otherwise.
            guidance_scale=order.drawing.guidance if self._card.uses_guidance else 1.0,
            max_sequence_length=self._card.text_tokens,
            # On the CPU whatever the device, so that a seed means the same noise everywhere.
            generator=torch.Generator("cpu").manual_seed(order.drawing.seed),
            output_type="pt",
            callback_on_step_end=after_step,
            **mode.arguments(order, self._pipeline.image_processor.numpy_to_pil),
        ).images
        return to_pixels(images[0])

    def _pipeline_for(self, mode: Mode) -> Any:
        """The mode's pipeline, on the same weights."""
        if mode.pipeline == self._family.pipeline:
            return self._pipeline
        if mode.pipeline not in self._siblings:
            made = getattr(diffusers, mode.pipeline)(**self._pipeline.components)
            made.set_progress_bar_config(disable=True)
            self._siblings[mode.pipeline] = made
        return self._siblings[mode.pipeline]

    def _translated(self, error: Exception, doing: str) -> InferenceError:
        """Our exception for a foreign one, naming its kind only: its text may quote the prompt."""
        if _is_out_of_memory(error):
            # The frames hold the tensors that filled the device, for as long as somebody keeps the exception.
            traceback.clear_frames(error.__traceback__)
            _free_memory()
            return EngineOutOfMemory(f"not enough memory on {self._device} for {doing}; ask for a smaller picture")
        return EngineBroken(f"{doing} with {self._family.pipeline} failed ({type(error).__name__})")


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda"):
        number = int(wanted.partition(":")[2] or 0)
        if number >= torch.cuda.device_count():
            raise WeightsError(f"there is no device {wanted} here ({torch.cuda.device_count()} found); use auto or cpu")
        return f"cuda:{number}"
    return wanted


def _is_out_of_memory(error: Exception) -> bool:
    # torch reports a full CPU as a plain RuntimeError of DefaultCPUAllocator.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
