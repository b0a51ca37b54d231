"""Where a Distiset is saved to and loaded from: a folder, object storage, or the folder of a build."""

import os
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tasks_lib.distiset.dataset_folder import check_names
from tasks_lib.distiset.disk import CONFIGS_FOLDER, SavedFacts, load_configs, read_facts, save_configs
from tasks_lib.distiset.splits import Config
from tasks_lib.errors import ImageloomError, OutputError, UsageError
from tasks_lib.folder import StagedFolder
from tasks_lib.locations import missing_package

__all__ = ["load_distiset", "save_distiset"]

Options = Mapping[str, Any] | None


def save_distiset(
    configs: Mapping[str, Config],
    location: str | os.PathLike[str],
    options: Options,
    facts: SavedFacts,
    save_card: bool,
) -> None:
    """Save every config at a location where nothing is yet.

    Raises:
        OutputError: there is something, or it cannot be written.
        UsageError: there is nothing to save, or a config or split has a name that would not load again.
    """
    check_names(configs)
    if CONFIGS_FOLDER in configs:
        raise UsageError(f"the config {CONFIGS_FOLDER!r} has the name of a folder that every save has. Rename it.")
    with _explained("saved to", location):
        files, root = _opened(location, options)
        name = posixpath.basename(root) if save_card else None
        if files.exists(root) and files.find(root):
            raise OutputError(
                f"there is something at {os.fspath(location)}, and a save never replaces anything. "
                "Choose another place, or remove what is there first."
            )
        if not isinstance(files, LocalFileSystem):
            save_configs(configs, files, root, facts, name)
            return
        staged = StagedFolder(root)
        try:
            save_configs(configs, files, str(staged.path), facts, name)
            staged.put_in_place()
        finally:
            staged.abandon()


def load_distiset(
    location: str | os.PathLike[str], options: Options, keep_in_memory: bool | None
) -> tuple[dict[str, Any], SavedFacts]:
    """The configs that were saved at a location, and what was kept beside them.

    Raises:
        OutputError: nothing was saved there, a part is missing, or it cannot be read.
    """
    with _explained("loaded from", location):
        files, root = _opened(location, options)
        if not files.isdir(root):
            raise OutputError(f"there is no folder at {os.fspath(location)}, so no Distiset can be loaded from it.")
        facts = read_facts(files, root)
        if facts:
            return load_configs(files.unstrip_protocol(root), facts, keep_in_memory, options or {}), facts
        if not any(path.endswith(".parquet") for path in files.find(root, maxdepth=2)):
            raise OutputError(
                f"{os.fspath(location)} holds no Distiset: neither datasets saved by save_to_disk nor Parquet shards. "
                "Give the folder that was named when it was saved."
            )
        if not isinstance(files, LocalFileSystem):
            raise OutputError(
                f"{os.fspath(location)} is a dataset folder (Parquet), which is loaded from a local folder only. "
                "Copy it here first."
            )
        return _load_dataset_folder(Path(root), keep_in_memory), SavedFacts({})


def _load_dataset_folder(folder: Path, keep_in_memory: bool | None) -> dict[str, Any]:
    from datasets import get_dataset_config_names, load_dataset

    return {
        config: load_dataset(str(folder), config, keep_in_memory=keep_in_memory)
        for config in get_dataset_config_names(str(folder))
    }


def _opened(location: str | os.PathLike[str], options: Options) -> tuple[Any, str]:
    text = os.fspath(location)
    try:
        files, root = fsspec.core.url_to_fs(text, **(options or {}))
    except ImportError as error:
        raise missing_package("A Distiset", text, error) from error
    files.invalidate_cache()  # another process may have saved there
    return files, posixpath.normpath(root) if root else root


@contextmanager
def _explained(what: str, location: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except ImageloomError:
        raise
    except Exception as error:  # file systems raise errors of their libraries, not only OSError
        place, reason = os.fspath(location), str(error) or type(error).__name__
        hint = " Keys and endpoints come from storage_options or the environment." if "://" in place else ""
        raise OutputError(f"the Distiset cannot be {what} {place}: {reason.rstrip('.')}.{hint}") from error
