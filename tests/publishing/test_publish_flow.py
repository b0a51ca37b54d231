"""Publishing as people do it: by the command, by the flow, and as the last step of a build."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from flows.build_image_variants import build_image_variants
from flows.publish_image_dataset import publish_image_dataset
from tasks_lib.errors import MissingSecretError, PublishError
from tasks_lib.recipe import load_recipe
from tests.built_folders import shards
from tests.command import imageloom
from tests.endpoint import Endpoint
from tests.hub_repository import TOKEN, HubRepository
from tests.hub_wire import Answer, Fault
from tests.recipes import FLAT, Build, drawn_by, recipe_for

pytestmark = [
    pytest.mark.usefixtures("hub_by_default"),
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]

NAME = "me/shapes"
PUSH = {"path": "./dataset", "push_to_hub": {"repo_id": NAME}}


def test_the_command_publishes_and_prints_the_link(hub: HubRepository, build_dataset: Build) -> None:
    """``publish DIR REPO`` says what it would do, does it, and says so with the link; then nothing is left to do."""
    build_dataset(drawn_by(FLAT, ["a cat", "a dog"]))
    tried = imageloom("publish", "dataset", NAME, "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.startswith("dry run: would publish ")
    assert not hub.writes
    done = imageloom("publish", "dataset", NAME, "--public")
    assert done.returncode == 0, done.stderr
    assert f"{hub.url}/datasets/{NAME}" in done.stdout
    assert not hub.repositories[NAME].private
    told = json.loads(imageloom("publish", "dataset", NAME, "--public", "--json").stdout)
    assert (told["changed"], told["uploaded"], told["commit"]) == (False, 0, hub.repositories[NAME].branches["main"])
    assert TOKEN not in tried.stdout + tried.stderr + done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere", NAME], 2, "nowhere is not a finished dataset"),
        (["dataset", "shapes"], 2, "with its owner"),
        (["dataset", "you/shapes"], 1, "the Hub answered 403"),
    ],
)
def test_a_mistake_is_one_sentence(
    hub: HubRepository, build_dataset: Build, arguments: list[str], code: int, sentence: str
) -> None:
    """Each mistake ends with its exit code and one sentence on standard error, without a traceback or the token."""
    build_dataset(drawn_by(FLAT, ["a cat"]))
    done = imageloom("publish", *arguments)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("imageloom: ")]
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in line
    assert line.endswith("The dataset stays in dataset; run the same command to go on.") == (code == 1)
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stderr


def test_a_missing_token_ends_the_command(
    hub: HubRepository, build_dataset: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a token the command exits 2 and says where it is taken from."""
    build_dataset(drawn_by(FLAT, ["a cat"]))
    monkeypatch.delenv("HF_TOKEN")
    done = imageloom("publish", "dataset", NAME)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Set the environment variable HF_TOKEN" in done.stderr


def test_the_flow_publishes_with_artifacts(hub: HubRepository, build_dataset: Build) -> None:
    """The flow is a dry run unless told otherwise; its state says what it did, and artifacts link to the repository."""
    build_dataset(drawn_by(FLAT, ["a cat", "a dog"]))
    state: Any = asyncio.run(publish_image_dataset("dataset", NAME, return_state=True))
    assert state.message.startswith("dry run: would publish")
    assert not hub.writes
    state = asyncio.run(publish_image_dataset("dataset", NAME, dry_run=False, return_state=True))
    assert state.is_completed()
    assert state.message.startswith("published ")
    assert state.message.endswith(f"to {hub.url}/datasets/{NAME}, 0 already there")
    told = {each.key: each for each in asyncio.run(_artifacts(state.state_details.flow_run_id))}
    assert set(told) == {"me-shapes-publication-progress", "me-shapes-publication", "me-shapes-repository"}
    assert told["me-shapes-publication-progress"].data == 100
    for key in ("me-shapes-publication", "me-shapes-repository"):
        assert f"{hub.url}/datasets/{NAME}" in str(told[key].data)
        assert told[key].description == state.message
    assert TOKEN not in str(told)


async def _artifacts(flow_run_id: Any) -> list[Any]:
    async with get_client() as client:
        one = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
        return list(await client.read_artifacts(artifact_filter=one))


def test_a_published_dataset_is_rebuilt_from_its_recipe(hub: HubRepository, build_dataset: Build) -> None:
    """The recipe in a published dataset is built by its hf:// URL alone: the same shards, and nothing paid again."""
    build_dataset(drawn_by({"type": "procedural", "width": 32, "height": 32}, ["a cat", "a dog"]))
    assert imageloom("publish", "dataset", NAME).returncode == 0
    done = imageloom("build", f"hf://datasets/{NAME}/recipe.yaml", "--output", "again", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["asked"] == 0
    assert shards("again") == shards()


def test_the_state_of_a_failed_publication_is_one_sentence(hub: HubRepository, build_dataset: Build) -> None:
    """What the Hub said, and how to go on, is the state's message, without a traceback."""
    build_dataset(drawn_by(FLAT, ["a cat"]))
    state: Any = asyncio.run(publish_image_dataset("dataset", "you/x", dry_run=False, return_state=True))
    assert state.is_failed()
    assert state.message.startswith("you/x: the Hub answered 403")
    assert "\n" not in state.message


@pytest.mark.usefixtures("prefect_server")
def test_a_build_publishes_when_it_is_finished(hub: HubRepository, in_folder: Path, endpoint: Endpoint) -> None:
    """With ``push_to_hub`` the finished dataset is on the Hub, private; with a limit, and of a preview, it is not."""
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe_for(endpoint, ["a cat", "a dog", "a cow"], output=PUSH)))
    for few in (["build", "recipe.yaml", "--limit", "1"], ["preview", "recipe.yaml", "-n", "1"]):
        done = imageloom(*few)
        assert done.returncode == 0, done.stderr
        assert not hub.requests
    done = imageloom("build", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert f"published  {NAME}" in done.stdout
    repository = hub.repositories[NAME]
    assert repository.private
    shard = "data/train-00000-of-00001.parquet"
    assert repository.files[shard].content == Path("dataset", shard).read_bytes()


@pytest.mark.usefixtures("prefect_server")
def test_a_build_that_a_cap_ended_is_not_published(hub: HubRepository, in_folder: Path, endpoint: Endpoint) -> None:
    """A dataset that lacks rows because of a cap does not take the place of a whole one on the Hub, and is said."""
    recipe = recipe_for(endpoint, ["a cat", "a dog"], output=PUSH, limits={"max_images": 1})
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    done = imageloom("build", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert "not published: a cap ended the build early" in done.stdout
    assert NAME not in hub.repositories


def test_a_bad_token_stops_before_an_image_is_paid(
    hub: HubRepository, build_dataset: Build, endpoint: Endpoint
) -> None:
    """A token that may not write is found out before the first image is asked for."""
    hub.role = "read"
    with pytest.raises(PublishError, match="may only read"):
        build_dataset(recipe_for(endpoint, ["a cat"], output=PUSH))
    os.environ.pop("HF_TOKEN")
    with pytest.raises(MissingSecretError, match="HF_TOKEN"):
        build_dataset(recipe_for(endpoint, ["a cat"], output=PUSH))
    assert not endpoint.calls


def test_a_failed_publication_leaves_the_dataset(hub: HubRepository, build_dataset: Build, endpoint: Endpoint) -> None:
    """When the Hub does not take it, the dataset stands on disk and the error says how to go on; going on works."""
    hub.faults = [Fault(r"POST .*/commit/.*", Answer(403, {"error": "storage quota exceeded"}))]
    with pytest.raises(PublishError, match=rf"quota exceeded.*imageloom publish .*dataset {NAME}"):
        build_dataset(recipe_for(endpoint, ["a cat"], output=PUSH))
    assert Path("dataset/README.md").exists()
    done = imageloom("publish", "dataset", NAME)
    assert done.returncode == 0, done.stderr
    assert len(endpoint.calls) == 1


def test_variants_are_published_when_they_are_whole(hub: HubRepository, prefect_server: None, in_folder: Path) -> None:
    """Both configs go up with the recipe's token, which is tried before anything is made; a part of them does not."""
    Secret(value=os.environ.pop("HF_TOKEN")).save("imageloom-test-hub", overwrite=True)
    images = drawn_by(FLAT, ["a cat", "a dog"], name="images", secrets={"HF_TOKEN": "imageloom-test-hub"})
    source = {"dataset": "./dataset", "split": "train", "columns": ["image"]}
    task = {"type": "image_editing", "instruction": "a small white star"}
    variants = drawn_by({"type": "procedural"}, source, name="variants", task=task, output={"path": "./variants"})
    recipes = load_recipe(images), load_recipe(variants)
    hub.role = "read"
    with pytest.raises(PublishError, match="may only read"):
        asyncio.run(build_image_variants(*recipes, push_to=NAME))
    assert not Path("store").exists()
    hub.role = "write"
    asyncio.run(build_image_variants(*recipes, limit=1, push_to=NAME))
    assert NAME not in hub.repositories
    asyncio.run(build_image_variants(*recipes, push_to=NAME))
    assert {f"{config}/train-00000-of-00001.parquet" for config in ("images", "variants")} <= set(
        hub.repositories[NAME].files
    )
    assert "HF_TOKEN" not in os.environ
