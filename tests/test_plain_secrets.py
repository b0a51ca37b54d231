"""Keys and passwords in settings, found before a Prefect server keeps and shows them in clear."""

from typing import Any

import pytest

from tasks_lib.errors import RecipeError
from tasks_lib.plain_secrets import refuse_secrets

KEY = "hf_MARKEDxKEYx0123456789"


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"task.image_generation_model.generation_kwargs.extra_body": {"api-key": "abc"}}, r"extra_body\.api-key"),
        ({"recipe": {"secrets": {"HF_TOKEN": KEY}}}, r"recipe\.secrets\.HF_TOKEN"),
        ({"recipe": {"store": "s3://me:marked@bucket/store"}}, r"recipe\.store"),
        ({"task": {"extra_headers": ["x", "Bearer marked-0123456789"]}}, r"task\.extra_headers\.1"),
        ({"recipe": "https://host/r.yaml?sv=1&sig=marked"}, "recipe"),
        ({"recipe": {"store": "https://host/r?X-Amz-Signature=marked"}}, r"recipe\.store"),
        ({"task.image_generation_model.base_url": "https://host/gen?api_key=marked"}, r"base_url"),
        ({"generation_kwargs": {"access_token": "marked"}}, r"generation_kwargs\.access_token"),
        ({"generation_kwargs": {"auth_token": "marked"}}, r"generation_kwargs\.auth_token"),
        ({"extra_headers": {"x-api-key": "marked"}}, r"extra_headers\.x-api-key"),
        ({"extra_body": {"apiKey": "marked", "max_tokens": "7"}}, r"extra_body\.apiKey"),
        ({"recipe": "https://marked@host/r.yaml"}, "recipe"),
        ({"marking": {"private_key_env": "-----BEGIN EC PRIVATE KEY-----\nmarked"}}, r"marking\.private_key_env"),
    ],
)
def test_a_key_is_refused_by_its_place(settings: dict[str, Any], place: str) -> None:
    """A key or password in settings is refused, told by its place and never repeated."""
    with pytest.raises(RecipeError, match=f"^{place}|[ .]{place}") as caught:
        refuse_secrets(settings)
    assert KEY not in str(caught.value) and "marked" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"prompts": ["a token of love", "http://me:x@host on a poster", "sk-" + 20 * "a"]},
        {"token_env": "HF_TOKEN", "secrets": {"HF_TOKEN": "hf-token"}, "marking": {"private_key_env": "C2PA_KEY"}},
        {"recipe": {"secrets": {"API_KEY": "my-block"}}, "overrides": {"secrets.MY_TOKEN": "my-block"}},
        {"store": "abfs://container@account.dfs.core.windows.net/store", "base_url": "https://host/v1?version=2"},
        {"generation_kwargs": {"max_tokens": "9", "tokenizer": "x"}, "input_text_tokens": "5", "token_block": "b"},
        {"extra_body": {"prompt_cache_key": "v1"}, "generation_kwargs": {"placeholder_token": "<cat>"}},
        {"base_url": "http://host:8000/v1", "store": "s3://bucket/store", "model_id": "maker/sk-small"},
    ],
)
def test_what_is_no_key_passes(settings: dict[str, Any]) -> None:
    """Prompts, names of variables and blocks, and URLs without a login are no secrets."""
    refuse_secrets(settings)
