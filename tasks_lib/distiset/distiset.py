"""The Distiset: config name to ``DatasetDict``, and what one does with all configs at once."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from tasks_lib.distiset.built_folder import holds_still
from tasks_lib.distiset.dataset_folder import write_dataset_folder
from tasks_lib.distiset.disk import SavedFacts
from tasks_lib.distiset.image_conversion import with_image_column
from tasks_lib.distiset.marks import mark_of
from tasks_lib.distiset.notebook import distiset_html
from tasks_lib.distiset.places import load_distiset, save_distiset
from tasks_lib.distiset.splits import cut_in_two, splits_of
from tasks_lib.errors import ImageCellError
from tasks_lib.report import BuildReport

if TYPE_CHECKING:
    from tasks_lib.publishing import PublishReport

__all__ = ["Distiset"]


class Distiset(dict[str, Any]):
    """A dataset as it was built: ``distiset["default"]["train"][0]["image"]`` is a PIL image.

    Values are ``datasets.DatasetDict`` or, as in distilabel, plain ``datasets.Dataset``.

    Attributes:
        report: what the build did, or ``None``.
        citations: BibTeX entries, which go into the card.
    """

    def __init__(self, *configs: Any, **named: Any) -> None:
        super().__init__(*configs, **named)
        self.report: BuildReport | None = None
        self.citations: list[str] = []

    def transform_columns_to_image(self, columns: str | list[str]) -> Self:
        """Turn columns into ``Image`` columns, in place.

        Cells may be base64, data URIs, bytes, paths, URLs or store references, and ``None``. Pixels are
        neither decoded nor re-encoded; paths and references stay where they are.

        Args:
            columns: one column or several; lists of images become lists of ``Image``.

        Raises:
            ImageCellError: no config has such a column, or a cell is not an image.
        """
        names = [columns] if isinstance(columns, str) else list(columns)
        present = list(dict.fromkeys(name for value in self.values() for name in _column_names(value)))
        missing = [name for name in names if name not in present]
        if missing:
            raise ImageCellError(
                f"no config has the column {', '.join(map(repr, missing))}; found {', '.join(map(repr, present))}."
            )
        self.update({config: _with_image_columns(value, names) for config, value in self.items()})
        return self

    def train_test_split(self, train_size: float = 0.8, shuffle: bool = True, seed: int | None = None) -> Self:
        """Cut every config into ``train`` and ``test``, in place.

        Rows are pointed at, not copied. Where a config has two rows or more, neither split is empty; a single
        row goes to ``train``. What a check turned down and what failed is cut as well, so that all configs have
        the same splits.

        Args:
            train_size: share of each config's rows for ``train``, between 0 and 1, rounded down.
            shuffle: draw rows at random; otherwise ``train`` takes the first ones.
            seed: draws the same rows again.

        Raises:
            UsageError: the share is out of bounds, or a config has several splits already. Nothing is cut then.
        """
        self.update(cut_in_two(self, train_size, shuffle, seed))
        return self

    def save_to_disk(
        self,
        distiset_path: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        save_card: bool = True,
    ) -> None:
        """Save everything as Arrow files with all images inside, written once and with flat memory.

        A place where there is something is left alone. A local save that is killed leaves nothing at the place;
        one on object storage leaves something that :meth:`load_from_disk` names as not whole.

        Args:
            distiset_path: a new or empty folder, or a fsspec URL such as ``s3://bucket/mine``.
            storage_options: what the file system needs beside the URL; the environment without it.
            save_card: whether a card goes with it, in ``distiset_configs``.

        Raises:
            OutputError: there is something at the place, or it cannot be written.
            UsageError: there is nothing to save, or a config or split has a name that would not load again.
            ImageCellError: an image is not where its row says.
        """
        splits = {config: list(value) if isinstance(value, dict) else None for config, value in self.items()}
        facts = SavedFacts(splits, self.citations, self.report)
        save_distiset(self, distiset_path, storage_options, facts, save_card)

    @classmethod
    def load_from_disk(
        cls,
        distiset_path: str | os.PathLike[str],
        keep_in_memory: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Load what :meth:`save_to_disk` saved, here or in distilabel, or the dataset folder of a build.

        Saved Arrow files are used where they lie, without reading them; those on object storage come into a
        temporary folder first. The Parquet of a dataset folder goes through ``load_dataset`` and its cache.

        Args:
            distiset_path: the folder, or its fsspec URL.
            keep_in_memory: read everything into memory now.
            storage_options: as for :meth:`save_to_disk`.

        Raises:
            OutputError: there is no Distiset, or only a part of one, or it cannot be read.
        """
        configs, facts = load_distiset(distiset_path, storage_options, keep_in_memory)
        distiset = cls(configs)
        distiset.report, distiset.citations = facts.report, list(facts.citations)
        return distiset

    def push_to_hub(
        self,
        repo_id: str,
        private: bool | None = None,
        token: str | None = None,
        generate_card: bool = True,
        **settings: Any,
    ) -> "PublishReport":
        """Publish everything as a dataset repository, in one commit.

        What a build gave, and nobody changed since, is published as its folder: with its card, gallery, ledger
        and marked images. Anything else is written as a dataset folder first, into a temporary folder
        (``TMPDIR``) that takes as much space as the images.

        Args:
            repo_id: such as ``me/shapes``.
            private: whether a new repository is private; ``None`` is the owner's default.
            token: of the Hub; without it, the one logged in with.
            generate_card: whether a text for people is written into ``README.md``; the folder of a build has its own.
            **settings: further ones of :func:`tasks_lib.publishing.publish_folder`, such as ``dry_run``,
                ``overwrite`` and ``revision``.

        Raises:
            UsageError: the repository's name cannot be, there is no token, or the Distiset cannot be written.
            PublishError: the Hub did not take it.
            ImageCellError: an image is not where its row says.
        """
        from tasks_lib.publishing import check_token, publish_folder

        if self.report and holds_still(self.report, self):
            return publish_folder(self.report.folder, repo_id, private=private, token=token, **settings)
        if not settings.get("dry_run"):
            check_token(repo_id, token=token, endpoint=settings.get("endpoint"))  # before every image is written
        with TemporaryDirectory(prefix="imageloom-") as temporary:
            folder = self.write_dataset_folder(Path(temporary, "dataset"), repo_id, generate_card)
            return publish_folder(folder, repo_id, private=private, token=token, **settings)

    def write_dataset_folder(
        self, folder: str | os.PathLike[str], name: str | None = None, generate_card: bool = True
    ) -> Path:
        """Write Parquet shards and a card, so that ``load_dataset(folder)`` shows every config and split.

        Images of a build are marked as its recipe says.

        Args:
            folder: new or empty.
            name: what the card calls the dataset; the folder's name without it.
            generate_card: whether there is a text for people below the YAML of ``README.md``.

        Raises:
            OutputError: there is something in the folder, or it cannot be written.
            UsageError: there is nothing to write, or it would not load again: the name of a config or split, or splits
                of one config with different columns.
            ImageCellError: an image is not where its row says.
        """
        return write_dataset_folder(
            self,
            Path(folder),
            name=name,
            citations=self.citations,
            mark=mark_of(self.report),
            generate_card=generate_card,
        )

    def copy(self) -> Self:
        """Another Distiset with the same datasets, report and citations."""
        return copy.copy(self)

    def __copy__(self) -> Self:
        other = type(self)(self)
        other.report, other.citations = self.report, list(self.citations)
        return other

    def __repr__(self) -> str:
        configs = "\n".join(f"    {config}: {value!r}".replace("\n", "\n    ") for config, value in self.items())
        return f"Distiset({{\n{configs}\n}})"

    def _repr_html_(self) -> str:
        return distiset_html(self, self.report.image_column if self.report else None)


def _column_names(config: Any) -> list[str]:
    return [name for dataset in splits_of(config).values() for name in dataset.column_names]


def _with_image_columns(config: Any, names: list[str]) -> Any:
    from datasets import DatasetDict

    changed = {}
    for split, dataset in splits_of(config).items():
        for name in names:
            dataset = with_image_column(dataset, name) if name in dataset.column_names else dataset
        changed[split] = dataset
    return DatasetDict(changed) if isinstance(config, dict) else changed["train"]
