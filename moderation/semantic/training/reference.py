"""Keeps the trained network as its difference from MiniLM: the torch reference that int8 serving is compared with.

Fine-tuning moves every weight a little, so the differences fit into int8 with one scale per row far more closely than
the weights themselves would; vectors and prototypes are kept in float32.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from moderation.semantic.head import Head
from moderation.semantic.training.network import WIDTH, Network


def write_reference(network: Network, path: Path) -> None:
    """Writes what `read_reference` reads."""
    fresh = Network(network.owners, len(network.safe), attention=network.attention).state_dict()
    kept: dict[str, torch.Tensor] = {}
    for name, rows in network.state_dict().items():
        if not name.startswith("layers.") or rows.ndim < 2:
            kept[name] = rows.contiguous()
            continue
        moved = rows - fresh[name]
        scale = moved.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127.0
        kept[f"{name}.moved"] = torch.round(moved / scale).to(torch.int8).contiguous()
        kept[f"{name}.scale"] = scale.contiguous()
    save_file(kept, path)


def read_reference(path: Path, head: Head, *, attention: bool = False) -> Network:
    """The network in float32, ready to be asked. `head`: of the same weights, for what its prototypes mean."""
    kept = load_file(path)
    network = Network(head.owners, len(kept["safe"]), attention=attention)
    state = network.state_dict()
    for name, rows in state.items():
        if f"{name}.moved" in kept:
            state[name] = rows + kept[f"{name}.moved"].float() * kept[f"{name}.scale"]
        else:
            state[name] = kept[name]
    assert state["unsafe"].shape == (len(head.owners), WIDTH)
    network.load_state_dict(state)
    return network.eval()
