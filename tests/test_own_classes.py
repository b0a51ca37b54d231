"""Users' own tasks and models: where a recipe finds them, and the sentence that each slip gets."""

from pathlib import Path

import yaml

from tests.command import imageloom
from tests.recipes import drawn_by

MODEL = """
from tasks_lib import ImageGenerationModel


class Grey(ImageGenerationModel):
    @property
    def model_name(self):
        return "grey"

    async def agenerate(self, request):
        raise NotImplementedError
"""


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
