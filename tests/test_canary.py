"""The canary: it asks anew each time, and fails with one sentence when it got worse."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import ArtifactSort

from flows.watch_canary import watch_canary
from tasks_lib.canary import Comparison, Figures, Thresholds, compare
from tasks_lib.errors import ImageloomError, StopError
from tasks_lib.recipe import load_recipe
from tests.endpoint import Endpoint
from tests.recipes import recipe_for

Watch = Callable[..., Comparison]

PROMPTS = ["a cat", "a dog", "a fox", "an owl"]
THRESHOLDS = Thresholds(pass_rate_drop=0.1, seconds_rise=0.5, cost_rise=0.1)
RATES = st.none() | st.floats(0, 1)
AMOUNTS = st.none() | st.floats(1e-6, 1e3)
FIGURES = st.builds(Figures, RATES, AMOUNTS, AMOUNTS)


@pytest.fixture
def watch(prefect_server: None, in_folder: Path) -> Watch:
    """Runs the canary over four prompts, against the last two runs of the test."""

    def run(
        endpoint: Endpoint,
        prompts: list[str] = PROMPTS,
        price: float | None = None,
        seed: int | None = None,
        **parameters: Any,
    ) -> Any:
        recipe = recipe_for(endpoint, prompts, limits={"max_failure_rate": 0.5})
        model = recipe["task"]["image_generation_model"]
        model["price_per_image_usd"] = price
        model["generation_kwargs"] = {} if seed is None else {"seed": seed}
        # Of which Prefect keeps the history.
        recipe["name"] = in_folder.name.replace("_", "-")
        return asyncio.run(watch_canary(load_recipe(recipe), last_runs=2, **parameters))

    return run


def test_slower_images_alarm_and_equal_ones_do_not(watch: Watch) -> None:
    """Two runs are only collected, the third is steady; with doubled seconds, the fourth fails and says both."""
    with Endpoint(latency_s=0.2) as usual:
        runs = [watch(usual) for _ in range(3)]
        assert len(usual.calls) == 3 * len(PROMPTS), "every run asks every image"
        assert len({call.parameters["seed"] for call in usual.calls}) == 3 * len(PROMPTS), "no cache has seen them"
    assert [run.collected for run in runs] == [0, 1, 2]
    assert "collected 2 of 2 runs" in runs[1].headline
    assert runs[2].headline.endswith("steady")
    with Endpoint(latency_s=0.5) as slow, pytest.raises(ImageloomError) as alarm:
        watch(slow)
    now, before = _numbers_around(str(alarm.value), " s an image against ")
    assert now >= 0.5 > before >= 0.2
    assert str(alarm.value).startswith("the canary moved: median ")
    assert str(alarm.value).endswith(" s in the last 2 runs.")


def test_a_fixed_seed_is_asked_anew_as_well(watch: Watch, endpoint: Endpoint) -> None:
    """What was paid before is not taken for an answer, even where the request is the same each time."""
    for _ in range(2):
        watch(endpoint, ["a cat"], seed=7)
    assert [call.parameters["seed"] for call in endpoint.calls] == [7, 7]


def test_fewer_good_images_alarm(watch: Watch, endpoint: Endpoint) -> None:
    """A refusal among four prompts is a pass rate of 75 % against 100 %, though such a build is fit for use."""
    for _ in range(2):
        watch(endpoint)
    with pytest.raises(ImageloomError, match=r"^the canary moved: 75% of the images pass against 100% in the last 2"):
        watch(endpoint, [*PROMPTS[:3], "a dog {{refused-hf}}"], seconds_rise=100)


def test_a_higher_price_alarms(watch: Watch, endpoint: Endpoint) -> None:
    """Four cents an image against three is told, and a wider threshold lets it pass."""
    for _ in range(2):
        watch(endpoint, price=0.03, seconds_rise=100)
    with pytest.raises(ImageloomError, match=r"moved: 0\.0400 USD an image against 0\.0300 USD in the last 2 runs"):
        watch(endpoint, price=0.04, seconds_rise=100)
    assert watch(endpoint, price=0.04, seconds_rise=100, cost_rise=0.5).alarms == []


def test_a_build_that_fails_by_itself_is_told_and_not_compared(watch: Watch, endpoint: Endpoint) -> None:
    """A rejected key, or more failures than the recipe allows, fails the run, which the next is not compared with."""
    with pytest.raises(StopError, match="answered 401"):
        watch(endpoint, ["a cat {{401}}"])
    with pytest.raises(StopError, match="4 of 4 generations failed"):
        watch(endpoint, [f"{prompt} {{{{400}}}}" for prompt in PROMPTS])
    assert watch(endpoint).collected == 0


def test_the_page_of_a_run_shows_the_comparison(watch: Watch, endpoint: Endpoint, in_folder: Path) -> None:
    """The table on the run's page has each figure, what it was, and from where on it alarms."""
    for _ in range(3):
        last = watch(endpoint, price=0.02, seconds_rise=100)

    async def tables() -> list[Any]:
        async with get_client() as client:
            newest = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC)
            return [each for each in newest if each.description == last.headline]

    (table,) = asyncio.run(tables())
    rows = {row.pop("figure"): row for row in json.loads(table.data)}
    assert rows["cost_usd"] == {"now": 0.02, "before": 0.02, "alarm beyond": 0.022}
    assert rows["pass_rate"] == {"now": 1.0, "before": 1.0, "alarm beyond": 0.9}
    assert rows["seconds"]["now"] > 0


@given(FIGURES, st.lists(FIGURES, max_size=8), st.integers(1, 6))
def test_what_does_not_get_worse_never_alarms(now: Figures, earlier: list[Figures], wanted: int) -> None:
    """Too few runs never alarm; nor does a run like all before; and what a table keeps is read back as it was."""
    compared = compare(now, earlier, wanted, THRESHOLDS)
    assert not compared.alarms or len(earlier) >= wanted
    assert compare(now, [now] * wanted, wanted, THRESHOLDS).alarms == []
    kept = Figures.from_rows(json.loads(json.dumps(compared.rows())))
    assert vars(kept) == pytest.approx(vars(now), abs=1e-6)
    assert compared.headline


def test_one_bad_run_neither_moves_the_norm_nor_hides_the_next() -> None:
    """The median of five runs stays where it was after one and after two slow ones, which both alarm."""
    usual, slow = Figures(1.0, 0.2, None), Figures(1.0, 0.9, None)
    earlier = [usual] * 5
    for _ in range(3):
        told = compare(slow, earlier, 5, THRESHOLDS)
        assert told.headline == "the canary moved: median 0.90 s an image against 0.20 s in the last 5 runs."
        earlier = [slow, *earlier]
    assert compare(slow, earlier, 5, THRESHOLDS).alarms == []


def _numbers_around(text: str, words: str) -> tuple[float, float]:
    before, after = text.split(words)
    return float(before.split()[-1]), float(after.split()[0])
