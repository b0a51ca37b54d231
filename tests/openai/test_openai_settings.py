"""The settings of the OpenAI model: its options, identity, prices and key."""

import pickle
import subprocess
import sys
from typing import Any, get_args, get_type_hints

import pytest
from openai.types import image_edit_params, image_generate_params
from pydantic import ValidationError

from tasks_lib.errors import MissingExtraError, MissingSecretError
from tasks_lib.models.openai import OpenAIImageGeneration
from tasks_lib.models.openai_dialects import OpenAIOptions
from tests.openai_endpoint import USAGE, OpenAIEndpoint
from tests.openai_endpoint_models import COST_USD, PRICES, generate, model_for, request_for


def test_seeds_and_shared_calls_exclude_each_other() -> None:
    """A call for several images has one seed, so that a dialect with seeds rejects them at once."""
    with pytest.raises(ValidationError, match="a call has one seed"):
        OpenAIImageGeneration(model_id="m", base_url="http://x/v1", dialect="compatible", images_per_call=2)


@pytest.mark.parametrize(
    ("usage", "cost_usd"),
    [
        (USAGE, COST_USD),
        ({**USAGE, "output_tokens_details": None}, (10 * 5 + 4 * 10 + 300 * 40) / 1e6),
        ({"input_tokens": 14, "output_tokens": 300}, None),
        (None, None),
    ],
)
def test_cost_follows_from_usage(usage: Any, cost_usd: float | None) -> None:
    """Tokens times the stated prices; what is not said in full costs the price per image."""
    prices = OpenAIImageGeneration(model_id="m", prices_usd_per_million=PRICES).prices_usd_per_million
    assert prices is not None
    assert prices.cost_usd(usage) == pytest.approx(cost_usd)


def test_url_of_the_environment_is_part_of_the_identity(
    server: OpenAIEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPENAI_BASE_URL is used, fingerprinted, written down and pickled like a base_url that is given."""
    plain = OpenAIImageGeneration(model_id="m")
    assert plain.identity() == OpenAIImageGeneration(model_id="m", base_url="https://api.openai.com/v1/").identity()
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
    model = OpenAIImageGeneration(model_id="gpt-image-2")
    assert model.identity() == model_for(server).identity() != plain.identity()
    assert model.written()["base_url"] == server.url
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    travelled = pickle.loads(pickle.dumps(model))
    assert generate(travelled, request_for(model, "a cat"))[0].status == "ok"
    assert OpenAIImageGeneration(model_id="m", base_url="https://api.openai.com/v1").base_url is None


def test_identity_is_what_changes_the_pixels() -> None:
    """Prices, key, names and how many share a call leave fingerprints alone; model and dialect change them."""
    plain = OpenAIImageGeneration(model_id="m", base_url="http://x/v1")
    other = OpenAIImageGeneration(
        model_id="m",
        base_url="http://me:secret@x/v1",
        images_per_call=4,
        prices_usd_per_million=PRICES,
        price_per_image_usd=1,
        token_env="OTHER",
        model_display_name="n",
    )
    assert plain.identity() == other.identity()
    assert plain.identity() != OpenAIImageGeneration(model_id="m", base_url="http://x/v1", dialect="xai").identity()
    assert (plain.model_name, other.model_name) == ("m", "n")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generation_kwargs": {"qualty": "low"}}, "did you mean 'quality'"),
        ({"generation_kwargs": {"seed": 1}}, "unknown key 'seed'"),
        ({"generation_kwargs": {"size": "big"}}, "size"),
        ({"generation_kwargs": {"output_compression": 101}}, "output_compression"),
        ({"dialect": "xai", "base_url": "http://x/v1", "generation_kwargs": {"size": "64x64"}}, "unknown key 'size'"),
        ({"dialect": "together"}, "needs the base_url"),
        ({"base_url": "ftp://me:marked-password@x"}, "does not begin with http"),
    ],
)
def test_mistakes_in_settings_are_found_at_once(settings: dict[str, Any], message: str) -> None:
    """A wrong option or URL is found before anything is asked, by its name and without the URL's password."""
    with pytest.raises(ValidationError, match=message) as caught:
        OpenAIImageGeneration(model_id="m", **settings)
    assert "marked-password" not in str(caught.value)


def test_options_are_those_of_the_sdk() -> None:
    """Every option of ours, and every value it may have, is one that the installed SDK knows."""
    generating = get_type_hints(image_generate_params.ImageGenerateParamsBase)
    editing = get_type_hints(image_edit_params.ImageEditParamsBase)
    for name, field in OpenAIOptions.model_fields.items():
        if name == "extra_body":
            continue
        ours = {each for kind in get_args(field.annotation) for each in get_args(kind)}
        theirs = {**editing, **generating}[name]
        assert ours <= {each for kind in get_args(theirs) for each in get_args(kind)}, name


def test_key_is_needed_where_the_server_is_not_named(server: OpenAIEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key OpenAI is not asked, and another server with a placeholder, unless a variable was named for it."""
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(MissingSecretError, match="export OPENAI_API_KEY="):
        OpenAIImageGeneration(model_id="m").load()
    with pytest.raises(MissingSecretError, match="export OTHER="):
        model_for(server, token_env="OTHER").load()
    model = model_for(server)
    assert generate(model, request_for(model, "a cat"))[0].status == "ok"
    assert server.posts[0].headers["authorization"] == "Bearer none"
    monkeypatch.setenv("OPENAI_API_KEY", "two\nlines")
    with pytest.raises(MissingSecretError, match="cannot be sent") as caught:
        model.load()
    assert "two" not in str(caught.value)


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the openai package, load() says how to install it."""
    monkeypatch.setitem(sys.modules, "openai", None)
    for name in ("client", "errors"):
        monkeypatch.delitem(sys.modules, f"tasks_lib.models.openai_{name}", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'imageloom\[openai\]'"):
        OpenAIImageGeneration(model_id="m").load()


def test_import_is_late() -> None:
    """Importing the model imports neither the SDK nor anything that it needs."""
    program = "import sys, tasks_lib.models.openai; sys.exit('openai' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
