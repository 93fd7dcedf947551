"""How commands print: facts and tables on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TextIO

from mixhub.errors import MixhubError
from mixhub.findings import Finding, hints
from mixhub.progress import SILENT, Bar, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn, TaskID


def say(line: str) -> None:
    """Print one line as it is."""
    print(line, flush=True)


def say_json(data: object) -> None:
    """Print one JSON document."""
    say(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def show_error(error: MixhubError, *, as_json: bool = False) -> None:
    """Print an error with its hint, or the remedy of its code; with `--json` also as a document on standard output."""
    from mixhub.codes import all_codes

    hint = error.hint or all_codes()[error.code].remedy
    if as_json:
        say_json({"error": {**error.to_data(), "hint": hint}})
    for line in error.lines():
        print(f"error: {line}", file=sys.stderr)
    print(f"hint: {hint}", file=sys.stderr)


def show_findings(findings: Sequence[Finding]) -> None:
    """Print findings, one per line, with their codes."""
    for finding in findings:
        say(f"{finding}  [{finding.code}]")


def show_hints(findings: Sequence[Finding]) -> None:
    """Print the hints of findings, each once."""
    for hint in hints(findings):
        say(f"hint: {hint}")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table; columns of numbers and dashes are right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    has_header = any(columns)
    table = Table(box=box.SIMPLE_HEAD if has_header else None, show_header=has_header, pad_edge=False)
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(_is_figure(row[number]) for row in rows)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console(width=None if sys.stdout.isatty() else 132, highlight=False)
    if title:
        console.print(Text(title, style="bold"))
    console.print(table)


def show_figures(
    rows: Sequence[str], columns: Sequence[str], figures: Mapping[tuple[str, str], str], *, title: str, corner: str
) -> None:
    """Print figures by (row, column), `-` if missing; the longer side becomes the rows."""
    if len(columns) > len(rows):
        rows, columns = columns, rows
        figures = {(row, column): figure for (column, row), figure in figures.items()}
    table = [(row, *(figures.get((row, column), "-") for column in columns)) for row in rows]
    show_table([corner, *columns], table, title=title)


def progress(*, as_json: bool = False) -> Progress:
    """Return progress with bars on standard error, if it is a terminal, and notices on standard output.

    With `as_json`, which needs standard output, notices go to standard error.
    """
    return _Progress(sys.stderr if as_json else sys.stdout)


def log_lines() -> None:
    """Print the library's log if there are no progress bars."""
    if sys.stderr.isatty():
        return
    logger = logging.getLogger("mixhub")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler())


def hide_client_bars() -> None:
    """Turn off the progress bars of huggingface_hub and Transformers."""
    from huggingface_hub import utils
    from transformers.utils import logging

    utils.disable_progress_bars()  # type: ignore[attr-defined]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


class _Progress:
    """Progress of a command."""

    def __init__(self, notices: TextIO) -> None:
        self._notices = notices

    def start(self, what: str, total: int | None, unit: str) -> AbstractContextManager[Bar]:
        return _bar(what, total, unit) if sys.stderr.isatty() else SILENT.start(what, total, unit)

    def notice(self, text: str) -> None:
        print(text, file=self._notices, flush=True)


@contextmanager
def _bar(what: str, total: int | None, unit: str) -> Iterator[_Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    def text(template: str) -> TextColumn:
        return TextColumn(template, markup=False)

    done: list[ProgressColumn] = [MofNCompleteColumn(), text("{task.fields[rate]}")]
    if unit == "token":  # too many to count
        done = [text("{task.percentage:>3.0f}%")]
    columns = (text("{task.description}"), BarColumn(20), *done, TimeRemainingColumn(), text("{task.fields[note]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bar(bars, bars.add_task(what, total=total, rate="", note=""), unit)


class _Bar:
    def __init__(self, bars: RichProgress, task: TaskID, unit: str) -> None:
        self._bars, self._task, self._unit = bars, task, unit

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        self._bars.advance(self._task, amount)
        task = self._bars.tasks[self._task]
        rate = f"{task.completed / task.elapsed:.3g} {self._unit}s/s" if task.elapsed else ""
        self._bars.update(self._task, rate=rate, note=task.fields["note"] if note is None else note)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _is_figure(value: object) -> bool:
    text = str(value)
    return isinstance(value, (int, float)) or text == "-" or text.lstrip("+-")[:1].isdigit()
