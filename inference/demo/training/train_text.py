"""First lesson of the text encoders: read a caption, before they learn with the transformer what it looks like.

    python -m inference.demo.training.train_text --run run/ --minutes 5

Each T5 token that speaks of a subject learns to tell which glyph it is, its colour, size, tilt and place; ground words
tell the ground; CLIP's pooled state tells what is in the picture. Text costs a hundredth of pictures, so that the
transformer need not find out by itself what "left of" means. Writes the tokenizers and
`text.pt` (state, resumable) in the run's folder.
"""

import argparse
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inference.demo.training.architecture import BFLOAT16, compile_blocks, new_text_encoders
from inference.demo.training.checkpoints import load_checkpoint, save_checkpoint
from inference.demo.training.glyphs import glyph_table
from inference.demo.training.reading import ATTRIBUTES, Batch, batch_of
from inference.demo.training.scenes import GROUNDS, draw_scene
from inference.demo.training.tokenizers import new_clip_tokenizer, new_t5_tokenizer

STATE = "text.pt"
TOKENIZER_SEED = 11


class Readers(nn.Module):
    """Both text encoders with the heads of the first lesson, which are dropped after it."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.clip_tokenizer, self.t5_tokenizer = tokenizers_of(run)
        self.clip, self.t5 = new_text_encoders(self.clip_tokenizer, self.t5_tokenizer)
        self.token_heads = nn.ModuleDict(
            {
                name: nn.Linear(self.t5.config.d_model, classes)
                for name, classes in (*ATTRIBUTES.items(), ("ground", len(GROUNDS)))
            }
        )
        self.glyph_head = nn.Linear(self.clip.config.hidden_size, len(glyph_table()))
        self.ground_head = nn.Linear(self.clip.config.hidden_size, len(GROUNDS))

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss to descend, and the share of tokens that tell each attribute rightly."""
        states = self.t5(batch.t5_ids).last_hidden_state
        total, right = torch.zeros(()), {}
        for name, head in self.token_heads.items():
            labels = batch.told[name]
            scores = head(states).float()
            total = total + nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), ignore_index=-100)
            known = labels >= 0
            right[name] = (scores.argmax(-1)[known] == labels[known]).float().mean().item()
        pooled = self.clip(batch.clip_ids).pooler_output
        seen = nn.functional.binary_cross_entropy_with_logits(self.glyph_head(pooled).float(), batch.glyphs)
        grounds = self.ground_head(pooled).float()
        total = total + 30.0 * seen + nn.functional.cross_entropy(grounds, batch.ground, ignore_index=-100)
        found = self.glyph_head(pooled).argmax(-1)
        right["clip"] = batch.glyphs[torch.arange(len(found)), found].mean().item()
        return total, right


def tokenizers_of(run: Path) -> tuple[Any, Any]:
    """The run's tokenizers for CLIP and T5, made if they are not there yet: weights fit no others."""
    from transformers import CLIPTokenizer, T5Tokenizer

    clip_folder, t5_folder = run / "tokenizer", run / "tokenizer_2"
    if not t5_folder.is_dir():
        new_clip_tokenizer(TOKENIZER_SEED).save_pretrained(str(clip_folder))
        new_t5_tokenizer().save_pretrained(str(t5_folder))
    return CLIPTokenizer.from_pretrained(str(clip_folder)), T5Tokenizer.from_pretrained(str(t5_folder))


def train(
    run: Path, *, minutes: float, seed: int = 1, batch_size: int = 96, save_every: float = 60.0, compiled: bool = False
) -> dict[str, Any]:
    """Trains for `minutes` of its own time, a former part included, and returns the state it saved.

    In a run that `widen` began, of the encoders only the rows of the new words move.
    """
    torch.manual_seed(seed)
    readers = Readers(run)
    old_words = (load_checkpoint(run / STATE) or {}).get("old_words")
    parameters = list(readers.parameters())
    if old_words is not None:
        parameters = _new_rows(readers, old_words)
    decay = 0.01 if old_words is None else 0.0  # it would move old rows without any gradient
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.98), weight_decay=decay)
    state = load_checkpoint(run / STATE) or {"step": 0, "seconds": 0.0, "curve": []}
    if "readers" in state:
        readers.load_state_dict(state["readers"])
    if state["step"]:
        optimizer.load_state_dict(state["optimizer"])
    step, seconds, curve = state["step"], state["seconds"], state["curve"]
    if compiled:
        compile_blocks(readers.t5.encoder.block)
    began = saved = time.monotonic()
    while (spent := seconds + time.monotonic() - began) < minutes * 60:
        stream = random.Random(f"text {seed} {step}")
        batch = batch_of(
            [draw_scene(stream) for _ in range(batch_size)], stream, readers.t5_tokenizer, readers.clip_tokenizer
        )
        done = spent / (minutes * 60)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50, max(0.02, (1 - done) / 0.5))
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            loss, right = readers.loss(batch)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        if step % 25 == 0:
            curve.append([step, loss.item(), right["glyph"]])
            shares = "  ".join(f"{name} {share:.2f}" for name, share in right.items())
            print(f"text {done:4.0%}  step {step}  loss {loss.item():.3f}  {shares}", flush=True)
        if time.monotonic() - saved > save_every:
            saved = time.monotonic()
            _save(run, readers, optimizer, step, seconds + saved - began, curve, old_words)
    return _save(run, readers, optimizer, step, seconds + time.monotonic() - began, curve, old_words)


def _new_rows(readers: Readers, old_words: int) -> list[Any]:
    """Freezes the encoders but for T5's rows from `old_words` on; returns what is left to train."""
    readers.t5.requires_grad_(False)
    readers.clip.requires_grad_(False)
    rows = readers.t5.get_input_embeddings().weight
    rows.requires_grad_(True)
    rows.register_hook(lambda gradient: torch.cat([torch.zeros_like(gradient[:old_words]), gradient[old_words:]]))
    return [parameter for parameter in readers.parameters() if parameter.requires_grad]


def _save(
    run: Path,
    readers: Readers,
    optimizer: Any,
    step: int,
    seconds: float,
    curve: list[Any],
    old_words: int | None,
) -> dict[str, Any]:
    state = {
        **({} if old_words is None else {"old_words": old_words}),
        "readers": readers.state_dict(), "optimizer": optimizer.state_dict(),
        "step": step, "seconds": seconds, "curve": curve,
    }  # fmt: skip
    save_checkpoint(state, run / STATE)
    return state


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of this training run; a killed run goes on")
    parser.add_argument("--minutes", type=float, default=5.0, help="training time in all (default 5)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: as torch chooses)")
    parser.add_argument("--compile", action="store_true", help="compile the blocks first; needs a C++ compiler")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    train(arguments.run, minutes=arguments.minutes, seed=arguments.seed, compiled=arguments.compile)


if __name__ == "__main__":
    main()
