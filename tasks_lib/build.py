"""One build, from recipe to dataset folder; an orchestrator brings the batches and takes them back in order."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tasks_lib.batches import Batch, RowResult, cut_batches, rows_a_batch
from tasks_lib.card import write_card
from tasks_lib.checks import DuplicateIndex
from tasks_lib.columns import dataset_features, image_columns, untold_columns
from tasks_lib.distiset import Distiset, read_built_folder
from tasks_lib.errors import OutputError, TooManyFailuresError
from tasks_lib.folder import LEDGER_FILE, RECIPE_FILE, StagedFolder, loadable_place
from tasks_lib.gallery import write_gallery, write_samples
from tasks_lib.generator import ImageGenerator
from tasks_lib.ledger import Ledger
from tasks_lib.marking.choice import open_mark
from tasks_lib.progress import Progress, tell
from tasks_lib.recipe import Recipe
from tasks_lib.report import BuildReport
from tasks_lib.runners import ThreadRunner
from tasks_lib.session import GenerationSession
from tasks_lib.shards import ShardWriter, SplitSize
from tasks_lib.source_table import read_source
from tasks_lib.store import ImageStore
from tasks_lib.tasks import ImageTask, Row

if TYPE_CHECKING:
    from datasets import Features

__all__ = ["Build", "connected_task"]

MOST_HELD_ROWS = 5_000
"""Bounds memory where a task leaves an output empty; without its images a row is a kilobyte."""


class Build:
    """Turns a recipe into a dataset folder, with flat memory.

    Use: send every :meth:`batches` item through :func:`tasks_lib.batches.process_batch`, give the results to
    :meth:`add` in the same order, then call :meth:`finish`; on the way out call :meth:`close`.

    Args:
        recipe: what to build.
        limit: take only the first so many rows.

    Raises:
        UsageError: something to mend before anything is spent: the prompts, a column, a key, the output.
    """

    def __init__(self, recipe: Recipe, limit: int | None = None) -> None:
        self.recipe = recipe
        self._started = time.monotonic()
        self._table = read_source(recipe, limit)
        self._mark = open_mark(recipe.marking, recipe.task.image_generation_model.trained)
        self.store = ImageStore(recipe.store)
        self.task = connected_task(recipe, self.store)
        self._staged = StagedFolder(loadable_place(recipe.output.path))
        try:
            self._ledger = Ledger(self._staged.path / LEDGER_FILE)
        except OSError as error:
            self._staged.abandon()
            raise self._unwritable(error) from error
        self._writer: ShardWriter | None = None
        mapped = recipe.task.output_mappings
        self._outputs = [mapped.get(name, name) for name in recipe.task.output_names]
        self._image_output = mapped.get(recipe.task.image_output, recipe.task.image_output)
        self._held: list[RowResult] = []
        near = recipe.checks.near_duplicates
        self._duplicates = DuplicateIndex(near.distance) if near else None
        self._features: Features | None = None
        self.total = self._table.num_rows * recipe.task.num_generations

    def batches(self) -> Iterator[Batch]:
        """The source's rows, cut.

        Raises:
            StoreError: the store cannot keep an image; better now than after the first was paid for.
        """
        self.store.check_writable()
        recipe = self.recipe
        size = recipe.batch_size or rows_a_batch(self._table.num_rows, recipe.task.num_generations)
        return cut_batches(self._table, self.task, size, recipe.output.splits, recipe.seed)

    def add(self, results: Sequence[RowResult]) -> None:
        """Account for the results of the next batch, and write its rows as soon as every output shows its type.

        Raises:
            StopError: an output column changes its type.
            OutputError: the disk is full, or the folder cannot be written any more.
        """
        checked = [self._checked(result) for result in results]
        self._held += checked
        untold = set() if self._writer else untold_columns([result.columns for result in self._held], self._outputs)
        with self._writing():
            self._ledger.write([entry for result in checked for entry in result.ledger])
            if untold <= {self._image_output} or len(self._held) >= MOST_HELD_ROWS:
                self._write_held()
        self.tell("generating")

    def finish(self) -> Distiset:
        """Write card, gallery and ledger, put the folder in its place, and give the dataset back.

        Raises:
            TooManyFailuresError: more failed than ``max_failure_rate``; the dataset is written all the same,
                and is the error's ``distiset``.
            OutputError: as of :meth:`add`.
        """
        self.tell("writing")
        with self._writing():
            sizes, report = self._write_folder()
        self.tell("done")
        distiset = self._assemble(sizes, report)
        _check_failures(distiset, self.recipe)
        return distiset

    def close(self) -> None:
        """Let go of the model, and of a folder that was not finished."""
        if self._writer is not None:
            self._writer.abandon()
        with suppress(OSError):  # the same full disk
            self._ledger.close()
        self.task.unload()
        self._staged.abandon()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"the dataset cannot be written to {self._staged.place}: {error}. Make room there, or choose another "
            "place (output.path of the recipe), and build again: what was paid for is in the store."
        )

    def _write_folder(self) -> tuple[dict[str, dict[str, SplitSize]], BuildReport]:
        self._write_held()
        assert self._writer is not None and self._features is not None
        sizes = self._writer.close()
        self._ledger.close()
        report = self._report(sizes)
        folder = self._staged.path
        (folder / RECIPE_FILE).write_text(self.recipe.to_yaml(), encoding="utf-8")
        write_card(folder, self.recipe, report, self._features, sizes, write_samples(folder))
        # Bounded in time and memory; `imageloom gallery` shows more where that is wanted.
        write_gallery(folder, title=self.recipe.name, max_bytes=10_000_000, max_rows=2_000)
        self._staged.put_in_place()
        return sizes, report

    def _checked(self, result: RowResult) -> RowResult:
        if self._duplicates is None or result.signature is None or result.columns["status"] != "ok":
            return result
        entry = result.ledger[0]
        name = f"row {entry['row']}, generation {entry['generation']}"
        twin = self._duplicates.add(result.signature, name)
        if twin is None:
            return result
        told = {"status": "rejected", "error": f"near_duplicates: it looks like {twin}."}
        ledger = [{**entry, **told} for entry in result.ledger]
        return RowResult(result.split, {**result.columns, **told}, ledger, None)

    def _write_held(self) -> None:
        if self._writer is None:
            self._writer = self._open_writer([result.columns for result in self._held])
        for (config, split), rows in _grouped(self._held).items():
            self._writer.write(config, split, rows)
        self._held = []

    def _open_writer(self, rows: list[Row]) -> ShardWriter:
        self._features = dataset_features(self._table.schema, rows, self._outputs, self._image_output)
        writer = ShardWriter(self._staged.path, self._features, self.store, self._mark, self._table.column_names)
        splits = self.recipe.output.splits
        for split in splits if isinstance(splits, dict) else []:
            writer.open_split("default", split)
        return writer

    def _report(self, sizes: Mapping[str, Mapping[str, SplitSize]]) -> BuildReport:
        days = self._ledger.days
        made = [name for name in image_columns(self._features or {}) if name not in self._table.column_names]
        return BuildReport(
            name=self.recipe.name,
            folder=str(self._staged.place),
            rows=self._table.num_rows,
            generations=self._ledger.generations,
            counts=dict(sorted(self._ledger.counts.items())),
            from_store=self._ledger.from_store,
            asked=self._ledger.asked,
            spent_usd=self._spent_usd(),
            total_usd=self._ledger.total_usd,
            seconds=round(time.monotonic() - self._started, 3),
            splits={config: {split: size.rows for split, size in each.items()} for config, each in sizes.items()},
            image_columns=tuple(made),
            marking=self.recipe.marking if isinstance(self.recipe.marking, str) else self.recipe.marking.type,
            trained=self.task.image_generation_model.trained,
            reasons=dict(self._ledger.reasons.most_common(10)),
            rejections=dict(sorted(self._ledger.rejections.items())),
            made=(min(days), max(days)) if days else None,
        )

    def _assemble(self, sizes: Mapping[str, Mapping[str, SplitSize]], report: BuildReport) -> Distiset:
        assert self._features is not None
        distiset = Distiset(read_built_folder(self._staged.place, sizes, self._features, self.store.reference))
        distiset.report = report
        names = list(image_columns(self._features))
        return distiset.transform_columns_to_image(names) if names and distiset else distiset

    def _spent_usd(self) -> float | None:
        """What this run paid, damaged images included; ``None`` where the price of any is unknown."""
        ledger, paid = self._ledger, self.task.llm.generator.budget
        unknown = self.task.image_generation_model.price_per_image_usd is None and paid.images > ledger.paid
        return None if ledger.spent_usd is None or unknown else float(paid.cost_usd)

    def tell(self, stage: str = "generating") -> None:
        """Log how far the build is, the images of batches under way included."""
        ledger, paid = self._ledger, self.task.llm.generator.budget
        under_way = max(0, paid.images - ledger.paid)
        priced = self.task.image_generation_model.price_per_image_usd is not None
        spent = float(paid.cost_usd) if priced else ledger.spent_usd if ledger.paid else None
        tell(Progress(self.recipe.name, stage, ledger.generations + under_way, self.total, dict(ledger.counts), spent))


def connected_task(recipe: Recipe, store: ImageStore) -> ImageTask:
    """The recipe's task, generating into the store within the recipe's limits; loaded, unless workers do the work."""
    task = recipe.task
    if isinstance(recipe.runner, ThreadRunner):
        task.load()
    generator = ImageGenerator(task.image_generation_model, store, recipe.limits)
    return task.connected_to(GenerationSession(generator, recipe.seed, detailed=True))


def _grouped(results: Sequence[RowResult]) -> dict[tuple[str, str], list[Row]]:
    """Rows by config and split; what was never asked stands in the ledger only."""
    configs = {"ok": "default", "rejected": "rejected", "refused": "failed", "failed": "failed"}
    groups: dict[tuple[str, str], list[Row]] = {}
    for result in results:
        config = configs.get(result.columns["status"])
        if config:
            groups.setdefault((config, result.split), []).append(result.columns)
    return groups


def _check_failures(distiset: Distiset, recipe: Recipe) -> None:
    report = distiset.report
    assert report is not None
    if report.failure_rate <= recipe.limits.max_failure_rate:
        return
    reason = next(iter(report.reasons), "unknown")
    error = TooManyFailuresError(
        f"{report.counts['failed']:,} of {report.generations:,} generations failed, more than "
        f"limits.max_failure_rate ({recipe.limits.max_failure_rate:g}) allows; most often: {reason} "
        f"What there is was written to {report.folder}; build again, and only what is missing is asked."
    )
    error.distiset = distiset
    raise error
