"""The flow to run first: the first rows of a recipe, under a hard cap, beside the real dataset."""

from typing import Annotated, Any, cast

from prefect import flow
from pydantic import Field

from flows.build_image_dataset import build_image_dataset, run_name
from flows.run_secrets import refuse_secret_parameters
from tasks_lib.distiset import Distiset
from tasks_lib.prefect_tasks import final_state, headline_of
from tasks_lib.recipe import Recipe, RecipeOrPlace, load_recipe

__all__ = ["preview_image_dataset"]


@flow(name="preview-image-dataset", flow_run_name=run_name, persist_result=False, retries=0)
async def preview_image_dataset(
    recipe: RecipeOrPlace, rows: Annotated[int, Field(ge=1)] = 8, overrides: dict[str, Any] | None = None
) -> Distiset:
    """Build the first rows of a recipe into ``<output.path>-preview``.

    Asks for no more images than those rows have, and keeps them: the real build does not pay for them again.

    Args:
        recipe: the recipe, or the path of its YAML file.
        rows: how many rows.
        overrides: settings by dotted key.
    """
    return cast(Distiset, await final_state(_preview(recipe, rows, overrides), headline_of))


async def _preview(recipe: Recipe | str, rows: int, overrides: dict[str, Any] | None) -> Distiset:
    refuse_secret_parameters()
    loaded = load_recipe(recipe, overrides)
    cap = rows * loaded.task.num_generations
    preview = {
        "output.path": f"{loaded.output.path.rstrip('/')}-preview",
        "output.push_to_hub": None,
        "limits.max_images": min(cap, loaded.limits.max_images or cap),
    }
    # The recipe as it was given: a login in a URL may stand in its file, and not among the parameters of a run.
    return await build_image_dataset(recipe, limit=rows, overrides={**(overrides or {}), **preview})
