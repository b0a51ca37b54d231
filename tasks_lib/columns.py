"""The columns of the dataset and their types: the source's, the task's outputs, and the account of each row."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks_lib.errors import StopError
from tasks_lib.images import is_reference
from tasks_lib.tasks import Row

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

__all__ = [
    "ACCOUNT_COLUMNS",
    "check_row",
    "dataset_features",
    "image_columns",
    "is_plain",
    "output_array",
    "source_features",
    "source_images",
    "untold_columns",
]

ACCOUNT_COLUMNS = ("status", "error", "generation")
"""Columns that every dataset has beside the source's and the task's."""
KEPT = "What was paid for is in the store: build again."
ADVICE = f"Give it one type in every row. {KEPT}"


def untold_columns(rows: Sequence[Row], outputs: Sequence[str]) -> set[str]:
    """The outputs whose type no row tells: they, or a part of them, hold nothing but ``None``."""
    columns = {name: [row.get(name) for row in rows] for name in outputs}
    return {name for name, values in columns.items() if _is_untold(values) or _has_gap(values)}


def dataset_features(source: "pa.Schema", rows: Sequence[Row], outputs: Sequence[str], image_output: str) -> "Features":
    """The types of all columns, in the order in which they stand in the dataset.

    Args:
        source: the schema of the source's rows; its types are kept.
        rows: the first finished rows; they show the types of the task's outputs.
        outputs: the names of the task's columns.
        image_output: the one of them that holds images, should no row tell.

    Raises:
        StopError: an output holds values of several types.
    """
    from datasets import Features, List, Value

    grouped = any(isinstance(row["generation"], list) for row in rows)
    features: dict[str, Any] = dict(source_features(source))
    others = [name for row in rows for name in row if name not in features]
    for name in dict.fromkeys([*outputs, *others]):
        if name not in ACCOUNT_COLUMNS:
            features[name] = _feature(name, [row.get(name) for row in rows], name == image_output)
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


def _feature(name: str, values: list[Any], is_image: bool) -> Any:
    from datasets import Image, List, Value
    from datasets.features.features import generate_from_arrow_type

    listed = any(isinstance(value, list) for value in values)
    if _is_untold(values):
        feature = Image() if is_image else Value("string")
        return List(feature) if listed else feature
    first = next(value for value in values if value is not None)
    if isinstance(first, list) and any(is_reference(item) for value in values for item in value or []):
        return List(Image())
    return Image() if is_reference(first) else generate_from_arrow_type(output_array(name, values).type)


def output_array(name: str, values: Sequence[Any], kind: "pa.DataType | None" = None) -> "pa.Array":
    """The values of an output column, all of one type.

    Args:
        name: of the column.
        values: none of them an image.
        kind: the type that the column has; without one, the type that the values tell.

    Raises:
        StopError: they are of several types, or of another than ``kind``; nothing is rounded or left out to fit.
    """
    import pyarrow as pa

    try:
        found = pa.array(values)
        if kind is None or found.type == kind:
            return found
        both = [pa.schema([(name, each)]) for each in (kind, found.type)]
        # A cast alone would make text of numbers, and drop what a struct has more.
        if pa.unify_schemas(both, promote_options="permissive").field(0).type != kind:
            raise _changed(name, str(kind), str(found.type))
        return found.cast(kind)
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        raise StopError(
            f"the output column '{name}' cannot hold its values as {kind or 'one type'}: {error}. {ADVICE}"
        ) from error


def check_row(row: Row, features: "Features", images: Mapping[str, bool], sources: Collection[str]) -> None:
    """Whether a finished row has its images where the columns have theirs.

    Args:
        row: with store references for images.
        features: the columns.
        images: the image columns among them, each with whether it holds lists.
        sources: the columns of the source, which need no check.

    Raises:
        StopError: there is an image where none goes, or something else where one goes, or a column too many.
    """
    for name, value in row.items():
        if name not in features:
            raise StopError(
                f"the task gave the column '{name}', which its first rows did not have. Name it in the task's "
                f"outputs. {KEPT}"
            )
        if name in sources or name in ACCOUNT_COLUMNS:
            continue
        if name not in images:
            if _holds_image(value):
                raise _changed(
                    name, str(features.arrow_schema.field(name).type), "an image, so it may be the task's image_output"
                )
        elif not _is_image(value, images[name]):
            raise _changed(name, "lists of images" if images[name] else "images", f"{type(value).__name__}")


def _changed(name: str, first: str, now: str) -> StopError:
    return StopError(
        f"the output column '{name}' changed its type: its first rows made it {first}, and now it holds {now}. {ADVICE}"
    )


def _is_untold(value: Any) -> bool:
    return all(map(_is_untold, value)) if isinstance(value, list) else value is None


def _has_gap(values: Sequence[Any]) -> bool:
    """Whether some part of nested values, such as a field of a dict, is ``None`` in all of them."""
    import pyarrow as pa

    if not any(isinstance(value, (dict, list)) for value in values):
        return False
    try:
        return _lacks_a_type(pa.array(values).type)
    except (pa.ArrowException, OverflowError, UnicodeError):
        return False  # which is told when they are written


def _lacks_a_type(kind: "pa.DataType") -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return not kind.num_fields or any(_lacks_a_type(field.type) for field in kind)
    return _lacks_a_type(kind.value_type) if types.is_list(kind) else types.is_null(kind)


def _is_image(value: Any, listed: bool) -> bool:
    if listed and value is not None:
        return isinstance(value, list) and all(_is_image(item, listed=False) for item in value)
    return value is None or is_reference(value)


def _holds_image(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_holds_image, value)) if isinstance(value, list) else is_reference(value)


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
