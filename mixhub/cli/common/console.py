"""How commands print: facts and tables on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TextIO

from mixhub.errors import MixhubError
from mixhub.findings import Finding
from mixhub.phrases import listed
from mixhub.progress import SILENT, Bar, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn, TaskID

_PIPED = 132
"""Width of a table if the output is no terminal."""
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""Control characters as they are printed: names from files and repos of others must not control the terminal."""
_LONG = 200
"""A table of more rows is printed line by line, if nothing has to be wrapped."""
_MANY = 5
"""This many findings that differ only in their place are printed as one."""


def say(line: str, file: TextIO | None = None) -> None:
    """Print one line, by default on standard output, with control characters escaped."""
    print(line.translate(_CONTROLS), file=file, flush=True)


def say_wrapped(line: str, file: TextIO | None = None) -> None:
    """Print one line, wrapped at blanks if it does not fit the terminal, or COLUMNS if that is set."""
    from rich.cells import cell_len

    from mixhub.cli.common.layout import wrapped

    line, width = line.translate(_CONTROLS), _width()
    for part in [line] if width is None or cell_len(line) <= width else wrapped(line, width):
        say(part, file)


def say_json(data: object) -> None:
    """Print one JSON document."""
    print(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False), flush=True)


def show_error(error: MixhubError, *, as_json: bool = False) -> None:
    """Print an error with its hint, or the remedy of its code; with `--json` also as a document on standard output."""
    from mixhub.cli.common.options import as_asked
    from mixhub.codes import all_codes

    about = next((error.fields[key] for key in ("family", "name", "source") if key in error.fields), None)
    hint = as_asked(error.hint or all_codes()[error.code].remedy, about)
    if as_json:
        say_json({"error": {**error.to_data(), "hint": hint}})
    lines = error.lines()
    listed_findings: Sequence[Finding] = error.fields.get("findings", ())  # type: ignore[assignment]
    findings = [replace(finding, hint=as_asked(finding.hint)) for finding in listed_findings]
    if [finding.hint for finding in findings] == [hint]:
        findings = []
    for own, their_hint in _by_hint(findings):
        for finding in own:
            say(f"error: {lines[findings.index(finding)]}", sys.stderr)
        if their_hint:
            say(_hint_line(their_hint, len(own)), sys.stderr)
    for line in lines[len(findings) :]:
        say(f"error: {line}", sys.stderr)
    if hint not in [finding.hint for finding in findings]:
        say(f"hint: {hint}", sys.stderr)


def say_next(commands: str) -> None:
    """Print the next commands to type, with the family and the workspace that the user named."""
    from mixhub.cli.common.options import as_asked

    say(as_asked(f"next: {commands}"))


def show_findings(findings: Sequence[Finding]) -> None:
    """Print findings, each ending in its code and wrapped like notes; those that share a hint together, above it.

    Hints are not wrapped: many hold a command to copy.
    """
    for own, hint in _by_hint(findings):
        for finding in _by_message(own):
            say_wrapped(f"{finding}  [{finding.code}]")
        if hint:
            say(_hint_line(hint, len(own)))


def _by_message(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Yield findings, and one instead of many that say the same of different places, such as of 86 branches."""
    same: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        same.setdefault((finding.code, finding.level, finding.message, str(finding.line)), []).append(finding)
    for group in same.values():
        if len(group) < _MANY:
            yield from group
        else:
            yield replace(group[0], where=listed([finding.where for finding in group], most=_MANY))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table; columns of numbers and dashes are right-aligned.

    It is as wide as the terminal, or COLUMNS if that is set. What does not fit is wrapped at blanks, split into several
    tables, or printed as a block for each row.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mixhub.cli.common.layout import GAP, aligned, fits, lay_out, stacked

    console = Console(width=_width() or _PIPED, highlight=False)
    has_head = any(columns)
    padding = (0, GAP - 1 if has_head else GAP, 0, 0)
    columns, cells = [_cell(title) for title in columns], [[_cell(value) for value in row] for row in rows]
    if title:
        console.print(Text(title.translate(_CONTROLS), style="bold", overflow="ignore"))
    laid_out = lay_out(columns, cells, console.width)
    for group in laid_out:
        table = Table(box=box.SIMPLE_HEAD if has_head else None, show_header=has_head, padding=padding)
        table.show_edge = table.pad_edge = False
        for column in group:
            justify: Literal["left", "right"] = "right" if column.is_numeric else "left"
            table.add_column(Text(columns[column.number]), justify=justify, width=column.width, overflow="fold")
        is_long = has_head and len(cells) > _LONG and fits(group, cells)
        for row in () if is_long else cells:
            table.add_row(*(Text(row[column.number]) for column in group))
        console.print(table)
        for row in cells if is_long else ():  # Rich takes milliseconds for a row
            say(aligned(group, row))
        say("")
    if not laid_out:
        for line in stacked(columns, cells, console.width):
            say(line)
        say("")


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
        from mixhub.cli.common.options import as_asked

        say_wrapped(as_asked(text), self._notices)


@contextmanager
def _bar(what: str, total: int | None, unit: str) -> Iterator[_Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    def text(template: str) -> TextColumn:
        return TextColumn(template, markup=False)

    done: list[ProgressColumn] = [MofNCompleteColumn(), text("{task.fields[rate]}")]
    if unit == "token":  # too many to count
        done = [text("{task.percentage:>3.0f}%")]
    elif unit == "step":  # its note has the tokens per second
        done = [MofNCompleteColumn()]
    console = Console(stderr=True)
    width = 20 if console.width >= 100 else 8
    columns = (text("{task.description}"), BarColumn(width), *done, TimeRemainingColumn(), text("{task.fields[note]}"))
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bar(bars, bars.add_task(what, total=total, rate="", note=""), unit)


class _Bar:
    def __init__(self, bars: RichProgress, task: TaskID, unit: str) -> None:
        self._bars, self._task, self._unit = bars, task, unit

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        self._bars.advance(self._task, amount)
        task = self._bars.tasks[self._task]
        # Of the last seconds, without what was done before: a run that is resumed begins with an advance to its step.
        units = self._unit + ("es" if self._unit.endswith("ch") else "s")
        rate = f"{task.speed:.3g} {units}/s" if task.speed else ""
        self._bars.update(self._task, rate=rate, note=task.fields["note"] if note is None else note)


def _by_hint(findings: Sequence[Finding]) -> Iterator[tuple[list[Finding], str]]:
    """Return the findings that share a hint, and the hint, by their first."""
    for hint in dict.fromkeys(finding.hint for finding in findings):
        yield [finding for finding in findings if finding.hint == hint], hint


def _hint_line(hint: str, count: int) -> str:
    """Return the line with the hint of the `count` lines above it."""
    from mixhub.cli.common.options import as_asked

    return as_asked(f"  hint: {hint}" if count == 1 else f"  hint for these {count}: {hint}")


def _width() -> int | None:
    """The width of the terminal, or COLUMNS; None if the output is no terminal and COLUMNS is not set."""
    is_known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return shutil.get_terminal_size().columns if is_known else None


def _cell(value: object) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_number else str(value).translate(_CONTROLS)
