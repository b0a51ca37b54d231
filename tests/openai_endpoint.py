"""A real HTTP server on loopback that speaks the OpenAI images protocol as the installed SDK does.

`POST /v1/images/generations` takes JSON, `POST /v1/images/edits` a form with files, of a model named grok-* JSON. What
goes wrong is named in the prompt: the scenarios of `tests/endpoint_scenarios.py`, and the tags of `TAGS`. A model named
gpt-image-* takes the fields that the SDK's types list for it and no others, one named grok-* no size, as the real ones
do.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email import message_from_bytes
from typing import Any

import pybase64
from openai.types import image_edit_params, image_generate_params

from tests.endpoint import Endpoint
from tests.endpoint_scenarios import Answer, json_answer
from tests.endpoint_server import HOST, Asked, Behaviour, EndpointServer
from tests.endpoint_wire import Request, deliver

__all__ = ["TAGS", "USAGE", "OpenAIEndpoint", "Post"]

TAGS: Mapping[str, str] = {
    "[raw]": "the image itself, without JSON",
    "[data-uri]": "a data URI in b64_json",
    "[in-lines]": "base64 in lines of 76 letters, as MIME has it",
    "[late-json]": "a byte order mark and white space before the JSON",
    "[link]": "a link to the image, on this server",
    "[relative-link]": "the same without scheme and host",
    "[second-link-fails]": "a link that answers 404 in place of the second image",
    "[second-is-damaged]": "base64 that lacks a letter in place of the second image",
    "[short]": "one image less than n, but one",
    "[no-credit]": "429 that does not pass",
    "[hard-limit]": "400 for the same reason",
    "[long-error]": "500 with 300 MB",
}
USAGE: Mapping[str, Any] = {
    "input_tokens": 14,
    "input_tokens_details": {"image_tokens": 4, "text_tokens": 10},
    "output_tokens": 300,
    "output_tokens_details": {"image_tokens": 200, "text_tokens": 100},
    "total_tokens": 314,
}
GENERATE_FIELDS = frozenset(image_generate_params.ImageGenerateParamsBase.__annotations__)
EDIT_FIELDS = frozenset(image_edit_params.ImageEditParamsBase.__annotations__)
UNSUPPORTED = frozenset({"response_format", "style"})


@dataclass(frozen=True)
class Post:
    """One request as it came, for generations or edits; `files` are names, media types and bytes."""

    path: str
    headers: Mapping[str, str]
    fields: Mapping[str, Any]
    files: tuple[tuple[str, str, bytes], ...] = ()


class OpenAIEndpoint(Endpoint):
    """The loopback endpoint with another protocol: `url` is a `base_url`, and `posts` are the requests as they came."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Same behaviour, other protocol.
        self._server = _OpenAIServer(self._behaviour)

    @property
    def url(self) -> str:
        return f"{super().url}/v1"

    @property
    def posts(self) -> list[Post]:
        """Every request for images, in the order they came."""
        self._settle()
        assert isinstance(self._server, _OpenAIServer)
        return list(self._server.posts)

    def sent_image(self, prompt: str, number: int = 0, **fields: Any) -> bytes:
        """The image that this prompt with these fields gets, without model and n."""
        return self.image_for(prompt, {**fields, "number": number})


class _OpenAIServer(EndpointServer):
    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(behaviour)
        self.posts: list[Post] = []

    def _answer(self, asked: Asked) -> Answer:
        if "[long-error]" in asked.prompt:
            return replace(_error(500, "Sorry.", "server_error"), padding=300_000_000)
        answer = super()._answer(replace(asked, parameters=_drawn(asked.parameters, 0)))
        if answer.status != 200 or not answer.content_type.startswith("image/") or "[raw]" in asked.prompt:
            return answer
        count = int(asked.parameters.get("n", 1)) - ("[short]" in asked.prompt)
        others = [
            self._behaviour.image_for(replace(asked, parameters=_drawn(asked.parameters, number))).body
            for number in range(1, count)
        ]
        images = (answer.body, *others)
        entries = [_entry(asked.prompt, image, answer.content_type, f"{HOST}:{self.port}") for image in images]
        if "[second-" in asked.prompt and len(entries) > 1:
            entries[1] = {"b64_json": "AAA"} if "damaged" in asked.prompt else {"url": "/gone/image"}
        content = {"created": 1_790_000_000, "data": entries, "usage": USAGE, "size": "64x64"}
        before = "\ufeff\r\n\t " if "[late-json]" in asked.prompt else ""
        return replace(answer, content_type="application/json", body=f"{before}{json.dumps(content)}".encode())

    async def forget(self) -> None:
        self.posts.clear()
        await super().forget()

    async def _reply(self, request: Request, reader: Any, writer: Any) -> bool:
        answer = _linked(request.path) if request.method == "GET" else self._objection(request)
        if answer:
            return await deliver(answer, reader, writer)
        post = self.posts[-1]
        parameters = {name: value for name, value in post.fields.items() if name not in ("prompt", "model")}
        source = base64.b64encode(post.files[0][2]).decode() if post.files else None
        return await self._take(Asked(post.fields["prompt"], parameters, source), request, reader, writer)

    def _objection(self, request: Request) -> Answer | None:
        is_edit = request.path == "/v1/images/edits"
        if not is_edit and request.path != "/v1/images/generations":
            return _error(404, f"Invalid URL (POST {request.path})", "invalid_request_error")
        is_form = request.headers["content-type"].startswith("multipart/")
        post = _form(request) if is_form else _json(request)
        self.posts.append(post)
        if is_edit and is_form is post.fields["model"].startswith("grok"):
            return _error(415, "Unsupported content type.", "invalid_request_error")
        if not request.headers.get("authorization", "").startswith(("Bearer ", "Basic ")):
            return _error(401, "You didn't provide an API key.", "invalid_request_error")
        prompt, model = post.fields["prompt"], post.fields["model"]
        if "[no-credit]" in prompt:
            return _error(429, "You exceeded your current quota, please check your plan.", "insufficient_quota")
        if "[hard-limit]" in prompt:
            return _error(400, "Billing hard limit has been reached.", "billing_hard_limit_reached")
        known = (EDIT_FIELDS if is_edit else GENERATE_FIELDS) - UNSUPPORTED
        unknown = set(post.fields) - known if model.startswith("gpt-image") else set()
        unknown |= {"size"} & set(post.fields) if model.startswith("grok") else set()
        if unknown:
            return _error(400, f"Unknown parameter: '{min(unknown)}'.", "unknown_parameter")
        return None


def _drawn(parameters: Mapping[str, Any], number: int) -> dict[str, Any]:
    """What an image of a call shows: its fields, and which one it is."""
    return {**{name: value for name, value in parameters.items() if name != "n"}, "number": number}


def _entry(prompt: str, image: bytes, kind: str, host: str) -> dict[str, Any]:
    if "link]" in prompt:
        path = f"/linked/{base64.urlsafe_b64encode(image).decode()}"
        return {"url": path if "[relative-link]" in prompt else f"http://{host}{path}"}
    text = base64.encodebytes(image).decode() if "[in-lines]" in prompt else pybase64.b64encode_as_string(image)
    revised = {"revised_prompt": f"{prompt}, in detail"}
    return {"b64_json": f"data:{kind};base64,{text}" if "[data-uri]" in prompt else text, **revised}


def _linked(path: str) -> Answer:
    if not path.startswith("/linked/"):
        return Answer(404, "text/html", b"<p>Gone.</p>")
    return Answer(200, "image/png", base64.urlsafe_b64decode(path.rpartition("/")[2]))


def _error(status: int, message: str, code: str) -> Answer:
    return json_answer(status, {"error": {"message": message, "type": code, "param": None, "code": code}})


def _json(request: Request) -> Post:
    """A body of JSON, whose source images are data URIs as xAI takes them: one in `image`, or several in `images`."""
    fields = json.loads(request.body)
    sources = [("image", fields.pop("image"))] if "image" in fields else []
    sources += [("images", source) for source in fields.pop("images", [])]
    files = []
    for name, source in sources:
        assert source.keys() == {"type", "url"}
        head, _, data = source["url"].partition(";base64,")
        files.append((name, head.removeprefix("data:"), base64.b64decode(data)))
    return Post(request.path, request.headers, fields, tuple(files))


def _form(request: Request) -> Post:
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    fields: dict[str, Any] = {}
    files = []
    for part in message_from_bytes(head + request.body).get_payload():
        assert not isinstance(part, str)
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if part.get_filename():
            files.append((name, part.get_content_type(), content))
        else:
            fields[name] = content.decode()
    return Post(request.path, request.headers, fields, tuple(files))
