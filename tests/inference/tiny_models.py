"""Small models of the real classes beside the embedded one, with random weights: another architecture per family."""

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_klein(folder: Path, *, is_distilled: bool) -> Path:
    """A FLUX.2 klein: Flux2KleinPipeline with a Qwen3 of 28 narrow layers, as it reads hidden states 9, 18 and 27."""
    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Qwen2Tokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[])
    tokenizer.chat_template = CHAT_TEMPLATE
    with torch.random.fork_rng():
        torch.manual_seed(7)
        pipeline = Flux2KleinPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=AutoencoderKLFlux2(
                block_out_channels=(8, 8, 8, 8), layers_per_block=1, latent_channels=4, norm_num_groups=4
            ),
            text_encoder=Qwen3ForCausalLM(
                Qwen3Config(
                    vocab_size=len(tokenizer),
                    hidden_size=16,
                    intermediate_size=16,
                    num_hidden_layers=28,
                    num_attention_heads=2,
                    num_key_value_heads=1,
                    head_dim=8,
                )
            ),
            tokenizer=tokenizer,
            transformer=Flux2Transformer2DModel(
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=48,
                timestep_guidance_channels=16,
                axes_dims_rope=(4, 4, 4, 4),
                guidance_embeds=False,
            ),
            is_distilled=is_distilled,
        )
    pipeline.save_pretrained(str(folder))
    return folder


def save_guided(folder: Path, untrained: Path) -> Path:
    """FLUX.1 dev's kind: a transformer that embeds the guidance scale, an autoencoder of four stages, no sheet."""
    with torch.random.fork_rng():
        torch.manual_seed(8)
        components = dict(FluxPipeline.from_pretrained(str(untrained)).components)
        components["transformer"] = FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=64,
            pooled_projection_dim=32,
            guidance_embeds=True,
            axes_dims_rope=(4, 4, 8),
        )
        components["vae"] = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            scaling_factor=1.0,
            shift_factor=0.0,
        )
    FluxPipeline(**components).save_pretrained(str(folder))
    return folder


def change_json(path: Path, **changes: object) -> None:
    """Sets top-level keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
