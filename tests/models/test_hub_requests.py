"""An endpoint by URL is asked just as Hugging Face's own client asks it."""

import json
from typing import Any

import pytest
from huggingface_hub.inference._providers import get_provider_helper

from tasks_lib.errors import InvalidRequestError
from tasks_lib.models import ImageRequest
from tasks_lib.models.hub_requests import direct_request

URL = "http://host.example/path"


@pytest.mark.parametrize(
    "options", [{}, {"width": 64, "negative_prompt": None, "guidance_scale": 3.5}, {"extra_body": {"steps": 4}}]
)
def test_direct_request_is_that_of_the_client(options: dict[str, Any]) -> None:
    """URL, body and token are those that huggingface_hub prepares for the same options."""
    ours = direct_request(URL, ImageRequest("a cat", options, seed=7), {"accept": "image/png"}, "hf_x")
    plain = {name: value for name, value in options.items() if name != "extra_body"}
    theirs = get_provider_helper("auto", task="text-to-image", model=URL).prepare_request(
        inputs="a cat",
        parameters={**plain, "seed": 7, **options.get("extra_body", {})},
        headers={"Accept": "image/png"},
        model=URL,
        api_key="hf_x",
    )
    assert (ours.url, ours.json, ours.data) == (theirs.url, theirs.json, theirs.data)
    assert ours.headers.items() <= theirs.headers.items()


@pytest.mark.parametrize("options", [{}, {"width": 64, "height": 32, "guidance_scale": 3.5}, {"extra_body": {"a": 4}}])
def test_direct_edit_is_that_of_the_client(options: dict[str, Any]) -> None:
    """An image to edit is sent as huggingface_hub's ``image_to_image`` sends it, the prompt among the parameters."""
    request = ImageRequest("make it night", options, seed=7, images=(b"\x89PNG source",))
    ours = direct_request(URL, request, {"accept": "image/png"}, "hf_x")
    plain = {name: value for name, value in options.items() if name not in {"extra_body", "width", "height"}}
    size = {name: options[name] for name in ("width", "height") if name in options}
    theirs = get_provider_helper("auto", task="image-to-image", model=URL).prepare_request(
        inputs=b"\x89PNG source",
        parameters={
            "prompt": "make it night",
            "target_size": size or None,
            **plain,
            "seed": 7,
            **options.get("extra_body", {}),
        },
        headers={"Accept": "image/png"},
        model=URL,
        api_key="hf_x",
    )
    assert ours.json == json.loads(theirs.data or b"")
    assert ours.headers.items() <= theirs.headers.items()


def test_what_the_protocol_cannot_send_is_said() -> None:
    """A mask, or a second source image, is one clear error and not silently left out."""
    for request, found in [
        (ImageRequest("a", images=(b"1", b"2")), "found 2 images"),
        (ImageRequest("a", images=(b"1",), mask=b"2"), "found a mask"),
    ]:
        with pytest.raises(InvalidRequestError, match=found):
            direct_request(URL, request, {}, None)
