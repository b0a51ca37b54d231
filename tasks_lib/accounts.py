"""The account of each generation of a row: how it ended, what it took, and what the ledger says of it."""

from collections.abc import Sequence

from tasks_lib.generator import ImageGenerator
from tasks_lib.session import generation_column
from tasks_lib.store import ImageStore
from tasks_lib.store.layout import key_of
from tasks_lib.tasks import Row

__all__ = ["generations_of_row", "ledger_entry", "outputs_by_row"]


def outputs_by_row(outputs: Sequence[Row], rows: int) -> list[Row | None]:
    """For each row the output that tells most of it, as far as that is known: a task may ask as often as it likes.

    Of several it is the first without an image, should the row have none.
    """
    if not outputs or len(outputs) % rows:
        return [None] * rows
    each = len(outputs) // rows
    parts = [outputs[start : start + each] for start in range(0, len(outputs), each)]
    return [next((output for output in part if output["status"] != "ok"), part[0]) for part in parts]


def generations_of_row(row: Row, references: list[str], output: Row | None, generator: ImageGenerator) -> list[Row]:
    """What is known of each generation of a row.

    Args:
        row: as the task gave it.
        references: of the images that it made for it.
        output: from which it made the row, if that can be told.
        generator: through which it asked; it has a store.
    """
    assert generator.store is not None
    return [_accounted(each, generator) for each in _generations(row, references, output, generator.store)]


def _generations(row: Row, references: list[str], output: Row | None, store: ImageStore) -> list[Row]:
    """What is known of each generation of a row; a task that formats by itself may have told nothing."""
    told = row.get("generation")
    if told is None:
        return [_looked_up(references, output, store)]
    if isinstance(told, list):
        facts = zip(told, row["status"], row["error"], strict=True)
        return [{**each, "status": status, "error": error} for each, status, error in facts]
    return [{**told, "status": row["status"], "error": row["error"]}]


def _looked_up(references: list[str], output: Row | None, store: ImageStore) -> Row:
    """The generation of the row's first image, or that of the output from which the task made the row."""
    record = store.get(key_of(references[0])) if references else None
    if record is None and output is not None:
        details = output["generation"]
        if references:
            return {**details, "status": "ok", "error": None}
        if output["status"] != "ok":
            return {**details, "status": output["status"], "error": output["error"]}
    told = {"column": generation_column(record), "created": record and record.created, "attempts": 0, "seconds": 0.0}
    if references:
        return {**told, "status": "ok", "error": None}
    return {**told, "status": "failed", "error": "the task gave no image for this row and no reason."}


def _accounted(generation: Row, generator: ImageGenerator) -> Row:
    """With the calls that this run made for it, whichever attempt of the batch made them."""
    if not generation["column"]:
        return generation
    attempts, seconds = generator.take_account(generation["column"]["fingerprint"])
    return {**generation, "attempts": attempts, "seconds": round(seconds, 3)}


def ledger_entry(generation: Row, row: int, number: int) -> Row:
    """The ledger's entry for a generation of a row."""
    column = generation["column"] or {}
    return {
        "row": row,
        "generation": number,
        "status": generation["status"],
        "error": generation["error"],
        "attempts": generation["attempts"],
        "seconds": generation["seconds"],
        # None is an image of unknown price; what is no image, or was made by the task itself, costs nothing.
        "cost_usd": column["cost_usd"] if column else 0.0,
        "from_store": generation["attempts"] == 0 and bool(column),
        "created": generation["created"],
        "fingerprint": generation.get("fingerprint") or column.get("fingerprint"),
    }
