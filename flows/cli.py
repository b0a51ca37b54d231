"""The command line: ``imageloom build | preview | estimate | gallery | store``.

Exit codes: 0 the dataset is complete within ``max_failure_rate``, 1 the build failed, 2 a bad recipe or usage.
"""

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from flows.terminal import print_how_to_load, print_values

__all__ = ["app"]

app = typer.Typer(
    help="Synthetic image datasets: prompts in, a Hugging Face dataset with real images out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
store_app = typer.Typer(help="Look after the images that were paid for.", no_args_is_help=True)
app.add_typer(store_app, name="store")

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
Set = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a setting: limits.max_images=10.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Take only the first so many rows.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and Prefect's log.")]
Location = Annotated[str, typer.Option("--store", help="Folder or URL of the store.")]
OutputDir = Annotated[str | None, typer.Option("--output", metavar="DIR", help="Override output.path.")]
DEFAULT_LOCATION = "./.imageloom/store"


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
    with _one_sentence_errors(debug):
        overrides = _overrides(set_, output)
        if retry_refused:
            overrides["limits.retry_refused"] = True
        _check_recipe(recipe, overrides)
        _run_build(lambda flows: flows.build_image_dataset(str(recipe), limit, overrides), json_, debug)


@app.command()
def preview(
    recipe: RecipeFile,
    rows: Annotated[int, typer.Option("-n", "--rows", min=1, help="How many rows.")] = 8,
    set_: Set = [],  # noqa: B006  # typer reads the default, nothing changes it
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Build the first rows of RECIPE beside the real dataset; run this first."""
    with _one_sentence_errors(debug):
        overrides = _overrides(set_, None)
        _check_recipe(recipe, overrides)
        _run_build(lambda flows: flows.preview_image_dataset(str(recipe), rows, overrides), json_, debug)


@app.command()
def estimate(
    recipe: RecipeFile,
    set_: Set = [],  # noqa: B006  # typer reads the default, nothing changes it
    limit: Limit = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Say what a build of RECIPE would ask and cost at most; makes no call."""
    with _one_sentence_errors(debug):
        from tasks_lib.estimate import estimate as count
        from tasks_lib.recipe import load_recipe

        counted = count(load_recipe(recipe, _overrides(set_, None)), limit)
        print_values(counted.to_dict(), counted.lines(), counted.name, json_)


@app.command()
def gallery(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A dataset folder.", show_default=False)],
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    debug: Debug = False,
) -> None:
    """Write gallery.html, one page that shows every image of a dataset folder."""
    with _one_sentence_errors(debug):
        from tasks_lib.gallery import write_gallery

        page = write_gallery(folder)
        typer.echo(page)
        if open_:
            typer.launch(page.absolute().as_uri())


@store_app.command()
def stats(store: Location = DEFAULT_LOCATION, json_: Json = False, debug: Debug = False) -> None:
    """Count the images, their size and what they cost."""
    with _one_sentence_errors(debug):
        from tasks_lib.report import dollars
        from tasks_lib.store import ImageStore

        counted = ImageStore(store).stats()
        values = {"images": counted.images, "bytes": counted.size, "cost_usd": counted.cost_usd}
        lines = [
            ("images", f"{counted.images:,}"),
            ("size", f"{counted.size / 1e6:,.1f} MB"),
            ("cost", dollars(counted.cost_usd)),
        ]
        print_values(values, lines, store, json_)


@store_app.command()
def verify(store: Location = DEFAULT_LOCATION, json_: Json = False, debug: Debug = False) -> None:
    """Check every image against its record; exit code 1 if something is wrong."""
    with _one_sentence_errors(debug):
        from tasks_lib.store import ImageStore

        faults = ImageStore(store).verify()
        print_values(faults, list(faults.items()) or [("faults", "none")], store, json_)
        raise typer.Exit(1 if faults else 0)


@store_app.command()
def prune(
    keep: Annotated[list[Path], typer.Option(help="A folder below which every dataset's images stay; repeat it.")],
    store: Location = DEFAULT_LOCATION,
    yes: Annotated[bool, typer.Option("--yes", help="Really remove; without it, only say what would go.")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Remove the images that no dataset below the kept folders uses."""
    with _one_sentence_errors(debug):
        from tasks_lib.folder import used_images
        from tasks_lib.store import ImageStore

        going = ImageStore(store).prune(used_images(keep), dry_run=not yes)
        done = "removed" if yes else "would remove (--yes does it)"
        print_values({"removed" if yes else "would_remove": going}, [(done, f"{len(going):,} files")], store, json_)


def _check_recipe(path: Path, overrides: dict[str, Any]) -> None:
    """Tell a mistake at once, before Prefect takes its seconds to start."""
    from tasks_lib.recipe import load_recipe

    load_recipe(path, overrides)


def _run_build(start: Any, json_: bool, debug: bool) -> None:
    _configure_prefect(debug)
    from flows.embedded_server import start_embedded_server

    server = start_embedded_server()
    # Prefect is imported while the server starts.
    import flows.prefect_flows as prefect_flows
    from flows.progress import progress_bar

    if server:
        server.wait()
    with progress_bar(Console(stderr=True)):
        try:
            distiset = asyncio.run(start(prefect_flows))
        except prefect_flows.TerminationSignal:
            # A service manager's way to stop is as good as Ctrl-C.
            raise KeyboardInterrupt from None
    report = distiset.report
    print_values(report.to_dict(), report.lines(), report.headline, json_)
    if not json_:
        print_how_to_load(report)


def _configure_prefect(debug: bool) -> None:
    """Before Prefect is imported: quiet, one progress bar, and an embedded server that keeps up with a short run."""
    settings = {
        # The command says how a run ended, in one sentence; so need not Prefect.
        "PREFECT_LOGGING_LEVEL": "DEBUG" if debug else "CRITICAL",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "ERROR",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        # By default the recorder lags 20 s behind, and an embedded server loses what it has not yet recorded.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _overrides(assignments: list[str], output: str | None) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"'{assignment}' is not KEY=VALUE.", param_hint="--set")
        if re.search(r"://[^/\s]*@", value):
            raise typer.BadParameter(
                f"{key} has a user or password in its URL, and Prefect keeps parameters in clear. "
                "Write it in the recipe's file, or give the key by environment.",
                param_hint="--set",
            )
        overrides[key.strip()] = yaml.safe_load(value)
    return {**overrides, "output.path": output} if output else overrides


@contextmanager
def _one_sentence_errors(debug: bool) -> Iterator[None]:
    from tasks_lib.errors import ImageloomError, UsageError

    try:
        yield
    except KeyboardInterrupt:
        typer.echo("imageloom: stopped. Every image that arrived is kept; run the same command to go on.", err=True)
        raise typer.Exit(130) from None
    except ImageloomError as error:
        if debug:
            raise
        typer.echo(f"imageloom: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, UsageError) else 1) from None
