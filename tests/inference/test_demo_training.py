"""Training of the embedded model in small: a killed run goes on, and any run ships in one command."""

import functools
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from inference.demo.training.checkpoints import load_checkpoint, save_checkpoint
from inference.demo.training.rendering import FONT

pytestmark = pytest.mark.skipif(not FONT.is_file(), reason=f"{FONT} is not installed: it is needed for training only")

QUICK_MUON = functools.partial(torch.optim.Muon, ns_steps=1)
"""Rougher steps, which take a third of the time: on most processors, bfloat16 products are slow."""

SCRIPT = """
import functools
import sys
from pathlib import Path
import torch
from gateway.parts import torchvision_ops
torchvision_ops.install()
torch.set_num_threads(1)
torch.optim.Muon = functools.partial(torch.optim.Muon, ns_steps=1)
from inference.demo.training.train_flux import train
train(Path(sys.argv[1]), minutes=1e6, batch_size=2, save_every=0.0, steps=10_000)
"""


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose first lessons are over after no time at all."""
    from inference.demo.training import train_text
    from inference.demo.training.latents import fit_code
    from inference.demo.training.train_autoencoder import CODE

    torch.set_num_threads(1)
    monkeypatch.setattr(torch.optim, "Muon", QUICK_MUON)
    fit_code(1, pictures=20).save(tmp_path / CODE)
    train_text.train(tmp_path, minutes=0.0)
    return tmp_path


@pytest.mark.slow  # the trainings of the image classifier are killed in every run
def test_a_killed_run_goes_on_as_if_it_had_not_been(prepared: Path) -> None:
    from inference.demo.training import train_flux

    state = prepared / train_flux.STATE
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", SCRIPT, str(prepared)])
    deadline = time.monotonic() + 600
    while not state.is_file():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    steps = load_checkpoint(state)["step"] + 1
    resumed = train_flux.train(prepared, minutes=1e6, batch_size=2, steps=steps)
    state.unlink()
    whole = train_flux.train(prepared, minutes=1e6, batch_size=2, steps=steps)
    assert resumed["step"] == whole["step"] == steps

    torch.manual_seed(1)
    first = train_flux.Pupils(prepared).state_dict()
    for name, tensor in whole["pupils"].items():
        # Where a product's operands lie in memory decides its last bits; another example or a lost moment would move
        # the weights elsewhere by about as far as they moved at all.
        moved, apart = (tensor - other[name] for other in (first, resumed["pupils"]))
        assert apart.float().norm() <= 0.05 * moved.float().norm(), name


def test_a_checkpoint_is_whole_or_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "run" / "state.pt"
    assert load_checkpoint(path) is None
    save_checkpoint({"step": 1, "weights": torch.ones(2)}, path)
    path.with_suffix(".partial").write_bytes(b"half of the next")
    assert load_checkpoint(path)["step"] == 1


@pytest.mark.slow
def test_any_run_ships_a_folder_that_plain_diffusers_loads(prepared: Path, tmp_path: Path) -> None:
    from diffusers import FluxPipeline

    from inference.demo.training import train_autoencoder, train_flux
    from inference.demo.training.ship import ship
    from inference.flux.weights import PINS, check_pins, locate, take_digest

    train_autoencoder.train(prepared, minutes=0.0, encoder_minutes=0.0)
    train_flux.train(prepared, minutes=1e6, batch_size=2, steps=1)
    folder = tmp_path / "weights"
    ship(prepared, folder)
    check_pins(take_digest(locate(str(folder))), folder / PINS)
    pipeline = FluxPipeline.from_pretrained(str(folder), torch_dtype=torch.float32)
    assert pipeline("a fox", height=64, width=64, num_inference_steps=1, max_sequence_length=16).images[0].size == (
        64,
        64,
    )


def test_a_widened_run_keeps_every_word_and_weight_it_had_and_learns_new_rows_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import FluxTransformer2DModel
    from transformers import T5EncoderModel, T5Tokenizer

    from inference.demo import WEIGHTS
    from inference.demo.training import captions, train_flux, train_text, widen

    words = [*captions.every_word(), "dragon", "castle"]
    monkeypatch.setattr(widen, "every_word", lambda: words)
    assert widen.widen(tmp_path) == 4  # each also with a capital
    with pytest.raises(FileExistsError, match="empty folder"):
        widen.widen(tmp_path)

    old, new = (T5Tokenizer.from_pretrained(str(folder / "tokenizer_2")) for folder in (WEIGHTS, tmp_path))
    assert old("a red apple on a table").input_ids == new("a red apple on a table").input_ids
    assert new.tokenize("a Castle and a dragon") == ["▁a", "▁Castle", "▁and", "▁a", "▁dragon"]
    torch.set_num_threads(1)
    readers = train_text.train(tmp_path, minutes=0.02, batch_size=8)["readers"]
    shipped = T5EncoderModel.from_pretrained(WEIGHTS / "text_encoder_2").float().state_dict()
    rows = len(old)
    for name, tensor in shipped.items():
        assert torch.equal(readers[f"t5.{name}"][:rows] if len(tensor) == rows else readers[f"t5.{name}"], tensor)
    monkeypatch.setattr(torch.optim, "Muon", QUICK_MUON)
    pupils = train_flux.train(tmp_path, minutes=1e6, batch_size=2, steps=1, rates=0.0)["pupils"]
    transformer = FluxTransformer2DModel.from_pretrained(WEIGHTS / "transformer").float().state_dict()
    assert all(torch.equal(pupils[f"transformer.{name}"], tensor) for name, tensor in transformer.items())


def test_any_prompt_has_tokens_and_words_of_captions_have_one_each() -> None:
    from inference.demo.training.tokenizers import new_clip_tokenizer, new_t5_tokenizer

    t5, clip = new_t5_tokenizer(), new_clip_tokenizer(1)
    assert t5.tokenize("a Fox, an apple") == ["▁a", "▁Fox", ",", "▁an", "▁apple"]
    for prompt in ("", "北京 \x00 é 🦊", "zyzzyva " * 50):
        assert t5(prompt).input_ids[-1] == t5.eos_token_id
        assert clip(prompt).input_ids[-1] == clip.eos_token_id
