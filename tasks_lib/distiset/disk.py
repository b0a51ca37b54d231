"""A Distiset saved as Arrow files that are used where they lie, with its citations and its report."""

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from tasks_lib.distiset.card import card_body
from tasks_lib.distiset.embedding import embedded_groups
from tasks_lib.distiset.marks import TableMark, mark_of
from tasks_lib.distiset.splits import Config, splits_of
from tasks_lib.errors import OutputError
from tasks_lib.report import BuildReport

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["CONFIGS_FOLDER", "SavedFacts", "load_configs", "read_facts", "save_configs"]

CONFIGS_FOLDER = "distiset_configs"
"""Where distilabel, too, puts what is no dataset."""
FACTS = f"{CONFIGS_FOLDER}/distiset.json"
STATE = "state.json"
"""What ``datasets`` writes last, and no saved dataset is without."""
BYTES_A_FILE = 500 * 1024 * 1024


@dataclass(frozen=True)
class SavedFacts:
    """What is kept beside the datasets."""

    splits: Mapping[str, Sequence[str] | None]
    """Of each config; ``None`` is a plain dataset."""
    citations: Sequence[str] = ()
    report: BuildReport | None = None

    def to_json(self) -> str:
        """As it is written."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "SavedFacts":
        """As it was written; what a newer version added is left out."""
        saved = json.loads(text)
        return cls(saved["splits"], saved["citations"], saved["report"] and _report(saved["report"]))


def save_configs(configs: Mapping[str, Config], files: Any, root: str, facts: SavedFacts, name: str | None) -> None:
    """Write every config at a place where nothing is.

    What there will be is told first, and each split's ``state.json`` last, so that a save that ends early shows.

    Args:
        configs: a Distiset.
        files: the fsspec file system of the place.
        root: the place, as its file system names it.
        facts: what to keep beside them.
        name: what a card calls them; no card without it.
    """
    mark = mark_of(facts.report)
    _put(files, f"{root}/{FACTS}", facts.to_json())
    for config, value in configs.items():
        for split, dataset in splits_of(value).items():
            place = f"{root}/{config}/{split}" if isinstance(value, dict) else f"{root}/{config}"
            _save_dataset(dataset, files, place, mark)
        if isinstance(value, dict):
            _put(files, f"{root}/{config}/dataset_dict.json", json.dumps({"splits": list(value)}))
    if name:
        load = f"from tasks_lib import Distiset\n\ndistiset = Distiset.load_from_disk({json.dumps(name)})"
        _put(files, f"{root}/{CONFIGS_FOLDER}/README.md", card_body(name, configs, facts.citations, load))


def read_facts(files: Any, root: str) -> SavedFacts | None:
    """What is kept beside the saved datasets; ``None`` where nothing was saved here.

    A Distiset that distilabel saved tells nothing about itself: it is the datasets in its folders.

    Raises:
        OutputError: a part of it is missing.
    """
    if not files.isfile(f"{root}/{FACTS}"):
        return _found_facts(files, root)
    facts = SavedFacts.from_json(files.cat_file(f"{root}/{FACTS}").decode("utf-8"))
    places = [
        place
        for config, splits in facts.splits.items()
        for place in ([config] if splits is None else [f"{config}/{split}" for split in splits])
    ]
    missing = [place for place in places if not files.isfile(f"{root}/{place}/{STATE}")]
    if missing:
        raise OutputError(
            f"the Distiset at {root} is not whole: of {len(places)} splits, {', '.join(missing)} is missing. "
            "Saving it did not end, or is going on; save it again elsewhere, and remove this one."
        )
    return facts


def load_configs(
    url: str, facts: SavedFacts, keep_in_memory: bool | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The datasets of every config, memory-mapped; those from elsewhere are brought here first."""
    from datasets import load_from_disk

    return {
        config: load_from_disk(f"{url}/{config}", keep_in_memory=keep_in_memory, storage_options=dict(options))
        for config in facts.splits
    }


def _report(saved: Mapping[str, Any]) -> BuildReport:
    known = {field.name for field in fields(BuildReport)}
    values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in saved.items()}
    return BuildReport(**{name: value for name, value in values.items() if name in known})


def _found_facts(files: Any, root: str) -> SavedFacts | None:
    names = sorted(posixpath.basename(path.rstrip("/")) for path in files.ls(root, detail=False))
    splits: dict[str, Sequence[str] | None] = {}
    for name in names:
        if files.isfile(f"{root}/{name}/dataset_dict.json"):
            splits[name] = json.loads(files.cat_file(f"{root}/{name}/dataset_dict.json"))["splits"]
        elif files.isfile(f"{root}/{name}/{STATE}"):
            splits[name] = None
    return SavedFacts(splits) if splits else None


def _save_dataset(dataset: "Dataset", files: Any, place: str, mark: TableMark | None) -> None:
    """In the form of ``Dataset.save_to_disk``, which would leave images that lie on object storage where they are."""
    names = _write_rows(dataset, files, place, mark)
    _put(files, f"{place}/dataset_info.json", json.dumps(asdict(dataset.info), indent=2))
    _put(files, f"{place}/{STATE}", _state(dataset, names))


def _write_rows(dataset: "Dataset", files: Any, place: str, mark: TableMark | None) -> list[str]:
    import pyarrow as pa

    schema = dataset.features.arrow_schema
    tables = embedded_groups(dataset, mark)
    table = next(tables, None)
    names: list[str] = []
    files.makedirs(place, exist_ok=True)
    while table is not None or not names:
        names.append(f"data-{len(names):05d}.arrow")
        size = 0
        with files.open(f"{place}/{names[-1]}", "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            while table is not None and size < BYTES_A_FILE:
                writer.write_table(table)
                size += table.nbytes
                table = next(tables, None)
    return names


def _state(dataset: "Dataset", names: Sequence[str]) -> str:
    """What ``load_from_disk`` of ``datasets`` asks for; a function as format cannot be kept."""
    form = dataset.format if dataset.format["type"] != "custom" else {}
    state = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": dataset._fingerprint,
        "_format_columns": form.get("columns"),
        "_format_kwargs": form.get("format_kwargs", {}),
        "_format_type": form.get("type"),
        "_output_all_columns": form.get("output_all_columns", False),
        "_split": None if dataset.split is None else str(dataset.split),
    }
    return json.dumps(state, indent=2)


def _put(files: Any, path: str, text: str) -> None:
    files.makedirs(posixpath.dirname(path), exist_ok=True)
    files.pipe_file(path, text.encode("utf-8"))
