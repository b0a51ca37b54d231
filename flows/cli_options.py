"""What every command shares: options of the same meaning, and how a command ends on an error."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.quick_imports import quick_imports

if TYPE_CHECKING:
    from tasks_lib.recipe import Recipe

__all__ = ["Debug", "Json", "Limit", "RecipeFile", "checked_recipe", "one_sentence_errors"]

RecipeFile = Annotated[str, typer.Argument(help="The recipe: a YAML file, or its URL.", show_default=False)]
Limit = Annotated[int | None, typer.Option(min=1, help="Take only the first so many rows.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and Prefect's log.")]


def checked_recipe(path: str, overrides: Mapping[str, Any] | None = None) -> "Recipe":
    """The recipe of a command; a mistake is told at once, before Prefect takes its seconds to be imported.

    Raises:
        RecipeError: a setting is wrong, or a password stands in the recipe's URL, which Prefect would keep.
    """
    from tasks_lib.plain_secrets import refuse_secrets
    from tasks_lib.recipe import load_recipe

    refuse_secrets({"recipe": path})
    return load_recipe(path, overrides)


@contextmanager
def one_sentence_errors(debug: bool, kept: str = "Every image that arrived is kept") -> Iterator[None]:
    """End the command in one sentence and with its exit code.

    Args:
        debug: let tracebacks through.
        kept: what a command that is stopped leaves behind.
    """
    # The first of ours, and with it most of the others.
    with quick_imports():
        from tasks_lib.errors import ImageloomError, UsageError

    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"imageloom: stopped. {kept}; run the same command to go on.", err=True)
        raise typer.Exit(130) from None
    except ImageloomError as error:
        if debug:
            raise
        typer.echo(f"imageloom: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, UsageError) else 1) from None
