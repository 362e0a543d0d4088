"""The shapes of the small models: FLUX.1's classes, narrow enough for two CPU cores, and their starting values.

Importing this loads torch and diffusers; only training and the tests do.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

BFLOAT16: Final = any(torch.cpu.get_capabilities().get(each, False) for each in ("avx512_bf16", "amx_bf16"))
"""Where the processor has no such instructions, bfloat16 is many times slower than float32."""

LATENT_CHANNELS = 16
LATENT_SIDE = 16
"""256 pixels over the autoencoder's factor of 16."""

_T5_WIDTH = 192
_CLIP_WIDTH = 128
CLIP_TOKENS = 77


def new_autoencoder() -> Any:
    """Five stages, hence 16 pixels a latent; wide where the grid is small, since full resolution costs the time.

    One group per norm: with 8 channels in several groups, each group's mean is normalised away and with it the colour.
    """
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 5,
        up_block_types=("UpDecoderBlock2D",) * 5,
        block_out_channels=(8, 16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=1,
        scaling_factor=1.0,
        shift_factor=0.0,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
        sample_size=256,
    )
    _let_codes_through(vae.decoder)
    return vae


def _let_codes_through(decoder: Any) -> None:
    """Starts the decoder as one that repeats the codes in blocks of pixels, to which its layers add little yet."""
    with torch.no_grad():
        _pass_on(decoder.conv_in)
        for name, module in decoder.named_modules():
            if name.endswith(("conv_shortcut", "upsamplers.0.conv")):
                _pass_on(module)
            elif name.endswith("conv2"):
                module.weight *= 0.1


def _pass_on(convolution: Any) -> None:
    """Hands the first channels on as they are; further ones keep their random weights."""
    weight, centre = convolution.weight, convolution.kernel_size[0] // 2
    shared = min(weight.shape[0], weight.shape[1], LATENT_CHANNELS)
    weight[:shared] = 0.0
    weight[range(shared), range(shared), centre, centre] = 1.0
    convolution.bias[:shared] = 0.0


def new_transformer() -> Any:
    """8.7 million parameters. Modulations start at zero, so that every block begins as the identity, and the whole
    begins by handing its noise on, which is nearly what it is asked for."""
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * LATENT_CHANNELS,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=32,
        num_attention_heads=8,
        joint_attention_dim=_T5_WIDTH,
        pooled_projection_dim=_CLIP_WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(8, 12, 12),
    )
    for name, module in transformer.named_modules():
        if isinstance(module, torch.nn.Linear) and (is_modulation(name) or name == "proj_out"):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    with torch.no_grad():
        size = 4 * LATENT_CHANNELS
        transformer.x_embedder.weight[:size] = torch.eye(size)
        transformer.x_embedder.weight[size:] *= 0.1
        # The norm before the output doubles a state that is alive in a quarter of its width.
        transformer.proj_out.weight[:, :size] = 0.5 * torch.eye(size)
    return transformer


def is_modulation(name: str) -> bool:
    """Whether a module or parameter of the transformer turns time and pooled text into shifts, scales and gates."""
    return any(part.startswith("norm") for part in name.split(".")) and ".linear" in name


def new_text_encoders(clip_tokenizer: Any, t5_tokenizer: Any) -> tuple[Any, Any]:
    """CLIP (its pooled state steers the modulations) and T5 (its tokens are attended to)."""
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(clip_tokenizer),
            hidden_size=_CLIP_WIDTH,
            intermediate_size=2 * _CLIP_WIDTH,
            projection_dim=_CLIP_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CLIP_TOKENS,
            bos_token_id=clip_tokenizer.bos_token_id,
            eos_token_id=clip_tokenizer.eos_token_id,
            pad_token_id=clip_tokenizer.pad_token_id,
        )
    )
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=len(t5_tokenizer),
            d_model=_T5_WIDTH,
            d_kv=32,
            d_ff=2 * _T5_WIDTH,
            num_layers=3,
            num_heads=6,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
        )
    )
    _let_order_be_seen(t5)
    return clip, t5


def _let_order_be_seen(t5: Any) -> None:
    """Starts four heads looking before, after, one back and one ahead, and one nearby.

    T5 knows order by its biases of relative position alone. From random ones, what stands left of what was still a
    guess after 650 steps. Buckets (Raffel et al. 2020, section 2.1): 0 to 15 for the word itself and words before it,
    16 to 31 for words after it, the first eight of each for one distance each.
    """
    bias = t5.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    with torch.no_grad():
        bias[16:, 0] = -4.0
        bias[:16, 1] = -4.0
        bias[1, 2] = 4.0
        bias[17, 3] = 4.0
        bias[:, 4] = -0.4 * torch.arange(16.0).repeat(2)


def compile_blocks(blocks: Iterable[Any]) -> None:
    """Compiles blocks of one kind: the code is made once per shape and shared, since weights are its inputs."""
    shared = None
    for block in blocks:
        shared = shared or torch.compile(type(block).forward, dynamic=False)
        block.forward = partial(shared, block)


def assembled(
    vae: Any, transformer: Any, clip: Any, t5: Any, clip_tokenizer: Any, t5_tokenizer: Any, *, shift: float = 1.0
) -> Any:
    """diffusers' own FluxPipeline of these parts. `shift`: above 1, sampling spends more steps on the noisy end."""
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        vae=vae,
        text_encoder=clip,
        tokenizer=clip_tokenizer,
        text_encoder_2=t5,
        tokenizer_2=t5_tokenizer,
        transformer=transformer,
    )


def packed(latents: torch.Tensor) -> torch.Tensor:
    """(n, 16, rows, columns) to (n, tokens, 64), two by two, as FluxPipeline packs them."""
    count, channels, rows, columns = latents.shape
    split = latents.view(count, channels, rows // 2, 2, columns // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return split.reshape(count, rows * columns // 4, channels * 4)


def unpacked(tokens: torch.Tensor, rows: int = LATENT_SIDE, columns: int = LATENT_SIDE) -> torch.Tensor:
    """The way back from `packed`."""
    split = tokens.view(tokens.shape[0], rows // 2, columns // 2, LATENT_CHANNELS, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return split.reshape(tokens.shape[0], LATENT_CHANNELS, rows, columns)


def image_ids(rows: int = LATENT_SIDE // 2, columns: int = LATENT_SIDE // 2) -> torch.Tensor:
    """Positions of the image tokens, (tokens, 3), as FluxPipeline numbers them."""
    ids = torch.zeros(rows, columns, 3)
    ids[..., 1] += torch.arange(rows)[:, None]
    ids[..., 2] += torch.arange(columns)[None, :]
    return ids.reshape(rows * columns, 3)
