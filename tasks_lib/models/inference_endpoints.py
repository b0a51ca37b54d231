"""Image generation through Hugging Face: providers by model, dedicated endpoints by name, any endpoint by URL."""

import asyncio
import os
from typing import Any, ClassVar, Literal

import httpx2
from huggingface_hub import get_token
from huggingface_hub.inference._common import RequestParameters
from huggingface_hub.inference._providers import PROVIDERS, get_provider_helper
from huggingface_hub.inference._providers._common import TaskProviderHelper
from pydantic import Field, PrivateAttr, field_validator, model_validator

from tasks_lib.errors import (
    BadImageError,
    GenerationError,
    MissingSecretError,
    RecipeError,
    TransientError,
)
from tasks_lib.images import MAX_BYTES
from tasks_lib.models.base import ImageAnswer, ImageGenerationModel, ImageRequest
from tasks_lib.models.http_answers import error_of_answer, redact_url
from tasks_lib.settings import Settings

__all__ = ["InferenceEndpointsImageGeneration", "TextToImageOptions"]

TASK = "text-to-image"


class TextToImageOptions(Settings):
    """What ``InferenceClient.text_to_image`` takes beside the prompt."""

    negative_prompt: str | None = None
    """What the image must not show."""
    width: int | None = Field(default=None, ge=1)
    """Pixels."""
    height: int | None = Field(default=None, ge=1)
    """Pixels."""
    num_inference_steps: int | None = Field(default=None, ge=1)
    """Denoising steps: more take longer."""
    guidance_scale: float | None = None
    """How closely to follow the prompt."""
    scheduler: str | None = None
    """Name of the scheduler, where the model knows it."""
    seed: int | None = None
    """Seed of the first of equal requests; by default it derives from the recipe's."""
    extra_body: dict[str, Any] | None = None
    """Options of one provider, sent as they are."""


class InferenceEndpointsImageGeneration(ImageGenerationModel):
    """Text to image through ``huggingface_hub``: name one of ``model_id``, ``endpoint_name`` and ``base_url``.

    The token is read from the environment variable ``token_env`` or, where that is unset, from the login that
    ``hf auth login`` keeps; it is never part of a recipe.
    """

    policy_fields: ClassVar[frozenset[str]] = ImageGenerationModel.policy_fields | {
        "token_env",
        "bill_to",
        "model_display_name",
    }

    type: Literal["inference_endpoints"] = "inference_endpoints"
    model_id: str | None = None
    """A model of the Hub, such as black-forest-labs/FLUX.1-schnell, served by a provider."""
    provider: str = "auto"
    """Which provider serves model_id; auto takes the first of your settings."""
    endpoint_name: str | None = None
    """A dedicated Inference Endpoint of your account."""
    endpoint_namespace: str | None = None
    """The user or organisation that owns endpoint_name."""
    base_url: str | None = None
    """An endpoint by URL that speaks the text-to-image protocol of Hugging Face."""
    bill_to: str | None = None
    """The organisation that pays for calls through the Hub."""
    token_env: str = "HF_TOKEN"
    """Environment variable that holds the token."""
    model_display_name: str | None = None
    """What stands in the model_name column instead of the id, name or URL."""

    _url: str | None = PrivateAttr(None)
    _client: httpx2.AsyncClient | None = PrivateAttr(None)
    _client_loop: asyncio.AbstractEventLoop | None = PrivateAttr(None)

    @field_validator("generation_kwargs")
    @classmethod
    def _check_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        return TextToImageOptions.model_validate(options).model_dump(exclude_unset=True)

    @field_validator("provider")
    @classmethod
    def _check_provider(cls, provider: str) -> str:
        able = ["auto", *sorted(name for name, tasks in PROVIDERS.items() if TASK in tasks)]
        if provider not in able:
            raise ValueError(f"'{provider}' serves no text to image; choose one of {', '.join(able)}")
        return provider

    @model_validator(mode="after")
    def _check_one_place(self) -> "InferenceEndpointsImageGeneration":
        given = [name for name in ("model_id", "endpoint_name", "base_url") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"name exactly one of model_id, endpoint_name and base_url; found {given or 'none'}")
        return self

    @property
    def model_name(self) -> str:
        """The display name, model, endpoint or URL."""
        place = self.model_id or self.endpoint_name or redact_url(self.base_url or "")
        return self.model_display_name or place

    def identity(self) -> dict[str, Any]:
        """See the base; a URL counts without its credentials."""
        identity = super().identity()
        if self.base_url:
            identity["settings"]["base_url"] = redact_url(self.base_url)
        return identity

    def load(self) -> None:
        """Check the token and find the endpoint's URL.

        Raises:
            MissingSecretError: no token, or the variable that ``token_env`` names is not set.
            RecipeError: the endpoint is not running, or the provider does not serve the model.
        """
        needed = not self.base_url or "token_env" in self.model_fields_set
        if needed and not self._token():
            raise MissingSecretError(
                f"{self.model_name} needs a token, but the environment variable {self.token_env} is not set. "
                f"Set it: export {self.token_env}=..."
            )
        self._url = self._endpoint_url()

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def agenerate(self, request: ImageRequest) -> ImageAnswer:
        """Post one request; see the base for what is raised."""
        helper, parameters = self._prepare(request)
        body = await self._post(parameters)
        if helper.provider == "hf-inference":
            return ImageAnswer(body)
        # Other providers answer JSON, some with a URL that their helper downloads, blocking.
        try:
            return ImageAnswer(await asyncio.to_thread(helper.get_response, body, parameters))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise BadImageError(f"{self.model_name} ({helper.provider}) gave no image: {error!r}") from error

    def explain(self, error: Exception) -> GenerationError | None:
        """See the base: what this client raises for a lost connection or a timeout."""
        if isinstance(error, (httpx2.TransportError, httpx2.StreamError)):
            return TransientError(f"{self.model_name}: {type(error).__name__} {error}".rstrip())
        return super().explain(error)

    def __getstate__(self) -> dict[Any, Any]:
        """Pickled, it travels without its connections."""
        state = super().__getstate__()
        private = state["__pydantic_private__"] or {}
        return {**state, "__pydantic_private__": {**private, "_client": None, "_client_loop": None}}

    def _token(self) -> str | None:
        return os.environ.get(self.token_env) or (get_token() if self.token_env == "HF_TOKEN" else None)

    def _endpoint_url(self) -> str | None:
        if not self.endpoint_name:
            return self.base_url
        from huggingface_hub import get_inference_endpoint

        endpoint = get_inference_endpoint(self.endpoint_name, namespace=self.endpoint_namespace, token=self._token())
        if endpoint.url is None:
            raise RecipeError(
                f"the endpoint '{self.endpoint_name}' is {endpoint.status} and has no URL. Resume it, then build again."
            )
        return endpoint.url

    def _prepare(self, request: ImageRequest) -> tuple[TaskProviderHelper, RequestParameters]:
        model = self._url or self.base_url or self.model_id
        options = dict(request.options)
        extra = options.pop("extra_body", None) or {}
        headers = {"X-HF-Bill-To": self.bill_to} if self.bill_to else {}
        helper = get_provider_helper(self.provider, task=TASK, model=model)  # type: ignore[arg-type]  # checked above
        parameters = helper.prepare_request(
            inputs=request.prompt,
            parameters={**options, "seed": request.seed, **extra},
            headers={"Accept": "image/png", **headers},
            model=model,
            api_key=self._token(),
        )
        return helper, parameters

    async def _post(self, parameters: RequestParameters) -> bytes:
        call = self._connected().stream(
            "POST", parameters.url, json=parameters.json, content=parameters.data, headers=parameters.headers
        )
        async with call as response:
            chunks, size = [], 0
            async for chunk in response.aiter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > MAX_BYTES:
                    raise BadImageError(f"{self.model_name} sent more than {MAX_BYTES:,} bytes for one image.")
        body = b"".join(chunks)
        if response.status_code >= 400:
            text = body[:4000].decode("utf-8", "replace").replace(self._token() or "\0", "[token]")
            raise error_of_answer(response.status_code, response.headers, text, self.model_name)
        return body

    def _connected(self) -> httpx2.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._client is None or self._client_loop is not loop:
            # The window limits the calls in flight, and the generator their time.
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
            self._client = httpx2.AsyncClient(limits=limits, timeout=None, follow_redirects=True)
            self._client_loop = loop
        return self._client
