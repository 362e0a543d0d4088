"""The published FLUX families: which pipeline class, which defaults, which licence; and how a folder is recognised.

Sources: the model cards and `model_index.json` of the repositories named in `hub_ids`; defaults of the diffusers
pipelines in diffusers 0.42. Steps and guidance are the cards', not the pipelines': `Flux2KleinPipeline` would take
50 steps where the distilled model needs 4, `FluxPipeline` 28 steps and 512 text tokens where schnell takes 4 and 256.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.errors import WeightsError
from inference.flux.modes import FLUX_1, FLUX_2, KLEIN, Mode

NON_COMMERCIAL_1 = "FLUX.1 [dev] Non-Commercial License"
NON_COMMERCIAL_2 = "FLUX Non-Commercial License v2"
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Family:
    """Facts of one published family. Cleared for commercial use only as far as the licence itself clears it.

    `pipeline`: class name in diffusers, as `_class_name` of model_index.json has it. `guided`: the transformer embeds
    the guidance scale. `distilled`: `is_distilled` of model_index.json (klein only). `heads`: attention heads of the
    transformer, which tell the sizes of one architecture apart; 0 in rows for weights nobody published.
    """

    name: str
    pipeline: str
    hub_ids: tuple[str, ...]
    heads: int
    licence: str
    commercial_use: bool
    default_steps: int
    max_steps: int
    default_guidance: float
    text_tokens: int
    max_pixels: int
    guided: bool = False
    distilled: bool = False
    uses_strength: bool = False
    modes: tuple[Mode, ...] = FLUX_1

    @property
    def uses_guidance(self) -> bool:
        """False where the order's guidance has no effect on the pixels."""
        return self.default_guidance > 0.0


_TWO_MEGAPIXELS = 2 * 1024 * 1024  # FLUX.1 model cards: 0.1 to 2 megapixels
_FOUR_MEGAPIXELS = 4 * 1024 * 1024  # FLUX.2 model cards

SCHNELL = Family(
    "flux-1-schnell", "FluxPipeline", ("black-forest-labs/FLUX.1-schnell",), 24, "Apache-2.0", True,
    default_steps=4, max_steps=50, default_guidance=0.0, text_tokens=256, max_pixels=_TWO_MEGAPIXELS,
    uses_strength=True,
)  # fmt: skip
DEV = Family(
    "flux-1-dev", "FluxPipeline", ("black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-Krea-dev"), 24,
    NON_COMMERCIAL_1, False,
    default_steps=28, max_steps=100, default_guidance=3.5, text_tokens=512, max_pixels=_TWO_MEGAPIXELS,
    guided=True, uses_strength=True,
)  # fmt: skip
KLEIN_4B = Family(
    "flux-2-klein-4b", "Flux2KleinPipeline", ("black-forest-labs/FLUX.2-klein-4B",), 24, "Apache-2.0", True,
    default_steps=4, max_steps=50, default_guidance=0.0, text_tokens=512, max_pixels=_FOUR_MEGAPIXELS, distilled=True,
    modes=KLEIN,
)  # fmt: skip
KLEIN_9B = Family(
    "flux-2-klein-9b", "Flux2KleinPipeline", ("black-forest-labs/FLUX.2-klein-9B",), 32, NON_COMMERCIAL_2, False,
    default_steps=4, max_steps=50, default_guidance=0.0, text_tokens=512, max_pixels=_FOUR_MEGAPIXELS, distilled=True,
    modes=KLEIN,
)  # fmt: skip
KLEIN_BASE_4B = Family(
    "flux-2-klein-base-4b", "Flux2KleinPipeline", ("black-forest-labs/FLUX.2-klein-base-4B",), 24, "Apache-2.0", True,
    default_steps=50, max_steps=100, default_guidance=4.0, text_tokens=512, max_pixels=_FOUR_MEGAPIXELS,
    modes=KLEIN,
)  # fmt: skip
KLEIN_BASE_9B = Family(
    "flux-2-klein-base-9b", "Flux2KleinPipeline", ("black-forest-labs/FLUX.2-klein-base-9B",), 32,
    NON_COMMERCIAL_2, False,
    default_steps=50, max_steps=100, default_guidance=4.0, text_tokens=512, max_pixels=_FOUR_MEGAPIXELS,
    modes=KLEIN,
)  # fmt: skip
FLUX2_DEV = Family(
    "flux-2-dev", "Flux2Pipeline", ("black-forest-labs/FLUX.2-dev",), 48, NON_COMMERCIAL_2, False,
    default_steps=50, max_steps=100, default_guidance=4.0, text_tokens=512, max_pixels=_FOUR_MEGAPIXELS, guided=True,
    modes=FLUX_2,
)  # fmt: skip

# The architectures with weights of somebody's own: behaviour as the nearest published family, no licence presumed.
OWN_FLUX1 = Family(
    "flux-1-architecture", "FluxPipeline", (), 0, NOT_STATED, False,
    default_steps=4, max_steps=50, default_guidance=0.0, text_tokens=256, max_pixels=_TWO_MEGAPIXELS,
    uses_strength=True,
)  # fmt: skip
OWN_FLUX1_GUIDED = Family(
    "flux-1-architecture-guided", "FluxPipeline", (), 0, NOT_STATED, False,
    default_steps=28, max_steps=100, default_guidance=3.5, text_tokens=512, max_pixels=_TWO_MEGAPIXELS,
    guided=True, uses_strength=True,
)  # fmt: skip
OWN_KLEIN = Family(
    "flux-2-klein-architecture", "Flux2KleinPipeline", (), 0, NOT_STATED, False,
    default_steps=4, max_steps=50, default_guidance=0.0, text_tokens=512, max_pixels=_FOUR_MEGAPIXELS, distilled=True,
    modes=KLEIN,
)  # fmt: skip
OWN_KLEIN_BASE = Family(
    "flux-2-klein-base-architecture", "Flux2KleinPipeline", (), 0, NOT_STATED, False,
    default_steps=50, max_steps=100, default_guidance=4.0, text_tokens=512, max_pixels=_FOUR_MEGAPIXELS,
    modes=KLEIN,
)  # fmt: skip

OWN_FLUX2 = Family(
    "flux-2-architecture", "Flux2Pipeline", (), 0, NOT_STATED, False,
    default_steps=50, max_steps=100, default_guidance=4.0, text_tokens=512, max_pixels=_FOUR_MEGAPIXELS, guided=True,
    modes=FLUX_2,
)  # fmt: skip

PUBLISHED = (SCHNELL, DEV, KLEIN_4B, KLEIN_9B, KLEIN_BASE_4B, KLEIN_BASE_9B, FLUX2_DEV)
ARCHITECTURES = (OWN_FLUX1, OWN_FLUX1_GUIDED, OWN_KLEIN, OWN_KLEIN_BASE, OWN_FLUX2)

_ALLOWED_LIBRARIES = frozenset({"diffusers", "transformers"})


def recognise(model_index: Mapping[str, Any], transformer: Mapping[str, Any]) -> Family:
    """The family of a model folder, from its `model_index.json` and its `transformer/config.json`.

    Raises `WeightsError` for pipelines of other kinds and for folders that bring classes of their own.
    """
    pipeline = model_index.get("_class_name")
    supported = sorted({family.pipeline for family in PUBLISHED})
    if pipeline not in supported:
        raise WeightsError(
            f"model_index.json asks for a pipeline that is not served here; choose a folder of: {', '.join(supported)}"
        )
    for component, source in model_index.items():
        loaded = not component.startswith("_") and isinstance(source, list) and source[0] is not None
        if loaded and source[0] not in _ALLOWED_LIBRARIES:
            raise WeightsError(
                f"model_index.json loads {component} from code of its own; only diffusers and transformers "
                "classes are loaded here: convert the model to these"
            )
    traits = (
        pipeline,
        bool(transformer.get("guidance_embeds", pipeline == "Flux2Pipeline")),
        bool(model_index.get("is_distilled", False)),
    )
    heads = transformer.get("num_attention_heads")
    candidates = [f for f in PUBLISHED + ARCHITECTURES if (f.pipeline, f.guided, f.distilled) == traits]
    for family in candidates:
        if family.heads == heads:
            return family
    if not candidates:
        raise WeightsError("guidance_embeds and is_distilled are set as in no published family: nothing to run it by")
    return candidates[-1]


def is_cleared(family: Family, hub_id: str | None) -> bool:
    """For commercial use, by the licence of exactly these published weights: a folder's shape proves no licence."""
    return family.commercial_use and hub_id in family.hub_ids
