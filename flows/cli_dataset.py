"""The commands about a dataset folder that was built: ``imageloom export | gallery | publish``."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flows.cli_options import Debug, Json, one_sentence_errors

if TYPE_CHECKING:
    from tasks_lib.publishing.report import PublishProgress

__all__ = ["dataset_app"]

dataset_app = typer.Typer()

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A dataset folder.", show_default=False)]


@dataset_app.command()
def gallery(
    folder: Folder,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    debug: Debug = False,
) -> None:
    """Write gallery.html, one page with the images of a dataset folder, or an even sample of a large one."""
    with one_sentence_errors(debug):
        from tasks_lib.errors import UsageError
        from tasks_lib.gallery import write_gallery
        from tasks_lib.shard_names import ANY_SHARD, shards_by_split

        if folder.is_dir() and not shards_by_split(folder):
            raise UsageError(
                f"{folder} is not a dataset folder: it has no {ANY_SHARD}. Give the folder that a build wrote."
            )
        page = write_gallery(folder)
        typer.echo(page)
        if open_:
            typer.launch(page.absolute().as_uri())


@dataset_app.command()
def export(
    folder: Folder,
    to: Annotated[
        str, typer.Option("--to", metavar="webdataset|imagefolder|lance", help="The format.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A new folder; beside the dataset by default.")
    ] = None,
    config: Annotated[str, typer.Option(metavar="NAME", help="Which config of the dataset.")] = "default",
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Write a dataset folder in a format that other trainers read."""
    with one_sentence_errors(debug, kept="Nothing is left of the export"):
        from tasks_lib.exports import export_dataset

        with _row_bar() as on_rows:
            report = export_dataset(folder, to, output, config=config, on_rows=on_rows)
        typer.echo(json.dumps(report.to_dict()) if json_ else f"{report.headline}\n\n{report.loading}")


@dataset_app.command()
def publish(
    folder: Folder,
    repository: Annotated[str, typer.Argument(metavar="REPO", help="Such as me/shapes.", show_default=False)],
    private: Annotated[bool, typer.Option("--private/--public", help="Who may see a new repository.")] = True,
    revision: Annotated[str | None, typer.Option(metavar="BRANCH", help="Another branch than main.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what somebody else wrote or changed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Publish a dataset folder to the Hugging Face Hub; run it again to go on where it stopped."""
    with one_sentence_errors(debug, kept="What was sent stays there, unseen"):
        _quieten_hub(debug)
        from tasks_lib.publishing import publish_folder

        with _progress_bar() as on_progress:
            report = publish_folder(
                folder,
                repository,
                private=private,
                revision=revision,
                overwrite=overwrite,
                dry_run=dry_run,
                on_progress=on_progress,
                way_on=f"The dataset stays in {folder}; run the same command to go on.",
            )
        if json_:
            typer.echo(json.dumps(report.to_dict()))
        else:
            typer.echo(report.headline)


def _quieten_hub(debug: bool) -> None:
    """Before the library is imported: one bar is enough, and what it tells of a fault may hold a signed link."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "warning" if debug else "error")


@contextmanager
def _row_bar() -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("exporting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("exporting", total=None)
        yield lambda done, total: bar.update(line, total=total, completed=done)


@contextmanager
def _progress_bar() -> Iterator[Callable[["PublishProgress"], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        line = bar.add_task("reading", total=None)

        def show(progress: "PublishProgress") -> None:
            bar.update(line, description=progress.stage, total=progress.total_bytes, completed=progress.done_bytes)

        yield show
