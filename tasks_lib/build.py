"""One build, from recipe to dataset folder; an orchestrator brings the batches and takes them back in order."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from tasks_lib.batches import Batch, RowResult, cut_batches, rows_a_batch
from tasks_lib.card import write_card
from tasks_lib.checks import DuplicateIndex
from tasks_lib.columns import image_columns
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
from tasks_lib.row_writer import RowWriter
from tasks_lib.runners import ThreadRunner
from tasks_lib.session import GenerationSession
from tasks_lib.shards import SplitSize
from tasks_lib.source_table import read_source
from tasks_lib.store import ImageStore
from tasks_lib.tasks import ImageTask

__all__ = ["Build", "connected_task"]


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
        mark = open_mark(recipe.marking, recipe.task.image_generation_model.trained)
        self.store = ImageStore(recipe.store)
        self.task = connected_task(recipe, self.store)
        self._staged = StagedFolder(loadable_place(recipe.output.path))
        try:
            self._ledger = Ledger(self._staged.path / LEDGER_FILE)
        except OSError as error:
            self._staged.abandon()
            raise self._unwritable(error) from error
        schema, splits = self._table.schema, recipe.output.splits
        self._rows = RowWriter(self._staged.path, schema, recipe.task, self.store, mark, splits)
        near = recipe.checks.near_duplicates
        self._duplicates = DuplicateIndex(near.distance) if near else None
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
        with self._writing():
            self._ledger.write([entry for result in checked for entry in result.ledger])
            self._rows.add(checked)
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
        self._rows.abandon()
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
        sizes = self._rows.close()
        self._ledger.close()
        report = self._report(sizes)
        folder = self._staged.path
        (folder / RECIPE_FILE).write_text(self.recipe.to_yaml(), encoding="utf-8")
        write_card(folder, self.recipe, report, self._rows.features, sizes, write_samples(folder))
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

    def _report(self, sizes: Mapping[str, Mapping[str, SplitSize]]) -> BuildReport:
        days = self._ledger.days
        made = [name for name in image_columns(self._rows.features) if name not in self._table.column_names]
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
        features = self._rows.features
        distiset = Distiset(read_built_folder(self._staged.place, sizes, features, self.store.reference))
        distiset.report = report
        names = list(image_columns(features))
        return distiset.transform_columns_to_image(names) if names and distiset else distiset

    def _spent_usd(self) -> float | None:
        """What this run paid, damaged images included; ``None`` where the price of any is unknown."""
        ledger, paid = self._ledger, self.task.llm.generator.budget
        unknown = self.task.image_generation_model.price_per_image_usd is None and paid.images > ledger.paid
        return None if ledger.spent_usd is None or unknown else float(paid.cost_usd)

    def tell(self, stage: str = "generating") -> None:
        """Log how far the build is, the images of batches under way included."""
        ledger, paid = self._ledger, self.task.llm.generator.budget
        # Damaged images are among the paid ones.
        done = min(self.total, ledger.generations + max(0, paid.images - ledger.paid))
        priced = self.task.image_generation_model.price_per_image_usd is not None
        spent = float(paid.cost_usd) if priced else ledger.spent_usd if ledger.paid else None
        tell(Progress(self.recipe.name, stage, done, self.total, dict(ledger.counts), spent))


def connected_task(recipe: Recipe, store: ImageStore) -> ImageTask:
    """The recipe's task, generating into the store within the recipe's limits; loaded, unless workers do the work."""
    task = recipe.task
    if isinstance(recipe.runner, ThreadRunner):
        task.load()
    generator = ImageGenerator(task.image_generation_model, store, recipe.limits)
    return task.connected_to(GenerationSession(generator, recipe.seed, detailed=True))


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
