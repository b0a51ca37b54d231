"""The report of a build: what was asked, what became of it, what it cost, where it is."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["BuildReport", "count_of", "dollars"]


def dollars(amount: float | None) -> str:
    """An amount as people write it: ``0.42 USD``, with more digits where cents hide it; ``None`` is unknown."""
    if amount is None:
        return "cost unknown"
    if amount == 0 or amount >= 0.1:
        return f"{amount:,.2f} USD"
    return f"{amount:.4f} USD"


def count_of(number: int, noun: str) -> str:
    """A number and its noun: ``1 image``, ``2 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class BuildReport:
    """What one build did; money in US dollars."""

    name: str
    folder: str
    rows: int
    generations: int
    counts: Mapping[str, int]
    """Generations by status."""
    from_store: int
    """Generations whose images were paid for before."""
    asked: int
    """Generations asked in this run."""
    spent_usd: float | None
    """Spent in this run, on damaged images as well; ``None`` where an image's price is unknown."""
    total_usd: float | None
    """What all images of the dataset cost, whenever they were paid; ``None`` where a price is unknown."""
    seconds: float
    splits: Mapping[str, Mapping[str, int]]
    """Rows by config and split."""
    image_columns: Sequence[str] = ("image",)
    """The columns of images that were made."""
    marking: str = "none"
    """How image files of the folder are marked: ``iptc``, ``c2pa`` or ``none``."""
    trained: bool = True
    """Whether the model learned from data, or is a program that draws."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """The most frequent reasons for not having an image."""
    rejections: Mapping[str, int] = field(default_factory=dict)
    """Images that each check turned down."""
    made: tuple[str, str] | None = None
    """The first and the last day, in UTC, on which an image came."""

    @property
    def image_column(self) -> str:
        """The column to look at first."""
        return self.image_columns[-1] if self.image_columns else "image"

    @property
    def images(self) -> int:
        """Generations whose image came and passed; of a group, the default config holds them only if all did."""
        return self.counts.get("ok", 0)

    @property
    def first_split(self) -> tuple[str, str] | None:
        """The config and the split to look at first; ``None`` if nothing was asked."""
        return next(((config, split) for config, splits in self.splits.items() for split in splits), None)

    @property
    def every_row_asked(self) -> bool:
        """Whether no cap ended the build early."""
        return not self.counts.get("not_asked")

    @property
    def failure_rate(self) -> float:
        """Share of the generations asked that failed: neither an image nor a refusal."""
        counted = self.generations - self.counts.get("not_asked", 0)
        return self.counts.get("failed", 0) / counted if counted else 0.0

    @property
    def headline(self) -> str:
        """One line: ``998 of 1,000 images, 2 refused, 0.42 USD``."""
        parts = [f"{self.images:,} of {count_of(self.generations, 'image')}"]
        parts += [
            f"{count:,} {status.replace('_', ' ')}" for status, count in sorted(self.counts.items()) if status != "ok"
        ]
        return ", ".join([*parts, dollars(self.spent_usd)])

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            **asdict(self),
            "image_column": self.image_column,
            "images": self.images,
            "failure_rate": round(self.failure_rate, 6),
        }

    def lines(self) -> list[tuple[str, str]]:
        """Names and values for people."""
        configs = {
            config: ", ".join(f"{split} {rows:,}" for split, rows in splits.items())
            for config, splits in self.splits.items()
        }
        return [
            ("images", f"{self.images:,} of {self.generations:,}"),
            *[(status.replace("_", " "), f"{n:,}") for status, n in sorted(self.counts.items()) if status != "ok"],
            *([] if self.every_row_asked else [("ended early", self._cap)]),
            ("asked now", f"{self.asked:,}, {self.from_store:,} already in the store"),
            ("spent now", f"{dollars(self.spent_usd)}, {dollars(self.total_usd)} in all"),
            *[(f"config {config}", splits) for config, splits in configs.items()],
            ("time", f"{self.seconds:.1f} s"),
            ("dataset", self.folder),
        ]

    @property
    def _cap(self) -> str:
        """What ended the build before every row was asked, and the way on."""
        found = (reason.removeprefix("not asked: ") for reason in self.reasons if reason.startswith("not asked: "))
        return f"{next(found, 'a cap was reached.')} Build again for the rest."

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in self.lines()
        )
        return f"<table style='text-align: left'><caption><b>{html.escape(self.name)}</b></caption>{rows}</table>"
