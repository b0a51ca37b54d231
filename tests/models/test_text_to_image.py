"""An endpoint by URL is asked just as Hugging Face's own client asks it."""

from typing import Any

import pytest
from huggingface_hub.inference._providers import get_provider_helper

from tasks_lib.models import ImageRequest
from tasks_lib.models.text_to_image import direct_request

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
