"""Builds a small model of FLUX.1's real classes with seeded random weights, to walk pictures through the house fast.

It draws soft coloured noise that depends on prompt and seed, and is called "untrained" wherever it appears.

Every number comes from one PCG64 stream in a fixed order and is rounded to half precision, so the files are the same
bytes on every machine; they do differ between versions of diffusers, which write their own into the configuration.
"""

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer
from transformers.utils import logging as transformers_logging

from inference.flux.cards import SHEET

MODEL_ID = "fluxgate/untrained-demo"
SEED = 20261121

_TEXT_TOKENS = 512
_CLIP_TOKENS = 77  # the window of FLUX.1's own CLIP
_CLIP_WIDTH = 32
_T5_WIDTH = 64
_CONTRAST = 0.2
"""Gain of the decoder's last layer, chosen by eye: a standard deviation of about a tenth of the range (more in red),
with some one in a hundred samples at its ends, where a watermark has no room."""

_SMOOTHING = np.outer([1, 2, 1], [1, 2, 1]) / 16.0
"""Each decoder convolution mixes channels at random and space by this binomial kernel, so noise comes out as soft
blots: a picture that JPEG compresses and watermarks survive like a photograph, not like static."""

_SHEET = {
    "id": MODEL_ID,
    "description": "Untrained: random weights of FLUX.1's classes. Draws coloured noise, whatever is asked.",
    "trained": False,
    "licence": "Apache-2.0",
    "commercial_use": True,
    "default_size": [256, 256],
    "min_side": 64,
    "max_side": 512,
    "default_steps": 4,
    "max_steps": 50,
    "text_tokens": _TEXT_TOKENS,
}

_CARD = """# Untrained demonstration model

Random weights in the classes of FLUX.1 (FluxTransformer2DModel, AutoencoderKL, CLIPTextModel, T5EncoderModel).
**It was trained on nothing and draws coloured noise**, different for every prompt and seed. It serves to try Fluxgate
(screening, marking, signing, logging) on a machine without a checkpoint. Made by `inference/demo/untrained.py`.
"""

_WORDS = """
    a an the of in on at with and under over near from to is are by for red green blue yellow white black orange
    purple brown pink grey teal small large big old young two three man woman person people child cat dog fox bird
    horse fish tree flower house car boat mountain lake sea river sky sun moon star night day city street apple
    balloon photo painting picture drawing light dark beautiful landscape background
"""


def build(folder: Path) -> Path:
    """Writes the model into `folder` (created, about 3 MB) in diffusers' layout with its sheet, and returns `folder`.

    Equal calls write equal bytes. torch's global random state is not touched.
    """
    with torch.random.fork_rng(devices=[]):  # constructors draw numbers, all replaced below
        pipeline = _assemble()
    stream = np.random.Generator(np.random.PCG64(SEED))
    for name in ("transformer", "vae", "text_encoder", "text_encoder_2"):
        _fill(name, getattr(pipeline, name), stream)
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    pipeline.save_pretrained(str(folder), safe_serialization=True)
    (folder / SHEET).write_text(json.dumps(_SHEET, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_CARD, encoding="utf-8")
    return folder


def _assemble() -> Any:
    clip, t5 = _clip_tokenizer(), _t5_tokenizer()
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        # Five stages: one latent for 16 pixels, so 256x256 are 64 tokens after FluxPipeline's 2x2 packing.
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 5,
            up_block_types=("UpDecoderBlock2D",) * 5,
            block_out_channels=(16, 16, 32, 32, 32),
            layers_per_block=1,
            latent_channels=16,
            norm_num_groups=8,
            scaling_factor=1.0,
            shift_factor=0.0,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(clip),
                hidden_size=_CLIP_WIDTH,
                intermediate_size=2 * _CLIP_WIDTH,
                projection_dim=_CLIP_WIDTH,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=_CLIP_TOKENS,
                bos_token_id=clip.bos_token_id,
                eos_token_id=clip.eos_token_id,
                pad_token_id=clip.pad_token_id,
            )
        ),
        tokenizer=clip,
        text_encoder_2=T5EncoderModel(
            T5Config(
                vocab_size=len(t5), d_model=_T5_WIDTH, d_kv=16, d_ff=2 * _T5_WIDTH, num_layers=2, num_heads=4,
                feed_forward_proj="gated-gelu",
            )
        ),
        tokenizer_2=t5,
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=64,
            num_layers=2,
            num_single_layers=4,
            attention_head_dim=32,
            num_attention_heads=3,
            joint_attention_dim=_T5_WIDTH,
            pooled_projection_dim=_CLIP_WIDTH,
            guidance_embeds=False,
            axes_dims_rope=(8, 12, 12),
        ),
    )  # fmt: skip


def _clip_tokenizer() -> Any:
    """CLIP's own tokenizer class over its byte alphabet, without merges: every text has tokens, none is unknown."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=_CLIP_TOKENS)


def _t5_tokenizer() -> Any:
    """T5's own tokenizer class with a unigram table of common words and single characters."""
    words = sorted({"▁" + word for word in _WORDS.split()})
    letters = sorted(set(string.printable.strip()) | {chr(code) for code in range(0xC0, 0x180)} | {"▁"})
    table = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    table += [(word, -4.0) for word in words] + [(letter, -8.0) for letter in letters]
    return T5Tokenizer(vocab=table, extra_ids=0, model_max_length=_TEXT_TOKENS)


def _fill(component: str, module: torch.nn.Module, stream: np.random.Generator) -> None:
    """Gives every parameter its number: matrices uniform with variance 1/fan-in, gains one, biases zero; all halved."""
    for name, parameter in sorted(module.named_parameters()):
        shape = tuple(parameter.shape)
        if len(shape) < 2:
            values = np.full(shape, 1.0 if name.endswith("weight") else 0.0)
        elif component == "vae" and name.startswith("decoder") and shape[2:] == (3, 3):
            values = _uniform(shape[:2], shape[1], stream)[:, :, None, None] * _SMOOTHING * 2.0
            if name == "decoder.conv_out.weight":
                values *= _CONTRAST
        else:
            values = _uniform(shape, int(np.prod(shape[1:])), stream)
        parameter.data = torch.from_numpy(values).to(torch.float16)


def _uniform(shape: tuple[int, ...], fan_in: int, stream: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    reach = np.sqrt(3.0 / fan_in)
    return stream.uniform(-reach, reach, shape)
