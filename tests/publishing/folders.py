"""Dataset folders to publish, and what a repository on loopback holds of them."""

from pathlib import Path
from typing import Any

from tasks_lib.publishing import publish_folder
from tasks_lib.publishing.report import PublishReport
from tests.built_folders import build_recipe
from tests.hub_repository import HubRepository
from tests.recipes import drawn_by

__all__ = ["NAME", "built", "commits", "edit_card", "files_of", "held_by", "publish"]

NAME = "me/shapes"
THREE = {"train": 0.5, "test": 0.3, "validation": 0.2}


def built(folder: Path, count: int = 12, splits: Any = None) -> Path:
    """A dataset in ``folder/dataset``, with several shards."""
    here = {"store": str(folder / "store"), "output": {"path": str(folder / "dataset"), "splits": splits or THREE}}
    prompts = [f"a red circle {number}" for number in range(count)]
    recipe = {**drawn_by({"type": "procedural", "width": 32, "height": 32}, prompts), **here}
    build_recipe(recipe)
    return folder / "dataset"


def publish(hub: HubRepository, folder: Path, **settings: Any) -> PublishReport:
    return publish_folder(folder, NAME, endpoint=hub.url, **{"private": True, **settings})


def edit_card(folder: Path, words: str) -> None:
    """Add words to the card."""
    card = folder / "README.md"
    card.write_text(f"{card.read_text()}\n{words}\n")


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def held_by(hub: HubRepository) -> dict[str, bytes]:
    """What the main branch holds, without what the Hub and the publication add."""
    added = (".gitattributes", ".imageloom.json")
    files = hub.repositories[NAME].files
    return {path: entry.content for path, entry in files.items() if path not in added}


def commits(hub: HubRepository) -> int:
    """Those made after the repository was."""
    return len(hub.repositories[NAME].commits) - 1
