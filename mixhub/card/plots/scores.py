"""The plots of scores: by task, against the number of shots, and the difference of two families."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from mixhub.analysis.comparison import Comparison, Contrast
from mixhub.analysis.scores import LOSS, SCORE
from mixhub.analysis.statistics.seeds import Interval
from mixhub.analysis.tables import AVERAGE, ScoreTable
from mixhub.card.markdown import figures
from mixhub.card.plots.dots import draw_difference, draw_scores
from mixhub.card.plots.lines import draw_shots
from mixhub.card.plots.plot import Plot, number, some
from mixhub.phrases import plural
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

Row = dict[str, Any]

_STANDING = {
    "measured": "measured",
    "imported": "imported from results that others measured",
    "published": "published, not measured again",
}
_UNITS = {"bits_per_byte": "bits per byte", "loss": "nats per token"}
_VARIES = {"seed": "a seed", "index": "a mixture"}


def scores_plot(table: ScoreTable, chance: Mapping[str, float] | None = None) -> Plot | None:
    """Plot the scores of each task: a dot for each seed, their mean with its 95 % interval, and chance.

    Args:
        table: the scores; incomplete ones are not drawn.
        chance: percent by task, of choosing at random, for tasks whose documents do not show it.

    Returns:
        None if no score is complete.
    """
    chances = table.chances(chance or {})
    rows = [_score_row(table, column, title, chances.get(column)) for column, title in table.headings.items()]
    rows = [row for row in rows if row["values"] or not row["apart"]]
    if not any(row["values"] for row in rows):
        return None
    notes = [f"Source: {table.source}"] if table.standing == "published" and table.source else []
    expected = len(table.rows) * len(table.columns)
    if missing := expected - sum(len(row["values"]) for row in rows if not row["apart"]):
        notes.append(f"{missing} of {expected} scores are missing or incomplete, and not drawn.")
    if table.kind == "seed":
        reasons = [(table.over_seeds[column].reason, title) for column, title in table.headings.items()]
        for reason, titles in _grouped(reasons).items():
            of = f" of {some(titles)}" if len(titles) < len(table.headings) else ""
            notes.append(f"No interval{of}: {reason}.")
    data = {
        "subtitle": _subtitle(table, f"; {plural(len(table.columns), table.measure.columns)}, "),
        "unit": _unit(table),
        "over": _VARIES.get(table.kind, "a revision"),
        "center": "mean" if table.kind == "seed" else "median",
        "digits": _digits(table),
        "rows": rows,
        "notes": notes,
    }
    summary = _summary(rows, f"{{:.{_digits(table)}f}}", table.measure.columns)
    what = "losses" if table.measure is LOSS else "scores"
    alt = f"Dot plot of the {what} of {table.name}. {data['subtitle']} {summary}"
    return Plot(what, draw_scores, f"{table.name}: {what} by {table.measure.columns}", alt, data)


def difference_plot(comparison: Comparison) -> Plot | None:
    """Plot the difference of two families by task with its interval, the average first; None if none is known."""
    a, b = comparison.a, comparison.b
    rows = [_difference_row(comparison.primary, True), *(_difference_row(one, False) for one in comparison.tasks)]
    drawn = [row for row in rows if row["value"] is not None]
    if not drawn:
        return None
    notes = []
    if any(row["over"] == "documents" for row in drawn):
        notes.append("An interval over documents alone holds for these checkpoints only, not for the mixtures.")
    if bare := [row["label"] for row in drawn if row["over"] is None]:
        notes.append(f"No interval: {some(bare)}.")
    reasons = [(row["reason"] or "no figures", row["label"]) for row in rows if row["value"] is None]
    notes += [f"Not compared: {some(labels)} ({reason})." for reason, labels in _grouped(reasons).items()]
    unit = "points" if a.measure.scale == 100 else _UNITS.get(a.measure.name, a.measure.title)
    of_unit = "" if unit in a.measure.title else f", in {unit}"
    counts = {tuple(row["seeds"]) for row in drawn}
    seeds = "{} and {} seeds".format(*counts.pop()) if len(counts) == 1 else "over the seeds that have the score"
    data = {
        "subtitle": f"{a.name} minus {b.name}{of_unit}: {a.measure.title}, {seeds}; {_STANDING[a.standing]}. "
        f"The average is the endpoint; {a.measure.columns}s are exploratory.",
        "a": a.name,
        "b": b.name,
        "higher_is_better": a.measure.higher_is_better,
        "digits": _digits(a),
        "rows": rows,
        "notes": notes,
    }
    summary = _summary(rows, f"{{:+z.{_digits(a)}f}}", a.measure.columns)
    alt = f"Dot plot of differences by {a.measure.columns}. {data['subtitle']} {summary}"
    return Plot("difference", draw_difference, f"{a.name} against {b.name}", alt, data)


def shots_plot(table: ScoreTable, chance: Mapping[str, float] | None = None) -> Plot | None:
    """Plot scores against the number of shots, a panel for each task; None unless a task has two shot counts.

    Args:
        table: the scores.
        chance: as for `scores_plot`.
    """
    chances = table.chances(chance or {})
    panels = [_panel(table, column.task, column.title, column.num_fewshot) for column in table.columns]
    panels = [panel | {"chance": _rounded(chances.get(panel["task"]))} for panel in panels if len(panel["shots"]) > 1]
    if not panels:
        return None
    middle = "mean" if table.kind == "seed" else "median"
    gaps = [panel["title"] for panel in panels if None in panel["middle"]] if len(table.rows) > 1 else []
    reason = f"No {middle} where a {table.kind} lacks the cell, or cells are not comparable"
    shots = sorted({count for panel in panels for count in panel["shots"]})
    data = {
        "subtitle": _subtitle(table, f", at {figures.shots(shots)}; ") + " Each panel has its own scale.",
        "unit": _unit(table),
        "over": _VARIES.get(table.kind, "a revision"),
        "middle": middle,
        "drawn_middle": len(table.rows) > 1,
        "panels": panels,
        "notes": [f"{reason}: {some(gaps)}."] if gaps else [],
    }
    digits = _digits(table)
    ends = [(panel["title"], panel["middle"][0], panel["middle"][-1]) for panel in panels]
    moves = [f"{title} {a:.{digits}f} to {b:.{digits}f}" for title, a, b in ends if None not in (a, b)]
    summary = f" From the fewest shots to the most, the {middle} goes: {'; '.join(moves)}." if moves else ""
    what = f"Line plots of the scores of {table.name} against the number of shots, a panel for each task."
    alt = f"{what} {data['subtitle']}{summary}"
    return Plot("shots", draw_shots, f"{table.name}: scores by number of shots", alt, data)


def _score_row(table: ScoreTable, column: str, title: str, chance: float | None) -> Row:
    values = [value for value in table.values(column) if math.isfinite(value)]
    spread, interval = table.over_seeds[column].spread, table.over_seeds[column].interval
    value = spread.mean if spread else None
    if values and (len(table.rows) == 1 or (table.kind != "seed" and value is None)):
        value = median(values)
    return {
        "label": title,
        "apart": column == AVERAGE,
        "values": [number(value) for value in values],
        "value": _rounded(value),
        "low": _rounded(interval.low if interval else None),
        "high": _rounded(interval.high if interval else None),
        "over": "seeds" if interval else None,
        "chance": _rounded(chance),
    }


def _difference_row(contrast: Contrast, apart: bool) -> Row:
    over = ("pairs of seeds" if contrast.paired else "seeds") + (" and documents" if contrast.two_level else "")
    interval: Interval | None = contrast.interval
    if interval is None:
        interval, over = contrast.these_checkpoints, "documents"
    if contrast.difference is None:
        interval = None
    return {
        "label": contrast.title,
        "apart": apart,
        "seeds": [side.n if side else 0 for side in (contrast.a, contrast.b)],
        "value": _rounded(contrast.difference),
        "low": _rounded(interval.low if interval else None),
        "high": _rounded(interval.high if interval else None),
        "over": over if interval else None,
        "reason": contrast.reason,
    }


def _summary(rows: Sequence[Row], form: str, noun: str) -> str:
    """Return the average with its interval, and the lowest and the highest row of the noun, in words."""
    sentences = []
    shown: Callable[[float], str] = form.format
    for row in rows:
        if row["apart"] and row["value"] is not None:
            interval = ""
            if row["over"]:
                interval = f" (95 % over {row['over']} {shown(row['low'])} to {shown(row['high'])})"
            sentences.append(f"Average {shown(row['value'])}{interval}.")
    tasks = sorted((row["value"], row["label"]) for row in rows if not row["apart"] and row["value"] is not None)
    if tasks:
        (low, lowest), (high, highest) = tasks[0], tasks[-1]
        sentences.append(f"{noun.capitalize()}s from {shown(low)} ({lowest}) to {shown(high)} ({highest}).")
    return " ".join(sentences)


def _panel(table: ScoreTable, task: str, title: str, shots: Sequence[int]) -> dict[str, Any]:
    """Return one task against the shot counts at which any revision was measured."""
    cells = [record for records in table.records.values() for record in records if record.task == task]
    scores = [_by_shots(table, records, task) for records in table.records.values()]
    counts = [count for count in sorted(shots) if any(count in one for one in scores)]
    center = fmean if table.kind == "seed" else median
    middle = []
    for count in counts:
        at_count = [record for record in cells if record.num_fewshot == count]
        metrics = {table.measure.metric(record) for record in at_count}
        comparable = len(metrics) <= 1 and len({record.dtype for record in at_count} - {UNKNOWN}) <= 1
        complete = comparable and all(count in one for one in scores)
        middle.append(number(center(one[count] for one in scores)) if complete else None)
    lines = [[_rounded(one.get(count)) for count in counts] for one in scores if one]
    return {"task": task, "title": title, "shots": counts, "lines": lines, "middle": middle}


def _by_shots(table: ScoreTable, records: Sequence[Record], task: str) -> dict[int, float]:
    scores = {}
    scale = next(column for column in table.columns if column.task == task).scale_of(table.measure)
    for record in records:
        metric = table.measure.metric(record)
        if record.task == task and record.limit is None and metric and isinstance(record.num_fewshot, int):
            value = scale * table.measure.figures(record)[metric]
            if math.isfinite(value):
                scores[record.num_fewshot] = value
    return scores


def _grouped(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the titles by reason, without those that have no reason."""
    groups: dict[str, list[str]] = {}
    for reason, title in pairs:
        if reason:
            groups.setdefault(reason, []).append(title)
    return groups


def _rounded(value: float | None) -> float | None:
    return None if value is None else number(value)


def _subtitle(table: ScoreTable, middle: str) -> str:
    """Return the measure, `middle`, the number of runs and the standing."""
    runs = plural(len(table.rows), table.kind, "indices" if table.kind == "index" else None)
    return f"{table.measure.title[:1].upper()}{table.measure.title[1:]}{middle}{runs}; {_STANDING[table.standing]}."


def _unit(table: ScoreTable) -> str:
    if table.measure is SCORE:
        return "score, %"
    unit = _UNITS.get(table.measure.name)
    return f"{unit}, lower is better" if unit else table.measure.title


def _digits(table: ScoreTable) -> int:
    return 2 if table.measure.scale == 100 else 4
