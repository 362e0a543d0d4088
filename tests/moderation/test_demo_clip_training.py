"""Training the small CLIP: it goes on after a kill, and what it learns apart fits together. On coloured squares."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from moderation.demo_clip.training import train
from moderation.demo_clip.training.patches import Readout, lay_out, pooled, prepared
from moderation.demo_clip.training.pictures import Scenes, Words, spoiled
from moderation.open_clip_models import CONFIG, new_network

FOLDER = Path(train.__file__).parents[1]


def tiny_scenes(count: int = 60) -> Scenes:
    """Squares of two colours on noise, captioned by colour: what training needs, in no time."""
    numbers = np.random.default_rng(3)
    images = numbers.integers(90, 120, (count, 128, 128, 3), np.uint8)
    present = np.zeros((count, 2), bool)
    for number in range(count):
        kind = number % 2
        row, column = numbers.integers(0, 6, 2) * 16
        images[number, row : row + 32, column : column + 32] = ((220, 20, 20), (20, 20, 220))[kind]
        present[number, kind] = True
    captions = ["a red square" if row[0] else "a blue square" for row in present]
    return Scenes(images, captions, present, ["red square", "blue square"])


TINY_WORDS = [Words("red square", ("red square",), False, None), Words("blue square", ("blue square",), False, None)]


def tiny_folder(folder: Path) -> Path:
    config = json.loads((FOLDER / CONFIG).read_text())
    config["model_cfg"]["vision_cfg"] |= {"width": 48, "mlp_ratio": 4.0, "head_width": 16}
    config["model_cfg"]["text_cfg"] |= {"width": 48, "vocab_size": 300}
    config["model_cfg"]["embed_dim"] = 48
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(config))
    train.train_tokenizer(tiny_scenes().captions, folder, 300)
    return folder


def tiny_training(folder: Path, work: Path) -> train.Training:
    work.mkdir(exist_ok=True)
    torch.manual_seed(5)
    network, tokenizer = new_network(folder)
    features = train.look(network, tiny_scenes(), 120, work, 1)
    return train.Training(network, tokenizer, features, dict.fromkeys(train.PHASES, 4), 1e-3, 1)


@pytest.mark.parametrize("killed_at", [2, 7, 10])
def test_training_goes_on_after_a_kill_as_if_nothing_had_happened(tmp_path: Path, killed_at: int) -> None:
    folder = tiny_folder(tmp_path / "model")
    whole = tiny_training(folder, tmp_path / "whole")
    for _ in range(12):
        whole.one_step(tiny_scenes(), TINY_WORDS)
    first = tiny_training(folder, tmp_path / "killed")
    for _ in range(killed_at):
        first.one_step(tiny_scenes(), TINY_WORDS)
    first.save(tmp_path / "killed" / "checkpoint.pt")
    second = tiny_training(folder, tmp_path / "killed")
    second.resume(tmp_path / "killed" / "checkpoint.pt")
    for _ in range(12 - killed_at):
        second.one_step(tiny_scenes(), TINY_WORDS)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    assert torch.equal(whole.readout.linear.weight, second.readout.linear.weight)


def test_the_readout_folded_into_the_network_gives_what_it_was_trained_to_give(tmp_path: Path) -> None:
    network, _ = new_network(tiny_folder(tmp_path / "model"))
    numbers = torch.Generator().manual_seed(1)
    scenes = tiny_scenes()
    lay_out(network, scenes.images, numbers)
    pictures = prepared(scenes.images[:8], numbers, 0.0)
    features = pooled(network, pictures)
    readout = Readout(network, features, torch.linalg.qr(torch.randn(48, 48))[0])
    readout.eval().fold_into(network)
    with torch.inference_mode():
        assert torch.allclose(network.encode_image(pictures, normalize=True), readout(features), atol=0.02)


def test_spoiled_pictures_stay_pictures_and_equal_numbers_spoil_equally() -> None:
    pictures = torch.rand(16, 3, 128, 128, generator=torch.Generator().manual_seed(2))
    once = spoiled(pictures, torch.Generator().manual_seed(7))
    assert torch.equal(once, spoiled(pictures, torch.Generator().manual_seed(7)))
    assert once.shape == pictures.shape
    assert 0 <= once.min() <= once.max() <= 1
    assert not torch.equal(once, pictures)
    assert torch.equal(spoiled(pictures, torch.Generator().manual_seed(7), strength=0.0), pictures)
