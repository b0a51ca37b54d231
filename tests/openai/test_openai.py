"""Images through the real openai package: what is asked in each dialect, what comes back, what it costs."""

import asyncio
import io
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks_lib.errors import RecipeError, StopError
from tasks_lib.generator import ImageGenerator
from tasks_lib.models import ImageRequest
from tasks_lib.store import ImageStore
from tests.endpoint_images import image_for
from tests.openai_endpoint import USAGE, OpenAIEndpoint
from tests.openai_endpoint_models import COST_USD, KEY, PRICES, generate, model_for, request_for


def test_openai_gets_its_options_and_nothing_else(server: OpenAIEndpoint) -> None:
    """OpenAI is sent model, prompt and the options as they are, neither seed nor response_format, with the key."""
    options = {
        "size": "1536x864",
        "quality": "low",
        "background": "opaque",
        "moderation": "low",
        "extra_body": {"n": 1},
    }
    model = model_for(server, generation_kwargs={**options, "output_format": "jpeg", "output_compression": 80})
    (found,) = generate(model, request_for(model, "a cat [jpeg]"))
    (post,) = server.posts
    sent = {name: value for name, value in options.items() if name != "extra_body"}
    expected = {**sent, "output_format": "jpeg", "output_compression": 80, "n": 1}
    assert post.fields == {"model": "gpt-image-2", "prompt": "a cat [jpeg]", **expected}
    assert (post.path, post.headers["authorization"]) == ("/v1/images/generations", f"Bearer {KEY}")
    expected.pop("n")
    assert found.data == server.sent_image("a cat [jpeg]", **expected)
    assert found.record is not None
    said = {"created": 1_790_000_000, "size": "64x64", "usage": USAGE, "revised_prompt": "a cat [jpeg], in detail"}
    assert found.record.metadata == said


@pytest.mark.parametrize(
    ("dialect", "options", "fields"),
    [
        ("compatible", {"size": "64x64", "guidance_scale": 3.5}, {"response_format": "b64_json", "seed": 7}),
        ("together", {"width": 64, "height": 64, "steps": 4}, {"response_format": "base64", "seed": 7}),
        ("xai", {"aspect_ratio": "16:9", "extra_body": {"x": 1}}, {"response_format": "b64_json", "x": 1}),
    ],
)
def test_each_dialect_asks_in_its_own_words(
    server: OpenAIEndpoint, dialect: Any, options: dict[str, Any], fields: dict[str, Any]
) -> None:
    """Each kind of server gets its own name for base64, its own options, and a seed where it has one."""
    model = model_for(
        server, "grok-imagine" if dialect == "xai" else "z-image", dialect=dialect, generation_kwargs=options
    )
    (found,) = generate(model, request_for(model, "a cat", seed=7))
    expected = {**options, **fields}
    expected.pop("extra_body", None)
    assert server.posts[0].fields == {"model": model.model_id, "prompt": "a cat", **expected}
    assert found.data == server.sent_image("a cat", **expected)
    assert model.takes_seed is ("seed" in fields)


@pytest.mark.parametrize("tag", ["[raw]", "[data-uri]", "[in-lines]", "[late-json]", "[link]", "[relative-link]"])
def test_every_way_to_answer(server: OpenAIEndpoint, tag: str) -> None:
    """The image's own bytes arrive, be they sent raw, as a data URI, or behind a link to the same private address."""
    model = model_for(server, "z-image", dialect="compatible")
    (found,) = generate(model, request_for(model, f"a cat {tag}", seed=1), max_attempts=1)
    assert found.data == server.sent_image(f"a cat {tag}", response_format="b64_json", seed=1)


def test_editing_sends_images_and_a_mask_that_is_transparent_where_ours_is_white(server: OpenAIEndpoint) -> None:
    """Source images go as they are, in order, with their media types; the mask as the protocol wants it."""
    sources = (image_for("first", image_format="png"), image_for("second", image_format="jpeg"))
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    model = model_for(server, generation_kwargs={"quality": "high", "input_fidelity": "high"})
    assert model.edits
    request = request_for(model, "in the snow", images=sources, mask=buffer.getvalue())
    (found,) = generate(model, request)
    (post,) = server.posts
    assert post.path == "/v1/images/edits"
    assert post.fields == {
        "model": "gpt-image-2", "prompt": "in the snow", "quality": "high", "input_fidelity": "high"
    }  # fmt: skip
    (first, second, sent_mask) = post.files
    assert (first, second) == (("image[]", "image/png", sources[0]), ("image[]", "image/jpeg", sources[1]))
    assert sent_mask[:2] == ("mask", "image/png")
    alpha = Image.open(io.BytesIO(sent_mask[2])).getchannel("A")
    assert (alpha.getpixel((0, 0)), alpha.getpixel((63, 63))) == (0, 255)
    assert found.status == "ok"
    generate(model, request_for(model, "in the snow", images=sources[:1]))
    assert [name for name, *_ in server.posts[-1].files] == ["image"]


@pytest.mark.parametrize("count", [1, 2])
def test_xai_gets_source_images_as_json(server: OpenAIEndpoint, count: int) -> None:
    """What xAI takes in place of a form: data URIs under the name for one or several; a mask fails its row, unasked."""
    model = model_for(server, "grok-imagine-image", dialect="xai", generation_kwargs={"aspect_ratio": "1:1"})
    assert model.edits
    sources = (image_for("first", image_format="png"), image_for("second", image_format="jpeg"))[:count]
    (found,) = generate(model, request_for(model, "in the snow", images=sources))
    (post,) = server.posts
    name = "image" if count == 1 else "images"
    assert (post.path, found.status) == ("/v1/images/edits", "ok")
    kinds = ("image/png", "image/jpeg")
    assert post.files == tuple((name, kind, data) for kind, data in zip(kinds, sources, strict=False))
    sent = {"prompt": "in the snow", "aspect_ratio": "1:1", "response_format": "b64_json"}
    assert post.fields == {"model": "grok-imagine-image", **sent}
    (masked,) = generate(model, request_for(model, "in the snow", images=sources, mask=sources[0]))
    assert "takes no mask" in str(masked.error)
    assert len(server.posts) == 1


def test_source_that_is_no_image_is_the_rows_own_fault(server: OpenAIEndpoint) -> None:
    """A source image that cannot be read fails its row without a call; a dialect that cannot edit stops the run."""
    model = model_for(server)
    (found,) = generate(model, request_for(model, "in the snow", images=(b"no image",)))
    assert (found.status, server.posts) == ("failed", [])
    assert "source image 'image-0' cannot be read" in (found.error or "")
    with pytest.raises(StopError, match="takes no source images"):
        generate(model_for(server, dialect="together"), ImageRequest("in the snow", images=(b"",)))


def test_equal_requests_share_calls(server: OpenAIEndpoint) -> None:
    """Equal requests share a call and its cost, each with an image of its own; other requests have their own call."""
    model = model_for(server, images_per_call=3, prices_usd_per_million=PRICES)
    found = generate(model, *(request_for(model, prompt, number=number) for number in range(3) for prompt in "ab"))
    assert sorted((post.fields["prompt"], post.fields["n"]) for post in server.posts) == [("a", 3), ("b", 3)]
    assert [each.data for each in found] == [server.sent_image(prompt, n) for n in range(3) for prompt in "ab"]
    assert all(each.record and each.record.cost_usd == pytest.approx(COST_USD / 3) for each in found)
    assert all(each.record and each.record.metadata["images_in_call"] == 3 for each in found)


def test_edits_of_different_images_share_no_call(server: OpenAIEndpoint) -> None:
    """The same instruction for several source images is several calls, and so it is for other options."""
    model = model_for(server, images_per_call=3)
    sources = [image_for(name, image_format="png") for name in ("first", "second")]
    requests = [request_for(model, "in the snow", images=(source,)) for source in sources]
    generate(model, *requests, ImageRequest("in the snow", {"quality": "low"}, images=(sources[0],)))
    sent = {(post.files[0][2], post.fields.get("quality")) for post in server.posts}
    assert sent == {(sources[0], None), (sources[1], None), (sources[0], "low")}


def test_too_few_images_are_asked_again(server: OpenAIEndpoint) -> None:
    """Where the server sends fewer images than were asked, the rest is asked again."""
    model = model_for(server, images_per_call=2)
    found = generate(model, *(request_for(model, "a cat [short]", number=number) for number in range(2)))
    assert [each.status for each in found] == ["ok", "ok"]
    assert sorted(each.attempts for each in found) == [1, 2]
    assert [post.fields.get("n", 1) for post in server.posts] == [2, 1]


@pytest.mark.parametrize("tag", ["[second-link-fails]", "[second-is-damaged]"])
def test_one_bad_image_of_a_call_is_paid_again_alone(server: OpenAIEndpoint, tag: str) -> None:
    """Of a shared call, the images that came are kept; only that which did not is asked, and paid, again."""
    model = model_for(server, images_per_call=3)
    found = generate(model, *(request_for(model, f"a cat {tag}", number=number) for number in range(3)))
    assert [(each.status, each.attempts) for each in found] == [("ok", 1), ("ok", 2), ("ok", 1)]
    assert [post.fields.get("n", 1) for post in server.posts] == [3, 1]


def test_budget_reserves_the_upper_bound_and_settles_the_tokens(server: OpenAIEndpoint) -> None:
    """A cost cap needs the most an image can cost, and then spends what the tokens really cost."""
    model = model_for(server, prices_usd_per_million=PRICES)
    with pytest.raises(RecipeError, match="price_per_image_usd"):
        generate(model, max_cost_usd=1)
    model = model_for(server, prices_usd_per_million=PRICES, price_per_image_usd=0.02)
    requests = [request_for(model, f"{number}") for number in range(5)]
    found = generate(model, *requests, max_cost_usd=0.045)
    # 0.02 is set aside for each, 0.01009 spent: the third call still fits, the fourth does not.
    assert [each.status for each in found].count("ok") == 3


def test_from_two_threads_in_a_running_loop_and_in_another_process(server: OpenAIEndpoint, tmp_path: Path) -> None:
    """One generator serves two threads while this thread's own loop runs, and goes on in another process."""
    model = model_for(server)
    model.load()
    generator = ImageGenerator(model, ImageStore(tmp_path))

    async def ask() -> list[str]:
        found: list[str] = []
        threads = [
            threading.Thread(
                target=lambda name=name: found.extend(
                    each.status for each in generator.generate([request_for(model, f"{name} {n}") for n in range(5)])
                )
            )
            for name in ("one", "two")
        ]
        for thread in threads:
            thread.start()
        found.extend(each.status for each in generator.generate([request_for(model, "here")]))
        for thread in threads:
            thread.join()
        return found

    assert asyncio.run(ask()) == ["ok"] * 11
    (tmp_path / "generator").write_bytes(pickle.dumps(generator))
    generator.close()
    program = (
        "import pickle, sys; from tasks_lib.models import ImageRequest\n"
        "generator = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(generator.generate([ImageRequest('there')])[0].status); generator.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "generator"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "ok", done.stderr
    assert len(server.posts) == 12
