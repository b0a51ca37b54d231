"""The command ``imageloom serve``: a recipe built by the clock, for people without a worker."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_options import Debug, Limit, RecipeFile, checked_recipe, one_sentence_errors

if TYPE_CHECKING:
    from prefect.client.schemas.schedules import CronSchedule

    from tasks_lib.recipe import Recipe

__all__ = ["serve_app"]

serve_app = typer.Typer()

NO_SERVER = (
    "a Prefect server keeps the schedule, and none is named. Start one with `prefect server start`, and name it to "
    "this command: export PREFECT_API_URL=http://127.0.0.1:4200/api"
)


@serve_app.command()
def serve(
    recipe: RecipeFile,
    cron: Annotated[str, typer.Option(help="When, as five fields: minute hour day month weekday.", show_default=False)],
    timezone: Annotated[str, typer.Option(help="Whose clock, such as Europe/Berlin.")] = "UTC",
    limit: Limit = None,
    debug: Debug = False,
) -> None:
    """Build RECIPE by the clock, in processes of this machine, until Ctrl-C or SIGTERM."""
    with one_sentence_errors(debug, kept="The schedule is paused"):
        loaded = checked_recipe(recipe)
        schedule = _schedule(cron, timezone)
        asyncio.run(_check_server())
        # A run may start in another folder; a URL is the same everywhere.
        _serve(loaded, recipe if "://" in recipe else str(Path(recipe).absolute()), schedule, limit)


def _schedule(cron: str, timezone: str) -> "CronSchedule":
    from prefect.client.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    from tasks_lib.errors import UsageError

    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        bad = {str(fault["loc"][0]) for fault in error.errors()}
        told = []
        if "cron" in bad:
            told.append(
                f"--cron '{cron}' is no schedule: write minute, hour, day of month, month and weekday, such as "
                "'0 3 * * *' for every night at three"
            )
        if "timezone" in bad:
            told.append(f"--timezone '{timezone}' is not known: write it as 'Europe/Berlin' or 'UTC'")
        raise UsageError(f"{'; '.join(told)}.") from error


async def _check_server() -> None:
    from prefect.settings import PREFECT_API_URL

    from flows.reached_server import reached_server
    from tasks_lib.errors import UsageError

    if not PREFECT_API_URL.value():
        raise UsageError(NO_SERVER)
    async with reached_server():
        pass


def _serve(recipe: "Recipe", place: str, schedule: "CronSchedule", limit: int | None) -> None:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.runner import Runner
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from flows.build_image_dataset import build_image_dataset

    typer.echo(
        f"imageloom: building {recipe.name} at '{schedule.cron}' ({schedule.timezone}); Ctrl-C stops it.", err=True
    )
    typer.echo(f"  at once:  prefect deployment run 'build-image-dataset/{recipe.name}'", err=True)
    parameters: dict[str, Any] = {"recipe": place, "limit": limit}
    # Nobody would run what is planned while nobody serves, and all of it would come at once afterwards.
    runner = Runner(name=recipe.name, pause_on_shutdown=True)

    def stop(*_: Any) -> None:
        """End runs at work and pause the schedule; Prefect's own way with SIGTERM does neither."""
        if not runner.started:
            raise KeyboardInterrupt
        asyncio.run_coroutine_threadsafe(runner.astop(), asyncio.get_running_loop())

    runner.handle_sigterm = stop  # type: ignore[method-assign]  # a signal's handler, which it installs itself
    runner.add_flow(
        build_image_dataset,
        name=recipe.name,
        description=f"{recipe.card.description or f'The dataset {recipe.name}.'}\n\nServed from `{place}`.",
        parameters=parameters,
        schedule=Cron(schedule.cron, timezone=schedule.timezone),
        tags=["imageloom"],
        # A build that takes longer than the interval is not joined by a second one over the same folder and budget.
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        paused=False,
        # The package may be installed anywhere; the recipe's paths are relative to this folder.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    asyncio.run(runner.start())
    # It ends by a signal only, and has dealt with that.
    raise KeyboardInterrupt
