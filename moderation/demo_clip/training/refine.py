"""Last lesson of the small CLIP: the readout of its image tower learns what the policy will ask, and what fog is.

    python -m moderation.demo_clip.training.refine --scenes s91?.npz --glyphs inference/demo/training/glyphs.json \\
        --prompts policies/data/pictogram_prompts.toml

Everything below the readout stays; what it sees of every scene, clean and spoiled, is averaged over the patches once
(the readout is linear there), so that thousands of steps cost a minute. Half of every batch shows something screened.
Besides which glyphs there are, the loss asks for each category's score as `image_clip` computes it: none of them for
pictures in which there is nothing (`nothing.py`).
"""

import argparse
import tomllib
from pathlib import Path
from typing import Any

import numpy
import torch
import torch.nn.functional as F  # noqa: N812
from rich.progress import track

from moderation.demo_clip.training.nothing import nothing
from moderation.demo_clip.training.patches import prepared
from moderation.demo_clip.training.pictures import Scenes, Words, read_scenes, read_words
from moderation.demo_clip.training.train import HERE, write_weights
from moderation.open_clip_models import open_model
from moderation.semantic.training.fitting import BFLOAT16

_BATCH = 256
_RATE = 1e-3
_FORGOTTEN = 0.15
"""Share of hidden units that the readout has to do without in every step."""
_CATEGORY_WEIGHT = 2.0
_NOTHING_SHARE = 0.25
"""Pictures with nothing in them, for each scene."""


def seen(network: Any, images: Any, spoil: float, numbers: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, width) and (n, hidden), half precision: what the readout gets, averaged over the patches."""
    block = network.visual.transformer.resblocks[0]
    caught: dict[str, torch.Tensor] = {}

    def before(_module: Any, arguments: tuple[torch.Tensor, ...]) -> None:
        caught["stream"] = arguments[0][:, 1:].mean(1).float()

    def hidden(_module: Any, arguments: tuple[torch.Tensor, ...]) -> None:
        caught["hidden"] = arguments[0][:, 1:].float().mean(1)

    hooks = [
        block.ln_2.register_forward_pre_hook(before),
        block.mlp.c_proj.register_forward_pre_hook(hidden),
    ]
    streams, units = [], []
    for start in track(range(0, len(images), 64), description="looking"):
        pictures = prepared(images[start : start + 64], numbers, spoil)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            network.encode_image(pictures)
        streams.append(caught["stream"].half())
        units.append(caught["hidden"].half())
    for hook in hooks:
        hook.remove()
    return torch.cat(streams), torch.cat(units)


def refine(
    network: Any, tokenizer: Any, words: list[Words], scenes: Scenes, prompts: Any, *, steps: int, seed: int
) -> None:
    """Trains `c_proj`, `ln_post` and `proj` of the image tower in place."""
    numbers = torch.Generator().manual_seed(seed)
    is_screened = numpy.array([each.category in {kind["id"] for kind in prompts["category"]} for each in words])
    harmless = ~(scenes.present & is_screened).any(axis=1)
    empty = nothing(scenes.images, harmless, int(len(harmless) * _NOTHING_SHARE), seed)
    looks = [seen(network, images, spoil, numbers) for images in (scenes.images, empty) for spoil in (0.0, 1.0)]
    stream, hidden = (torch.cat(part) for part in zip(*looks, strict=True))
    marks = torch.from_numpy(scenes.present).float()
    present = torch.cat((marks, marks, torch.zeros(2 * len(empty), marks.shape[1])))
    screened = [each["prompts"] for each in prompts["category"]]
    with torch.inference_mode():
        asked = [*(sentence for each in screened for sentence in each), *prompts["benign"]["prompts"]]
        policy = network.encode_text(tokenizer(asked), normalize=True)
        named = network.encode_text(tokenizer([f"a picture with {each.phrase(each.nouns[0])}" for each in words]), True)
        scale = network.logit_scale.exp()
    policy, named, scale = policy.clone(), named.clone(), scale.clone()
    kinds = [each["id"] for each in prompts["category"]]
    truth = torch.stack([present[:, [word.category == kind for word in words]].amax(1) for kind in kinds], dim=1)
    rich, all_rows = truth.amax(1).nonzero()[:, 0], torch.arange(len(truth))
    tower = network.visual
    readout = tower.transformer.resblocks[0].mlp.c_proj
    weights = [*readout.parameters(), *tower.ln_post.parameters(), tower.proj]
    optimiser = torch.optim.AdamW(weights, lr=_RATE, weight_decay=0.01)
    for step in track(range(steps), description="refining"):
        half = _BATCH // 2
        rows = torch.cat(
            [
                rich[torch.randint(len(rich), (half,), generator=numbers)],
                all_rows[torch.randint(len(all_rows), (half,), generator=numbers)],
            ]
        )
        kept = (torch.rand(_BATCH, hidden.shape[1], generator=numbers) >= _FORGOTTEN).float() / (1 - _FORGOTTEN)
        states = stream[rows].float() + readout(hidden[rows].float() * kept)
        picture = F.normalize(tower.ln_post(states) @ tower.proj, dim=-1)
        there = present[rows]
        shares = F.cross_entropy(scale * picture @ named.T, there / there.sum(1, keepdim=True).clamp_min(1))
        logits = scale / 1.75 * picture @ policy.T
        scores, start = [], 0
        for sentences in screened:
            inside = torch.zeros(logits.shape[1], dtype=torch.bool)
            inside[start : start + len(sentences)] = True
            start += len(sentences)
            scores.append(logits[:, inside].logsumexp(1) - logits[:, ~inside].logsumexp(1))
        category = F.binary_cross_entropy_with_logits(torch.stack(scores, 1) + 3.0, truth[rows])
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, (step + 1) / 50) * (1 - step / steps)
        optimiser.zero_grad(set_to_none=True)
        (shares + _CATEGORY_WEIGHT * category).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % 200 == 199:
            print(f"step {step + 1}  shares {shares.item():.3f}  categories {category.item():.3f}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m moderation.demo_clip.training.refine",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--scenes", type=Path, nargs="+", required=True, help="those of `train`")
    parser.add_argument("--glyphs", type=Path, required=True, help="inference/demo/training/glyphs.json")
    parser.add_argument("--prompts", type=Path, required=True, help="policies/data/pictogram_prompts.toml")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the model, which is refined in place")
    parser.add_argument("--steps", type=int, default=1500, help="default 1500")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    words = read_words(arguments.glyphs)
    scenes = read_scenes(arguments.scenes)
    opened = open_model(str(arguments.out), None)
    opened.network.requires_grad_(True)
    prompts = tomllib.loads(arguments.prompts.read_text("utf-8"))
    refine(opened.network, opened.tokenizer, words, scenes, prompts, steps=arguments.steps, seed=arguments.seed)
    print("wrote the weights, sha256", write_weights(opened.network, arguments.out))


if __name__ == "__main__":
    main()
