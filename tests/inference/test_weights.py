"""Where weights come from, and that the wrong ones do not start."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from huggingface_hub import constants

from inference.errors import WeightsError
from inference.flux.cards import SHEET, read_sheet
from inference.flux.engine import FluxEngine
from inference.flux.weights import check_pins, locate, take_digest, write_pins
from tests.inference import tiny_models


@pytest.fixture
def folder(untrained_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(untrained_folder, tmp_path / "model")


def digest(folder: Path) -> str:
    return take_digest(locate(str(folder))).digest


def test_the_digest_is_what_sha256sum_makes_of_the_files(folder: Path) -> None:
    weights = take_digest(locate(str(folder)))
    lines = b"".join(
        subprocess.run(["sha256sum", file.path], cwd=folder, capture_output=True, check=True).stdout
        for file in weights.files
    )
    assert weights.digest == "sha256:" + hashlib.sha256(lines).hexdigest()


def test_the_digest_changes_with_weights_and_configuration_and_not_with_prose(folder: Path) -> None:
    before = digest(folder)
    (folder / "README.md").write_text("other words")
    shutil.copytree(folder, folder.parent / "elsewhere")
    assert digest(folder.parent / "elsewhere") == before
    tiny_models.change_json(folder / "scheduler" / "scheduler_config.json", shift=2.0)
    changed = digest(folder)
    assert changed != before
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert digest(folder) not in (before, changed)


def test_the_cache_remembers_digests_until_a_file_changes(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "state" / "digests.json"
    before = take_digest(locate(str(folder)), cache=cache)
    assert take_digest(locate(str(folder)), cache=cache) == before
    cache.write_text(cache.read_text().replace(before.files[0].sha256, "0" * 64))
    assert take_digest(locate(str(folder)), cache=cache).digest != before.digest, "the cache was not read"
    (folder / before.files[0].path).touch()
    assert take_digest(locate(str(folder)), cache=cache).digest == before.digest
    cache.write_text('{"half')
    assert take_digest(locate(str(folder)), cache=cache).digest == before.digest


def test_pins_pass_what_they_were_written_for(folder: Path, tmp_path: Path) -> None:
    pins = tmp_path / "SHA256SUMS"
    write_pins(take_digest(locate(str(folder))), pins)
    FluxEngine(FluxEngine.Options(model=str(folder), pins=pins))
    subprocess.run(["sha256sum", "--check", "--quiet", str(pins)], cwd=folder, check=True)


def test_pins_name_the_file_that_differs_is_new_or_is_gone(folder: Path, tmp_path: Path) -> None:
    pins = tmp_path / "SHA256SUMS"
    write_pins(take_digest(locate(str(folder))), pins)

    def refusal() -> str:
        with pytest.raises(WeightsError) as refused:
            check_pins(take_digest(locate(str(folder))), pins)
        return str(refused.value)

    (folder / "vae" / "zoo.json").write_text("{}")
    assert "vae/zoo.json is not pinned" in refusal()
    (folder / "vae" / "zoo.json").rename(folder / "vae" / "README.md")
    config = (folder / "vae" / "config.json").read_bytes()
    tiny_models.change_json(folder / "vae" / "config.json", scaling_factor=0.5)
    assert "vae/config.json is not the file pinned" in refusal()
    (folder / "vae" / "config.json").write_bytes(config)
    pins.write_text(pins.read_text() + "0" * 64 + "  vae/zoo.json\n")
    assert "vae/zoo.json is pinned" in refusal()


def test_pins_inside_the_folder_are_checked_without_asking(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text("0" * 64 + "  model_index.json\n")
    with pytest.raises(WeightsError, match="not"):
        FluxEngine(FluxEngine.Options(model=str(folder)))


def test_a_broken_pins_file_is_named_with_its_line(folder: Path, tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    pins.write_text("# my pins\n")
    with pytest.raises(WeightsError, match="line 1"):
        FluxEngine(FluxEngine.Options(model=str(folder), pins=pins))
    with pytest.raises(WeightsError, match="cannot be read"):
        FluxEngine(FluxEngine.Options(model=str(folder), pins=tmp_path / "absent"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.ckpt", "model.pt", "modeling_own.py"])
def test_files_that_can_run_code_are_refused(folder: Path, name: str) -> None:
    (folder / "text_encoder" / name).write_bytes(b"\x80\x04")
    with pytest.raises(WeightsError, match="can run code"):
        FluxEngine(FluxEngine.Options(model=str(folder)))


def test_a_model_index_that_brings_its_own_classes_is_refused(folder: Path) -> None:
    tiny_models.change_json(folder / "model_index.json", transformer=["evil_module", "Transformer"])
    with pytest.raises(WeightsError, match="code of its own"):
        FluxEngine(FluxEngine.Options(model=str(folder)))


def test_missing_weights_are_named(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(WeightsError, match="vae holds no safetensors"):
        FluxEngine(FluxEngine.Options(model=str(folder)))
    shutil.rmtree(folder / "tokenizer_2")
    with pytest.raises(WeightsError, match="tokenizer_2 is missing"):
        FluxEngine(FluxEngine.Options(model=str(folder)))
    (folder / "model_index.json").unlink()
    with pytest.raises(WeightsError, match="diffusers' layout"):
        FluxEngine(FluxEngine.Options(model=str(folder)))


def test_a_name_that_is_neither_folder_nor_hub_id_is_refused() -> None:
    with pytest.raises(WeightsError, match="neither a folder"):
        locate("/nowhere/at/all")


def test_a_hub_model_that_is_not_here_says_how_to_get_it_when_offline() -> None:
    with pytest.raises(WeightsError, match="hf download"):
        locate("black-forest-labs/FLUX.1-schnell", offline=True)


def test_a_hub_model_in_the_cache_is_found_offline_by_id_and_by_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "1" * 40
    stored = tmp_path / "hub" / "models--black-forest-labs--FLUX.1-schnell"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text(commit)
    (folder / SHEET).unlink()
    shutil.copytree(folder, stored / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    by_folder = locate(str(stored / "snapshots" / commit))
    assert by_folder.hub_id == "black-forest-labs/FLUX.1-schnell"
    by_id = locate("black-forest-labs/FLUX.1-schnell", offline=True)
    assert (by_id.path, by_id.hub_id) == (by_folder.path, by_folder.hub_id)


def test_a_sheet_with_unknown_or_wrong_fields_is_named(folder: Path) -> None:
    (folder / SHEET).write_text('{"steps": 4}')
    with pytest.raises(WeightsError, match="steps"):
        read_sheet(folder)
    (folder / SHEET).write_text('{"commercial_use": true}')
    with pytest.raises(WeightsError, match="licence"):
        read_sheet(folder)


def test_a_sheet_with_sizes_the_model_cannot_draw_does_not_start(folder: Path) -> None:
    tiny_models.change_json(folder / SHEET, default_size=[250, 256])
    with pytest.raises(WeightsError, match="multiples of 32"):
        FluxEngine(FluxEngine.Options(model=str(folder)))


def test_the_operators_word_overrules_the_sheet(folder: Path) -> None:
    options = FluxEngine.Options(
        model=str(folder), model_id="ours/one", trained=True, licence="own", commercial_use=False, price_credits=3
    )
    card = FluxEngine(options).models[0]
    assert (card.id, card.trained, card.licence, card.commercial_use) == ("ours/one", True, "own", False)
    assert card.price_credits == 3


def test_a_folder_without_sheet_or_hub_id_is_cleared_for_nothing(guided_folder: Path) -> None:
    card = FluxEngine(FluxEngine.Options(model=str(guided_folder))).models[0]
    assert (card.id, card.licence, card.commercial_use) == ("local/tiny-guided", "not stated", False)
