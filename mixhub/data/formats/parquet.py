"""Parquet with a column `input_ids` of lists of integers: a row for each document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixhub.data.formats.base import (
    AS_INT32,
    BLOCK,
    Block,
    Notice,
    Stream,
    Vocabulary,
    Written,
    WrittenFile,
    malformed,
    with_suffix,
)
from mixhub.errors import CorpusError

if TYPE_CHECKING:
    import pyarrow

COLUMN = "input_ids"
_ROWS = 64
"""Rows in memory at once."""
_BUFFER = 2**20
"""Bytes read at once; otherwise whole row groups are read, and ahead."""


def read(path: Path, vocabulary: Vocabulary, notice: Notice) -> Iterator[Block]:
    """Read the rows of a file; other columns are ignored."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            _check_column(path, file.schema_arrow)
            row = 0
            for batch in file.iter_batches(_ROWS, columns=[COLUMN]):
                rows = batch.column(0)
                ids = rows.flatten()
                if rows.null_count or ids.null_count:
                    raise malformed(path, f"{COLUMN} has null values in rows {row + 1:,} to {row + len(rows):,}")
                ends = np.cumsum(pc.list_value_length(rows).to_numpy(), dtype=np.int64)
                yield Block(ids.to_numpy(), ends)
                row += len(rows)
    except (pa.ArrowException, OSError) as error:
        raise malformed(path, f"cannot be read as Parquet: {error}") from None


def _check_column(path: Path, schema: pyarrow.Schema) -> None:
    import pyarrow as pa

    if COLUMN not in schema.names:
        message = f"{path}: no column {COLUMN} (columns: {', '.join(schema.names)})"
        raise CorpusError(message, code="column-missing", path=path, column=COLUMN)
    kind = schema.field(COLUMN).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_integer(kind.value_type):
        raise malformed(path, f"the column {COLUMN} has the type {kind}, not list<int32>")


def write(target: Path, stream: Stream, vocabulary: Vocabulary, notice: Notice) -> Written:
    """Write a row for each document of a shard, as list<int32>."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = with_suffix(target, ".parquet")
    ends = stream.ends()
    notice(AS_INT32)
    with pq.ParquetWriter(path, pa.schema([(COLUMN, pa.list_(pa.int32()))])) as file:
        first, start = 0, 0
        while first < len(ends):
            last = max(first + 1, int(np.searchsorted(ends, start + BLOCK, "right")))
            ids = stream.read(start, int(ends[last - 1])).astype(np.int32)
            offsets = np.concatenate([[start], ends[first:last]]) - start
            rows = pa.ListArray.from_arrays(offsets.astype(np.int32), ids)
            file.write_table(pa.table([rows], schema=file.schema))  # a row group, which readers read at once
            first, start = last, int(ends[last - 1])
    return [WrittenFile(path, stream.tokens)]
