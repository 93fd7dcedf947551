"""Rows of a file of text: lines of JSON, plain or compressed, or a column of a parquet file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.errors import CorpusError

if TYPE_CHECKING:
    from msgspec.json import Decoder

_CODECS = {".jsonl": None, ".jsonl.gz": "gzip", ".jsonl.zst": "zstd"}
_PARQUET = ".parquet"

_BUFFER = 2**16
"""Bytes to decompress at once: few, because no line of them is read if the file is damaged within."""
_BATCH_ROWS = 64
"""Rows of a parquet file to decode at once: few, because a row may be large."""
_LISTED = 20


@dataclass
class Skipped:
    """The broken rows of a file that were skipped."""

    count: int = 0
    """How many there are."""
    first: list[str] = field(default_factory=list)
    """`<line>: <reason>` of the first 20."""

    def add(self, error: CorpusError) -> None:
        """Count a row."""
        self.count += 1
        if len(self.first) < _LISTED:
            self.first.append(f"{error.fields['line']}: {error.fields['reason']}")


def read_rows(path: Path, key: str, skipped: Skipped | None = None) -> Iterator[tuple[int, str, int]]:
    """Yield the number of each row from 1, its text, and how many bytes of the file are read. Blank lines are passed.

    Args:
        path: the file; its suffix is that of its format.
        key: key of the text in an object, or column.
        skipped: gets the broken rows; if None, the first is an error.

    Raises:
        CorpusError: a row is not UTF-8, not JSON, or has no text; the file is damaged, or has no column of text.
    """
    rows = _parquet_rows if path.name.endswith(_PARQUET) else _lines
    with path.open("rb") as file:
        for number, row, position in rows(file, path, key):
            if isinstance(row, str):
                yield number, row, position
            elif skipped is None:
                raise row
            else:
                skipped.add(row)


def _lines(file: io.BufferedReader, path: Path, key: str) -> Iterator[tuple[int, str | CorpusError, int]]:
    import msgspec
    import pyarrow as pa

    decoder = msgspec.json.Decoder(msgspec.defstruct("Row", [("text", str, msgspec.field(name=key))]))
    codec = next(codec for suffix, codec in _CODECS.items() if path.name.endswith(suffix))
    stream: Any = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), codec) if codec else file
    number = 0
    with _damage(path, "line", lambda: number + 1):
        for number, line in enumerate(io.BufferedReader(stream, _BUFFER) if codec else file, start=1):
            if not line.isspace():
                yield number, _text(decoder, line, path, number, key), file.tell()


def _parquet_rows(file: io.BufferedReader, path: Path, key: str) -> Iterator[tuple[int, str | CorpusError, int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number, size = 0, path.stat().st_size
    with _damage(path, "row", lambda: number + 1):
        table = pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False)
        schema = table.schema_arrow
        kind = schema.field(key).type if key in schema.names else None
        if kind is None or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            fault = f"no column {key}" if kind is None else f"column {key} has the type {kind}, not string"
            hint = f"choose a column of text with --text-key: the file has {', '.join(schema.names)}"
            raise CorpusError(f"{path}: {fault}", code="text-column", hint=hint, path=path, column=key)
        rows = table.metadata.num_rows
        for batch in table.iter_batches(_BATCH_ROWS, columns=[key], use_threads=False):
            for value in batch.column(0):
                number += 1
                yield number, _value(value, path, number, key), size * number // rows


@contextmanager
def _damage(path: Path, unit: str, number: Any) -> Iterator[None]:
    """Name the file and the row in what a decompressor or pyarrow raises."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, EOFError, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        message = f"{path}: cannot be read near {unit} {number()}: {reason}"
        hint = "the file is damaged or was cut off: get it again"
        raise CorpusError(message, code="corpus-file-damaged", hint=hint, path=path, line=number()) from None


def _text(decoder: Decoder[Any], line: bytes, path: Path, number: int, key: str) -> str | CorpusError:
    import msgspec

    try:
        text: str = decoder.decode(line).text
        return text
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _slow_text(line, path, number, key)  # says what is wrong, and reads NaN, which is not JSON


def _slow_text(line: bytes, path: Path, number: int, key: str) -> str | CorpusError:
    try:
        row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        text = row.get(key) if isinstance(row, dict) else None
        if isinstance(text, str):
            text.encode()
            return text
        code, rule = "row-text-missing", f"must be an object with text under the key {key}"
    except UnicodeDecodeError as error:
        code, rule = "row-encoding", f"not UTF-8: {error.reason} at byte {error.start}"
    except UnicodeEncodeError:
        code, rule = "row-encoding", "text must be Unicode, but has an unpaired surrogate"
    except json.JSONDecodeError as error:
        code, rule = "row-malformed", f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
    except (ValueError, RecursionError) as error:  # a number with too many digits, or too many brackets
        code, rule = "row-malformed", f"not JSON that can be read: {error}"
    hint = f'each line must be one JSON object: {{"{key}": "the document"}}'
    if code == "row-text-missing":
        hint += "; name another key with --text-key"
    return _bad_row(path, number, code, rule, hint)


def _value(value: Any, path: Path, number: int, key: str) -> str | CorpusError:
    try:
        text: str | None = value.as_py()
    except UnicodeDecodeError as error:
        rule = f"not UTF-8: {error.reason} at byte {error.start}"
        return _bad_row(path, number, "row-encoding", rule, "write the file again as UTF-8")
    if text is None:
        return _bad_row(path, number, "row-text-missing", f"null in the column {key}", "remove the rows without text")
    return text


def _bad_row(path: Path, number: int, code: str, rule: str, hint: str) -> CorpusError:
    hint += ", or pass --skip-bad"
    return CorpusError(f"{path}:{number}: {rule}", code=code, hint=hint, path=path, line=number, reason=rule)
