"""Gives the image tower eyes without gradient descent: filters from the scenes' own patches.

The scenes' things stand on a grid whose cells are the patches of the tower, so the same patches come again and again.
That is made use of, after Coates, Lee and Ng ("An Analysis of Single-Layer Networks in Unsupervised Feature Learning",
2011), inside an ordinary vision transformer of one block:

1. `conv1`: the principal components of the patches, each scaled to about equal strength.
2. `mlp.c_fc`: every hidden unit is one patch of a training scene and fires for patches at a small angle to it.
3. Attention starts silent (output zero); the readout (`mlp.c_proj`, `ln_post`, `proj`) is learned first. Since it acts
   on what is averaged over all patches, it is learned on the averages: `pooled` computes them once.
"""

from typing import Any

import numpy
import numpy.typing
import torch
import torch.nn.functional as F  # noqa: N812

from moderation.demo_clip.training.pictures import spoiled
from moderation.semantic.training.fitting import BFLOAT16

Images = numpy.typing.NDArray[numpy.uint8]

_STRONG = 40
"""Components weaker than this one are not raised to full strength: they are mostly the edges' fine print and noise."""
_GAIN = 10.0
_ANGLE = 0.5
"""A hidden unit sees 10 (cos − 0.5): dark below, linear above."""
_FORGOTTEN = 0.2
"""Share of hidden units that the readout has to do without in every training step."""
_FAMILIAR = 4
"""A patch is part of a thing rather than of the ground if even its fifth nearest in the picture is far."""


def prepared(images: Images, numbers: torch.Generator, spoil: float) -> torch.Tensor:
    """(n, side, side, 3) uint8 to (n, 3, side, side) in -1..1, spoiled if asked."""
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0
    return (spoiled(pictures, numbers, spoil) if spoil else pictures) * 2.0 - 1.0


def lay_out(network: Any, images: Images, numbers: torch.Generator) -> None:
    """Sets everything below the readout from at least a thousand scenes."""
    tower, block = network.visual, network.visual.transformer.resblocks[0]
    width, _, side, _ = tower.conv1.weight.shape
    with torch.no_grad():
        patches = F.unfold(prepared(images[:600], numbers, 0.0), side, stride=side).transpose(1, 2).flatten(0, 1)
        middle = patches.mean(0)
        values, vectors = torch.linalg.eigh((patches - middle).T @ (patches - middle) / len(patches))
        values, vectors = values.flip(0)[:width], vectors.flip(1)[:, :width]
        filters = (vectors / (values + values[_STRONG]).sqrt()).T
        tower.conv1.weight.copy_(filters.view_as(tower.conv1.weight))
        tower.class_embedding.zero_()
        tower.positional_embedding.copy_((-filters @ middle).expand_as(tower.positional_embedding))
        block.attn.out_proj.weight.zero_()
        block.attn.out_proj.bias.zero_()
        sights = _sights(network, images, numbers, len(block.mlp.c_fc.bias))
        # After a layer norm every patch has the length √width, so a product of two is width times their cosine.
        block.mlp.c_fc.weight.copy_(_GAIN * sights / width)
        block.mlp.c_fc.bias.fill_(-_GAIN * _ANGLE)


def _sights(network: Any, images: Images, numbers: torch.Generator, wanted: int) -> torch.Tensor:
    """(wanted, width): patches that stand out in their pictures, after the layer norm; half of them spoiled."""
    found, block = [], network.visual.transformer.resblocks[0]
    chunk, each = 100, 4
    for number, start in enumerate(range(0, -(-wanted // each), chunk)):
        seen = block.ln_2(_tokens(network, prepared(images[start : start + chunk], numbers, float(number % 2))))
        alike = F.normalize(seen, dim=-1) @ F.normalize(seen, dim=-1).transpose(1, 2)
        strange = 1.0 - alike.topk(_FAMILIAR + 1, dim=2).values[..., -1]
        chosen = torch.multinomial(strange.clamp_min(1e-6) ** 2, each, generator=numbers)
        found.append(seen.gather(1, chosen[..., None].expand(-1, -1, seen.shape[-1])).flatten(0, 1))
    return torch.cat(found)[:wanted]


def _tokens(network: Any, pictures: torch.Tensor) -> torch.Tensor:
    """(n, patches, width): what enters the block."""
    seen = network.visual.conv1(pictures).flatten(2).transpose(1, 2)
    tokens: torch.Tensor = seen + network.visual.positional_embedding[1:]
    return tokens


def pooled(network: Any, pictures: torch.Tensor) -> torch.Tensor:
    """(n, width + hidden): averages over the patches of what enters the block, and of its hidden units."""
    block = network.visual.transformer.resblocks[0]
    with torch.inference_mode():
        tokens = _tokens(network, pictures)
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            hidden = block.mlp.gelu(block.mlp.c_fc(block.ln_2(tokens)))
        return torch.cat((tokens.mean(1), hidden.float().mean(1)), 1)


class Readout(torch.nn.Module):
    """`c_proj`, `ln_post` and `proj` over pooled features of even strength, to be folded back into the network."""

    def __init__(self, network: Any, features: torch.Tensor, directions: torch.Tensor) -> None:
        super().__init__()
        width = network.visual.conv1.weight.shape[0]
        hidden = features[:, width:]
        self.middle, self.spread = hidden.mean(0), hidden.std(0) + 1e-6
        self.linear = torch.nn.Linear(hidden.shape[1], width)
        torch.nn.init.normal_(self.linear.weight, std=0.02)
        self.norm = torch.nn.LayerNorm(width)
        self.projection = torch.nn.Parameter(directions.clone())
        self.width = width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pooled features to embeddings of length one."""
        even = (features[:, self.width :] - self.middle) / self.spread
        even = F.dropout(even, _FORGOTTEN, self.training)
        return F.normalize(self.norm(features[:, : self.width] + self.linear(even)) @ self.projection, dim=-1)

    def fold_into(self, network: Any) -> None:
        """Writes what was learned into the network, whose `encode_image` then gives what `forward` gives."""
        tower, readout = network.visual, network.visual.transformer.resblocks[0].mlp.c_proj
        with torch.no_grad():
            weight = self.linear.weight / self.spread
            readout.weight.copy_(weight)
            readout.bias.copy_(self.linear.bias - weight @ self.middle)
            tower.ln_post.load_state_dict(self.norm.state_dict())
            tower.proj.copy_(self.projection)
