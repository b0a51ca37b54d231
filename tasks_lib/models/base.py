"""What an image generation model is: one coroutine, and a few facts about itself."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import Field

from tasks_lib.errors import ImageloomError, TransientError
from tasks_lib.settings import Settings

__all__ = ["ImageAnswer", "ImageGenerationModel", "ImageRequest"]


@dataclass(frozen=True)
class ImageRequest:
    """What is sent to the endpoint for one generation."""

    prompt: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """The model's ``generation_kwargs``, overridden per call where a task does so."""
    seed: int | None = None
    """``None`` where the model takes no seed."""
    number: int = 0
    """Which one this is among equal requests of the same run."""
    images: tuple[bytes, ...] = ()
    """Source images, encoded, for editing."""
    mask: bytes | None = None
    """Encoded image, white where the first source image is to be changed."""

    def facts(self) -> dict[str, Any]:
        """The request as JSON, with the digests of its images in place of their bytes."""
        facts: dict[str, Any] = {"prompt": self.prompt, "options": dict(self.options), "number": self.number}
        if self.seed is not None:
            facts["seed"] = self.seed
        if self.images:
            facts["images"] = [hashlib.sha256(image).hexdigest() for image in self.images]
        if self.mask is not None:
            facts["mask"] = hashlib.sha256(self.mask).hexdigest()
        return facts


@dataclass(frozen=True)
class ImageAnswer:
    """What the endpoint gave for one generation."""

    data: bytes
    """The endpoint's own bytes, never re-encoded."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the provider said about the image, such as the seed it used; JSON values."""
    cost_usd: float | None = None
    """What this call cost, where the provider says so; else the model's price is taken."""


class ImageGenerationModel(Settings, ABC):
    """A model that turns a request into an image.

    A subclass implements :meth:`agenerate`; retries, the store, limits and the budget come from
    the generator around it.
    """

    schema_version: ClassVar[int] = 1
    """Part of the identity: raise it when the same settings start to give other pixels."""
    takes_seed: ClassVar[bool] = True
    """Whether equal requests with equal seeds give equal images."""
    trained: ClassVar[bool] = True
    """Whether it learned from data; a program that draws did not, and its images are marked accordingly."""
    edits: ClassVar[bool] = False
    """Whether it answers requests with source images."""
    policy_fields: ClassVar[frozenset[str]] = frozenset({"price_per_image_usd", "timeout_s"})
    """Fields that do not change the pixels, and so stay out of the identity."""

    generation_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options sent with every request, such as width or guidance_scale."""
    price_per_image_usd: float | None = Field(default=None, ge=0)
    """Price of one image in US dollars; needed for a cost cap where the endpoint does not state it."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Seconds one call may take from its start to the last byte."""

    @property
    @abstractmethod
    def model_name(self) -> str:
        """The name that goes into the ``model_name`` column."""

    @abstractmethod
    async def agenerate(self, request: ImageRequest) -> ImageAnswer | bytes:
        """Answer one request with the endpoint's own bytes.

        Raises:
            GenerationError: the kind says whether another attempt is worth it.
            StopError: no request of this run can succeed (no key, no credit, no such model).
        """

    def get_generation_kwargs(self) -> dict[str, Any]:
        """The options sent with every request."""
        return dict(self.generation_kwargs)

    def load(self) -> None:
        """Check keys and load what must be loaded once; called before the first request.

        Raises:
            UsageError: a key, an extra or the model itself is missing.
        """

    def unload(self) -> None:
        """Let go of what :meth:`load` took. Connections close by :meth:`aclose`."""

    async def aclose(self) -> None:
        """Close connections; called on the event loop that used them."""

    def identity(self) -> dict[str, Any]:
        """What changes the pixels: the kind, every setting off its default, the schema version.

        Defaults are left out so that a new option leaves old fingerprints as they were.
        """
        left_out = {"generation_kwargs", "type", *self.policy_fields}
        settings = self.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
        return {"type": self.kind(), "settings": settings, "schema": self.schema_version}

    def explain(self, error: Exception) -> ImageloomError | None:
        """What an exception of :meth:`agenerate` means, or ``None`` for a programming error.

        Override it to say which errors of a client library are worth retrying, and which stop the run.
        """
        if isinstance(error, ImageloomError):
            return error
        if isinstance(error, (OSError, TimeoutError)):
            return TransientError(f"{type(error).__name__}: {error}")
        return None
