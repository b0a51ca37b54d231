"""Shards of one split as Parquet files, with the settings that suit images and the Hub."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks_lib.columns import image_columns

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

__all__ = ["BYTES_A_SHARD", "number_shards", "open_shard"]

BYTES_A_SHARD = 500 * 1024 * 1024


def open_shard(path: Path, features: "Features") -> "pq.ParquetWriter":
    """A new Parquet file; its folder is made as needed."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    schema = features.arrow_schema
    leaves = _leaf_columns(schema)
    pixels = {leaf for leaf in leaves if leaf.split(".")[0] in image_columns(features)}
    return pq.ParquetWriter(
        path,
        schema,
        # Compressed image bytes gain nothing and destroy deduplication on the Hub.
        compression={leaf: "NONE" if leaf in pixels else "ZSTD" for leaf in leaves},
        use_dictionary=[leaf for leaf in leaves if leaf not in pixels],
        use_content_defined_chunking=True,
        write_page_index=True,
    )


def number_shards(paths: list[Path], split: str) -> list[Path]:
    """Give the files of a split, in order, the names that say how many there are."""
    names = [f"{split}-{number:05d}-of-{len(paths):05d}.parquet" for number in range(len(paths))]
    return [path.rename(path.with_name(name)) for path, name in zip(paths, names, strict=True)]


def _leaf_columns(schema: "pa.Schema") -> list[str]:
    """The Parquet paths of a schema's leaves, such as ``image.bytes``, as Parquet itself names them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    nothing = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), nothing)
    leaves = pq.ParquetFile(nothing.getvalue()).schema
    return [leaves.column(number).path for number in range(len(leaves))]
