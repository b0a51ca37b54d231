"""Any text-to-image pipeline of diffusers, computed for real with a few thousand random weights."""

import asyncio
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tasks_lib.errors import RecipeError, StopError
from tasks_lib.event_loop import event_loop
from tasks_lib.generation import Generation
from tasks_lib.generator import ImageGenerator
from tasks_lib.models import ImageRequest
from tasks_lib.models.diffusers import DiffusersImageGeneration
from tests.local.network import SMALL, NetworkCalls, ask, networks_in_memory, pixels, requests_for
from tests.local.tiny_pipeline import save_tiny_stable_diffusion

PROMPTS = [f"a cat {number}" for number in range(8)]


def model(folder: str, **settings: Any) -> DiffusersImageGeneration:
    return DiffusersImageGeneration(model_id=folder, device="cpu", **settings)


def images_in_calls(generations: list[Generation]) -> list[int]:
    return [each.record.metadata["images_in_call"] for each in generations if each.record]


@pytest.mark.parametrize("family", ["stable_diffusion", "flux"])
def test_a_seed_gives_its_image_alone_and_in_a_batch(family: str, request: pytest.FixtureRequest) -> None:
    """In two families a seed gives the same bytes in calls of one size, and in others the same but for last bits."""
    folder = request.getfixturevalue(family)
    requests = requests_for(PROMPTS)
    alone, again = ask(model(folder), requests), ask(model(folder), list(reversed(requests)))
    assert [each.data for each in alone] == [each.data for each in reversed(again)]
    together = ask(model(folder, batch_size=4), requests)
    among_others = ask(model(folder, batch_size=4), requests[2:] + requests[:2])
    assert [each.data for each in together] == [each.data for each in among_others[-2:] + among_others[:-2]]
    for one, other in zip(alone, together, strict=True):
        assert np.abs(pixels(one) - pixels(other)).max() <= 1
    assert len({each.data for each in alone}) == len(PROMPTS)


def test_seed_prompt_and_options_reach_the_pipeline(stable_diffusion: str) -> None:
    """Each of seed, prompt, negative prompt, guidance, steps and the pipeline's own arguments changes the image."""
    asked = [
        ImageRequest("a cat", SMALL, seed=1),
        ImageRequest("a cat", SMALL, seed=2),
        ImageRequest("a dog", SMALL, seed=1),
        ImageRequest("a cat", {**SMALL, "negative_prompt": "a dog"}, seed=1),
        ImageRequest("a cat", {**SMALL, "guidance_scale": 3.0}, seed=1),
        ImageRequest("a cat", {**SMALL, "num_inference_steps": 3}, seed=1),
        ImageRequest("a cat", {**SMALL, "extra_arguments": {"guidance_rescale": 0.9}}, seed=1),
    ]
    answers = ask(model(stable_diffusion, batch_size=4), asked)
    assert len({each.data for each in answers}) == len(asked)
    negative = [ImageRequest("a cat", {**SMALL, "negative_prompt": "a dog"}, seed=seed) for seed in range(4)]
    assert images_in_calls(ask(model(stable_diffusion, batch_size=4), negative)) == [4] * 4
    wide = ask(model(stable_diffusion), [ImageRequest("a cat", {**SMALL, "width": 48}, seed=1)])
    assert pixels(wide[0]).shape == (32, 48, 3)


def test_requests_without_a_seed_differ_by_their_number(stable_diffusion: str) -> None:
    """Equal requests of somebody who gives no seeds get different images."""
    asked = [ImageRequest("a cat", SMALL, number=number) for number in range(2)]
    one, other = ask(model(stable_diffusion), asked)
    assert one.data != other.data


def test_batches_are_full_and_no_larger(stable_diffusion: str, network: NetworkCalls) -> None:
    """Requests share calls of ``batch_size`` images, so that the network runs once a step for all of them."""
    answers = ask(model(stable_diffusion, batch_size=3), requests_for(PROMPTS))
    assert sorted(images_in_calls(answers)) == [2, 2, 3, 3, 3, 3, 3, 3]
    assert network.count == 3 * SMALL["num_inference_steps"]


def test_different_options_never_share_a_call(stable_diffusion: str) -> None:
    """Only requests with equal options are computed together; each has its own size."""
    widths = (32, 40, 32, 40)
    asked = [ImageRequest("a cat", {**SMALL, "width": width}, seed=seed) for seed, width in enumerate(widths)]
    answers = ask(model(stable_diffusion, batch_size=4), asked)
    assert images_in_calls(answers) == [2, 2, 2, 2]
    assert [pixels(each).shape[1] for each in answers] == [32, 40, 32, 40]


def test_weights_are_loaded_once_and_freed(stable_diffusion: str) -> None:
    """Equal models and unpickled copies share the weights, which go with the last model that loaded them."""
    assert networks_in_memory() == 0
    one, other = model(stable_diffusion), model(stable_diffusion, batch_size=2, generation_kwargs=SMALL)
    one.load()
    other.load()
    copy = pickle.loads(pickle.dumps(one))
    assert ImageGenerator(copy).generate(requests_for(["a cat"]))[0].status == "ok"
    assert networks_in_memory() == 1
    one.unload()
    copy.unload()
    assert networks_in_memory() == 1
    assert ImageGenerator(other).generate(requests_for(["a cat"]))[0].status == "ok"
    other.unload()
    assert networks_in_memory() == 0


def test_a_copy_elsewhere_loads_by_itself(stable_diffusion: str) -> None:
    """A model that was never loaded, as a worker unpickles it, loads at its first request and keeps the weights."""
    unloaded = model(stable_diffusion)
    for _ in range(2):
        copy = pickle.loads(pickle.dumps(unloaded))
        assert ImageGenerator(copy).generate(requests_for(["a cat"]))[0].status == "ok"
        assert networks_in_memory() == 1
        del copy
    unloaded.unload()
    assert networks_in_memory() == 0


def test_a_cancelled_call_ends_at_its_next_step(stable_diffusion: str, network: NetworkCalls) -> None:
    """Nobody waits for a call whose callers have gone."""
    local = model(stable_diffusion)
    local.load()
    endless = ImageRequest("a cat", {**SMALL, "num_inference_steps": 500}, seed=1)
    asking = asyncio.run_coroutine_threadsafe(local.agenerate(endless), event_loop().loop)
    assert network.begun.wait(30)
    asking.cancel()
    assert ImageGenerator(local).generate(requests_for(["a dog"]))[0].status == "ok"
    local.unload()
    assert network.count < 400


def test_what_the_safety_checker_withholds_is_refused(tmp_path: Path) -> None:
    """A blackened image is a refusal; one that the checker lets pass is an image."""
    strict = ask(model(save_tiny_stable_diffusion(tmp_path / "strict", withholds=True)), requests_for(["a cat"]))
    assert (strict[0].status, strict[0].attempts) == ("refused", 1)
    assert "safety checker of strict" in str(strict[0].error)
    mild = ask(model(save_tiny_stable_diffusion(tmp_path / "mild", withholds=False)), requests_for(["a cat"]))
    assert mild[0].status == "ok"


def test_an_option_that_the_pipeline_does_not_take_fails_its_row(stable_diffusion: str) -> None:
    """What a pipeline would ignore or reject is a failure that names it and what the pipeline takes."""
    asked = [
        ImageRequest("a cat", {**SMALL, "strength": 0.5}, seed=1),
        ImageRequest("a cat", {**SMALL, "extra_arguments": {"max_sequence_length": 9}}, seed=1),
        ImageRequest("a cat", {**SMALL, "width": 33}, seed=1),
        ImageRequest("a cat", {**SMALL, "widht": 32}, seed=1),
        *requests_for(["a cat"]),
    ]
    answers = ask(model(stable_diffusion), asked)
    assert [each.status for each in answers] == ["failed"] * 4 + ["ok"]
    expected = [
        "does not take strength.*negative_prompt",
        "max_sequence_length",
        "divisible by 8",
        "did you mean 'width'",
    ]
    for answer, words in zip(answers, expected, strict=False):
        with pytest.raises(AssertionError, match=words):
            raise AssertionError(answer.error)
    with pytest.raises(ValidationError, match="did you mean 'width'"):
        model(stable_diffusion, generation_kwargs={"widht": 32})


def test_too_little_memory_stops_the_run(stable_diffusion: str) -> None:
    """Where an image does not fit into memory, the run stops and says what to lower."""
    huge = {**SMALL, "width": 2**24, "height": 2**24}
    with pytest.raises(StopError, match=r"memory of the cpu does not suffice for 2 image.*lower batch_size below 2"):
        ask(model(stable_diffusion, batch_size=2), [ImageRequest("a cat", huge, seed=seed) for seed in range(2)])


# Of diffusers' own call of huggingface_hub.
@pytest.mark.filterwarnings("ignore:The `local_dir_use_symlinks` argument is deprecated:UserWarning")
def test_what_cannot_be_loaded_is_named(stable_diffusion: str, tmp_path: Path) -> None:
    """No such folder, a folder of something else, damaged weights, an absent device: one error each, at once."""
    with pytest.raises(RecipeError, match="no-such-folder' cannot be loaded"):
        model(str(tmp_path / "no-such-folder")).load()
    (tmp_path / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"cannot be loaded.*DDPMPipeline"):
        model(str(tmp_path)).load()
    damaged = Path(save_tiny_stable_diffusion(tmp_path / "damaged"))
    next((damaged / "unet").glob("*.safetensors")).write_bytes(b"not weights")
    with pytest.raises(RecipeError, match="damaged' cannot be loaded"):
        model(str(damaged)).load()
    with pytest.raises(RecipeError, match=r"device 'cuda'.*found: cpu"):
        DiffusersImageGeneration(model_id=stable_diffusion, device="cuda").load()
    assert networks_in_memory() == 0


@pytest.mark.parametrize("missing", ["torch", "diffusers", "transformers"])
def test_a_missing_extra_is_named(missing: str) -> None:
    """Without one of its packages, loading says what to install."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from tasks_lib.models.diffusers import DiffusersImageGeneration\n"
        "DiffusersImageGeneration(model_id='some/model').load()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert "MissingExtraError" in done.stderr
    assert "pip install 'imageloom[local]'" in done.stderr


def test_identity_is_what_changes_the_pixels() -> None:
    """Where and how many at a time are no part of the identity; weights and numbers are."""

    def identity(**settings: Any) -> dict[str, Any]:
        return DiffusersImageGeneration(**{"model_id": "some/model", **settings}).identity()

    assert identity(device="cpu", batch_size=8, price_per_image_usd=0.1, timeout_s=5) == identity()
    for settings in ({"revision": "v2"}, {"variant": "fp16"}, {"dtype": "float16"}, {"model_id": "other/model"}):
        assert identity(**settings) != identity()
    names = [DiffusersImageGeneration(model_id=each).model_name for each in ("org/model", "/data/mine", "./mine")]
    assert names == ["org/model", "mine", "mine"]
