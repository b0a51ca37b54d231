"""Image generation on this machine: any text-to-image pipeline of diffusers."""

import asyncio
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from tasks_lib.models.base import ImageAnswer, ImageGenerationModel, ImageRequest
from tasks_lib.models.diffusers_pipeline import LocalPipeline, pipelines
from tasks_lib.models.diffusers_request import DiffusersOptions, prepare_request
from tasks_lib.models.diffusers_weights import PipelineSettings

__all__ = ["DiffusersImageGeneration", "DiffusersOptions"]


class DiffusersImageGeneration(ImageGenerationModel):
    """Text to image, image to image and inpainting with the weights on this machine.

    Takes every pipeline that ``diffusers.AutoPipelineForText2Image`` loads. Requests that come together and have
    equal options share one call of the pipeline. Each image has a random generator of its own, on the CPU whatever
    the device, so that its noise comes from its seed alone. Computed on the same machine in calls of the same size,
    it comes with the same bytes, whatever else is in the call. The size of the call, the device and the version of
    torch may change the last bits: in float32 single pixels by one level of 255, in bfloat16 many by two. The last
    call of a run is often smaller; ``batch_size: 1`` gives the same bytes always. What is in the store is never
    computed again.

    The weights are loaded once in a process and shared by all models with equal settings. Pipelines run one call
    at a time, in a thread of their own.
    """

    edits: ClassVar[bool] = True
    policy_fields: ClassVar[frozenset[str]] = ImageGenerationModel.policy_fields | {"device", "batch_size"}

    type: Literal["diffusers"] = "diffusers"
    """Kind of model."""
    model_id: str
    """A model of the Hub, such as stabilityai/stable-diffusion-xl-base-1.0, or a folder that save_pretrained wrote."""
    revision: str | None = None
    """Branch, tag or commit on the Hub. For a folder, a label of your own: change it when the weights change."""
    variant: str | None = None
    """Which of several weight files to load, such as fp16."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """Where to compute; auto takes the first of cuda, mps and cpu that is there."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Numbers to compute with; auto takes bfloat16 on cuda (float16 on old cards), float16 on mps, float32 on cpu.
    It is part of an image's fingerprint as it is written here, so that every machine has the same one."""
    batch_size: int = Field(default=1, ge=1, le=256)
    """Most images in one call of the pipeline. Batches fill where limits.max_concurrency is at least as large."""
    price_per_image_usd: float | None = Field(default=0.0, ge=0)
    """What one image costs you in US dollars; your own machine sends no bill."""
    timeout_s: float = Field(default=3600.0, gt=0)
    """Seconds one request may take, waiting for the batches before it included."""

    @field_validator("generation_kwargs")
    @classmethod
    def _check_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        return DiffusersOptions.model_validate(options).model_dump(exclude_unset=True)

    @property
    def model_name(self) -> str:
        """The id as it is written; of a path that only this machine knows, the folder's name."""
        return self._pipeline_settings().name

    def load(self) -> None:
        """Load the weights, unless another model of this process has; diffusers shows how far it is.

        Raises:
            MissingExtraError: torch, diffusers or transformers is not installed.
            RecipeError: there is no such model or device, or the weights cannot be loaded.
        """
        pipelines().take(self._pipeline_settings(), owner=id(self))

    def unload(self) -> None:
        """Free the memory, unless another model of this process loaded the same weights."""
        pipelines().give_back(self._pipeline_settings(), owner=id(self))

    async def agenerate(self, request: ImageRequest) -> ImageAnswer:
        """Answer one request together with others.

        Args:
            request: with a source image it is edited, with a mask only where that is white. Both are resized to the
                options ``width`` and ``height``, by default the size of the source, rounded down to what the
                pipeline takes.

        Raises:
            InvalidRequestError: the pipeline does not take an option, a source image or a mask.
            RefusedError: the pipeline's safety checker blackened the image.
            StopError: the device's memory does not suffice.
        """
        pipeline = await self._pipeline()
        if request.images or request.mask:
            prepared = await asyncio.to_thread(prepare_request, request, pipeline.step)
        else:
            prepared = prepare_request(request, pipeline.step)
        return await pipeline.joined(self.batch_size).answer(prepared)

    async def _pipeline(self) -> LocalPipeline:
        settings = self._pipeline_settings()
        pipeline = pipelines().find(settings)
        if pipeline is None:
            # An unpickled copy, as in a worker of Dask or Ray, was not loaded.
            pipeline = await asyncio.to_thread(pipelines().take, settings)
        return pipeline

    def _pipeline_settings(self) -> PipelineSettings:
        return PipelineSettings(self.model_id, self.revision, self.variant, self.device, self.dtype)
