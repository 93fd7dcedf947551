"""How score tables are printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mixhub.cli.common.console import say, say_json, say_wrapped, show_table

if TYPE_CHECKING:
    import pandas

    from mixhub.analysis.scores import Score
    from mixhub.analysis.tables import ScoreTable


class Format(StrEnum):
    """Output formats."""

    TABLE = "table"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"
    EVERY_EVAL_EVER = "every-eval-ever"


def show_tables(tables: Sequence[ScoreTable], form: Format) -> None:
    """Print measured and published scores, as separate tables."""
    from mixhub.analysis.csv_tables import tables_frame

    if form is Format.JSON:
        say_json([_table_json(table) for table in tables])
    elif form is Format.CSV:
        say_csv(tables_frame(tables))
    else:
        for number, table in enumerate(tables):
            if number:
                say("")
            _show_table(table, form)


def _show_table(table: ScoreTable, form: Format) -> None:
    headers, rows = _grid(table)
    if form in (Format.TABLE, Format.LATEX) and len(headers) > len(rows) + 1:  # the longer side goes down the page
        turned = [list(line) for line in zip(headers, *rows, strict=True)]
        headers, rows = [table.measure.columns, *turned[0][1:]], turned[1:]
    show_grid(headers, rows, _title(table), form)
    scores = [score for row in table.rows for score in row.scores.values()]
    if table.source:
        remark(f"source: {table.source}", form)
    else:
        present, expected = sum(score.present for score in scores), sum(score.expected for score in scores)
        remark(f"{'losses' if table.steps else 'cells'}: {present:,} of {expected:,}", form)
    for reason in dict.fromkeys(over.reason for over in table.over_seeds.values() if over.spread is None):
        remark(f"no mean over rows: {reason}", form)
    for column, over in table.over_seeds.items():
        if over.spread is not None and over.reason:
            remark(f"no interval of {table.headings[column]}: {over.reason}", form)
    if any(score.stderr_is_bound for score in scores):
        remark("stderr: an upper bound; samples of all shot counts would make it exact", form)
    for note in table.notes:
        remark(f"note: {note}", form)


def _title(table: ScoreTable) -> str:
    title = f"{table.name}: {table.measure.title}"
    if table.standing == "published":
        return f"{title}, published, not measured again"
    if table.source and not table.steps:
        return f"{title}, {table.standing}"
    if table.steps:
        steps = sorted({step for own in table.steps.values() for step in own if step is not None})
        at = {0: "step unknown", 1: f"step {steps[0]:,}" if steps else ""}.get(len(steps), "the last step of each run")
        return f"{title}, {at}"
    shots = {column.num_fewshot for column in table.columns}
    over = f"shots {', '.join(map(str, *shots))}" if len(shots) == 1 else "the shots of each task"
    return f"{title}, mean over {over}, {table.standing}"


def _grid(table: ScoreTable) -> tuple[list[str], list[list[str]]]:
    """Revisions × tasks, followed by summaries of the rows."""
    headings = table.headings
    rows = [[row.revision, *(_shown(table, table.score(row, column)) for column in headings)] for row in table.rows]
    summaries = [table.summary(column) for column in headings]
    seeds = sorted({over.spread.n for over in table.over_seeds.values() if over.spread})
    lines = {
        f"mean over {', '.join(map(str, seeds))} seeds": ("mean",),
        "sd over seeds": ("sd",),
        "95 % over seeds": ("low", "high"),
        "stderr over documents": ("stderr",),
        "chance": ("chance",),
        "best constant": ("constant",),
    }
    for name, keys in lines.items():
        line = [shown_range(table, *(summary[key] for key in keys)) for summary in summaries]
        if any(figure != "-" for figure in line):
            rows.append([name, *line])
    return [table.kind, *headings.values()], rows


def show_grid(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str, form: Format) -> None:
    """Print a grid of text, as Markdown, as LaTeX or for a terminal."""

    if form not in _GRIDS:
        show_table(headers, rows, title=title)
        return
    from tabulate import tabulate

    align = ["left", *["right"] * (len(headers) - 1)]
    grid = tabulate(rows, headers=headers, tablefmt=_GRIDS[form], colalign=align, disable_numparse=True)
    if form is Format.MARKDOWN:
        say(f"**{title}**\n\n{grid}\n")
        return
    remark(title, form)
    for line in grid.splitlines():
        say(_in_math(line))


_GRIDS = {Format.MARKDOWN: "pipe", Format.LATEX: "latex_booktabs"}
"""Formats of tabulate, which escapes what LaTeX would take for a command."""
_SYMBOLS = {"±": r"$\pm$", "×": r"$\times$", "…": r"\dots{}"}


def _in_math(line: str) -> str:
    """A line of LaTeX with its symbols and the signs of its numbers as any engine prints them."""
    line = re.sub(r"^( *)\[", r"\1{[}", line)  # which would be an argument of the line break before it
    line = re.sub(r"(?<![\w-])([-+])(?=\d)", r"$\1$", line)
    return "".join(_SYMBOLS.get(character, character) for character in line)


def remark(line: str, form: Format) -> None:
    """Print a line beside a table; in LaTeX as a comment."""
    if form is Format.LATEX:
        say(f"% {line}")
    else:
        say_wrapped(line)


def _shown(table: ScoreTable, score: Score) -> str:
    return shown_figure(table, score.value) + (f" ({score.reason})" if score.reason else "")


def shown_figure(table: ScoreTable, value: float | None, *, signed: bool = False, more: int = 0) -> str:
    """One figure, with `more` digits than usual; `-` for None."""
    digits = (2 if table.measure.scale == 100 else 4) + more
    return "-" if value is None else f"{value:{'+' if signed else ''}.{digits}f}"


def shown_range(table: ScoreTable, *ends: float | None, signed: bool = False) -> str:
    """One figure, or an interval, with as many digits as its ends need to differ."""
    known = [end for end in ends if end is not None]
    if len(known) < len(ends):
        return "-"
    for more in range(8):
        shown = [shown_figure(table, end, signed=signed, more=more) for end in known]
        if len({*shown}) == len({*known}):
            break
    return " … ".join(shown)


def _table_json(table: ScoreTable) -> dict[str, Any]:
    return {
        "name": table.name,
        "standing": table.standing,
        "source": table.source,
        "measure": table.measure.name,
        "over": table.kind,
        "columns": [{"task": c.task, "title": c.title, "num_fewshot": list(c.num_fewshot)} for c in table.columns],
        "figures": records(table.scores_frame()),
        "over_seeds": records(table.spread_frame()),
        "steps": {task: list(steps) for task, steps in table.steps.items()},
        "notes": list(table.notes),
        "superseded": [
            {"path": str(one.record.path), "cell": one.record.name, "by": str(one.by.path)} for one in table.superseded
        ],
    }


def records(frame: pandas.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as plain data; NaN becomes null, since JSON has no NaN."""
    import json

    lines: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return lines


def say_csv(frame: pandas.DataFrame) -> None:
    """Print a frame as CSV."""

    say(frame.to_csv(index=False).rstrip("\n"))
