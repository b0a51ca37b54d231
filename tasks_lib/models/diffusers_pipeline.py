"""The diffusers pipelines of this process: loaded once, shared, and run one call at a time."""

import asyncio
import inspect
import os
import threading
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from io import BytesIO
from typing import Any, cast

from PIL import Image

from tasks_lib.errors import InvalidRequestError, RefusedError, StopError
from tasks_lib.models.base import ImageAnswer, ImageRequest
from tasks_lib.models.diffusers_request import PreparedRequest
from tasks_lib.models.diffusers_weights import PipelineSettings, free_memory, load_weights
from tasks_lib.models.joined_calls import JoinedCalls

__all__ = ["LocalPipeline", "Pipelines", "pipelines"]


class LocalPipeline:
    """A loaded pipeline and the thread in which it runs.

    Args:
        settings: what to load; see :func:`load_weights` for what is raised.
    """

    def __init__(self, settings: PipelineSettings) -> None:
        self._name = settings.name
        self._weights = load_weights(settings)
        self._pipes = {"text": _quiet(self._weights.pipe)}
        self._joined: dict[int, JoinedCalls] = {}
        self._thread = ThreadPoolExecutor(1, "imageloom-diffusers")

    @property
    def step(self) -> int:
        """Width and height of source images are multiples of this many pixels."""
        # Transformers look at the latents in patches of two by two.
        return 2 * int(getattr(self._weights.pipe, "vae_scale_factor", 8))

    def joined(self, batch_size: int) -> JoinedCalls:
        """The calls of so many images at most, shared by all models that use this pipeline."""
        if batch_size not in self._joined:
            # One at a time: what comes meanwhile fills the next one.
            self._joined[batch_size] = JoinedCalls(self._answer, batch_size, key=_key, at_once=1)
        return self._joined[batch_size]

    def close(self) -> None:
        """Take no more calls; with the one under way, the last reference to the weights goes."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, requests: list[ImageRequest]) -> Sequence[ImageAnswer | Exception]:
        given_up = threading.Event()
        draw = partial(self._draw, cast(list[PreparedRequest], requests), given_up)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, draw)
        finally:
            given_up.set()

    def _draw(self, requests: Sequence[PreparedRequest], given_up: threading.Event) -> list[ImageAnswer | Exception]:
        pipe = self._pipe(requests[0].kind)
        arguments = _arguments(pipe, requests)
        if "callback_on_step_end" in _parameters(pipe):
            arguments["callback_on_step_end"] = partial(_end_if, given_up)
        try:
            output = pipe(**arguments)
        except ValueError as error:
            raise InvalidRequestError(f"{self._name} rejected the request: {error}") from error
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            raise self._out_of_memory(error, len(requests)) from error
        withheld = getattr(output, "nsfw_content_detected", None) or [False] * len(requests)
        facts = self._facts(pipe, len(requests))
        return [
            RefusedError(f"the safety checker of {self._name} withheld the image.")
            if image is None or is_withheld
            else ImageAnswer(_png(image), facts)
            for image, is_withheld in zip(output.images, withheld, strict=True)
        ]

    def _pipe(self, kind: str) -> Any:
        """The pipeline for a kind of request; all of them share their weights."""
        from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting

        if kind not in self._pipes:
            auto, needed = {
                "edit": (AutoPipelineForImage2Image, "source image"),
                "inpaint": (AutoPipelineForInpainting, "mask"),
            }[kind]
            try:
                self._pipes[kind] = _quiet(auto.from_pipe(self._weights.pipe))
            except ValueError as error:
                raise InvalidRequestError(f"{self._name} takes no {needed}: {error}") from error
        return self._pipes[kind]

    def _out_of_memory(self, error: RuntimeError, count: int) -> StopError:
        free_memory()
        advice = f"lower batch_size below {count}" if count > 1 else "ask for a smaller width and height"
        return StopError(
            f"the memory of the {self._weights.device} does not suffice for {count} image(s) in one call of "
            f"{self._name}: {str(error).splitlines()[0]} To go on, {advice}, or choose a smaller dtype."
        )

    def _facts(self, pipe: Any, count: int) -> dict[str, Any]:
        """What may change the last bits of an image: kept with it."""
        import diffusers
        import torch

        return {
            "pipeline": type(pipe).__name__,
            "device": self._weights.device,
            "dtype": self._weights.dtype,
            "images_in_call": count,
            "diffusers": diffusers.__version__,
            "torch": str(torch.__version__),
        }


class Pipelines:
    """Which pipelines are loaded, and which models asked for them.

    One that a worker of Dask or Ray loaded for a request has no owner, and stays for the next batch.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._loaded: dict[PipelineSettings, LocalPipeline] = {}
        self._owners: dict[PipelineSettings, set[int]] = {}

    def find(self, settings: PipelineSettings) -> LocalPipeline | None:
        """The pipeline, if it is loaded."""
        return self._loaded.get(settings)

    def take(self, settings: PipelineSettings, owner: int | None = None) -> LocalPipeline:
        """The pipeline, loaded if it is not.

        Args:
            settings: what to load; see :func:`load_weights` for what is raised.
            owner: identifies who will give it back.
        """
        with self._changing:
            if settings not in self._loaded:
                self._loaded[settings] = LocalPipeline(settings)
            if owner is not None:
                self._owners.setdefault(settings, set()).add(owner)
            return self._loaded[settings]

    def give_back(self, settings: PipelineSettings, owner: int) -> None:
        """Free the pipeline, unless it has other owners."""
        with self._changing:
            owners = self._owners.get(settings, set()) - {owner}
            if owners:
                self._owners[settings] = owners
                return
            self._owners.pop(settings, None)
            if settings in self._loaded:
                self._loaded.pop(settings).close()
                free_memory()


def pipelines() -> Pipelines:
    """Those of this process; in a forked one the threads of its parent would not run."""
    return _pipelines_of(os.getpid())


@cache
def _pipelines_of(_process_id: int) -> Pipelines:
    return Pipelines()


def _arguments(pipe: Any, requests: Sequence[PreparedRequest]) -> dict[str, Any]:
    """Of one call for requests with equal keys."""
    import torch

    first, takes = requests[0], _parameters(pipe)
    unknown = [name for name in first.arguments if name not in takes]
    if unknown:
        raise InvalidRequestError(
            f"{type(pipe).__name__} does not take {', '.join(unknown)}. Leave that out; it takes: {', '.join(takes)}."
        )
    # Whatever is a prompt, the negative one included, is wanted for each image.
    arguments = {
        **{name: [value] * len(requests) if "prompt" in name else value for name, value in first.arguments.items()},
        "prompt": [request.prompt for request in requests],
        "generator": [torch.Generator("cpu").manual_seed(_seed(request)) for request in requests],
    }
    if first.source is not None:
        arguments["image"] = [request.source for request in requests]
        sides = zip(("width", "height"), first.source.size, strict=True)
        arguments |= {side: pixels for side, pixels in sides if side in takes}
    if first.region is not None:
        arguments["mask_image"] = [request.region for request in requests]
    return arguments


def _key(request: ImageRequest) -> Hashable:
    return cast(PreparedRequest, request).key


def _seed(request: ImageRequest) -> int:
    return request.number if request.seed is None else request.seed


def _parameters(pipe: Any) -> list[str]:
    return [name for name in inspect.signature(pipe.__call__).parameters if name != "kwargs"]


def _quiet(pipe: Any) -> Any:
    """Without a bar for the steps of each call; the build shows how far it is."""
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _is_out_of_memory(error: RuntimeError) -> bool:
    # Only CUDA's is a class of its own.
    return any(words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory"))


def _end_if(given_up: threading.Event, pipe: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """After each step: a call that was cancelled has nobody who waits for it."""
    if given_up.is_set():
        raise asyncio.CancelledError
    return tensors


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
