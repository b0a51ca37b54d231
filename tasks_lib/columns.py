"""The columns of the dataset and their types: the source's, the task's outputs, and the account of each row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks_lib.errors import StopError
from tasks_lib.images import REFERENCE_PREFIX
from tasks_lib.tasks import Row

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

__all__ = ["ACCOUNT_COLUMNS", "dataset_features", "image_columns", "is_plain", "source_features", "source_images"]

ACCOUNT_COLUMNS = ("status", "error", "generation")
"""Columns that every dataset has beside the source's and the task's."""


def dataset_features(source: "pa.Schema", rows: Sequence[Row], outputs: Sequence[str]) -> "Features":
    """The types of all columns, in the order in which they stand in the dataset.

    Args:
        source: the schema of the source's rows; its types are kept.
        rows: finished rows of the first batch; they show the types of the task's outputs.
        outputs: the names of the task's columns.

    Raises:
        StopError: an output holds values of several types.
    """
    from datasets import Features, Image, List, Value

    grouped = any(isinstance(row["generation"], list) for row in rows)
    features: dict[str, Any] = dict(source_features(source))
    others = [name for row in rows for name in row if name not in features]
    for name in dict.fromkeys([*outputs, *others]):
        if name not in ACCOUNT_COLUMNS:
            features[name] = _feature(name, [row.get(name) for row in rows])
    if "image" in outputs and features["image"] == Value("string"):
        # Every generation of the first batch failed; the column is still one of images.
        features["image"] = List(Image()) if grouped else Image()
    generation = {
        "seed": Value("int64"),
        "fingerprint": Value("string"),
        "image_sha256": Value("string"),
        "width": Value("int32"),
        "height": Value("int32"),
        "format": Value("string"),
        "options": Value("string"),
        "seconds": Value("float64"),
        "cost_usd": Value("float64"),
    }
    features["status"] = features["error"] = Value("string")
    features["generation"] = List(generation) if grouped else generation
    return Features(features)


def source_features(source: "pa.Schema") -> "Features":
    """The types of a source's columns; bytes with a path are an image, as in a file that ``datasets`` did not write."""
    from datasets import Features, Image, Value

    features = dict(Features.from_arrow_schema(source))
    cell = {"bytes": Value("binary"), "path": Value("string")}
    return Features({name: Image() if feature == cell else feature for name, feature in features.items()})


def source_images(source: "pa.Schema") -> frozenset[str]:
    """The names of a source's image columns, lists of images included."""
    if all(map(is_plain, source.types)):
        return frozenset()
    return frozenset(image_columns(source_features(source)))


def is_plain(column: "pa.DataType") -> bool:
    """Whether a type is sure to be no image and to fit into a dataset, without asking ``datasets``.

    Importing that takes half a second, which most builds then need not wait for before their first call.
    """
    from pyarrow import types

    return any(is_it(column) for is_it in (types.is_boolean, types.is_integer, types.is_floating, types.is_string))


def _feature(name: str, values: list[Any]) -> Any:
    import pyarrow as pa
    from datasets import Image, List, Value
    from datasets.features.features import generate_from_arrow_type

    first = next((value for value in values if value is not None), None)
    items = [item for value in values if isinstance(value, list) for item in value]
    if isinstance(first, list) and any(_is_reference(item) for item in items):
        return List(Image())
    if _is_reference(first):
        return Image()
    try:
        found = pa.array(values).type
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StopError(f"the output column '{name}' holds values of several types: {error}. Give it one.") from error
    return Value("string") if pa.types.is_null(found) else generate_from_arrow_type(found)


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(REFERENCE_PREFIX)


def image_columns(features: "Features") -> dict[str, bool]:
    """The image columns, each with whether it holds lists of images."""
    from datasets import Image, List

    found: dict[str, bool] = {}
    for name, feature in features.items():
        if isinstance(feature, Image):
            found[name] = False
        elif isinstance(feature, List) and isinstance(feature.feature, Image):
            found[name] = True
    return found
