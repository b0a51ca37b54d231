"""The ledger: the account of every row and generation of a run, as a Parquet file and as counts."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tasks_lib.tasks import Row

__all__ = ["Ledger"]


class Ledger:
    """Writes what became of each generation, in order, and counts as it goes.

    Columns: ``row``, ``generation``, ``status``, ``error``, ``attempts`` (calls in this run), ``seconds``
    (spent on them), ``cost_usd`` (what the image cost, in this run or before), ``from_store``, ``created``
    (when the image came, ISO 8601 in UTC), ``fingerprint``.

    Args:
        path: the Parquet file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.counts: Counter[str] = Counter()
        self.from_store = 0
        self.asked = 0
        self.paid = 0
        """Images that came in this run."""
        self.spent_usd: float | None = 0.0
        """On images of this run; ``None`` once one's price is unknown."""
        self.total_usd: float | None = 0.0
        """What all images cost, whenever they were paid."""
        self.reasons: Counter[str] = Counter()
        """How often each reason for not having an image was met."""
        self.rejections: Counter[str] = Counter()
        """Images that each check turned down."""
        self.days: set[str] = set()
        """On which images came, in UTC."""
        self._schema = pa.schema(
            [
                ("row", pa.int64()),
                ("generation", pa.int32()),
                ("status", pa.string()),
                ("error", pa.string()),
                ("attempts", pa.int32()),
                ("seconds", pa.float64()),
                ("cost_usd", pa.float64()),
                ("from_store", pa.bool_()),
                ("created", pa.string()),
                ("fingerprint", pa.string()),
            ]
        )
        self._writer: pq.ParquetWriter = pq.ParquetWriter(path, self._schema, compression="ZSTD")

    @property
    def generations(self) -> int:
        """Generations so far."""
        return self.counts.total()

    def write(self, entries: Sequence[Row]) -> None:
        """Append entries."""
        import pyarrow as pa

        for entry in entries:
            self.counts[entry["status"]] += 1
            self.from_store += entry["from_store"]
            self.asked += entry["attempts"] > 0
            self._add_cost(entry)
            if entry["error"]:
                self.reasons[entry["error"]] += 1
            if entry["status"] == "rejected":
                # A check's reasons begin with its name in the recipe: "blank: every pixel is ..."
                self.rejections[entry["error"].partition(": ")[0]] += 1
            if entry["created"]:
                self.days.add(entry["created"][:10])
        self._writer.write_table(pa.Table.from_pylist(list(entries), schema=self._schema))

    def _add_cost(self, entry: Row) -> None:
        self.total_usd = _sum(self.total_usd, entry["cost_usd"])
        if entry["attempts"] and entry["status"] in {"ok", "rejected"}:
            self.paid += 1
            self.spent_usd = _sum(self.spent_usd, entry["cost_usd"])

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def _sum(known: float | None, cost: float | None) -> float | None:
    # Rounded as it grows: a thousand times 0.003 is 3.0 dollars.
    return None if known is None or cost is None else round(known + cost, 9)
