"""How commands show: facts and tables on standard output, progress and errors on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn, TaskID

    from mixhub.errors import MixhubError
    from mixhub.findings import Finding
    from mixhub.progress import Bar, Progress

_WIDTH_WITHOUT_TERMINAL = 132
_SHOWN_AS_PERCENT = ("token",)
"""Units that nobody counts: their work says in a note what is done."""


def console() -> Console:
    """Standard output."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False, soft_wrap=False)


def say(line: str) -> None:
    """Prints one line as it is."""
    print(line, flush=True)


def say_json(data: object) -> None:
    """Prints one JSON document."""
    import json

    say(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def show_error(error: MixhubError, *, as_json: bool = False) -> None:
    """Prints message and hint of a user's mistake; with `--json` it is the document on standard output, too."""
    if as_json:
        say_json({"error": error.to_data()})
    for line in error.lines():
        print(f"error: {line}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def show_findings(findings: Sequence[Finding]) -> None:
    """Prints findings, a line each, with their codes."""
    from mixhub.findings import with_codes

    for line in with_codes(findings):
        say(line)


def show_hints(findings: Sequence[Finding]) -> None:
    """Prints the next steps, each once."""
    from mixhub.findings import hints

    for hint in hints(findings):
        say(f"hint: {hint}")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """Prints a table; columns whose cells all begin with a number, or are a lone dash, are set to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD if any(columns) else None,
        show_header=any(columns),
        pad_edge=False,
    )
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(_is_figure(row[number]) for row in rows)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    shown = console()
    if title:
        shown.print(Text(title, style="bold"))
    shown.print(table)


def show_figures(
    rows: Sequence[str], columns: Sequence[str], figures: Mapping[tuple[str, str], str], *, title: str, corner: str
) -> None:
    """Prints figures by (row, column), `-` where there is none; the longer side goes down the page."""
    if len(columns) > len(rows):
        rows, columns = columns, rows
        figures = {(row, column): figure for (column, row), figure in figures.items()}
    table = [(row, *(figures.get((row, column), "-") for column in columns)) for row in rows]
    show_table([corner, *columns], table, title=title)


def progress(*, as_json: bool = False) -> Progress:
    """Bars on standard error where it is a terminal; notices on standard output, or beside the JSON that it is for."""
    return _Progress(sys.stderr if as_json else sys.stdout)


def log_lines() -> None:
    """Prints what the library logs, where no bar shows how far it is."""
    import logging

    if sys.stderr.isatty():
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("mixhub")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)


def hide_client_bars() -> None:
    """Keeps huggingface_hub and Transformers from drawing bars of their own in this process."""
    from huggingface_hub import utils
    from transformers.utils import logging

    utils.disable_progress_bars()  # type: ignore[attr-defined]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


class _Progress:
    """mixhub's progress as a command shows it."""

    def __init__(self, notices: TextIO) -> None:
        self._notices = notices

    def start(self, what: str, total: int | None, unit: str) -> AbstractContextManager[Bar]:
        from mixhub.progress import SILENT

        return _bar(what, total, unit) if sys.stderr.isatty() else SILENT.start(what, total, unit)

    def notice(self, text: str) -> None:
        print(text, file=self._notices, flush=True)


@contextmanager
def _bar(what: str, total: int | None, unit: str) -> Iterator[_Bar]:
    """One bar, drawn by rich."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    what_is_done: tuple[ProgressColumn, ...] = (
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
    )
    if unit in _SHOWN_AS_PERCENT:
        what_is_done = (TextColumn("{task.percentage:>3.0f}%", markup=False),)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        *what_is_done,
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bar(bars, bars.add_task(what, total=total, rate="", note=""), unit)


class _Bar:
    def __init__(self, bars: RichProgress, task: TaskID, unit: str) -> None:
        self._bars, self._task, self._unit = bars, task, unit

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        self._bars.advance(self._task, amount)
        task = self._bars.tasks[self._task]
        if task.elapsed:
            self._bars.update(self._task, rate=f"{task.completed / task.elapsed:.3g} {self._unit}s/s")
        if note is not None:
            self._bars.update(self._task, note=note)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _is_figure(value: object) -> bool:
    text = str(value)
    return isinstance(value, (int, float)) or text == "-" or text.lstrip("+-")[:1].isdigit()
