"""A build with local weights, end to end through the flow."""

from collections.abc import Callable

from datasets import load_dataset

from tasks_lib import Distiset
from tests.local.network import SMALL, NetworkCalls, networks_in_memory
from tests.recipes import drawn_by


def test_a_build_computes_each_image_once(
    build_dataset: Callable[..., Distiset], stable_diffusion: str, network: NetworkCalls
) -> None:
    """A recipe with local weights gives a dataset, frees the memory, and asks nothing when it is built again."""
    model = {"type": "diffusers", "model_id": stable_diffusion, "batch_size": 4, "generation_kwargs": SMALL}
    recipe = drawn_by(model, [f"a cat {number}" for number in range(4)], task={"num_generations": 2})
    first = build_dataset(recipe)
    assert networks_in_memory() == 0
    calls = network.count
    rows = load_dataset("dataset")["train"]
    assert [row["prompt"] for row in rows] == [f"a cat {number}" for number in range(4) for _ in range(2)]
    assert {row["image"].size for row in rows} == {(32, 32)}
    assert {row["model_name"] for row in rows} == {"tiny-stable-diffusion"}
    assert len({row["image_sha256"] for row in rows["generation"]}) == 8
    assert first.report is not None
    assert first.report.spent_usd == 0
    again = build_dataset({**recipe, "limits": {"max_cost_usd": 0}}).report
    assert again is not None
    assert (again.asked, again.from_store) == (0, 8)
    assert network.count == calls > 0
