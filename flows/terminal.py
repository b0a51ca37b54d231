"""What the command line prints, for people or as JSON."""

import json
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from tasks_lib.report import BuildReport

__all__ = ["print_how_to_load", "print_values"]


def print_values(values: Any, lines: list[tuple[str, str]], title: str, json_: bool) -> None:
    """Print values as one JSON object, or lines as a table."""
    if json_:
        typer.echo(json.dumps(dict(values), ensure_ascii=False))
        return
    # Text, because a name in brackets is not markup.
    table = Table(title=Text(title), show_header=False, box=None, title_justify="left", title_style="bold")
    for name, value in lines:
        table.add_row(Text(name), Text(value))
    Console(soft_wrap=True).print(table)


def print_how_to_load(report: "BuildReport") -> None:
    """Print where the gallery is, and the lines of Python that load the dataset and look at a row."""
    from tasks_lib.card_parts import loading

    typer.echo(f"\n  gallery    {report.folder}/gallery.html\n")
    if report.first_split is not None:
        typer.echo(loading(report.folder, *report.first_split, report.image_column))
