"""Image generation through Hugging Face: providers by model, dedicated endpoints by name, any endpoint by URL."""

import asyncio
import os
from typing import Any, ClassVar, Literal, cast
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import get_inference_endpoint, get_token
from huggingface_hub.inference._common import RequestParameters
from huggingface_hub.inference._providers import PROVIDERS, get_provider_helper
from huggingface_hub.inference._providers._common import TaskProviderHelper
from pydantic import ConfigDict, PrivateAttr, field_validator, model_validator

from tasks_lib.errors import ImageloomError, MissingSecretError, RecipeError, RefusedError, StopError
from tasks_lib.image_verification import MAX_BYTES
from tasks_lib.models.base import ImageAnswer, ImageGenerationModel, ImageRequest
from tasks_lib.models.endpoint_url import EndpointUrl, login_spellings, query_facts, query_spellings
from tasks_lib.models.http_answers import BEFORE_TEXT, body_of, is_refusal, redact, redact_url
from tasks_lib.models.http_post import HttpPoster
from tasks_lib.models.hub_answers import image_and_metadata, object_in, words_of
from tasks_lib.models.hub_errors import meaning_of
from tasks_lib.models.hub_queue import Queue, queued_image
from tasks_lib.models.hub_requests import TextToImageOptions, direct_request, provider_request, task_of
from tasks_lib.models.image_links import fetch_image

__all__ = ["InferenceEndpointsImageGeneration", "TextToImageOptions"]


class InferenceEndpointsImageGeneration(ImageGenerationModel):
    """Text to image through ``huggingface_hub``: name one of ``model_id``, ``endpoint_name`` and ``base_url``.

    The token is read from the environment variable ``token_env`` or, where that is unset, from the login that
    ``hf auth login`` keeps; it is never part of a recipe.
    """

    # A typing error elsewhere must not print the password in base_url.
    model_config = ConfigDict(hide_input_in_errors=True)
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
    base_url: EndpointUrl | None = None
    """An endpoint by URL that speaks the text-to-image protocol of Hugging Face; shown, and written into the dataset's
    recipe, without user, password and query. Another query is another endpoint, with other fingerprints."""
    bill_to: str | None = None
    """The organisation that pays for calls through the Hub."""
    token_env: str = "HF_TOKEN"
    """Environment variable that holds the token."""
    model_display_name: str | None = None
    """What stands in the model_name column instead of the id, name or URL."""

    _url: str | None = PrivateAttr(None)
    _http: HttpPoster | None = PrivateAttr(None)
    _login: str | None = PrivateAttr(None)

    @field_validator("generation_kwargs")
    @classmethod
    def _check_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        return TextToImageOptions.model_validate(options).model_dump(exclude_unset=True)

    @field_validator("provider")
    @classmethod
    def _check_provider(cls, provider: str) -> str:
        able = ["auto", *sorted(name for name, tasks in PROVIDERS.items() if "text-to-image" in tasks)]
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
    def edits(self) -> bool:  # type: ignore[override]  # one class for all providers
        """Whether the endpoint may, and the provider of the installed library can, turn an image into another."""
        return self.provider == "auto" or not self.model_id or "image-to-image" in PROVIDERS[cast(Any, self.provider)]

    @property
    def model_name(self) -> str:
        """The display name, model, endpoint or URL."""
        return self.model_display_name or self.model_id or self.endpoint_name or redact_url(self.base_url or "")

    def load(self) -> None:
        """Check the token, find the endpoint's URL, and look up how the provider is asked.

        Raises:
            MissingSecretError: no token, or the variable that ``token_env`` names is not set.
            RecipeError: the endpoint is not running, or the provider does not serve the model.
        """
        # Read once: the login is a file.
        self._login = get_token() if self.token_env == "HF_TOKEN" else None
        needed = not self.base_url or "token_env" in self.model_fields_set
        if needed and not self._token():
            raise MissingSecretError(
                f"{self.model_name} needs a token, but the environment variable {self.token_env} is not set. "
                f"Set it: export {self.token_env}=..."
            )
        self._url = self._endpoint_url()
        fault = self._fault_of(ImageRequest(self.model_name))
        # A model that only edits is not offered for text.
        if fault and (not self.edits or self._fault_of(ImageRequest(self.model_name, images=(b"image",)))):
            raise RecipeError(
                f"{self.model_name} cannot be asked through the provider '{self.provider}': "
                f"{redact(str(fault), self._secrets())}"
            ) from fault

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def agenerate(self, request: ImageRequest) -> ImageAnswer:
        """Post one request; see the base for what is raised."""
        helper, parameters = await self._prepared(request)
        self._http = self._http or HttpPoster(MAX_BYTES)
        answer = await self._http.post(parameters.url, dict(parameters.headers), parameters.json, parameters.data)
        body = body_of(answer, self.model_name, self._secrets(), self._credentials())
        if helper is None or helper.provider == "hf-inference":
            self._check_refusal(body)
            return ImageAnswer(body)
        return await self._answer_in(self._http, helper, parameters, body)

    def identity(self) -> dict[str, Any]:
        """See the base; a query of ``base_url`` counts by its digest."""
        return super().identity() | query_facts(self.base_url or "")

    def explain(self, error: Exception) -> ImageloomError | None:
        """See the base."""
        return meaning_of(error, self.model_name, self._secrets())

    def _fault_of(self, request: ImageRequest) -> Exception | None:
        """Why such a request cannot be made; what the Hub says of the model is remembered for the real ones."""
        try:
            self._prepare(request)
        except (ValueError, OSError, httpx2.HTTPError) as error:
            return error
        return None

    async def _answer_in(
        self, http: HttpPoster, helper: TaskProviderHelper, parameters: RequestParameters, body: bytes
    ) -> ImageAnswer:
        """What a provider's JSON holds, links to or announces."""
        said = object_in(body)
        image, metadata = image_and_metadata(said)
        if not image:
            if is_refusal(200, words_of(said)):
                raise self._refused(body)
            image, metadata = await queued_image(http, self._queue(helper, parameters), body)
        if isinstance(image, str):
            image = await fetch_image(http, image, parameters.url)
        return ImageAnswer(image, metadata)

    def _queue(self, helper: TaskProviderHelper, parameters: RequestParameters) -> Queue:
        return Queue(
            provider=helper.provider,
            home=helper._prepare_base_url(self._token() or ""),
            query=urlsplit(parameters.url).query,
            headers=parameters.headers,
            where=f"{self.model_name} ({helper.provider})",
            secrets=self._secrets(),
        )

    def _check_refusal(self, body: bytes) -> None:
        """Some providers refuse with status 200; no image begins like a text."""
        if body.lstrip(BEFORE_TEXT)[:1] in b"{<[" and is_refusal(200, body[:4000].decode("utf-8", "replace")):
            raise self._refused(body)

    def _refused(self, body: bytes) -> RefusedError:
        text = body[:4000].decode("utf-8", "replace")
        return RefusedError(f"{self.model_name} answered 200: {redact(text, self._secrets())[:300]}")

    def _secrets(self) -> list[str]:
        """What must not be in any text: the credentials, and the query of base_url, which may hold a key."""
        return [*self._credentials(), *query_spellings(self.base_url or "")]

    def _credentials(self) -> list[str]:
        """The token, the password of base_url, and both as they are sent; a query may name what an image names too."""
        token = self._token()
        return [*([token] if token else []), *login_spellings(self.base_url or "")]

    def __getstate__(self) -> dict[Any, Any]:
        """Pickled, it leaves the token behind; where it arrives, it finds that of the place."""
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {**(state["__pydantic_private__"] or {}), "_login": None}}

    def _token(self) -> str | None:
        # A line end, as files of variables leave it, cannot be sent in a header.
        return os.environ.get(self.token_env, "").strip() or self._login

    def _endpoint_url(self) -> str | None:
        if not self.endpoint_name:
            return self.base_url
        try:
            endpoint = get_inference_endpoint(
                self.endpoint_name, namespace=self.endpoint_namespace, token=self._token()
            )
        except (ValueError, OSError, httpx2.HTTPError) as error:
            raise RecipeError(
                f"the endpoint '{self.endpoint_name}' cannot be looked up: {redact(str(error), self._secrets())}"
            ) from error
        if endpoint.url is None:
            raise RecipeError(
                f"the endpoint '{self.endpoint_name}' is {endpoint.status} and has no URL. Resume it, then build again."
            )
        return endpoint.url

    async def _prepared(self, request: ImageRequest) -> tuple[TaskProviderHelper | None, RequestParameters]:
        """The call to make; what the Hub says of a model it says of it for all requests."""
        if not self.model_id:
            return self._prepare(request)
        try:
            # The first of a process may ask the Hub, and wait for it.
            return await asyncio.to_thread(self._prepare, request)
        except ValueError as error:
            if self.explain(error):
                raise
            said = redact(str(error), self._secrets())
            raise StopError(f"{self.model_name}: {said} The run stops: name another model.") from error

    def _prepare(self, request: ImageRequest) -> tuple[TaskProviderHelper | None, RequestParameters]:
        headers = {"accept": "image/png", **({"x-hf-bill-to": self.bill_to} if self.bill_to else {})}
        url = self._url or self.base_url
        if url:
            return None, direct_request(url, request, headers, self._token())
        provider: Any = self.provider
        helper = get_provider_helper(provider, task=task_of(request), model=self.model_id)
        return helper, provider_request(helper, self.model_id, request, headers, self._token())
