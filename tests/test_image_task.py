"""The task's contract: what users of distilabel's ImageTask rely on, in a plain script."""

import asyncio
import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasks_lib import ImageGeneration, ImageTask, InferenceEndpointsImageGeneration, image_from_str
from tasks_lib.errors import ImageloomError, SourceError
from tests.custom_tasks import DocumentedTask, FlatColour, PosterTask
from tests.endpoint import Endpoint
from tests.endpoint_images import shows_prompt

Load = Callable[..., ImageTask]


@pytest.fixture
def load(endpoint: Endpoint) -> Iterator[Load]:
    """Makes and loads a task against the endpoint; its connections are closed at the end."""
    tasks: list[ImageTask] = []

    def make(kind: type[ImageTask] = ImageGeneration, **settings: Any) -> ImageTask:
        model = settings.pop("image_generation_model", InferenceEndpointsImageGeneration(base_url=endpoint.url))
        tasks.append(kind(name="image-generation", image_generation_model=model, **settings))
        tasks[-1].load()
        return tasks[-1]

    yield make
    for task in tasks:
        task.unload()


def test_a_row_comes_back_with_its_image(endpoint: Endpoint, load: Load) -> None:
    """A row comes back with the endpoint's own image of its prompt as base64, and the model's name."""
    task = load()
    (row,) = next(task.process([{"prompt": "a white siamese cat", "label": 3}]))
    assert list(row) == ["prompt", "label", "image", "model_name"]
    assert row["label"] == 3
    assert row["model_name"] == endpoint.url
    (call,) = endpoint.calls
    assert base64.b64decode(row["image"]) == endpoint.image_for(call.prompt, call.parameters)


def test_it_works_inside_a_running_loop(endpoint: Endpoint, load: Load) -> None:
    """In a notebook, where an event loop already runs, ``process`` works the same."""
    task = load()

    async def cell() -> list[dict[str, Any]]:
        return next(task.process([{"prompt": "a cat"}]))

    assert asyncio.run(cell())[0]["image"]


def test_every_generation_asked_for_is_returned(endpoint: Endpoint, load: Load) -> None:
    """``num_generations=3`` gives three rows with three different images of the prompt."""
    rows = next(load(num_generations=3).process([{"prompt": "a cat"}, {"prompt": "a dog"}]))
    assert [row["prompt"] for row in rows] == ["a cat"] * 3 + ["a dog"] * 3
    assert len({row["image"] for row in rows}) == 6


def test_generations_may_be_kept_together(endpoint: Endpoint, load: Load) -> None:
    """With ``group_generations`` a row holds the list of its images."""
    (row,) = next(load(num_generations=3, group_generations=True).process([{"prompt": "a cat"}]))
    assert len(set(row["image"])) == 3
    assert row["model_name"] == endpoint.url


def test_a_failing_row_keeps_its_place_with_its_reason(endpoint: Endpoint, load: Load) -> None:
    """Refused, failed and blank prompts keep their places, their outputs None, with status and error."""
    prompts = ["a cat", "a dog {{refused-hf}}", "a cow {{400}}", "  ", None, "a hen"]
    rows = next(load().process([{"prompt": prompt} for prompt in prompts]))
    assert [row["prompt"] for row in rows] == prompts
    assert [row.get("status", "ok") for row in rows] == ["ok", "refused", "failed", "failed", "failed", "ok"]
    assert [row["image"] is None for row in rows] == [False, True, True, True, True, False]
    assert "400" in rows[2]["error"]
    assert "empty" in rows[3]["error"]


def test_only_the_format_methods_need_overriding(endpoint: Endpoint, load: Load) -> None:
    """A subclass that overrides the two format methods alone is a whole task."""
    (row,) = next(load(PosterTask, style="linocut").process([{"subject": "a fox"}]))
    assert row["asked"] == "a linocut of a fox"
    assert shows_prompt(image_from_str(row["picture"]), row["asked"], endpoint.calls[0].parameters)


def test_a_process_written_for_distilabel_runs(endpoint: Endpoint, load: Load) -> None:
    """An overridden ``process`` that talks to ``self.llm`` as distilabel documents it runs as it is."""
    rows = next(load(DocumentedTask, num_generations=2).process([{"prompt": "a cat"}]))
    assert [sorted(row) for row in rows] == [["image", "model_name", "prompt"]] * 2
    assert rows[0]["image"] != rows[1]["image"]


def test_mappings_rename_columns_both_ways(endpoint: Endpoint, load: Load) -> None:
    """``input_mappings`` reads an input from another column, ``output_mappings`` renames an output."""
    task = load(input_mappings={"prompt": "Prompt"}, output_mappings={"image": "picture"})
    (row,) = task.process_applying_mappings([{"Prompt": "a cat", "Category": "animals"}])
    assert list(row) == ["Prompt", "Category", "picture", "model_name"]


def test_a_missing_column_is_named(endpoint: Endpoint, load: Load) -> None:
    """A row without the task's input is one error that names the column, what was found and the way out."""
    with pytest.raises(SourceError, match=r"row 0 lacks 'prompt'.*found 'text'.*input_mappings"):
        next(load().process([{"text": "a cat"}]))
    assert not endpoint.calls


def test_a_task_must_be_loaded() -> None:
    """Processing before ``load()`` says so."""
    task = ImageGeneration(image_generation_model=FlatColour())
    with pytest.raises(ImageloomError, match="not loaded; call load"):
        next(task.process([{"prompt": "a cat"}]))


def test_a_task_survives_as_json(endpoint: Endpoint, load: Load) -> None:
    """A task written as JSON and read again is the same task, its model included."""
    task = load(num_generations=2)
    again = ImageGeneration.model_validate_json(task.model_dump_json())
    assert again.written() == task.written()


def test_an_own_model_is_all_it_takes(load: Load) -> None:
    """A user's model with one coroutine answers a task."""
    task = load(image_generation_model=FlatColour(side=8))
    (row,) = next(task.process([{"prompt": "a cat"}]))
    assert image_from_str(row["image"]).size == (8, 8)
    assert row["model_name"] == "flat-colour"


def test_the_prompt_of_a_sample_row_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """``print()`` shows what a row would ask."""
    PosterTask(image_generation_model=FlatColour()).print({"subject": "a fox"})
    assert "a poster of a fox" in capsys.readouterr().out
