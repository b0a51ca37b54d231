"""Users' own tasks and models: where a recipe finds them, and the sentence that each slip gets."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks_lib import ImageRequest, ImageTask
from tasks_lib.errors import RecipeError, StopError
from tasks_lib.recipe import load_recipe
from tests.command import imageloom
from tests.custom_tasks import FlatColour, PosterTask
from tests.recipes import FLAT, drawn_by

MODEL = """
from tasks_lib import ImageGenerationModel


class Grey(ImageGenerationModel):
    @property
    def model_name(self):
        return "grey"

    async def agenerate(self, request):
        raise NotImplementedError
"""


class HalfTask(ImageTask):
    """Lacks its columns and the second format."""

    def format_input(self, input: dict[str, Any]) -> str:
        return str(input)


class SilentTask(PosterTask):
    """Forgets to return."""

    def format_output(self, output: dict[str, Any], input: dict[str, Any]) -> dict[str, Any]:
        return None  # type: ignore[return-value]


class PlainModel(FlatColour):
    """Forgets ``async``."""

    def agenerate(self, request: ImageRequest) -> bytes:  # type: ignore[override]
        return b""


def write_recipe(model: str) -> None:
    Path("recipe.yaml").write_text(yaml.safe_dump(drawn_by({"type": model}, ["a cat"])))


def test_a_class_of_the_current_folder_is_found(in_folder: Path) -> None:
    """A recipe names a class of a package that lies beside it, installed nowhere, and the command finds it."""
    (in_folder / "my_package").mkdir()
    (in_folder / "my_package" / "my_module.py").write_text(MODEL)
    write_recipe("my_package.my_module:Grey")
    done = imageloom("estimate", "recipe.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert '"to_ask": 1' in done.stdout


def test_a_file_of_the_current_folder_hides_no_library(in_folder: Path) -> None:
    """A script that is called like a library does no harm to a command that needs the library."""
    (in_folder / "pyarrow.py").write_text("raise SystemExit('not to be imported')\n")
    write_recipe("procedural")
    assert imageloom("estimate", "recipe.yaml").returncode == 0


def test_a_class_that_is_nowhere_says_where_it_was_looked_for(in_folder: Path) -> None:
    """The sentence names the folders that were searched."""
    write_recipe("my_package.my_module:Grey")
    done = imageloom("estimate", "recipe.yaml")
    assert done.returncode == 2
    assert "type 'my_package.my_module:Grey' cannot be imported: No module named 'my_package'" in done.stderr
    assert str(in_folder) in done.stderr


def test_a_class_that_lacks_a_method_is_a_mistake_in_the_recipe() -> None:
    """An own task without one of its methods is told by what it lacks, when the recipe is read."""
    with pytest.raises(RecipeError, match=r":HalfTask' lacks format_output, inputs, outputs"):
        load_recipe(drawn_by(FLAT, ["a cat"], task={"type": "tests.test_own_classes:HalfTask"}))


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (
            SilentTask(image_generation_model=FlatColour()),
            r"SilentTask\.format_output\(\) returned a NoneType",
        ),
        (
            PosterTask(image_generation_model=PlainModel()),
            r"PlainModel\.agenerate\(\) is no coroutine; write",
        ),
    ],
)
def test_a_method_that_is_not_what_it_must_be_is_named(task: ImageTask, told: str) -> None:
    """A forgotten ``return`` or ``async`` ends the run with the names of class and method."""
    task.load()
    with pytest.raises(StopError, match=f"^{told}"):
        next(task.process([{"subject": "a cat"}]))
    task.unload()
