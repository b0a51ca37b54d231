"""Equal requests are numbered, each gets a seed of its own, and that seed depends on nothing else."""

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import ImageAnswer, ImageGenerationModel, ImageRequest
from tasks_lib.session import GenerationSession, RequestOptions
from tasks_lib.store import ImageStore
from tests.endpoint_images import image_for


class Model(ImageGenerationModel):
    """Draws its request."""

    @property
    def model_name(self) -> str:
        return "test"

    async def agenerate(self, request: ImageRequest) -> ImageAnswer | bytes:
        return image_for(request.prompt, {"seed": request.seed, "number": request.number}, image_format="png")


class SeedlessModel(Model):
    """Takes no seed, as gpt-image does."""

    takes_seed = False


def session(seed: int = 0, model: ImageGenerationModel | None = None) -> GenerationSession:
    return GenerationSession(ImageGenerator(model or Model()), seed)


def fingerprints(asking: GenerationSession, inputs: list[Any], each: int = 1, **options: Any) -> list[str | None]:
    return [asked and asking.generator.fingerprint(asked) for asked in asking.requests(inputs, each, options)]


PROMPTS = st.lists(st.sampled_from(["a cat", "a dog", "a {big} owl", "Ein Käuzchen", " a cat"]), max_size=12)


@given(prompts=PROMPTS, others=PROMPTS, seed=st.integers(0, 2**40), each=st.integers(1, 3))
def test_seed_depends_on_the_request_and_its_number_only(
    prompts: list[str], others: list[str], seed: int, each: int
) -> None:
    """Rows with other prompts, before, between or after, change no row's seeds."""
    others = [f"other {prompt}" for prompt in others]
    mixed = [prompt for pair in zip(prompts, others, strict=False) for prompt in reversed(pair)]
    mixed = [*others, *mixed, *prompts[len(others) :]]
    alone = session(seed).requests(prompts, each, {"width": 64})
    among = [
        request
        for request in session(seed).requests(mixed, each, {"width": 64})
        if request and not request.prompt.startswith("other ")
    ]
    assert among == alone


@given(prompts=PROMPTS, each=st.integers(1, 3), takes_seed=st.booleans())
def test_no_two_generations_are_the_same(prompts: list[str], each: int, takes_seed: bool) -> None:
    """Equal prompts get different images: by seed, or by number where the model takes none."""
    asking = session(model=Model() if takes_seed else SeedlessModel())
    found = fingerprints(asking, prompts, each)
    assert len(set(found)) == len(found) == each * len(prompts)
    seeds = [request.seed for request in session(model=asking.generator.model).requests(prompts, each, {}) if request]
    assert len(set(seeds)) == (len(seeds) if takes_seed else min(1, len(seeds)))


@given(prompts=PROMPTS, cut=st.integers(0, 12), each=st.integers(1, 3))
def test_batches_ask_what_one_session_asks(prompts: list[str], cut: int, each: int) -> None:
    """Cut into batches that know how often earlier rows asked the same, the requests are those of the whole."""
    whole = session(5).requests(prompts, each, {})
    numbers: dict[str, int] = {}
    for prompt in prompts[:cut]:
        key = RequestOptions({}).key(prompt)
        numbers[key] = numbers.get(key, 0) + each
    first, second = session(5), session(5).starting_at(numbers)
    assert [*first.requests(prompts[:cut], each, {}), *second.requests(prompts[cut:], each, {})] == whole


@given(seed=st.integers(0, 2**64), other=st.integers(0, 2**64))
def test_seeds_fit_31_bits_and_follow_the_recipe(seed: int, other: int) -> None:
    """Seeds are whole numbers from 0 that any server takes; another recipe seed gives others."""
    (first,), (second,) = (session(each).requests(["a cat"], 1, {}) for each in (seed, other))
    assert first is not None and second is not None
    assert first.seed is not None
    assert 0 <= first.seed < 2**31
    assert (first.seed == second.seed) == (seed == other)


def test_explicit_seed_counts_up() -> None:
    """A seed among the options is that of the first of equal requests; the next ones count on, each prompt anew."""
    requests = session().requests(["a cat", "a dog", "a cat"], 2, {"seed": 40, "width": 64})
    assert [request.seed for request in requests if request] == [40, 41, 40, 41, 42, 43]
    assert {tuple(request.options) for request in requests if request} == {("width",)}


def test_request_mapping() -> None:
    """A mapping says the same as its prompt alone; options of its own win, and make it another request."""
    asking = session()
    plain, mapped, wide, edited = asking.requests(
        ["a cat", {"prompt": "a cat"}, {"prompt": "a cat", "width": 99}, {"prompt": "a cat", "images": [b"x"]}],
        1,
        {"width": 64},
    )
    assert plain and mapped and wide and edited
    assert (plain.number, mapped.number, wide.number, edited.number) == (0, 1, 0, 0)
    assert (wide.options, edited.images) == ({"width": 99}, (b"x",))
    assert len({plain.seed, mapped.seed, wide.seed, edited.seed}) == 4


@pytest.mark.parametrize("blank", [None, "", "  \n", {"prompt": None}, {"images": [b"x"]}])
def test_blank_prompt_is_not_asked(blank: Any) -> None:
    """A row without a prompt keeps its place, with the reason, and costs nothing."""
    asking = session()
    first, nothing, last = asking.generate_outputs(["a cat", blank, "a dog"], 2)
    asking.generator.close()
    assert [output["status"] for output in nothing] == ["failed", "failed"]
    assert "prompt is empty" in nothing[0]["error"]
    assert [len(output["images"]) for output in [*first, *nothing, *last]] == [1, 1, 0, 0, 1, 1]


def test_outputs_in_memory_and_from_a_store(tmp_path: Path) -> None:
    """With or without a store, an output is the model's own bytes in base64."""
    stored = GenerationSession(ImageGenerator(Model(), ImageStore(tmp_path)))
    outputs = [each.generate_outputs(["a cat"]) for each in (session(), stored, GenerationSession(stored.generator))]
    assert outputs[0] == outputs[1] == outputs[2]
    (request,) = session().requests(["a cat"], 1, {})
    assert request is not None
    expected = image_for("a cat", {"seed": request.seed, "number": 0}, image_format="png")
    assert base64.b64decode(outputs[0][0][0]["images"][0]) == expected


def test_detailed_outputs_are_repeatable(tmp_path: Path) -> None:
    """Inside a flow an output is a small reference; what goes into the dataset is the same when it is built again."""
    generator = ImageGenerator(Model(price_per_image_usd=0.5), ImageStore(tmp_path), Limits(max_images=1))
    once, again = (GenerationSession(generator, detailed=True).generate_outputs(["a cat"])[0][0] for _ in range(2))
    assert once["images"] == again["images"]
    assert len(once["images"][0]) < 1000
    assert once["generation"]["column"] == again["generation"]["column"]
    assert once["generation"]["column"]["cost_usd"] == 0.5
    assert (once["generation"]["attempts"], again["generation"]["attempts"]) == (1, 0)
    (refused,) = GenerationSession(generator, detailed=True).generate_outputs(["a dog"])[0]
    assert (refused["status"], refused["images"]) == ("not_asked", [])
    assert refused["generation"]["column"] is None
