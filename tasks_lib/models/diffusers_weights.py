"""Loading the weights of a diffusers pipeline: on which device, with which numbers, and what to say when it fails."""

import gc
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from tasks_lib.errors import MissingExtraError, RecipeError

__all__ = ["PipelineSettings", "Weights", "free_memory", "load_weights"]


@dataclass(frozen=True)
class PipelineSettings:
    """What makes two pipelines the same."""

    model_id: str
    revision: str | None
    variant: str | None
    device: str
    dtype: str

    @property
    def name(self) -> str:
        """The id as it is written; of a path that only this machine knows, the folder's name."""
        path = PurePath(self.model_id)
        is_private = path.is_absolute() or self.model_id.startswith((".", "~"))
        return path.name or self.model_id if is_private else self.model_id


@dataclass(frozen=True)
class Weights:
    """A loaded pipeline, and where and how it computes."""

    pipe: Any
    """A text-to-image pipeline of diffusers."""
    device: str
    """``cuda``, ``mps`` or ``cpu``."""
    dtype: str
    """``float32``, ``float16`` or ``bfloat16``."""


def load_weights(settings: PipelineSettings) -> Weights:
    """Load a pipeline from the Hub or a folder.

    Raises:
        MissingExtraError: torch, diffusers or transformers is not installed.
        RecipeError: there is no such model or device, or the weights cannot be loaded.
    """
    _check_extra(settings)
    device = _device(settings)
    dtype = _dtype(settings, device)
    return Weights(_pipe(settings, device, dtype), device, dtype)


def free_memory() -> None:
    """Give memory that nobody uses any more back to the device."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _check_extra(settings: PipelineSettings) -> None:
    try:
        import diffusers  # noqa: F401  # only to know that it is there
        import torch  # noqa: F401  # the same
        import transformers  # noqa: F401  # the same
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the model '{settings.model_id}' of type diffusers", "local") from error


def _device(settings: PipelineSettings) -> str:
    import torch

    is_there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = [device for device, there in is_there.items() if there]
    if settings.device == "auto":
        return found[0]
    if settings.device not in found:
        raise RecipeError(
            f"device '{settings.device}' of the model '{settings.model_id}' is not on this machine, or torch "
            f"{torch.__version__} was built without it; found: {', '.join(found)}. Choose one of them or auto."
        )
    return settings.device


def _dtype(settings: PipelineSettings, device: str) -> str:
    import torch

    if settings.dtype != "auto":
        return settings.dtype
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "float16" if device == "mps" else "float32"


def _pipe(settings: PipelineSettings, device: str, dtype: str) -> Any:
    import torch
    from diffusers import AutoPipelineForText2Image
    from safetensors import SafetensorError

    # What a missing model, a folder of something else and damaged files raise.
    faults = (OSError, ValueError, TypeError, LookupError, AttributeError, ImportError, RuntimeError, SafetensorError)
    try:
        pipe = AutoPipelineForText2Image.from_pretrained(
            str(Path(settings.model_id).expanduser()) if settings.model_id.startswith("~") else settings.model_id,
            revision=settings.revision,
            variant=settings.variant,
            dtype=getattr(torch, dtype),
        )
        return pipe.to(device)
    except faults as error:
        raise RecipeError(
            f"model_id '{settings.model_id}' cannot be loaded as a text-to-image pipeline on {device} with {dtype}: "
            f"{type(error).__name__}: {error}"
        ) from error
