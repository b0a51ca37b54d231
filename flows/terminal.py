"""What the command line prints, for people or as JSON."""

import json
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

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


def print_how_to_load(report: Any) -> None:
    """Print where the gallery is, and three lines of Python."""
    typer.echo(f"\n  gallery    {report.folder}/gallery.html\n")
    if report.first_split is None:
        return
    config, split = report.first_split
    other = "" if config == "default" else f', "{config}"'
    typer.echo("from datasets import load_dataset")
    typer.echo(f'dataset = load_dataset("{report.folder}"{other})')
    typer.echo(f'dataset["{split}"][0]["{report.image_column}"].show()')
