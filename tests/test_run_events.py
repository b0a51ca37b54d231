"""What a build tells automations: its events, and the dataset as an asset."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.build_image_dataset import build_image_dataset
from tasks_lib.errors import StopError, TooManyFailuresError, UsageError
from tasks_lib.recipe import load_recipe
from tasks_lib.run_assets import dataset_asset, upstream_assets
from tests.endpoint import Endpoint
from tests.prefect_contents import events
from tests.recipes import FLAT, Build, drawn_by, recipe_for

KEYLESS = {"type": "image_generation", "image_generation_model": {"type": "inference_endpoints", "model_id": "a/b"}}


def test_a_build_emits_that_it_built(build_dataset: Build) -> None:
    """A build emits its counts, cost and folder with its flow run; only one of all rows is called whole."""
    recipe = drawn_by({**FLAT, "price_per_image_usd": 0.5}, ["a", "b", "c"], name="told-built")
    build_dataset(recipe, limit=2)
    build_dataset(recipe)
    second, first = events("imageloom.", "imageloom.dataset.told-built", 2)
    assert {first["event"], second["event"]} == {"imageloom.dataset.built"}
    assert (first["resource"]["imageloom.whole"], second["resource"]["imageloom.whole"]) == ("false", "true")
    payload = second["payload"]
    assert payload["folder"] == str(Path("dataset").absolute())
    assert (payload["counts"], payload["spent_usd"], payload["total_usd"]) == ({"ok": 3}, 0.5, 1.5)
    roles = {related["prefect.resource.role"] for related in second["related"]}
    assert roles >= {"flow", "flow-run"}


def test_a_cap_that_is_reached_is_an_event(build_dataset: Build) -> None:
    """Beside the dataset that was built, the cap is told, and the dataset is not called whole."""
    build_dataset(drawn_by(FLAT, ["a", "b", "c"], name="told-cap", limits={"max_images": 1}))
    told = events("imageloom.", "imageloom.dataset.told-cap", 2)
    assert {event["event"] for event in told} == {"imageloom.dataset.built", "imageloom.dataset.budget-reached"}
    assert {event["resource"]["imageloom.whole"] for event in told} == {"false"}
    assert told[0]["payload"]["counts"] == {"not_asked": 2, "ok": 1}


@pytest.mark.parametrize(
    ("prompt", "error", "counts"),
    [("a {{500 times=inf}}", TooManyFailuresError, {"failed": 1}), ("a {{401}}", StopError, None)],
)
def test_a_build_without_a_dataset_fit_for_use_is_refused(
    build_dataset: Build, endpoint: Endpoint, prompt: str, error: type[Exception], counts: dict[str, int] | None
) -> None:
    """Too many failures, or a run that cannot go on, is the event `refused` with its reason, and no other."""
    name = f"told-{error.__name__}"
    with pytest.raises(error) as raised:
        build_dataset(recipe_for(endpoint, [prompt], name=name, limits={"max_attempts": 1}))
    (event,) = events("imageloom.", f"imageloom.dataset.{name}", 1)
    assert event["event"] == "imageloom.dataset.refused"
    assert event["payload"]["reason"] == str(raised.value)
    assert event["payload"].get("counts") == counts
    assert event["payload"]["folder"] == str(Path("dataset").absolute())


@pytest.mark.usefixtures("prefect_server", "in_folder")
@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("told-nowhere", None, "the recipe told-nowhere.yaml cannot be read"),
        ("told-keyless", {"task": KEYLESS}, "HF_TOKEN"),
        ("told-blockless", {"secrets": {"MY_KEY": "no-such-block"}}, "the recipe takes MY_KEY from the Prefect Secret"),
    ],
)
def test_what_ends_a_build_before_it_begins_is_an_event(
    name: str, settings: dict[str, Any] | None, reason: str
) -> None:
    """A recipe that is not there, a key or a block that is missing: `refused` is told by the recipe's name."""
    if settings is not None:
        recipe = {**drawn_by(FLAT, ["a"], name=name), **settings}
        Path(f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(UsageError):
        asyncio.run(build_image_dataset(f"{name}.yaml"))
    (event,) = events("imageloom.", f"imageloom.dataset.{name}", 1)
    assert event["event"] == "imageloom.dataset.refused"
    assert reason in event["payload"]["reason"]
    assert event["payload"]["name"] == name


def test_a_build_with_overrides_says_so(build_dataset: Build) -> None:
    """An automation can tell a trial with other settings from a build of the recipe as it stands."""
    recipe = drawn_by(FLAT, ["a"], name="told-overrides")
    build_dataset(recipe, overrides={"output.path": "./trial"})
    build_dataset(recipe, overrides={})
    second, first = events("imageloom.", "imageloom.dataset.told-overrides", 2)
    labels = [event["resource"]["imageloom.overridden"] for event in (first, second)]
    assert labels == ["true", "false"]


def test_the_dataset_is_an_asset_with_its_upstreams(build_dataset: Build) -> None:
    """The task run that writes the folder materializes it, with counts and cost, from its prompts and its model."""
    Path("prompts.txt").write_text("a\nb\n")
    build_dataset(drawn_by(FLAT, {"path": "prompts.txt"}, name="asset"))
    (event,) = events("prefect.asset.materialization", f"file://{Path('dataset').absolute()}", 1)
    assert event["event"] == "prefect.asset.materialization.succeeded"
    assert event["payload"]["counts"] == {"ok": 2}
    upstreams = {each["prefect.resource.id"] for each in event["related"] if each["prefect.resource.role"] == "asset"}
    assert upstreams == {"model://flat-colour", f"file://{Path('prompts.txt').absolute()}"}


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("recipes/a b%.yaml", f"file://{Path.cwd()}/recipes/a_b_.yaml"),
        ("https://me:secret@example.com/r.yaml?token=secret", "https://example.com/r.yaml"),
        ("s3://bucket/r.yaml", "s3://bucket/r.yaml"),
    ],
)
def test_every_place_has_a_key_that_prefect_takes(given: str, key: str) -> None:
    """Characters that Prefect's keys forbid are replaced, and no login or query of a URL is in one."""
    recipe = load_recipe(drawn_by(FLAT, {"dataset": "me/prompts"}, output={"path": "data sets/" + "long/" * 200}))
    assert dataset_asset(recipe).key.startswith(f"file://{Path.cwd()}/data_sets/long/")
    assert [asset.key for asset in upstream_assets(recipe, given)] == [
        "model://flat-colour",
        key,
        "hf://datasets/me/prompts",
    ]
