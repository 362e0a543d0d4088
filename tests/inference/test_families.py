"""Families are recognised by what their folders say."""

from typing import Any

import pytest

from inference.errors import WeightsError
from inference.flux import families
from inference.flux.families import PUBLISHED, Family, is_cleared, recognise


@pytest.mark.parametrize("family", PUBLISHED, ids=lambda family: family.name)
def test_every_published_family_is_recognised_by_its_configuration(family: Family) -> None:
    index: dict[str, Any] = {"_class_name": family.pipeline, "vae": ["diffusers", "AutoencoderKL"]}
    if "Klein" in family.pipeline:
        index["is_distilled"] = family.distilled
    transformer = {"num_attention_heads": family.heads, "guidance_embeds": family.guided}
    assert recognise(index, transformer) is family


def test_weights_of_another_size_are_an_architecture_with_no_licence_presumed() -> None:
    family = recognise({"_class_name": "FluxPipeline"}, {"num_attention_heads": 3, "guidance_embeds": False})
    assert family is families.OWN_FLUX1
    assert family.licence == "not stated"


@pytest.mark.parametrize("name", [None, "StableDiffusionPipeline", ["pipeline", "Own"], "FluxKontextPipeline"])
def test_other_pipelines_are_refused_with_the_list_of_those_served(name: object) -> None:
    with pytest.raises(WeightsError, match="Flux2KleinPipeline"):
        recognise({"_class_name": name}, {})


def test_commercial_use_is_cleared_for_the_published_apache_weights_only() -> None:
    cleared = {hub_id for family in PUBLISHED for hub_id in family.hub_ids if is_cleared(family, hub_id)}
    assert cleared == {
        "black-forest-labs/FLUX.1-schnell",
        "black-forest-labs/FLUX.2-klein-4B",
        "black-forest-labs/FLUX.2-klein-base-4B",
    }
    assert not any(is_cleared(family, None) for family in PUBLISHED)
    assert not is_cleared(families.SCHNELL, "somebody/finetune")


def test_distilled_models_take_four_steps_by_default() -> None:
    steps = {family.name: family.default_steps for family in PUBLISHED}
    assert {steps["flux-1-schnell"], steps["flux-2-klein-4b"], steps["flux-2-klein-9b"]} == {4}
