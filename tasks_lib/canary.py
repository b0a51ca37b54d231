"""A canary: a small build that is repeated, its figures, and whether they moved against those of the last runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, Self

from tasks_lib.folder import LEDGER_FILE
from tasks_lib.report import dollars

__all__ = ["Comparison", "Figures", "Thresholds", "compare", "measure"]


@dataclass(frozen=True)
class Figures:
    """What one run of a canary measured; ``None`` is unknown."""

    pass_rate: float | None
    """Share of the images asked for that are good enough to keep."""
    seconds: float | None
    """Median over the images that came, each from its first call to its last byte, retries included."""
    cost_usd: float | None
    """Mean over the images that came."""

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """Read what :meth:`Comparison.rows` made."""
        now = {str(row.get("figure")): row.get("now") for row in rows}
        return cls(*(now.get(name) for name in ("pass_rate", "seconds", "cost_usd")))


@dataclass(frozen=True)
class Thresholds:
    """From where on a figure alarms; only what gets worse does."""

    pass_rate_drop: float
    """Share of all images: 0.1 alarms at 89 % where 100 % passed before."""
    seconds_rise: float
    """Share of the seconds before: 0.5 alarms at 0.31 s where it took 0.2 s before."""
    cost_rise: float
    """Share of the price before."""

    def around(self, before: Figures) -> Figures:
        """The last value of each figure that does not alarm."""
        return Figures(
            None if before.pass_rate is None else before.pass_rate - self.pass_rate_drop,
            None if before.seconds is None else before.seconds * (1 + self.seconds_rise),
            None if before.cost_usd is None else before.cost_usd * (1 + self.cost_rise),
        )


@dataclass(frozen=True)
class Comparison:
    """The figures of a run beside those of the last ones."""

    now: Figures
    before: Figures
    """Medians of the last runs; all unknown while runs are only collected."""
    limits: Figures
    collected: int
    """Runs there were before this one, at most as many as are compared."""
    wanted: int
    """Runs that are compared."""

    @property
    def alarms(self) -> list[str]:
        """A phrase for each figure that moved, such as ``median 0.41 s an image against 0.20 s``."""
        now, before, limits = self.now, self.before, self.limits
        found = []
        if now.pass_rate is not None and limits.pass_rate is not None and now.pass_rate < limits.pass_rate - 1e-9:
            found.append(f"{now.pass_rate:.0%} of the images pass against {before.pass_rate:.0%}")
        if _above(now.seconds, limits.seconds):
            found.append(f"median {_seconds(now.seconds)} an image against {_seconds(before.seconds)}")
        if _above(now.cost_usd, limits.cost_usd):
            found.append(f"{dollars(now.cost_usd)} an image against {dollars(before.cost_usd)}")
        return found

    @property
    def headline(self) -> str:
        """One sentence: what moved, or that nothing did."""
        if self.alarms:
            runs = "the last run" if self.wanted == 1 else f"the last {self.wanted} runs"
            return f"the canary moved: {', '.join(self.alarms)} in {runs}."
        now = self.now
        figures = f"{_share(now.pass_rate)} pass, {_seconds(now.seconds)} and {dollars(now.cost_usd)} an image"
        if self.collected < self.wanted:
            return f"{figures}; collected {self.collected + 1} of {self.wanted} runs to compare with"
        return f"{figures}; steady"

    def rows(self) -> list[dict[str, Any]]:
        """The table: a row for each figure."""
        each = zip(asdict(self.now).items(), vars(self.before).values(), vars(self.limits).values(), strict=True)
        return [
            {"figure": name, "now": _rounded(now), "before": _rounded(before), "alarm beyond": _rounded(limit)}
            for (name, now), before, limit in each
        ]


def measure(folder: Path) -> Figures:
    """The figures of a build, from the ledger in its dataset folder."""
    import pyarrow.parquet as pq

    read = pq.read_table(folder / LEDGER_FILE, columns=["status", "attempts", "seconds", "cost_usd"])
    asked = [entry for entry in read.to_pylist() if entry["status"] != "not_asked"]
    # A check's verdict comes after the image, which took its time and is paid.
    came = [entry for entry in asked if entry["attempts"] and entry["status"] in {"ok", "rejected"}]
    costs = [entry["cost_usd"] for entry in came]
    return Figures(
        pass_rate=sum(entry["status"] == "ok" for entry in asked) / len(asked) if asked else None,
        seconds=median(entry["seconds"] for entry in came) if came else None,
        cost_usd=fmean(costs) if costs and None not in costs else None,
    )


def compare(now: Figures, earlier: Sequence[Figures], wanted: int, thresholds: Thresholds) -> Comparison:
    """Compare a run with the median of the last ones.

    A median, so that one bad run neither moves the norm nor hides the next; when a new level lasts, it is the norm as
    soon as most of the last runs are at it.

    Args:
        now: of this run.
        earlier: of the runs before, the last one first.
        wanted: runs to compare with; as long as there are fewer, nothing alarms.
        thresholds: from where on a figure alarms.
    """
    last = earlier[:wanted]
    nothing = Figures(None, None, None)
    columns = zip(*map(astuple, last), strict=True)
    before = nothing if len(last) < wanted else Figures(*map(_median, columns))
    return Comparison(now, before, thresholds.around(before), len(last), wanted)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _above(value: float | None, limit: float | None) -> bool:
    # A hair above a limit is what adding decimals leaves.
    return value is not None and limit is not None and value > limit * (1 + 1e-9)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _share(value: float | None) -> str:
    return "unknown share" if value is None else f"{value:.0%}"


def _seconds(value: float | None) -> str:
    return "unknown time" if value is None else f"{value:.2f} s"
