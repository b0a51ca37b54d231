"""The command line: ``imageloom build | preview | estimate | export | gallery | publish | serve | store``.

Exit codes: 0 the dataset is built within ``max_failure_rate``, also where a cap ended it in order, or published; 1 the
build or the publication failed; 2 a bad recipe or usage; 130 stopped by Ctrl-C or SIGTERM.
"""

import asyncio
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console

from flows.cli_dataset import dataset_app
from flows.cli_options import Debug, Json, Limit, RecipeFile, checked_recipe, one_sentence_errors
from flows.cli_serve import serve_app
from flows.cli_store import store_app
from flows.quick_imports import quick_imports
from flows.terminal import print_how_to_load, print_values

if TYPE_CHECKING:
    from flows.embedded_server import EmbeddedServer

__all__ = ["app"]

app = typer.Typer(
    help="Synthetic image datasets: prompts in, a Hugging Face dataset with real images out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(dataset_app)
app.add_typer(serve_app)
app.add_typer(store_app, name="store")

Set = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a setting: limits.max_images=10.")]
OutputDir = Annotated[str | None, typer.Option("--output", metavar="DIR", help="Override output.path.")]


def _print_version(asked: bool) -> None:
    if asked:
        from tasks_lib.version import imageloom_version

        typer.echo(imageloom_version())
        raise typer.Exit


@app.callback()
def prepare(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Let recipes name classes that lie in the current folder, as pytest and uvicorn do."""
    # Last, unlike there: prompts and datasets lie in that folder too, and must not hide a library of the same name.
    sys.path.append(str(Path.cwd()))


@app.command()
def build(
    recipe: RecipeFile,
    set_: Set = [],  # noqa: B006  # typer reads the default, nothing changes it
    output: OutputDir = None,
    limit: Limit = None,
    retry_refused: Annotated[bool, typer.Option("--retry-refused", help="Ask again what moderation refused.")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Build the dataset that RECIPE describes."""
    server = _start_server(debug)
    with one_sentence_errors(debug):
        overrides = _overrides(set_, output)
        if retry_refused:
            overrides["limits.retry_refused"] = True
        push = checked_recipe(recipe, overrides).output.push_to_hub if limit is None else None
        report = _run_build("build_image_dataset", server, json_, recipe=recipe, limit=limit, overrides=overrides)
        if push and not json_:
            told = (
                f"published  {push.repo_id}" if report.every_row_asked else "not published: a cap ended the build early"
            )
            typer.echo(f"\n  {told}")


@app.command()
def preview(
    recipe: RecipeFile,
    rows: Annotated[int, typer.Option("-n", "--rows", min=1, help="How many rows.")] = 8,
    set_: Set = [],  # noqa: B006  # typer reads the default, nothing changes it
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Build the first rows of RECIPE beside the real dataset; run this first."""
    server = _start_server(debug)
    with one_sentence_errors(debug):
        overrides = _overrides(set_, None)
        checked_recipe(recipe, overrides)
        _run_build("preview_image_dataset", server, json_, recipe=recipe, rows=rows, overrides=overrides)


@app.command()
def estimate(
    recipe: RecipeFile,
    set_: Set = [],  # noqa: B006  # typer reads the default, nothing changes it
    limit: Limit = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Say what a build of RECIPE would ask and cost at most; makes no call."""
    with one_sentence_errors(debug):
        from tasks_lib.estimate import estimate as count
        from tasks_lib.recipe import load_recipe

        counted = count(load_recipe(recipe, _overrides(set_, None)), limit)
        print_values(counted.to_dict(), counted.lines(), counted.name, json_)


def _start_server(debug: bool) -> "EmbeddedServer | None":
    """A server, where there is none: it starts while this process reads the recipe and imports Prefect."""
    _configure_prefect(debug)
    from flows.embedded_server import start_embedded_server

    return start_embedded_server()


def _run_build(flow: str, server: "EmbeddedServer | None", json_: bool, **parameters: Any) -> Any:
    # Here, and no other flow: each takes its time to be imported.
    with quick_imports():
        start = getattr(import_module(f"flows.{flow}"), flow)
        from prefect.exceptions import TerminationSignal

        from flows.progress import progress_bar
        from flows.reached_server import reached_server

        if server:
            # Used later, but there is time for its half a second now.
            import_module("datasets")
    if server:
        server.wait()

    async def run() -> Any:
        async with reached_server():
            return await start(**parameters)

    with progress_bar(Console(stderr=True)):
        try:
            distiset = asyncio.run(run())
        except TerminationSignal:
            # A service manager's way to stop is as good as Ctrl-C.
            raise KeyboardInterrupt from None
    report = distiset.report
    print_values(report.to_dict(), report.lines(), report.headline, json_)
    if not json_:
        print_how_to_load(report)
    return report


def _configure_prefect(debug: bool) -> None:
    """Before Prefect is imported: quiet, one progress bar, and an embedded server that keeps up with a short run."""
    settings = {
        # The command says how a run ended, in one sentence; so need not Prefect.
        "PREFECT_LOGGING_LEVEL": "DEBUG" if debug else "CRITICAL",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "ERROR",
        # Some of its loggers are outside its own: "EventsWorker - Still processing items" after a build that failed.
        "PREFECT_LOGGING_ROOT_LEVEL": "WARNING" if debug else "ERROR",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_VERBOSITY": "error",
        # By default the recorder lags 20 s behind, and an embedded server loses what it has not yet recorded.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _overrides(assignments: list[str], output: str | None) -> dict[str, Any]:
    from tasks_lib.errors import RecipeError
    from tasks_lib.plain_secrets import refuse_secrets

    overrides: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"'{assignment}' is not KEY=VALUE.", param_hint="--set")
        try:
            overrides[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            # Without the value, which may hold a key.
            raise RecipeError(
                f"--set {key}: its value is not valid YAML. Put it in quotes: --set '{key}=\"...\"'."
            ) from None
    # Before Prefect keeps them.
    refuse_secrets(overrides)
    return {**overrides, "output.path": output} if output else overrides
