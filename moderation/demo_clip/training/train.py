"""Trains the small CLIP on rendered scenes; stops and goes on wherever it was killed.

    python -m inference.demo.training.datasets --count 12000 --seed 911 --side 128 --out scenes.npz
        (once, or several seeds)
    python -m moderation.demo_clip.training.train --scenes scenes.npz --glyphs inference/demo/training/glyphs.json \\
        --work work
    python -m moderation.demo_clip.training.evaluate --help  (thresholds and figures)

Made for one processor core. Trained from nothing, CLIP's own loss stands still for long: each tower waits for the other
to say something, and most of the work goes into finding filters. So the towers learn apart and meet last:

0. eyes: filters of the image tower are taken from the pictures (`patches` tells how); every picture is looked at once,
   clean or spoiled, and what the filters see is kept in `--work`.
1. words: every glyph is given a direction of its own, all at right angles; the text tower learns to turn a sentence
   into the directions of the glyphs it names.
2. pictures: the image tower's readout learns to turn what the filters see into the directions of the glyphs in the
   picture, in equal shares, so that one weapon among two harmless things keeps a third.
3. together: the directions are dropped and every weight of both towers moves. Pictures and their captions, contrasted
   both ways as CLIP does, and pictures with one sentence per glyph ("a picture with a dagger"), present or not.
"""

import argparse
import hashlib
import json
import math
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy
import torch
import torch.nn.functional as F  # noqa: N812
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track
from safetensors.torch import save_file

from moderation.demo_clip.training.patches import Readout, lay_out, pooled, prepared
from moderation.demo_clip.training.pictures import Scenes, Words, read_scenes, read_words
from moderation.open_clip_models import CONFIG, WEIGHTS, new_network
from moderation.semantic.training.fitting import BFLOAT16

HERE = Path(__file__).parents[1]
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")

_MAX_SCALE = math.log(100.0)  # where CLIP and open_clip stop the logit scale
_CAPTION_WEIGHT = 0.3
_PRESENCE_WEIGHT = 0.15
_TOGETHER_SHARE = 0.15
_WARM_UP_STEPS = 40
_CHECKPOINT_SECONDS = 45.0
_LOOK = 500  # pictures between two saves


def train_tokenizer(captions: list[str], folder: Path, vocabulary: int) -> None:
    """Writes a byte-level BPE tokenizer of `vocabulary` tokens, trained on `captions`, in Hugging Face's form."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = ["<pad>", "<start>", "<end>"]  # ids 0, 1, 2, as the model's config says
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        captions,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    tokenizer.save(str(folder / TOKENIZER[0]))
    (folder / TOKENIZER[1]).write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "pad_token": special[0],
                "bos_token": special[1],
                "eos_token": special[2],
                "model_max_length": 48,
            },
            indent=1,
        )
        + "\n"
    )


def encode_text(network: Any, tokens: torch.Tensor) -> torch.Tensor:
    """What `network.encode_text` gives, without the columns that are padding for the whole batch."""
    longest = int((tokens != 0).sum(1).max())
    tokens = tokens[:, :longest]
    hidden = network.token_embedding(tokens) + network.positional_embedding[:longest]
    hidden = network.ln_final(network.transformer(hidden, attn_mask=network.attn_mask[:longest, :longest]))
    ends = (tokens == network.text_eos_id).int().argmax(1)
    return F.normalize((hidden[torch.arange(len(tokens)), ends] @ network.text_projection).float(), dim=-1)


PHASES = ("words", "pictures", "together")
BATCHES = {"words": 32, "pictures": 128, "together": 32}
Features = numpy.typing.NDArray[numpy.float16]


class Training:
    """One run: both towers, the optimiser, and every random number it will draw; all of it is in the checkpoint.

    `features`: what the eyes saw, row r of scene r modulo the number of scenes.
    """

    def __init__(
        self, network: Any, tokenizer: Any, features: Features, steps: dict[str, int], rate: float, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.network, self.features, self._tokenizer = network, features, tokenizer
        width = network.text_projection.shape[1]
        directions = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(0)))[0]
        self.readout = Readout(network, torch.from_numpy(features[:4000].astype(numpy.float32)), directions)
        self._directions = directions
        self.bias = torch.nn.Parameter(torch.tensor(-4.0))  # of the sigmoid; training only
        text = [weight for name, weight in network.named_parameters() if not name.startswith("visual.")]
        self.optimiser = _optimiser([self.bias, *text, *self.readout.parameters()])
        self.steps, self.rate = steps, rate
        self.met = False
        self.step, self.seconds = 0, 0.0
        self.curve: list[tuple[int, float, float]] = []
        self._stream = random.Random(seed)
        self._numbers = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long)
        self._tokens: dict[str, torch.Tensor] = {}

    def meet(self) -> None:
        """Begins the last phase: the readout becomes part of the image tower, and both towers are learned on whole."""
        self.readout.fold_into(self.network)
        self.optimiser = _optimiser([self.bias, *self.network.parameters()])
        self.met = True

    @property
    def phase(self) -> tuple[str, float]:
        """The phase of the next step, and how much of it is done, 0 to 1."""
        before = 0
        for name in PHASES:
            if self.step < before + self.steps[name]:
                return name, (self.step - before) / self.steps[name]
            before += self.steps[name]
        return PHASES[-1], 1.0

    def one_step(self, scenes: Scenes, words: list[Words]) -> tuple[float, float]:
        """One batch. Returns the loss over the glyphs, and how often the most likely glyph is in the picture."""
        phase, done = self.phase
        if phase == "together" and not self.met:
            self.meet()
        rows = self._next_rows(BATCHES[phase])
        present = torch.from_numpy(scenes.present[rows % len(scenes.images)]).float()
        captions = [scenes.captions[row] for row in rows % len(scenes.images)]
        scale, extra = self.network.logit_scale.exp(), torch.zeros(())
        if phase == "words":
            seen = self._read(captions + [each.sentence(self._stream) for each in words])
            present = torch.cat((present, torch.eye(len(words))))
        elif phase == "pictures":
            seen = self.readout(torch.from_numpy(self.features[rows].astype(numpy.float32)))
        else:
            seen = self._look(scenes.images[rows % len(scenes.images)])
        if phase == "together":
            named = scale * seen @ self._read([each.sentence(self._stream) for each in words]).T
            extra = _CAPTION_WEIGHT * _contrast(scale * seen @ self._read(captions).T)
        else:
            named = scale * seen @ self._directions[: len(words)].T
        shares = F.cross_entropy(named, present / present.sum(1, keepdim=True))
        presence = F.binary_cross_entropy_with_logits(named + self.bias, present, reduction="none").sum(1).mean()
        self._descend(shares + _PRESENCE_WEIGHT * presence + extra, done)
        return float(shares.detach()), float(present.gather(1, named.argmax(1, keepdim=True)).mean())

    def _next_rows(self, number: int) -> numpy.typing.NDArray[numpy.int64]:
        if len(self._order) < number:
            self._order = torch.randperm(len(self.features), generator=self._numbers)
        rows, self._order = self._order[:number].numpy(), self._order[number:]
        return rows

    def _look(self, images: numpy.typing.NDArray[numpy.uint8]) -> torch.Tensor:
        pictures = prepared(images, self._numbers, float(self.step % 2))
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            return F.normalize(self.network.encode_image(pictures).float(), dim=-1)

    def _read(self, sentences: list[str]) -> torch.Tensor:
        for sentence in sentences:
            if sentence not in self._tokens:
                self._tokens[sentence] = self._tokenizer([sentence])[0]
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            return encode_text(self.network, torch.stack([self._tokens[sentence] for sentence in sentences]))

    def _descend(self, loss: torch.Tensor, done: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate_now(done)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimiser.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        self.optimiser.step()
        with torch.no_grad():
            self.network.logit_scale.clamp_(0.0, _MAX_SCALE)
        self.step += 1

    def _rate_now(self, done: float) -> float:
        """Each phase warms up and cools down; the last one goes gently with what the others learned."""
        name, _ = self.phase
        warm = min(1.0, (done * self.steps[name] + 1) / _WARM_UP_STEPS)
        highest = self.rate * (_TOGETHER_SHARE if name == PHASES[-1] else 1.0)
        return highest * warm * (0.5 + 0.5 * math.cos(math.pi * done))

    def save(self, file: Path) -> None:
        """Writes the checkpoint; a kill in the middle leaves the one before."""
        partial = file.with_suffix(".partial")
        torch.save(
            {
                "network": self.network.state_dict(),
                "readout": self.readout.state_dict(),
                "met": self.met,
                "bias": self.bias.detach(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "curve": self.curve,
                "stream": self._stream.getstate(),
                "numbers": self._numbers.get_state(),
                "order": self._order,
                "forgetting": torch.get_rng_state(),  # what the readout does without is drawn from torch's own
            },
            partial,
        )
        os.replace(partial, file)

    def resume(self, file: Path) -> None:
        """Goes on from a checkpoint of this run."""
        kept = torch.load(file, weights_only=True)
        if kept["met"]:
            self.meet()
        self.network.load_state_dict(kept["network"])
        self.readout.load_state_dict(kept["readout"])
        self.bias.data.copy_(kept["bias"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.step, self.seconds, self.curve = kept["step"], kept["seconds"], [tuple(row) for row in kept["curve"]]
        version, state, gauss = kept["stream"]
        self._stream.setstate((version, tuple(state), gauss))
        self._numbers.set_state(kept["numbers"])
        self._order = kept["order"]
        torch.set_rng_state(kept["forgetting"])


def _optimiser(weights: list[Any]) -> torch.optim.AdamW:
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": 0.05},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98))


def _contrast(paired: torch.Tensor) -> torch.Tensor:
    own = torch.arange(len(paired))
    return (F.cross_entropy(paired, own) + F.cross_entropy(paired.T, own)) / 2


def look(network: Any, scenes: Scenes, looks: int, work: Path, seed: int) -> Features:
    """What the eyes see of `looks` pictures: the scenes in turn, every second 500 spoiled. Kept in `work`."""
    numbers = torch.Generator().manual_seed(seed)
    eyes, progress, kept = work / "eyes.pt", work / "looked.json", work / "features.npy"
    width = network.visual.conv1.weight.shape[0] + len(network.visual.transformer.resblocks[0].mlp.c_fc.bias)
    if eyes.is_file():
        network.visual.load_state_dict(torch.load(eyes, weights_only=True))
        features = numpy.lib.format.open_memmap(kept, mode="r+")
    else:
        lay_out(network, scenes.images, numbers)
        features = numpy.lib.format.open_memmap(kept, mode="w+", dtype=numpy.float16, shape=(looks, width))
        progress.write_text("0")
        torch.save(network.visual.state_dict(), eyes)
    done = json.loads(progress.read_text())
    starts = range(done, len(features), _LOOK)
    for start in track(starts, description=f"looking at {len(features) - done} pictures"):
        rows = numpy.arange(start, min(start + _LOOK, len(features)))
        numbers.manual_seed(seed + start + 1)
        images = scenes.images[rows % len(scenes.images)]
        spoil = float((start // _LOOK + start // len(scenes.images)) % 2)
        features[rows] = numpy.concatenate(
            [
                pooled(network, prepared(images[part : part + 50], numbers, spoil)).numpy()
                for part in range(0, len(rows), 50)
            ]
        )
        features.flush()
        progress.write_text(str(start + _LOOK))
    return features


def write_weights(network: Any, folder: Path) -> str:
    """Writes the weights at half precision; returns their SHA-256."""
    halves = {name: value.detach().half().contiguous() for name, value in network.state_dict().items()}
    save_file(halves, folder / WEIGHTS)
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m moderation.demo_clip.training.train",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--scenes", type=Path, nargs="+", required=True, help="scenes to train on (.npz, --side 128)")
    parser.add_argument(
        "--glyphs", type=Path, required=True, help="inference/demo/training/glyphs.json: what the glyphs are called"
    )
    parser.add_argument("--work", type=Path, required=True, help="where the checkpoint and the curve are kept")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the model: config, tokenizer, weights")
    for phase, steps in zip(PHASES, (200, 3000, 400), strict=True):
        parser.add_argument(f"--{phase}", type=int, default=steps, help=f"steps of this phase (default {steps})")
    parser.add_argument("--looks", type=int, default=72000, help="pictures to look at (default 72000)")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate (default 0.002)")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default 1)")
    parser.add_argument("--new-tokenizer", action="store_true", help="train the tokenizer on the captions first")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    scenes, words = read_scenes(arguments.scenes), read_words(arguments.glyphs)
    if arguments.new_tokenizer:
        vocabulary = json.loads((arguments.out / CONFIG).read_text("utf-8"))["model_cfg"]["text_cfg"]["vocab_size"]
        train_tokenizer(scenes.captions, arguments.out, vocabulary)
    lengths = {phase: getattr(arguments, phase) for phase in PHASES}
    network, tokenizer = new_network(arguments.out)
    features = look(network, scenes, arguments.looks, arguments.work, arguments.seed)
    training = Training(network, tokenizer, features, lengths, arguments.rate, arguments.seed)
    checkpoint = arguments.work / "checkpoint.pt"
    if checkpoint.is_file():
        training.resume(checkpoint)
        print(f"going on at step {training.step}")
    _run(training, scenes, words, checkpoint)
    if not training.met:
        training.meet()
    (arguments.work / "curve.json").write_text(json.dumps({"seconds": training.seconds, "curve": training.curve}))
    print("wrote the weights, sha256", write_weights(network, arguments.out))


def _run(training: Training, scenes: Scenes, words: list[Words], checkpoint: Path) -> None:
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    began, saved = time.process_time() - training.seconds, time.monotonic()
    loss, hit = training.curve[-1][1:] if training.curve else (math.log(len(words)), 0.0)
    with Progress(*columns) as progress:
        total = sum(training.steps.values())
        bar = progress.add_task("", total=total, completed=training.step)
        while training.step < total:
            now = training.one_step(scenes, words)
            loss, hit = loss + 0.04 * (now[0] - loss), hit + 0.04 * (now[1] - hit)
            training.seconds = time.process_time() - began
            if training.step % 25 == 0:
                training.curve.append((training.step, loss, hit))
            if training.step % 100 == 0:
                progress.console.print(
                    f"{training.phase[0]} {training.step}  loss {loss:.3f}  hit {hit:.3f}  {training.seconds:.0f} s"
                )
            progress.update(bar, completed=training.step, description=f"loss {loss:.3f} hit {hit:.3f}")
            if time.monotonic() - saved > _CHECKPOINT_SECONDS or training.step == total:
                training.save(checkpoint)
                saved = time.monotonic()


if __name__ == "__main__":
    main()
