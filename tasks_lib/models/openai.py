"""Image generation through the OpenAI images protocol: OpenAI itself, and whatever server speaks a dialect of it."""

import asyncio
import json
import os
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import ConfigDict, Field, PrivateAttr, field_validator, model_validator

from tasks_lib.errors import (
    BadImageError,
    ImageloomError,
    InvalidRequestError,
    MissingExtraError,
    MissingSecretError,
    StopError,
)
from tasks_lib.image_verification import MAX_BYTES
from tasks_lib.models.base import ImageAnswer, ImageGenerationModel, ImageRequest
from tasks_lib.models.endpoint_url import EndpointUrl, login_spellings, query_facts, query_spellings
from tasks_lib.models.http_answers import redact_url, repeats_secret
from tasks_lib.models.http_post import HttpPoster
from tasks_lib.models.image_links import fetch_image
from tasks_lib.models.joined_calls import JoinedCalls
from tasks_lib.models.openai_answers import TokenPrices, read_answer
from tasks_lib.models.openai_dialects import Dialect, DialectName, dialect_of

if TYPE_CHECKING:
    from tasks_lib.models.openai_client import OpenAIClients

__all__ = ["OpenAIImageGeneration"]

OPENAI_URL = "https://api.openai.com/v1"
BASE64_BYTES = MAX_BYTES * 3 // 2
"""The most an image takes within JSON."""


class OpenAIImageGeneration(ImageGenerationModel):
    """Text to image and editing through the ``openai`` package (``pip install 'imageloom[openai]'``).

    The key is read from the environment variable ``token_env``; it is never part of a recipe. A server named by
    ``base_url`` is asked without one where the variable is not set.
    """

    # A typing error elsewhere must not print the password in base_url.
    model_config = ConfigDict(hide_input_in_errors=True)
    policy_fields: ClassVar[frozenset[str]] = ImageGenerationModel.policy_fields | {
        "images_per_call",
        "model_display_name",
        "prices_usd_per_million",
        "token_env",
    }

    type: Literal["openai"] = "openai"
    model_id: str
    """The model, by the name that the server knows."""
    base_url: EndpointUrl | None = None
    """The server's URL with its version, such as http://localhost:8000/v1; by default what OPENAI_BASE_URL says when
    the settings are read, else OpenAI's; shown, and written into the dataset's recipe, without user, password and
    query. Another query, which is sent with each call, is another server, with other fingerprints."""
    dialect: DialectName = "openai"
    """How the server is asked: openai also for proxies of OpenAI's models; compatible for vLLM-Omni, SGLang and
    LocalAI; all but openai need base_url."""
    images_per_call: int = Field(default=1, ge=1, le=16)
    """Most images asked in one call, for equal requests that come together; above 1 in dialects without seeds only."""
    prices_usd_per_million: TokenPrices | None = None
    """Prices of tokens, from which the cost of each call follows; limits.max_cost_usd needs price_per_image_usd beside
    them, as the most that one image can cost, which is set aside until the tokens are known."""
    token_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key."""
    model_display_name: str | None = None
    """What stands in the model_name column instead of the model's name."""

    _clients: "OpenAIClients | None" = PrivateAttr(None)
    _links: HttpPoster | None = PrivateAttr(None)
    _joined: JoinedCalls | None = PrivateAttr(None)
    _loop: asyncio.AbstractEventLoop | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _take_url_of_environment(cls, settings: Any) -> Any:
        """Once, so that recipe, fingerprints and the processes of a run all name the place that answered."""
        url = os.environ.get("OPENAI_BASE_URL", "").strip()
        if isinstance(settings, dict) and url and not settings.get("base_url"):
            return {**settings, "base_url": url}
        return settings

    @field_validator("base_url", mode="before")
    @classmethod
    def _shorten_base_url(cls, url: Any) -> Any:
        """One spelling, for one identity."""
        if not isinstance(url, str):
            return url
        url = url.rstrip("/")
        return None if url in ("", OPENAI_URL) else url

    @model_validator(mode="after")
    def _check_dialect(self) -> "OpenAIImageGeneration":
        if self.dialect != "openai" and not self.base_url:
            raise ValueError(f"the dialect '{self.dialect}' needs the base_url of the server that speaks it")
        self.generation_kwargs = self._dialect.check(self.generation_kwargs)
        if self.images_per_call > 1 and self.takes_seed:
            raise ValueError(
                f"images_per_call is {self.images_per_call}, but a call has one seed, and in the dialect "
                f"'{self.dialect}' each image has its own; leave it at 1"
            )
        return self

    @property
    def model_name(self) -> str:
        """The display name, else that of the model."""
        return self.model_display_name or self.model_id

    @property
    def takes_seed(self) -> bool:  # type: ignore[override]  # a fact of the dialect, not of the class
        """Whether the dialect has seeds."""
        return self._dialect.takes_seed

    @property
    def edits(self) -> bool:  # type: ignore[override]  # the same
        """Whether the dialect takes source images."""
        return self._dialect.edits is not None

    def load(self) -> None:
        """Check that the package and the key are there.

        Raises:
            MissingExtraError: the ``openai`` package is not installed.
            MissingSecretError: no key, or one that cannot be sent.
        """
        try:
            import tasks_lib.models.openai_client  # noqa: F401  # a second or so; better now than in the first call
        except ImportError as error:
            raise MissingExtraError("OpenAIImageGeneration", "openai") from error
        key = self._key()
        if not key and (not self.base_url or "token_env" in self.model_fields_set):
            raise MissingSecretError(
                f"{self.model_name} needs a key, but the environment variable {self.token_env} is not set. "
                f"Run: export {self.token_env}=..."
            )
        if not all("!" <= letter <= "~" for letter in key):
            raise MissingSecretError(
                f"the key in the environment variable {self.token_env} holds a space, a line end or a letter that "
                "cannot be sent. Set it again."
            )

    async def aclose(self) -> None:
        """Close the connections."""
        for connections in (self._clients, self._links):
            if connections is not None:
                await connections.aclose()

    async def agenerate(self, request: ImageRequest) -> ImageAnswer:
        """Ask for one image, together with equal requests where ``images_per_call`` says so."""
        self._join_loop()
        if request.images and not self.edits:
            raise StopError(f"the dialect '{self.dialect}' of {self.model_name} takes no source images.")
        if self._joined:
            return await self._joined.answer(request)
        (answer,) = await self._answer([request])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def identity(self) -> dict[str, Any]:
        """See the base; a query of ``base_url`` counts by its digest."""
        return super().identity() | query_facts(self.base_url or "")

    def explain(self, error: Exception) -> ImageloomError | None:
        """See the base."""
        from tasks_lib.models.openai_errors import meaning_of

        return meaning_of(error, self.model_name, self._secrets())

    @property
    def _dialect(self) -> Dialect:
        return dialect_of(self.dialect)

    def _join_loop(self) -> None:
        """Connections belong to the loop that opened them; those of a loop before are forgotten."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        from tasks_lib.models.openai_client import OpenAIClients

        # Servers that need no key want a word all the same.
        self._clients = OpenAIClients(self.base_url or OPENAI_URL, self._key() or "none")
        self._links = HttpPoster(MAX_BYTES)
        self._joined = JoinedCalls(self._answer, self.images_per_call, _alike) if self.images_per_call > 1 else None
        self._loop = loop

    async def _answer(self, requests: list[ImageRequest]) -> Sequence[ImageAnswer | Exception]:
        """Answer equal requests with one call; a link that fails is the fault of its own image."""
        answer = read_answer(await self._ask(requests[0], len(requests)), self.model_name, self._secrets())
        prices = self.prices_usd_per_million
        cost = prices.cost_usd(answer.usage) if prices else None
        links = answer.images[: len(requests)]
        each = None if cost is None else cost / len(links)
        images = await asyncio.gather(*(self._fetched(image) for image in links), return_exceptions=True)
        return [
            # Cancelled, gather() itself raises; what is left of errors is ours or a bug.
            cast(Exception, image) if isinstance(image, BaseException) else ImageAnswer(image, said, each)
            for image, said in zip(images, answer.metadata, strict=False)
        ]

    async def _ask(self, request: ImageRequest, count: int) -> bytes:
        from tasks_lib.models.openai_client import mask_for_openai, upload

        assert self._clients is not None
        fields = {"model": self.model_id, "prompt": request.prompt, **({"n": count} if count > 1 else {})}
        extra = self._dialect.fields(request)
        if not request.images:
            return await self._clients.generate(fields, extra, count * BASE64_BYTES)
        images = [upload(image, f"image-{number}") for number, image in enumerate(request.images)]
        if self._dialect.edits == "json":
            if request.mask:
                raise InvalidRequestError(f"the dialect '{self.dialect}' of {self.model_name} takes no mask.")
            return await self._clients.edit_in_json(fields, extra, count * BASE64_BYTES, images)
        mask = await asyncio.to_thread(mask_for_openai, request.mask) if request.mask else None
        return await self._clients.edit(fields, extra, count * BASE64_BYTES, images, mask)

    async def _fetched(self, image: bytes | str | BadImageError) -> bytes:
        """The image itself, where the answer may hold a link to it."""
        if isinstance(image, BadImageError):
            raise image
        if isinstance(image, str):
            assert self._links is not None
            image = await fetch_image(self._links, image, f"{redact_url(self.base_url or OPENAI_URL)}/")
        if repeats_secret(image, self._secrets() if image[:1] in b"{<[" else self._credentials()):
            raise BadImageError(f"{self.model_name} sent no image, but an answer that repeats the key.")
        return image

    def _key(self) -> str:
        # A line end, as files of variables leave it, cannot be sent in a header.
        return os.environ.get(self.token_env, "").strip()

    def _secrets(self) -> list[str]:
        """What must not be in any text: the credentials, and the query of base_url, which may hold a key."""
        return [*self._credentials(), *query_spellings(self.base_url or "")]

    def _credentials(self) -> list[str]:
        """The key, the password of base_url, and both as they are sent; a query may name what an image names too."""
        key = self._key()
        return [*([key] if key else []), *login_spellings(self.base_url or "")]

    def __getstate__(self) -> dict[Any, Any]:
        """Pickled, it leaves its connections behind."""
        state = super().__getstate__()
        closed = {"_clients": None, "_links": None, "_joined": None, "_loop": None}
        return {**state, "__pydantic_private__": closed}


def _alike(request: ImageRequest) -> Hashable:
    """What requests that share a call have in common: everything but their number."""
    return request.prompt, json.dumps(dict(request.options), sort_keys=True), request.images, request.mask
