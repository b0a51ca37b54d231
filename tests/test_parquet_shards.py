"""The shards of one split: where one ends, and what they are called; a build and a Distiset write theirs so."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features, Value

from tasks_lib.parquet_shards import BYTES_A_SHARD, ParquetShards
from tasks_lib.shard_names import ShardName, shards_of


@pytest.mark.parametrize(
    ("groups", "held"), [(1, [[0]]), (2, [[0, 1]]), (3, [[0, 1], [2]]), (5, [[0, 1], [2, 3], [4]])]
)
def test_a_full_shard_is_followed_by_the_next(tmp_path: Path, groups: int, held: list[list[int]]) -> None:
    """A shard ends with the group that fills it, no shard is empty, and the names tell order and number."""
    shards = ParquetShards(tmp_path / "data", "train", Features({"n": Value("int64")}))
    for number in range(groups):
        shards.write(pa.table({"n": [number]}), BYTES_A_SHARD // 2)
    paths = shards.close()
    assert [pq.read_table(path)["n"].to_pylist() for path in paths] == held
    assert paths == shards_of(tmp_path, "default", "train") == sorted((tmp_path / "data").iterdir())
    assert [ShardName.of(path) for path in paths] == [
        ShardName("train", number, len(held)) for number in range(len(held))
    ]
    assert paths[0].name == f"train-00000-of-0000{len(held)}.parquet"
