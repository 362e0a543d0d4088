import hashlib
import json
import math
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from moderation.classifiers import ImageClassifier, Pixels
from moderation.errors import ClassifierFailed, PartUnusable
from moderation.image_clip import Clip
from policies import findings
from policies.findings import Stage

SMALL: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
TABLE: dict[str, Any] = {
    "category": [
        {"id": "weapons", "prompts": ["a photo of a gun", "a photo of a knife used as a weapon"]},
        {"id": "gore", "prompts": ["a photo of an open wound"]},
    ],
    "benign": {"prompts": ["a photo of a landscape", "a photo of a cat", "a drawing of a house"]},
}


class Small:
    """A real open_clip model of two small layers a tower, with seeded random weights, saved to files."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "small.json"
        self.config.write_text(json.dumps(SMALL))
        torch.manual_seed(0)
        self.weights = folder / "small.pt"
        torch.save(open_clip.CLIP(**SMALL).state_dict(), self.weights)

    def part(self, **changed: Any) -> Clip:
        options = {"model": str(self.config), "weights": str(self.weights), "data": [TABLE], **changed}
        return Clip(Clip.Options.model_validate(options))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(small: Small) -> Clip:
    return small.part()


def noise(seed: int, height: int = 64, width: int = 48) -> Pixels:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    pixels.flags.writeable = False
    return pixels


def scores(clip: Clip, pixels: Pixels) -> dict[str, float]:
    return {finding.category: finding.score for finding in clip.classify(pixels, Stage.OUTPUT_IMAGE)}


def test_the_part_claims_exactly_the_categories_of_its_data_and_reports_each_of_them(clip: Clip) -> None:
    assert isinstance(clip, ImageClassifier)
    assert clip.categories == {"weapons", "gore"}
    findings = clip.classify(noise(1), Stage.INPUT_IMAGE)
    assert [finding.category for finding in findings] == ["gore", "weapons"]
    assert all(0 < finding.score < 1 and finding.stage is Stage.INPUT_IMAGE for finding in findings)


def test_equal_pixels_get_equal_scores_also_from_a_second_instance(clip: Clip, small: Small) -> None:
    assert scores(clip, noise(1)) == scores(clip, noise(1)) == scores(small.part(), noise(1))
    assert scores(clip, noise(1)) != scores(clip, noise(2))


def test_the_score_is_the_mass_of_the_categorys_sentences_beside_the_benign_ones(clip: Clip, small: Small) -> None:
    model, preprocess = open_clip.create_model_from_pretrained(
        clip_name(small), str(small.weights), image_resize_mode="squash"
    )
    tokenizer = open_clip.get_tokenizer(clip_name(small))
    with torch.inference_mode():
        picture = model.encode_image(preprocess(Image.fromarray(noise(3))).unsqueeze(0), normalize=True)[0]
        mass = {
            prompt: math.exp(
                model.logit_scale.exp() * (model.encode_text(tokenizer([prompt]), normalize=True)[0] @ picture)
            )
            for group in (*TABLE["category"], TABLE["benign"])
            for prompt in group["prompts"]
        }
    weapons = sum(mass[prompt] for prompt in TABLE["category"][0]["prompts"])
    benign = sum(mass[prompt] for prompt in TABLE["benign"]["prompts"])
    assert scores(clip, noise(3))["weapons"] == pytest.approx(weapons / (weapons + benign), abs=1e-5)


def clip_name(small: Small) -> str:
    return "fluxgate-" + hashlib.sha256(small.config.read_bytes()).hexdigest()


def test_a_high_temperature_leaves_only_the_share_of_sentences(small: Small) -> None:
    flat = scores(small.part(prompt_temperature=1e6), noise(1))
    assert flat == pytest.approx({"weapons": 2 / 5, "gore": 1 / 4}, abs=1e-3)


def test_the_shipped_sentences_fit_the_part_and_the_models_text_length(small: Small) -> None:
    table = tomllib.loads((Path(findings.__file__).parent / "data" / "image_prompts.toml").read_text())
    assert small.part(data=[table]).categories == {each["id"] for each in table["category"]}
    tokenizer = open_clip.get_tokenizer("ViT-B-32", context_length=200)
    sentences = [prompt for each in (*table["category"], table["benign"]) for prompt in each["prompts"]]
    assert (tokenizer(sentences) != 0).sum(dim=1).max() <= SMALL["text_cfg"]["context_length"]


def test_tables_add_up(small: Small) -> None:
    more = {"category": [{"id": "drugs", "prompts": ["a photo of pills"]}]}
    assert small.part(data=[TABLE, more]).categories == {"weapons", "gore", "drugs"}


def test_the_version_is_the_digest_of_the_weights(clip: Clip, small: Small) -> None:
    digest = hashlib.sha256(small.weights.read_bytes()).hexdigest()
    assert clip.version == f"sha256:{digest}"
    assert clip.classify(noise(1), Stage.OUTPUT_IMAGE)[0].version == clip.version
    assert small.part(sha256=digest).version == clip.version
    with pytest.raises(PartUnusable, match="pinned"):
        small.part(sha256="0" * 64)


def test_a_hub_folders_config_is_read_with_its_preprocessing(clip: Clip, small: Small, tmp_path: Path) -> None:
    config = tmp_path / "open_clip_config.json"
    config.write_text(json.dumps({"model_cfg": SMALL}))
    assert scores(small.part(model=str(config)), noise(1)) == scores(clip, noise(1))
    config.write_text(json.dumps({"model_cfg": SMALL, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}))
    assert scores(small.part(model=str(config)), noise(1)) != scores(clip, noise(1))


def test_a_config_named_like_a_built_in_model_does_not_replace_it(small: Small, tmp_path: Path) -> None:
    impostor = tmp_path / "ViT-B-32.json"
    impostor.write_text(json.dumps(SMALL))
    small.part(model=str(impostor))
    assert open_clip.get_model_config("ViT-B-32")["embed_dim"] == 512


@pytest.mark.parametrize("shape", [(1, 1), (1, 16384), (16384, 1), (3, 4000), (512, 512)])
def test_degenerate_and_flat_pictures_get_scores_not_errors(shape: tuple[int, int], clip: Clip) -> None:
    assert set(scores(clip, np.full((*shape, 3), 128, np.uint8))) == clip.categories
    assert set(scores(clip, noise(1, *shape))) == clip.categories


def test_the_border_of_a_wide_picture_is_seen(clip: Clip) -> None:
    plain = np.full((64, 256, 3), 128, np.uint8)
    marked = plain.copy()
    marked[:, :32] = noise(9, 64, 32)
    assert scores(clip, plain) != scores(clip, marked)


@pytest.mark.parametrize("wrong", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))])
def test_anything_but_rgb_bytes_is_refused_not_passed(wrong: Any, clip: Clip) -> None:
    with pytest.raises(ClassifierFailed):
        clip.classify(wrong, Stage.INPUT_IMAGE)


def test_eight_threads_get_the_scores_that_one_gets(clip: Clip) -> None:
    pictures = [noise(seed) for seed in range(16)]
    alone = [scores(clip, picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda picture: scores(clip, picture), pictures)) == alone


def test_half_precision_is_near_full_precision(clip: Clip, small: Small) -> None:
    assert scores(small.part(dtype="bf16"), noise(1)) == pytest.approx(scores(clip, noise(1)), abs=0.1)


def test_missing_weights_stop_the_start_and_name_option_and_remedy(small: Small, tmp_path: Path) -> None:
    with pytest.raises(PartUnusable, match="neither a file nor a pretrained tag") as raised:
        small.part(weights=str(tmp_path / "gone.safetensors"))
    assert raised.value.field == "weights"
    assert "local weights file" in raised.value.remedy


def test_a_tag_that_cannot_be_fetched_stops_the_start(
    small: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PartUnusable, match="not in the cache") as raised:
        small.part(model="ViT-B-32", weights="laion2b_s34b_b79k")
    assert raised.value.field == "weights"


def test_a_tag_of_another_activation_stops_the_start(small: Small) -> None:
    with pytest.raises(PartUnusable, match="activation"):
        small.part(model="ViT-B-32", weights="openai")


def test_weights_of_another_model_or_no_weights_at_all_stop_the_start(small: Small, tmp_path: Path) -> None:
    with pytest.raises(PartUnusable, match="could not be loaded"):
        small.part(model="ViT-B-32")
    (tmp_path / "text.pt").write_text("not weights")
    with pytest.raises(PartUnusable, match="could not be loaded"):
        small.part(weights=str(tmp_path / "text.pt"))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"embed_dim": 4}'])
def test_a_bad_model_config_stops_the_start(content: str | None, small: Small, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    if content is not None:
        config.write_text(content)
    with pytest.raises(PartUnusable) as raised:
        small.part(model=str(config))
    assert raised.value.field == "model"


@pytest.mark.parametrize("table", [{}, {"category": TABLE["category"]}, {"benign": TABLE["benign"]}])
def test_sentences_of_both_kinds_are_needed(table: dict[str, Any], small: Small) -> None:
    with pytest.raises(PartUnusable, match="nothing to compare"):
        small.part(data=[table])


@pytest.mark.parametrize(
    "table",
    [
        {**TABLE, "category": [{"id": "kittens", "prompts": ["a kitten"]}]},
        {**TABLE, "category": [{"id": "gore", "prompts": []}]},
        {**TABLE, "benign": {"prompts": [""]}},
        {**TABLE, "harmful": {}},
    ],
)
def test_a_malformed_table_is_refused(table: dict[str, Any], small: Small) -> None:
    with pytest.raises(ValidationError):
        small.part(data=[table])
