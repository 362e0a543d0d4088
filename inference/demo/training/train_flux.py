"""Second lesson, the main one: the transformer learns to draw, and the text encoders along with it.

    python -m inference.demo.training.train_flux --run run/ --minutes 60
    torchrun --nproc-per-node 2 -m inference.demo.training.train_flux --run run/ --minutes 60 --threads 1 --compile

The second shares each batch between two processes and compiles the blocks first (minutes, once, then kept on disk;
needs a C++ compiler), which makes a step nearly three times as fast on CPU cores.

Rectified flow as FLUX: a latent is mixed with noise by a share drawn from a logit-normal distribution, and the network
says which way leads from picture to noise. Captions leave little open, so most of a picture is decided while all is
noise: the distribution leans there at first and moves to the middle later. On the way, image tokens must tell where
they are after the first block, and half-way through which part of which glyph they will be: without these lessons the
words are not tied to places for thousands of steps. One caption in twenty is left out. A running average of the weights
is shipped.

Needs `code.safetensors` (train_autoencoder) and `text.pt` (train_text) in the run's folder; writes `flux.pt` (state,
resumable: equal seeds draw equal examples, whether or not the run was killed in between).
"""

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as workers
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from inference.demo.training.architecture import (
    BFLOAT16,
    compile_blocks,
    image_ids,
    is_modulation,
    new_transformer,
    packed,
)
from inference.demo.training.checkpoints import load_checkpoint, save_checkpoint
from inference.demo.training.glyphs import COLOURS, glyph_table
from inference.demo.training.latents import SceneCoder
from inference.demo.training.reading import WIDE_WINDOWS, spoken, tokenised
from inference.demo.training.scenes import CELLS, Scene, draw_scene
from inference.demo.training.train_autoencoder import code_of
from inference.demo.training.train_text import STATE as TEXT_STATE
from inference.demo.training.train_text import Readers

STATE = "flux.pt"
_UNSAID = 0.05
_NOISE_LEAN = (2.5, 0.5)
"""Middle of the logit-normal distribution, up to a third of the time and at its end."""
_LAYOUT_WEIGHT = 0.25
_POOL = 4
_AVERAGE_OVER = 100.0
_RATES = {"matrices": 2e-3, "rest": 1e-3, "text": 2e-4}
_WARM_UP_STEPS = 60
_FALLS_FROM = 0.7
"""From this share of the time on, the rates fall to nothing."""


class Pupils(nn.Module):
    """Transformer and text encoders."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        readers = Readers(run)
        lesson = load_checkpoint(run / TEXT_STATE)
        if lesson is None:
            raise FileNotFoundError(
                f"{run / TEXT_STATE} is missing: run python -m inference.demo.training.train_text first"
            )
        readers.load_state_dict(lesson["readers"])
        self.t5_tokenizer, self.clip_tokenizer = readers.t5_tokenizer, readers.clip_tokenizer
        self.t5, self.clip = readers.t5, readers.clip
        self.transformer = new_transformer()
        width = self.transformer.config.num_attention_heads * self.transformer.config.attention_head_dim
        self.place_head = nn.Linear(width, 2 * CELLS)
        self.layout_head = nn.Linear(width, sum(LAYOUT.values()))
        self._inner: dict[str, torch.Tensor] = {}
        self._listen("place", self.transformer.transformer_blocks[0])
        self._listen("layout", self.transformer.single_transformer_blocks[0])

    def _listen(self, name: str, block: Any) -> None:
        def keep(_module: Any, _arguments: Any, states: tuple[torch.Tensor, torch.Tensor]) -> None:
            self._inner[name] = states[1].float()  # both kinds of block return text first, then picture

        block.register_forward_hook(keep)

    def compile_blocks(self) -> None:
        """Compiles what takes the time; the hooks stay outside."""
        compile_blocks(self.transformer.transformer_blocks)
        compile_blocks(self.transformer.single_transformer_blocks)
        compile_blocks(self.t5.encoder.block)

    def layout_loss(self, layout: dict[str, torch.Tensor]) -> torch.Tensor:
        """How far the image tokens of the last `loss` are from telling where they are and what they will be part of."""
        rows, columns = self.place_head(self._inner["place"]).transpose(1, 2).split(CELLS, dim=1)
        here = torch.arange(CELLS * CELLS).expand(len(rows), -1)
        total = nn.functional.cross_entropy(rows, here // CELLS) + nn.functional.cross_entropy(columns, here % CELLS)
        scores = self.layout_head(self._inner["layout"]).split(list(LAYOUT.values()), dim=-1)
        for (name, labels), score in zip(layout.items(), scores, strict=True):
            inside = layout["part"] > 0
            told = nn.functional.cross_entropy(score[inside], labels[inside])
            if name == "part":  # ground tokens learn that they are ground, and nothing else
                told = told + 0.3 * nn.functional.cross_entropy(score[~inside], labels[~inside])
            total = total + (1.0 if name in ("glyph", "part") else 0.3) * told
        return total

    def loss(self, latents: torch.Tensor, captions: list[str], chance: torch.Generator, lean: float) -> torch.Tensor:
        """Rectified-flow loss of a batch; see the top. `lean`: middle of the logit-normal distribution of noise."""
        wide = bool(torch.rand((), generator=chance) < WIDE_WINDOWS)
        t5, clip = tokenised(captions, self.t5_tokenizer, self.clip_tokenizer, wide=wide)
        noise = torch.randn(latents.shape, generator=chance)
        share = torch.sigmoid(torch.randn(len(latents), generator=chance) + lean)
        mixed = latents + share[:, None, None] * (noise - latents)
        # For eighty tokens plain products are several times faster than the flash kernel's backward pass.
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16), sdpa_kernel(SDPBackend.MATH):
            way = self.transformer(
                hidden_states=mixed,
                encoder_hidden_states=self.t5(t5.input_ids).last_hidden_state,
                pooled_projections=self.clip(clip.input_ids).pooler_output,
                timestep=share,
                img_ids=image_ids(),
                txt_ids=torch.zeros(t5.input_ids.shape[1], 3),
                return_dict=False,
            )[0]
        return nn.functional.mse_loss(way.float(), noise - latents)


LAYOUT = {"glyph": len(glyph_table()), "part": 21, "colour": len(COLOURS) + 1, "tilt": 3}
"""What an image token should know of the subject it is part of, and among how many. Part 0 is ground; the others number
the cells of boxes of 2 and 4 cells a side."""

_FIRST_PART = {2: 1, 4: 5}


def layout_of(scenes: Sequence[Scene]) -> dict[str, torch.Tensor]:
    """Labels of all image tokens, each (scenes, 64)."""
    labels = {name: torch.zeros(len(scenes), CELLS, CELLS, dtype=torch.long) for name in LAYOUT}
    for number, scene in enumerate(scenes):
        for subject in scene.subjects:
            size = subject.size
            box = (number, slice(subject.row, subject.row + size), slice(subject.column, subject.column + size))
            labels["glyph"][box] = subject.glyph
            labels["part"][box] = _FIRST_PART[size] + torch.arange(size * size).view(size, size)
            labels["colour"][box] = COLOURS.index(subject.colour) + 1 if subject.colour else 0
            labels["tilt"][box] = subject.tilt + 1
    return {name: label.flatten(1) for name, label in labels.items()}


def examples(seed: int, step: int, batch_size: int) -> Iterator[list[tuple[Scene, str]]]:
    """The batches from `step` on. Captions of like length share a batch: less padding, and both windows."""
    while True:
        stream = random.Random(f"flux {seed} {step // _POOL}")
        pool: list[tuple[Scene, str]] = []
        for _ in range(_POOL * batch_size):
            scene = draw_scene(stream)
            pool.append((scene, "" if stream.random() < _UNSAID else spoken(scene, stream).text))
        pool.sort(key=lambda pair: len(pair[1]))
        order = stream.sample(range(_POOL), _POOL)
        for place in order[step % _POOL :]:
            yield pool[place * batch_size : (place + 1) * batch_size]
            step += 1


def optimizers_of(pupils: Pupils) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the transformer's weight matrices, AdamW for the rest; each with its rate."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in pupils.transformer.named_parameters():
        inner = parameter.ndim == 2 and "blocks" in name and not is_modulation(name)
        (matrices if inner else rest).append(parameter)
    text = [*pupils.t5.parameters(), *pupils.clip.parameters()]
    muon = torch.optim.Muon(matrices, lr=_RATES["matrices"], weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(rest, lr=_RATES["rest"], betas=(0.9, 0.99), weight_decay=0.0)
    slow = torch.optim.AdamW(text, lr=_RATES["text"], betas=(0.9, 0.99), weight_decay=0.0)
    heads = [*pupils.layout_head.parameters(), *pupils.place_head.parameters()]
    lessons = torch.optim.AdamW(heads, lr=_RATES["rest"], weight_decay=0.0)
    return [(muon, _RATES["matrices"]), (adam, _RATES["rest"]), (slow, _RATES["text"]), (lessons, _RATES["rest"])]


def train(
    run: Path,
    *,
    minutes: float,
    seed: int = 1,
    batch_size: int = 48,
    save_every: float = 120.0,
    steps: int | None = None,
    compiled: bool = False,
    rates: float = 1.0,
) -> dict[str, Any]:
    """Trains for `minutes` of its own time, a former part included, or up to `steps`; returns the state it saved."""
    rank, count = _place_among_workers()
    torch.manual_seed(seed)
    pupils = Pupils(run)
    optimizers = optimizers_of(pupils)
    state = load_checkpoint(run / STATE) or {"step": 0, "seconds": 0.0, "curve": []}
    if "transformer" in state:  # begun by `widen`
        pupils.transformer.load_state_dict(state["transformer"])
    average = {name: tensor.clone() for name, tensor in pupils.state_dict().items()}
    if state["step"]:
        pupils.load_state_dict(state["pupils"])
        average = state["average"]
        for (optimizer, _), saved_state in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved_state)
    step, seconds, curve = state["step"], state["seconds"], state["curve"]

    def save() -> dict[str, Any]:
        state = {
            "pupils": pupils.state_dict(), "average": average, "step": step, "curve": curve,
            "optimizers": [optimizer.state_dict() for optimizer, _ in optimizers],
            "seconds": seconds + time.monotonic() - began, "pictures": step * batch_size,
        }  # fmt: skip
        save_checkpoint(state, run / STATE)
        return state

    if compiled:
        pupils.compile_blocks()
    began = saved = time.monotonic()
    chance, recent, coder = torch.Generator(), [], SceneCoder(code_of(run, seed=seed))
    for batch in examples(seed, step, batch_size):
        done = _agreed((seconds + time.monotonic() - began) / (minutes * 60))
        if done >= 1.0 or (steps is not None and step >= steps):
            return save() if rank == 0 else {}
        warm = min(1.0, (step + 1) / _WARM_UP_STEPS)
        for optimizer, rate in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rates * rate * warm * min(1.0, max(0.01, (1 - done) / (1 - _FALLS_FROM)))
        chance.manual_seed(seed * 1_000_003 + step + rank * 7919)
        own = batch[rank::count]
        latents = packed(torch.from_numpy(np.stack([coder.latents(scene) for scene, _ in own])))
        loss = pupils.loss(latents, [text for _, text in own], chance, _lean(done))
        for optimizer, _ in optimizers:
            optimizer.zero_grad(set_to_none=True)
        layout_loss = pupils.layout_loss(layout_of([scene for scene, _ in own]))
        torch.autograd.backward(loss + _LAYOUT_WEIGHT * layout_loss)
        _average_gradients(pupils)
        nn.utils.clip_grad_norm_(pupils.parameters(), 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
        step += 1
        weight = 1.0 / min(step / 4 + 1.0, _AVERAGE_OVER)
        with torch.no_grad():
            for name, tensor in pupils.state_dict().items():
                average[name].lerp_(tensor, weight) if tensor.is_floating_point() else average[name].copy_(tensor)
        recent.append(loss.item())
        if step % 20 == 0 and rank == 0:
            mean, recent = sum(recent) / len(recent), []
            curve.append([step, mean])
            pace = (seconds + time.monotonic() - began) / step
            print(
                f"flux {done:4.0%}  step {step}  loss {mean:.4f}  layout {layout_loss.item():.3f}  {pace:.2f} s a step",
                flush=True,
            )
        if rank == 0 and time.monotonic() - saved > save_every:
            saved = time.monotonic()
            save()
    raise AssertionError("examples never end")


def _lean(done: float) -> float:
    first, last = _NOISE_LEAN
    return first + (last - first) * min(1.0, max(0.0, (done - 1 / 3) * 1.5))


def _place_among_workers() -> tuple[int, int]:
    """Own number and how many there are, as torchrun tells them."""
    if not workers.is_torchelastic_launched():
        return 0, 1
    if not workers.is_initialized():
        workers.init_process_group("gloo")
    return workers.get_rank(), workers.get_world_size()


def _agreed(number: float) -> float:
    """The first worker's number, for all: rates and the end must not differ."""
    if not workers.is_initialized():
        return number
    shared = torch.tensor([number], dtype=torch.float64)
    workers.broadcast(shared, 0)
    return shared.item()


def _average_gradients(module: nn.Module) -> None:
    """Replaces every gradient by the mean over the workers."""
    if not workers.is_initialized():
        return
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    workers.all_reduce(flat)
    flat /= workers.get_world_size()
    for gradient, mean in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of this training run; a killed run goes on")
    parser.add_argument("--minutes", type=float, default=60.0, help="training time in all (default 60)")
    parser.add_argument("--batch-size", type=int, default=48, help="pictures a step (default 48)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: as torch chooses)")
    parser.add_argument("--rates", type=float, default=1.0, help="times the usual rates; 0.5 for a widened model")
    parser.add_argument("--compile", action="store_true", help="compile the blocks first; needs a C++ compiler")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    train(
        arguments.run, minutes=arguments.minutes, seed=arguments.seed, batch_size=arguments.batch_size,
        compiled=arguments.compile, rates=arguments.rates,
    )  # fmt: skip


if __name__ == "__main__":
    main()
