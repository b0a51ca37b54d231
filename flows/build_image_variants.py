"""A flow of flows, as an example for your own: prompts to images, images to edited variants, both in one Distiset."""

import asyncio
from typing import cast

from prefect import flow
from prefect.logging import get_run_logger

from flows.build_image_dataset import build_image_dataset
from flows.run_secrets import refuse_secret_parameters, secrets_in_environment
from tasks_lib.distiset import Distiset
from tasks_lib.prefect_tasks import final_state, headline_of
from tasks_lib.publishing import check_token
from tasks_lib.recipe import Recipe, RecipeOrPlace, load_recipe

__all__ = ["build_image_variants"]


@flow(name="build-image-variants", persist_result=False, retries=0)
async def build_image_variants(
    images: RecipeOrPlace, variants: RecipeOrPlace, limit: int | None = None, push_to: str | None = None
) -> Distiset:
    """Build images, edit those that pass the checks, and put both into one Distiset.

    Each build is a flow run of its own, with batches, store, caps, checks and folder.

    Args:
        images: the recipe that makes the images.
        variants: the recipe that edits them; its ``prompts.dataset`` is taken to be the folder of the first.
        limit: take only the first so many rows of the prompts.
        push_to: the repository on the Hub where both are published together, such as me/shapes; not with
            a limit, nor where a cap ended a build before every row was asked.

    Returns:
        The configs ``images`` and ``variants``, as their folders hold them.
    """
    return cast(Distiset, await final_state(_variants(images, variants, limit, push_to), headline_of))


async def _variants(images: Recipe | str, variants: Recipe | str, limit: int | None, push_to: str | None) -> Distiset:
    refuse_secret_parameters()
    first = load_recipe(images)
    second = load_recipe(variants, {"prompts.dataset": first.output.path})
    # Not for the whole time: each build has its own secrets.
    token = {name: block for name, block in {**second.secrets, **first.secrets}.items() if name == "HF_TOKEN"}
    if push_to:
        # Before the first image is paid for.
        async with secrets_in_environment(token):
            await asyncio.to_thread(check_token, push_to)
    made = await build_image_dataset(images, limit=limit)
    assert made.report is not None
    edited = await build_image_dataset(variants, overrides={"prompts.dataset": made.report.folder})
    assert edited.report is not None
    # From their folders, where the images are marked.
    both = Distiset(
        images=Distiset.load_from_disk(made.report.folder)["default"],
        variants=Distiset.load_from_disk(edited.report.folder)["default"],
    )
    if push_to and limit is None and made.report.every_row_asked and edited.report.every_row_asked:
        async with secrets_in_environment(token):
            await asyncio.to_thread(both.push_to_hub, push_to)
    elif push_to:
        get_run_logger().warning("not published to %s: not every row was asked.", push_to)
    return both
