"""Recipes: what is read from YAML, and the one sentence that every mistake gets."""

import traceback
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml

from tasks_lib.errors import ImageloomError, MissingExtraError, MissingSecretError, RecipeError, SourceError, UsageError
from tasks_lib.estimate import estimate
from tasks_lib.recipe import Recipe, load_recipe
from tasks_lib.recipe_file import read_recipe_file
from tests.loopback import LoopbackServer, Reply
from tests.recipes import drawn_by

pytest_plugins = ["tests.store_locations"]
RECIPES = sorted(Path("deployments/recipes").glob("*.yaml"))
SIGNED = "sig=marked%2Fsignature&se=2030"
GOOD = drawn_by({"type": "procedural", "width": 64, "height": 64}, ["a red circle"])


def changed(**settings: Any) -> dict[str, Any]:
    return {**GOOD, **settings}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_example_is_valid(path: Path) -> None:
    """Each recipe of the repository is read without a complaint."""
    assert load_recipe(path).name == path.stem


def test_a_recipe_survives_its_yaml() -> None:
    """What ``recipe.yaml`` of a dataset says is the recipe that built it, own tasks included."""
    recipe = load_recipe(
        changed(
            task={
                "type": "tests.custom_tasks:PosterTask",
                "style": "linocut",
                "image_generation_model": {"type": "tests.custom_tasks:FlatColour", "side": 8},
            },
            checks={"blank": True, "near_duplicates": {"distance": 3}},
            limits={"max_cost_usd": 1.5} | {"max_images": 3, "max_cost_usd": None},
        )
    )
    again = load_recipe(yaml.safe_load(recipe.to_yaml()))
    assert again.to_yaml() == recipe.to_yaml()
    assert again.task.written() == recipe.task.written()
    assert type(again.task).__name__ == "PosterTask"


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (changed(promts=["x"]), r"unknown key 'promts'; did you mean 'prompts'\?"),
        (changed(limits={"max_image": 3}), r"limits: unknown key 'max_image'; did you mean 'max_images'\?"),
        (changed(zzz=1), r"unknown key 'zzz'; known keys: .*checks.*name"),
        (
            drawn_by({"type": "procedural", "widht": 9}, ["x"]),
            r"task\.image_generation_model.*unknown key 'widht'; did you mean 'width'\?",
        ),
        (drawn_by({"type": "procedural", "width": "x"}, ["x"]), r"recipe: task\.image_generation_model\.width: "),
        (changed(prompts={"path": "x.txt", "limit": 0}), r"recipe: prompts\.limit: "),
        (
            drawn_by({"type": "procedurall"}, ["x"]),
            r"task\.image_generation_model: unknown type 'procedurall'; did you mean 'procedural'\?",
        ),
        (
            drawn_by({"type": "zzz"}, ["x"]),
            r"unknown type 'zzz'; known types: diffusers, .*openai",
        ),
        (
            drawn_by({"type": "no_such_package.module:Model"}, ["x"]),
            r"'no_such_package.module:Model' cannot be imported",
        ),
        (drawn_by({"type": "tests.custom_tasks:Nothing"}, ["x"]), r"'tests.custom_tasks:Nothing' cannot be imported"),
        (drawn_by({"type": "pathlib:Path"}, ["x"]), r"'pathlib:Path' is not a subclass of ImageGenerationModel"),
        (changed(name="../../x"), r"name: .*'\.\./\.\./x'"),
        (changed(limits={"max_concurrency": 0}), r"limits\.max_concurrency: .*greater than or equal to 1.*found 0"),
        (changed(output={"path": "d", "splits": {"train": 0.5}}), r"shares of the splits must add up to 1.*0\.5"),
        (changed(output={"path": "d", "splits": {"a/b": 1.0}}), r"split names are up to 100 letters.*a/b"),
        (
            drawn_by(
                {"type": "inference_endpoints", "base_url": "http://127.0.0.1:9"}, ["x"], limits={"max_cost_usd": 1}
            ),
            r"limits\.max_cost_usd needs a price: .* or cap the run with limits\.max_images\.$",
        ),
        (drawn_by({"type": "inference_endpoints"}, ["x"]), r"exactly one of model_id, endpoint_name and base_url"),
        (
            drawn_by({"type": "inference_endpoints", "model_id": "a/b", "provider": "nobody"}, ["x"]),
            r"'nobody' serves no text to image; choose one of auto, .*fal-ai",
        ),
        (drawn_by({"type": "inference_endpoints"}, ["x"]), r"found none\.$"),
        (
            drawn_by({"type": "openai", "model_id": "x", "api_key": "hidden"}, ["x"]),
            r"unknown key 'api_key'; a key comes from the environment, from OPENAI_API_KEY or the variable",
        ),
        (
            changed(card={"license": "CC BY"}),
            r"card\.license: must be the Hub's name for a licence, .*\(found 'CC BY'\)",
        ),
        (
            changed(output={"path": "d", "push_to_hub": {"repo_id": "shapes"}}),
            r"repo_id: must be owner and name, such as me/shapes \(found 'shapes'\)",
        ),
        ({}, r"name: Field required; prompts: Field required"),
    ],
)
def test_a_mistake_is_one_sentence(recipe: dict[str, Any], sentence: str) -> None:
    """A wrong setting is named with its place, what was found, and the nearest right one."""
    with pytest.raises(RecipeError, match=sentence) as caught:
        load_recipe(recipe)
    assert "\n" not in str(caught.value) and "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: x\nprompts: [a\ntask: {}\n", r"not valid YAML at line 3"),
        ("- a\n- b\n", r"holds no keys such as 'name:', but a list"),
        ("", r"recipe\.yaml is empty\. README\.md shows"),
        (
            "limits: {max_cost_usd: 1}\nname: x\nlimits: {}\n",
            r"line 3, column 1: the key 'limits' stands in line 1 already",
        ),
        (
            "task:\n  model: {a: 1, a: 2}\n",
            r"line 2, column 17: the key 'a' stands in line 2 already; keep one of the two",
        ),
        ("name: \x00", r"not valid YAML"),
    ],
)
def test_a_broken_file_names_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    """YAML that cannot be read is one sentence with the file and the line."""
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=sentence):
        load_recipe(path)


def test_merged_keys_may_be_overridden(tmp_path: Path) -> None:
    """A key beside ``<<`` takes the place of the merged one, also where that was merged itself."""
    path = tmp_path / "recipe.yaml"
    limits = (
        "a: {b: &first {max_images: 1}}\nc: {d: &second {<<: *first, max_images: 2}}\ne: {<<: *second, max_images: 3}\n"
    )
    path.write_text(limits)
    assert read_recipe_file(str(path))["e"] == {"max_images": 3}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A recipe that is not there is said to be missing, by its path."""
    with pytest.raises(RecipeError, match=r"nowhere\.yaml cannot be read: there is no such file\.$"):
        load_recipe(tmp_path / "nowhere.yaml")


def test_overrides_reach_into_groups() -> None:
    """A dotted key changes one setting and leaves its neighbours."""
    recipe = load_recipe(changed(limits={"max_images": 3}), {"limits.max_concurrency": 2, "name": "other"})
    assert (recipe.limits.max_images, recipe.limits.max_concurrency, recipe.name) == (3, 2, "other")


def test_a_missing_token_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that needs a token says which environment variable to set."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    model = load_recipe(drawn_by({"type": "inference_endpoints", "model_id": "a/b"}, ["x"])).task.image_generation_model
    with pytest.raises(MissingSecretError, match=r"environment variable HF_TOKEN is not set.*export HF_TOKEN"):
        model.load()


def test_a_missing_extra_is_named(in_folder: Path) -> None:
    """A store on storage whose package is not installed says which extra installs it, as a usage error."""
    recipe = load_recipe(changed(store="gs://bucket/store"))
    with pytest.raises(MissingExtraError, match=r"A store at gs:// .* pip install 'imageloom\[gcs\]'"):
        estimate(recipe)
    assert issubclass(MissingExtraError, UsageError)


def test_mistakes_in_sources_are_usage_errors(in_folder: Path) -> None:
    """A source that lacks the prompt's column is found by the estimate, before anything is asked."""
    recipe = load_recipe(changed(prompts=[{"text": "a cat"}]))
    with pytest.raises(SourceError, match=r"no column 'prompt'; it has: text.*input_mappings"):
        estimate(recipe)
    assert issubclass(SourceError, UsageError)
    assert issubclass(UsageError, ImageloomError)


def test_the_recipe_has_a_form() -> None:
    """The recipe's JSON schema describes every field, for the form in Prefect's UI."""
    schema = Recipe.model_json_schema()
    undescribed = [name for name, field in schema["properties"].items() if "description" not in field]
    assert undescribed == []
    assert {"ProceduralImageGeneration", "InferenceEndpointsImageGeneration"} <= set(schema["$defs"])


def test_a_subclass_of_a_built_in_is_its_own_kind() -> None:
    """A user's subclass of a built-in task goes by its import path, and stays itself through overrides."""
    recipe = load_recipe(drawn_by({"type": "procedural"}, ["x"], task={"type": "tests.custom_tasks:LoudGeneration"}))
    assert recipe.task.kind() == "tests.custom_tasks:LoudGeneration"
    assert type(load_recipe(recipe, {"seed": 2}).task) is type(recipe.task)


def test_a_recipe_is_read_from_object_storage(s3: str) -> None:
    """A recipe at an S3 URL is the same as the file on disk."""
    fsspec.filesystem("s3").put(str(RECIPES[0]), f"{s3}/recipes/shapes.yaml")
    assert load_recipe(f"{s3}/recipes/shapes.yaml") == load_recipe(RECIPES[0])


@pytest.mark.parametrize(
    ("url", "error", "sentence"),
    [
        (
            "memory://nowhere/recipe.yaml",
            RecipeError,
            r"memory://nowhere/recipe\.yaml cannot be read: there is no such file",
        ),
        ("gs://bucket/recipe.yaml", MissingExtraError, r"imageloom\[gcs\]"),
        ("nonsense://x", RecipeError, r"nonsense://x cannot be read: .*nonsense"),
    ],
)
def test_a_url_without_a_recipe_is_one_sentence(url: str, error: type[Exception], sentence: str) -> None:
    """A URL where nothing is, or whose kind is unknown or not installed, is named in one sentence."""
    with pytest.raises(error, match=sentence):
        load_recipe(url)


def test_overrides_leave_the_given_settings_alone() -> None:
    """Overriding one key of a mapping changes the recipe that comes out, not the mapping that went in."""
    settings = changed(limits={"max_images": 3})
    assert load_recipe(settings, {"limits.max_images": 9}).limits.max_images == 9
    assert settings["limits"] == {"max_images": 3}


@pytest.mark.parametrize("answer", [Reply(b"no", 403), Reply(b"[a list]"), Reply(b"name: x"), Reply(b"a: b: c")])
def test_a_signed_url_is_told_without_its_signature(answer: Reply) -> None:
    """Whatever is wrong with a recipe at a URL, the message names the place and leaves out its query."""
    with LoopbackServer(lambda asked: answer) as server, pytest.raises(RecipeError) as caught:
        load_recipe(f"{server.url}/r.yaml?{SIGNED}")
    assert f"{server.url}/r.yaml" in str(caught.value)
    assert "marked" not in "".join(traceback.format_exception(caught.value))


def test_a_class_whose_import_fails_by_accident_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SystemError, which CPython's parser may raise while other threads run, is not the end of a recipe."""
    monkeypatch.syspath_prepend(tmp_path)
    lines = [
        "import os",
        "if not os.path.exists('tried'):",
        "    open('tried', 'w').close()",
        "    raise SystemError('AST')",
    ]
    (tmp_path / "accidental.py").write_text("\n".join([*lines, "from tests.custom_tasks import FlatColour"]))
    monkeypatch.chdir(tmp_path)
    assert load_recipe(drawn_by({"type": "accidental:FlatColour"}, ["x"])).name == "test"
