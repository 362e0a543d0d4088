"""Trains the autoencoder: the decoder to redraw pictures from their codes, then the encoder to give the codes.

    python -m inference.demo.training.train_autoencoder --run run/ --minutes 20 --encoder-minutes 5

The code itself (`latents.PatchCode`) is fitted first, in seconds. The decoder sees quarters of pictures while it learns
what glyphs look like, whole ones afterwards; its codes are disturbed a little, as the transformer's will be. Writes
`code.safetensors` and `autoencoder.pt` (state, resumable) in the run's folder.
"""

import argparse
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from inference.demo.training.architecture import BFLOAT16, new_autoencoder
from inference.demo.training.checkpoints import load_checkpoint, save_checkpoint
from inference.demo.training.latents import PATCH, PatchCode, fit_code, load_code
from inference.demo.training.rendering import paint
from inference.demo.training.scenes import SIDE, draw_scene

CODE = "code.safetensors"
STATE = "autoencoder.pt"
_DISTURBANCE = 0.25
_WHOLE_FROM = 0.7
"""From this share of the time on, the decoder sees whole pictures."""
_AVERAGE_OVER = 200.0


def code_of(run: Path, *, seed: int = 1) -> PatchCode:
    """The run's code, fitted if it is not there yet."""
    path = run / CODE
    if not path.is_file():
        run.mkdir(parents=True, exist_ok=True)
        code = fit_code(seed)
        code.save(path.with_suffix(".partial"))
        path.with_suffix(".partial").replace(path)
    return load_code(path)


class Examples:
    """Pictures with their codes; equal steps give equal examples."""

    def __init__(self, code: PatchCode, seed: int) -> None:
        self._code, self._seed = code, seed

    def take(self, step: int, count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures (count, 3, side, side) in -1..1 and codes; smaller sides are cut around a subject."""
        stream = random.Random(f"autoencoder {self._seed} {step}")
        pictures: list[np.ndarray[Any, Any]] = []
        codes: list[np.ndarray[Any, Any]] = []
        while len(pictures) < count:
            scene = draw_scene(stream)
            whole = paint(scene).astype(np.float32)
            for subject in scene.subjects if side < SIDE else scene.subjects[:1]:
                room = (SIDE - side) // PATCH
                wanted = (subject.row * 2 - stream.randint(0, 3), subject.column * 2 - stream.randint(0, 3))
                top, left = (min(max(at, 0), room) * PATCH for at in wanted)
                cut = np.ascontiguousarray(whole[top : top + side, left : left + side])
                pictures.append(cut.transpose(2, 0, 1) / 127.5 - 1.0)
                codes.append(self._code.encode(cut))
        return torch.from_numpy(np.stack(pictures[:count])), torch.from_numpy(np.stack(codes[:count]))


def picture_loss(drawn: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Distance of values and of edges: plain distance alone is content with soft outlines."""
    distance = nn.functional.l1_loss(drawn, wanted)
    for axis in (-1, -2):
        distance = distance + nn.functional.l1_loss(drawn.diff(dim=axis), wanted.diff(dim=axis))
    return distance


class Trainee:
    """Decoder or encoder with its optimizer and the running average of its weights, which is what is shipped."""

    def __init__(self, network: Any, state: dict[str, Any] | None, *, rate: float) -> None:
        self.network, self._rate = network, rate
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.step, self.seconds, self.curve = 0, 0.0, []
        self.average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        if state is not None:
            network.load_state_dict(state["network"])
            self.average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        if state is not None and "optimizer" in state:  # else: begun by `widen`
            self._optimizer.load_state_dict(state["optimizer"])
            self.average = state["average"]
            self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]

    def descend(self, loss: torch.Tensor, done: float) -> None:
        """One step; `done`: share of the training time gone, after which the rate falls."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * min(1.0, (self.step + 1) / 50, max(0.02, (1 - done) / 0.5))
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        share = 1.0 / min(self.step + 1.0, _AVERAGE_OVER)
        for name, tensor in self.network.state_dict().items():
            self.average[name].lerp_(tensor, share)

    def state(self) -> dict[str, Any]:
        """All of it, for a checkpoint."""
        return {
            "network": self.network.state_dict(), "optimizer": self._optimizer.state_dict(), "average": self.average,
            "step": self.step, "seconds": self.seconds, "curve": self.curve,
        }  # fmt: skip


def train(
    run: Path, *, minutes: float, encoder_minutes: float, seed: int = 1, batch_size: int = 8, save_every: float = 60.0
) -> None:
    """Trains both halves, each for its minutes, a former part included."""
    torch.manual_seed(seed)
    vae = new_autoencoder()
    state = load_checkpoint(run / STATE) or {}
    examples = Examples(code_of(run, seed=seed), seed)
    halves = {
        "decoder": (Trainee(vae.decoder, state.get("decoder"), rate=2e-3), minutes * 60),
        "encoder": (Trainee(vae.encoder, state.get("encoder"), rate=2e-3), encoder_minutes * 60),
    }

    def save() -> None:
        save_checkpoint({name: trainee.state() for name, (trainee, _) in halves.items()}, run / STATE)

    noise = torch.Generator()
    for name, (trainee, budget) in halves.items():
        before, began = trainee.seconds, time.monotonic()
        saved = began
        while trainee.seconds < budget:
            done = trainee.seconds / budget
            whole = done > _WHOLE_FROM or name == "encoder"
            side, count = (SIDE, max(1, batch_size // 4)) if whole else (SIDE // 2, batch_size)
            pictures, codes = examples.take(trainee.step, count, side)
            noise.manual_seed(seed * 1_000_003 + trainee.step)
            with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
                if name == "decoder":
                    loudness = _DISTURBANCE * torch.rand(count, 1, 1, 1, generator=noise) ** 2
                    drawn = trainee.network(codes + loudness * torch.randn(codes.shape, generator=noise))
                    loss = picture_loss(drawn.float(), pictures)
                else:
                    mean, spread = trainee.network(pictures).float().chunk(2, dim=1)
                    # The encoder must name a spread as well: as good as none.
                    loss = nn.functional.mse_loss(mean, codes) + 0.001 * nn.functional.mse_loss(spread, spread * 0 - 20)
            trainee.descend(loss, done)
            trainee.seconds = before + time.monotonic() - began
            if trainee.step % 50 == 0:
                trainee.curve.append([trainee.step, loss.item()])
                print(f"{name} {done:4.0%}  step {trainee.step}  loss {loss.item():.4f}", flush=True)
            if time.monotonic() - saved > save_every:
                saved = time.monotonic()
                save()
        save()


def trained_autoencoder(run: Path) -> Any:
    """The autoencoder with the run's averaged weights. Raises `FileNotFoundError` if it was not trained yet."""
    state = load_checkpoint(run / STATE)
    if state is None:
        raise FileNotFoundError(
            f"{run / STATE} is missing: run python -m inference.demo.training.train_autoencoder first"
        )
    vae = new_autoencoder()
    vae.decoder.load_state_dict(state["decoder"]["average"])
    vae.encoder.load_state_dict(state["encoder"]["average"])
    return vae.eval()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of this training run; a killed run goes on")
    parser.add_argument("--minutes", type=float, default=20.0, help="for the decoder (default 20)")
    parser.add_argument("--encoder-minutes", type=float, default=5.0, help="for the encoder (default 5)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: as torch chooses)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    train(arguments.run, minutes=arguments.minutes, encoder_minutes=arguments.encoder_minutes, seed=arguments.seed)


if __name__ == "__main__":
    main()
