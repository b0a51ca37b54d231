"""The commands below ``imageloom store``: looking after the images that were paid for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_options import Debug, Json, one_sentence_errors
from flows.terminal import print_values

if TYPE_CHECKING:
    from tasks_lib.store import ImageStore

__all__ = ["store_app"]

store_app = typer.Typer(help="Look after the images that were paid for.", no_args_is_help=True)

Location = Annotated[str, typer.Option("--store", help="Folder or URL of the store.")]
DEFAULT_LOCATION = "./.imageloom/store"


@store_app.command()
def stats(store: Location = DEFAULT_LOCATION, json_: Json = False, debug: Debug = False) -> None:
    """Count the images, their size and what they cost."""
    with one_sentence_errors(debug):
        from tasks_lib.report import dollars

        counted = _opened(store).stats()
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
    with one_sentence_errors(debug):
        faults = _opened(store).verify()
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
    with one_sentence_errors(debug):
        from tasks_lib.used_images import used_images

        going = _opened(store).prune(used_images(keep), dry_run=not yes)
        done = "removed" if yes else "would remove (--yes does it)"
        print_values({"removed" if yes else "would_remove": going}, [(done, f"{len(going):,} files")], store, json_)


def _opened(location: str) -> "ImageStore":
    """A store that is there: a build makes one, but whoever looks after images that are nowhere has mistyped it."""
    from tasks_lib.errors import UsageError
    from tasks_lib.store import ImageStore

    store = ImageStore(location)
    if store.is_empty():
        raise UsageError(
            f"there is no store at {store.location}: nothing lies there. Name the recipe's `store` with --store."
        )
    return store
