"""Begins a training run where the shipped model stands: for more pictograms in less time than from nothing.

    python -m inference.demo.training.widen --run run/

Weights, tokenizers and the code of the latents are those that are shipped; words that the table of glyphs has and the
tokenizer of T5 has not are appended to it, so that every old word keeps its number and its row. The lessons then go on
as ever: `train_autoencoder`, `train_text --new-words`, `train_flux`. CLIP spells new words in the pieces it has.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from transformers import CLIPTextModel, T5EncoderModel, T5Tokenizer

from inference.demo import WEIGHTS
from inference.demo.training.captions import every_word
from inference.demo.training.checkpoints import save_checkpoint
from inference.demo.training.tokenizers import T5_TOKENS
from inference.demo.training.train_autoencoder import CODE, Trainee
from inference.demo.training.train_autoencoder import STATE as AUTOENCODER_STATE
from inference.demo.training.train_flux import STATE, Pupils
from inference.demo.training.train_text import STATE as TEXT_STATE
from inference.demo.training.train_text import Readers

SHIPPED_CODE = Path(__file__).with_name(CODE)


def widen(run: Path, shipped: Path = WEIGHTS, *, seed: int = 1) -> int:
    """Fills the folder `run`, which must not have begun; returns how many words are new to T5."""
    if (run / STATE).exists():
        raise FileExistsError(f"{run} has begun: widen into an empty folder")
    torch.manual_seed(seed)
    run.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SHIPPED_CODE, run / CODE)
    shutil.copytree(shipped / "tokenizer", run / "tokenizer", dirs_exist_ok=True)
    table = json.loads((shipped / "tokenizer_2" / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    known = {piece for piece, _ in table}
    words = sorted({"▁" + word for plain in every_word() for word in (plain, plain.capitalize())} - known)
    longer = [(piece, score) for piece, score in table] + [(word, -4.0) for word in words]
    T5Tokenizer(vocab=longer, extra_ids=0, model_max_length=T5_TOKENS).save_pretrained(str(run / "tokenizer_2"))
    readers = Readers(run)
    readers.clip.load_state_dict(CLIPTextModel.from_pretrained(shipped / "text_encoder").float().state_dict())
    _load_longer(readers.t5, T5EncoderModel.from_pretrained(shipped / "text_encoder_2").float().state_dict())
    fresh = {"step": 0, "seconds": 0.0, "curve": []}
    save_checkpoint({**fresh, "readers": readers.state_dict(), "old_words": len(table)}, run / TEXT_STATE)
    pupils = Pupils(run)
    transformer = FluxTransformer2DModel.from_pretrained(shipped / "transformer").float()
    pupils.transformer.load_state_dict(transformer.state_dict())
    save_checkpoint({**fresh, "transformer": pupils.transformer.state_dict()}, run / STATE)
    vae = AutoencoderKL.from_pretrained(shipped / "vae").float()
    halves = {name: Trainee(getattr(vae, name), None, rate=0.0) for name in ("decoder", "encoder")}
    save_checkpoint({name: {"network": half.average} for name, half in halves.items()}, run / AUTOENCODER_STATE)
    return len(words)


def _load_longer(t5: Any, weights: dict[str, torch.Tensor]) -> None:
    """Loads weights of a shorter table. New rows start near the middle of the old ones, as far apart as they are."""
    for name, tensor in t5.state_dict().items():
        old = weights[name]
        if tensor.shape == old.shape:
            continue
        middle, spread = old.mean(0), old.std(0)
        weights[name] = torch.cat([old, middle + spread * torch.randn(len(tensor) - len(old), old.shape[1])])
    t5.load_state_dict(weights)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of the new training run")
    parser.add_argument("--model", type=Path, default=WEIGHTS, help="model folder to begin with (default: the shipped)")
    arguments = parser.parse_args()
    print(f"{widen(arguments.run, arguments.model)} new words")


if __name__ == "__main__":
    main()
