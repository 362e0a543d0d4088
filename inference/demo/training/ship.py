"""From a training run to the folder that is shipped: half precision, the sheet, the pins. One command replaces it all.

    python -m inference.demo.training.ship --run run/  weights into inference/demo/weights/, then the figures
    python -m inference.demo.training.ship --run run/ --no-figures    weights only

The folder loads with plain `diffusers.FluxPipeline.from_pretrained`. Figures and pictures are those of `evaluate`.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from inference.demo import WEIGHTS
from inference.demo.training.architecture import assembled
from inference.demo.training.checkpoints import load_checkpoint
from inference.demo.training.tokenizers import T5_TOKENS
from inference.demo.training.train_autoencoder import trained_autoencoder
from inference.demo.training.train_flux import STATE, Pupils
from inference.flux.cards import SHEET
from inference.flux.weights import PINS, locate, take_digest, write_pins

MODEL_ID = "fluxgate/pictograms"
STEPS = 8
_SHIFT = 1.0

_SHEET = {
    "id": MODEL_ID,
    "description": "Pictogram model: a small network of FLUX.1's classes, trained here on scenes of pictograms. "
    "It draws these and nothing else. It is not FLUX.1.",
    "trained": True,
    "licence": "Apache-2.0",
    "commercial_use": True,
    "default_size": [256, 256],
    "min_side": 256,
    "max_side": 256,
    "default_steps": STEPS,
    "max_steps": 50,
    "text_tokens": T5_TOKENS,
}


def trained_pipeline(run: Path) -> Any:
    """FluxPipeline with the run's averaged weights, in float32."""
    state = load_checkpoint(run / STATE)
    if state is None:
        raise FileNotFoundError(f"{run / STATE} is missing: run python -m inference.demo.training.train_flux first")
    pupils = Pupils(run)
    pupils.load_state_dict(state["average"])
    return assembled(
        trained_autoencoder(run),
        pupils.transformer.eval(),
        pupils.clip.eval(),
        pupils.t5.eval(),
        pupils.clip_tokenizer,
        pupils.t5_tokenizer,
        shift=_SHIFT,
    )


def ship(run: Path, folder: Path) -> None:
    """Replaces `folder` by the run's weights, with sheet and pins; the old ones stay until the new ones are whole."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    trained_pipeline(run).to(torch.float16).save_pretrained(str(partial), safe_serialization=True)
    (partial / SHEET).write_text(json.dumps(_SHEET, indent=2) + "\n", encoding="utf-8")
    write_pins(take_digest(locate(str(partial))), partial / PINS)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="model folder to replace (default: the shipped one)")
    parser.add_argument("--no-figures", action="store_true", help="leave the figures as they are")
    parser.add_argument("--judge", help="a second judge for the figures, module:function")
    arguments = parser.parse_args()
    ship(arguments.run, arguments.out)
    print(f"{arguments.out}: {sum(path.stat().st_size for path in arguments.out.rglob('*.*')):,} bytes")
    if not arguments.no_figures:
        from inference.demo.training.evaluate import judge_of, write_curves, write_figures

        write_curves(arguments.run)
        write_figures(arguments.out, judge=judge_of(arguments.judge))


if __name__ == "__main__":
    main()
