"""A batch: consecutive rows that one worker handles, and what becomes of each of them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks_lib.accounts import generations_of_row, ledger_entry, outputs_by_row
from tasks_lib.checks import Checks, inspect
from tasks_lib.columns import source_images
from tasks_lib.errors import GenerationError, ImageCellError, StopError
from tasks_lib.image_verification import verify_image
from tasks_lib.images import is_image_cell, is_reference, read_image_cell
from tasks_lib.provenance import sha256
from tasks_lib.session import RequestOptions
from tasks_lib.store import ImageStore
from tasks_lib.tasks import ImageTask, Row

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Batch", "BatchResult", "RowResult", "cut_batches", "process_batch", "rows_a_batch"]


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of the source."""

    start: int
    """Number of the first row."""
    rows: list[Row]
    splits: list[str]
    """The split of each row."""
    numbers: Mapping[str, int]
    """How many of a request the rows before this batch asked, where there were any."""
    image_columns: frozenset[str]
    """Those columns of the source that hold images."""

    @property
    def label(self) -> str:
        """Such as ``rows 128-255``."""
        return f"rows {self.start}-{self.start + len(self.rows) - 1}"


@dataclass(frozen=True)
class RowResult:
    """A row of the dataset to be: image cells are store references, so it is about a kilobyte."""

    split: str
    columns: Row
    ledger: list[Row]
    """An entry for each generation of the row."""
    signature: str | None
    """For finding near duplicates."""


@dataclass(frozen=True)
class BatchResult:
    """What became of a batch.

    One object, not a list: Prefect remembers for the whole run each element of a list that a task gives back.
    """

    rows: list[RowResult]


def rows_a_batch(rows: int, num_generations: int) -> int:
    """How many rows of a source a batch holds where the recipe does not say.

    Each costs some 50 ms of Prefect's time; with less than 128 images too few would be in flight, and what more than
    256 take of memory is felt in a large run.

    Args:
        rows: of the source.
        num_generations: images for each of them.
    """
    images = min(256, max(128, rows * num_generations // 20))
    return max(1, images // num_generations)


def cut_batches(
    table: "pa.Table", task: ImageTask, size: int, splits: Mapping[str, float] | str, seed: int
) -> Iterator[Batch]:
    """Cut a source into batches, numbering equal requests across them.

    Args:
        table: the source's rows.
        task: says what each row asks.
        size: rows in a batch.
        splits: the share of each split, or the column that names a row's split.
        seed: of the splits.
    """
    asked: Counter[str] = Counter()
    images = source_images(table.schema)
    options = RequestOptions(task.image_generation_model.get_generation_kwargs())
    for start in range(0, table.num_rows, size):
        rows = table.slice(start, size).to_pylist()
        keys = [options.key(task.formatted(row)) for row in task.to_inputs(rows)]
        chosen = [_split(splits, seed, key, row) for key, row in zip(keys, rows, strict=True)]
        yield Batch(start, rows, chosen, {key: asked[key] for key in keys if asked[key]}, images)
        asked.update({key: count * task.num_generations for key, count in Counter(keys).items()})


def _split(splits: Mapping[str, float] | str, seed: int, key: str, row: Row) -> str:
    """Equal requests share a split, and a row keeps its split whatever is added around it."""
    if isinstance(splits, str):
        return str(row[splits])
    share = int(sha256(f"{seed} split {key}")[:12], 16) / 16**12
    for name, fraction in splits.items():
        share -= fraction
        if share < 0:
            return name
    return list(splits)[-1]


def process_batch(task: ImageTask, batch: Batch, checks: Checks) -> list[RowResult]:
    """Run the task over a batch.

    Args:
        task: connected to a detailed session over a generator with a store.
        batch: the rows.
        checks: what an image must pass.

    Raises:
        StopError: the run cannot go on, or the task gave another number of rows than were asked.
    """
    session = task.llm.starting_at(batch.numbers)
    rows = list(task.connected_to(session).process_applying_mappings(batch.rows))
    each = 1 if task.group_generations else task.num_generations
    if len(rows) != len(batch.rows) * each:
        raise StopError(
            f"the task '{task.name or task.kind()}' gave {len(rows)} rows for {len(batch.rows)} "
            f"({batch.label}) where {len(batch.rows) * each} were asked. "
            "Its process() must yield every row, in order; give a row without an image a None."
        )
    store = session.generator.store
    assert store is not None
    rows = [_with_references(row, batch, store) for row in rows]
    told = outputs_by_row(session.outputs, len(rows))
    source = batch.rows[0]
    results = []
    for place, row in enumerate(rows):
        # Not those of the source: they are not what was asked for.
        made = [reference for name, value in row.items() if name not in source for reference in _references(value)]
        number = place // each
        generations = generations_of_row(row, made, told[place], session.generator)
        split = batch.splits[number]
        results.append(_result(row, made, generations, batch.start + number, split, place % each, checks))
    session.forget()
    return results


def _result(
    row: Row, references: list[str], generations: list[Row], number: int, split: str, first: int, checks: Checks
) -> RowResult:
    reason, signature = _inspect(references, checks) if generations[0]["status"] == "ok" else (None, None)
    if reason:
        rejected = {"status": "rejected", "error": reason}
        generations = [{**each, **rejected} if each["status"] == "ok" else each for each in generations]
    ledger = [ledger_entry(each, number, first + place) for place, each in enumerate(generations)]
    columns = [each["column"] for each in generations]
    grouped = isinstance(row.get("generation"), list)
    told = {
        **_verdict(generations),
        "generation": columns if grouped else columns[0],
    }
    return RowResult(split, {**row, **told}, ledger, signature)


def _verdict(generations: Sequence[Row]) -> Row:
    """Status and error of a row: those of its first generation without a good image."""
    asked = [each for each in generations if each["status"] != "not_asked"]
    worst = next((each for each in (*asked, *generations) if each["status"] != "ok"), generations[0])
    # Asked in part, because a cap was reached, it is no row that nobody asked: it has images, which are shown.
    status = "failed" if asked and worst["status"] == "not_asked" else worst["status"]
    return {"status": status, "error": worst["error"]}


def _with_references(row: Row, batch: Batch, store: ImageStore) -> Row:
    """The row with its images in the store; other columns of the source stay as they are."""
    source = batch.rows[0]
    kept = {}
    for name, value in row.items():
        if name in batch.image_columns:
            kept[name] = _source_image(value, store)
        else:
            kept[name] = value if name in source else _referenced(value, store)
    return kept


def _source_image(value: Any, store: ImageStore) -> Any:
    """What is no image is left out: load_dataset and viewers would stop at it."""
    try:
        return _referenced(value, store)
    except (GenerationError, ImageCellError):
        return None


def _referenced(value: Any, store: ImageStore) -> Any:
    """Image cells become store references; what a task made itself is kept in the store first."""
    if isinstance(value, list):
        return [_referenced(each, store) for each in value]
    if not is_image_cell(value) or is_reference(value):
        return value
    data = read_image_cell(value)
    return None if data is None else store.put_file(data, verify_image(data).format.lower())


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [reference for each in value for reference in _references(each)]
    return [value] if is_reference(value) else []


def _inspect(references: list[str], checks: Checks) -> tuple[str | None, str | None]:
    if checks == Checks() or not references:
        return None, None
    inspections = [inspect(read_image_cell(reference) or b"", checks) for reference in references]
    reason = next((each.reason for each in inspections if each.reason), None)
    return reason, inspections[0].signature
