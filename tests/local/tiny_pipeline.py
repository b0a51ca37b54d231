"""Pipelines of a few thousand random weights, saved as folders, for tests on the CPU."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

__all__ = ["save_tiny_flux", "save_tiny_stable_diffusion"]

WIDTH = 32
"""Numbers for each token."""
TOKENS = 24
"""Most tokens of a prompt; each letter is one."""


def save_tiny_stable_diffusion(folder: Path, withholds: bool | None = None) -> str:
    """A pipeline with a U-Net, which takes negative prompts.

    Args:
        folder: where to save it.
        withholds: what its safety checker says of every image; ``None`` for a pipeline without one.
    """
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    StableDiffusionPipeline(
        vae=_vae(latent_channels=4),
        text_encoder=_clip(),
        tokenizer=_tokenizer(),
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None if withholds is None else _safety_checker(withholds),
        feature_extractor=CLIPImageProcessor(size=32, crop_size=32),
        requires_safety_checker=withholds is not None,
    ).save_pretrained(folder)
    return str(folder)


def save_tiny_flux(folder: Path) -> str:
    """A pipeline with a transformer and flow matching, which takes no mask of noise levels and two text encoders."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=(4, 4, 8),
    )
    t5 = T5Config(vocab_size=_vocabulary_size(), d_model=WIDTH, d_kv=8, d_ff=37, num_heads=4, num_layers=1)
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(latent_channels=4, shift_factor=0.0, scaling_factor=1.0, use_quant_conv=False),
        text_encoder=_clip(),
        tokenizer=_tokenizer(),
        text_encoder_2=T5EncoderModel(t5),
        tokenizer_2=_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return str(folder)


def _vae(**settings: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        norm_num_groups=4,
        **settings,
    )


def _vocabulary() -> dict[str, int]:
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(tokens)}


def _vocabulary_size() -> int:
    return len(_vocabulary())


def _tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer(vocab=_vocabulary(), merges=[], model_max_length=TOKENS)


def _clip() -> CLIPTextModel:
    size = _vocabulary_size()
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=size,
            hidden_size=WIDTH,
            intermediate_size=37,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=size - 2,
            eos_token_id=size - 1,
            pad_token_id=size - 1,
        )
    )


def _safety_checker(withholds: bool) -> StableDiffusionSafetyChecker:
    small = {"hidden_size": WIDTH, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = CLIPConfig(
        vision_config={**small, "image_size": 32, "patch_size": 8}, text_config=small, projection_dim=16
    )
    checker = StableDiffusionSafetyChecker(config)
    # An image is withheld where it is closer to a concept than the concept's weight.
    torch.nn.init.ones_(checker.concept_embeds)
    checker.concept_embeds_weights.data.fill_(-2.0 if withholds else 2.0)
    checker.special_care_embeds_weights.data.fill_(2.0)
    return checker
