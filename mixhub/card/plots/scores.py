"""The plots of scores: by task, against shots, and the difference of two families."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from mixhub.analysis.comparison import Comparison, Contrast
from mixhub.analysis.tables import AVERAGE, ScoreTable
from mixhub.card.markdown import figures
from mixhub.card.plots.plot import Plot, number, some
from mixhub.phrases import plural
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record


def scores_plot(table: ScoreTable, chance: Mapping[str, float] | None = None) -> Plot | None:
    """Each task's scores: a dot a seed, their mean with its 95 % interval, and chance; None without a whole score.

    Args:
        table: the scores; what is not whole is not drawn.
        chance: what choosing at random scores, percent by task; else what the table's documents tell.
    """
    known = _chances(table, chance)
    rows = [_score_row(table, column, title, known.get(column)) for column, title in table.headings.items()]
    if not any(row["values"] for row in rows):
        return None
    rows = [row for row in rows if row["values"] or not row["apart"]]
    data = {
        "subtitle": f"{_capital(table.measure.title)}; {plural(len(table.columns), 'task')}, "
        f"{_runs(table)}; {_standing(table)}.",
        "unit": _unit(table),
        "over": table.kind,
        "digits": _digits(table),
        "rows": rows,
        "notes": list(_score_notes(table, rows)),
    }
    said = _scores_said(rows, _digits(table), alone=len(table.rows) == 1)
    alt = f"Dot plot of the scores of {table.name}. {data['subtitle']} {said}"
    return Plot("scores", "scores", f"{table.name}: scores by task", alt, data)


def difference_plot(comparison: Comparison) -> Plot | None:
    """The difference of two families by task with its interval, the average first; None where nothing is compared."""
    a, b = comparison.a, comparison.b
    rows = [
        _difference_row(one, apart=number == 0) for number, one in enumerate((comparison.primary, *comparison.tasks))
    ]
    drawn = [row for row in rows if row["value"] is not None]
    if not drawn:
        return None
    digits = _digits(a)
    unit = "points" if a.measure.scale == 100 else "bits per byte"
    counts = sorted({(row["seeds"][0], row["seeds"][1]) for row in drawn})
    seeds = f"{counts[0][0]} and {counts[0][1]} seeds" if len(counts) == 1 else "seeds as far as they are whole"
    data = {
        "subtitle": f"{a.name} less {b.name}, in {unit}: {a.measure.title}, {seeds}; {_standing(a)}. "
        "The average is the endpoint; tasks are exploratory.",
        "a": a.name,
        "b": b.name,
        "higher_is_better": a.measure.higher_is_better,
        "digits": digits,
        "rows": rows,
        "notes": _difference_notes(rows),
    }
    alt = f"Dot plot of differences by task. {data['subtitle']} {_difference_said(rows, digits)}"
    return Plot("difference", "difference", f"{a.name} against {b.name}", alt, data)


def shots_plot(table: ScoreTable) -> Plot | None:
    """Scores against the number of shots, a panel a task; None without cells, or with a single shot count."""
    panels = [
        panel
        for column in table.columns
        if len((panel := _panel(table, column.task, column.title, column.num_fewshot))["shots"]) > 1
    ]
    if not panels:
        return None
    shots = sorted({count for panel in panels for count in panel["shots"]})
    middle = "mean" if table.kind == "seed" else "median"
    whole = [panel for panel in panels if panel["middle"][0] is not None and panel["middle"][-1] is not None]
    data = {
        "subtitle": f"{_capital(table.measure.title)}, at {figures.shots(shots)}; {_runs(table)}; "
        f"{_standing(table)}. Each panel has its own scale.",
        "unit": _unit(table),
        "over": table.kind,
        "middle": middle,
        "drawn_middle": len(table.rows) > 1,
        "panels": panels,
        "notes": [],
    }
    if open_ := [panel["title"] for panel in panels if None in panel["middle"]] if len(table.rows) > 1 else []:
        data["notes"] = [
            f"No {middle} where a {table.kind} lacks the cell, or cells do not belong together: {some(open_)}."
        ]
    digits = _digits(table)
    moved = [f"{p['title']} {p['middle'][0]:.{digits}f} to {p['middle'][-1]:.{digits}f}" for p in whole]
    said = f" From the fewest shots to the most, the {middle} goes: {'; '.join(moved)}." if moved else ""
    what = f"Line plots of the scores of {table.name} against the number of shots, a panel a task."
    alt = f"{what} {data['subtitle']}{said}"
    return Plot("shots", "shots", f"{table.name}: scores by number of shots", alt, data)


def _chances(table: ScoreTable, given: Mapping[str, float] | None) -> dict[str, float]:
    """By task; of the average too, where all tasks have one."""
    if table.measure.name != "score":
        return {}
    told = {task: own.chance for task, own in table.baselines.items() if own.chance is not None}
    found = {c.task: {**told, **(given or {})}.get(c.task) for c in table.columns}
    known = {task: value for task, value in found.items() if value is not None}
    if known and len(known) == len(table.columns):
        known[AVERAGE] = fmean(known.values())
    return known


def _score_row(table: ScoreTable, column: str, title: str, chance: float | None) -> dict[str, Any]:
    values = [value for value in table.values(column) if math.isfinite(value)]
    over = table.over_seeds[column]
    by_seed = table.kind == "seed"
    return {
        "label": title,
        "apart": column == AVERAGE,
        "values": [number(value) for value in values],
        "mean": number(over.spread.mean) if over.spread else None,
        "low": number(over.interval.low) if over.interval else None,
        "high": number(over.interval.high) if over.interval else None,
        "median": number(median(values)) if len(values) > 1 and not by_seed else None,
        "chance": number(chance) if chance is not None else None,
    }


def _score_notes(table: ScoreTable, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if table.standing == "published" and table.source:
        yield f"Source: {table.source}"
    expected = len(table.rows) * len(table.columns)
    missing = expected - sum(len(row["values"]) for row in rows if not row["apart"])
    if missing:
        yield f"{missing} of {expected} scores are missing or not whole, and are not drawn."
    if table.kind == "seed":
        by_reason: dict[str, list[str]] = {}
        for column, title in table.headings.items():
            if reason := table.over_seeds[column].reason:
                by_reason.setdefault(reason, []).append(title)
        for reason, titles in by_reason.items():
            of = f" of {some(titles)}" if len(titles) < len(table.headings) else ""
            yield f"No interval{of}: {reason}."


def _scores_said(rows: Sequence[Mapping[str, Any]], digits: int, *, alone: bool) -> str:
    centres = [(row, _centre(row, alone=alone)) for row in rows]
    said = []
    for row, value in centres:
        if row["apart"] and value is not None:
            interval = ""
            if row["low"] is not None:
                interval = f" (95 % over seeds {row['low']:.{digits}f} to {row['high']:.{digits}f})"
            said.append(f"Average {value:.{digits}f}{interval}.")
    tasks = sorted(((value, row["label"]) for row, value in centres if not row["apart"] and value is not None))
    if len(tasks) > 1:
        (low, lowest), (high, highest) = tasks[0], tasks[-1]
        said.append(f"Tasks from {low:.{digits}f} ({lowest}) to {high:.{digits}f} ({highest}).")
    elif tasks:
        said.append(f"{tasks[0][1]} {tasks[0][0]:.{digits}f}.")
    return " ".join(said)


def _centre(row: Mapping[str, Any], *, alone: bool) -> float | None:
    """What stands for a row: the mean, else the median, else the value of the only run; None of runs that are not
    whole."""
    for name in ("mean", "median"):
        if row[name] is not None:
            return float(row[name])
    return float(row["values"][0]) if alone and row["values"] else None


def _difference_row(contrast: Contrast, *, apart: bool) -> dict[str, Any]:
    difference = contrast.difference
    found: Any = contrast.interval
    over = "seeds and documents" if contrast.two_level else "seeds"
    if found is None:
        found, over = contrast.these_checkpoints, "documents"
    sizes = [side.n if side else 0 for side in (contrast.a, contrast.b)]
    has = difference is not None and found is not None
    return {
        "label": contrast.title,
        "apart": apart,
        "seeds": sizes,
        "value": number(difference) if difference is not None else None,
        "low": number(found.low) if has else None,
        "high": number(found.high) if has else None,
        "over": over if has else None,
        "reason": contrast.reason,
    }


def _difference_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = []
    if any(row["over"] == "documents" for row in rows):
        notes.append("An interval over documents alone holds for these checkpoints only, and says nothing on mixtures.")
    if bare := [row["label"] for row in rows if row["value"] is not None and row["over"] is None]:
        notes.append(f"No interval: {some(bare)}.")
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row["value"] is None:
            reasons.setdefault(row["reason"] or "no figures", []).append(row["label"])
    return [*notes, *(f"Not compared: {some(labels)} ({reason})." for reason, labels in reasons.items())]


def _difference_said(rows: Sequence[Mapping[str, Any]], digits: int) -> str:
    said = []
    first = rows[0]
    if first["value"] is not None:
        interval = ""
        if first["over"]:
            interval = f" (95 % over {first['over']} {first['low']:+z.{digits}f} to {first['high']:+z.{digits}f})"
        said.append(f"Average {first['value']:+z.{digits}f}{interval}.")
    tasks = sorted((row["value"], row["label"]) for row in rows[1:] if row["value"] is not None)
    if tasks:
        (low, lowest), (high, highest) = tasks[0], tasks[-1]
        said.append(f"Tasks from {low:+z.{digits}f} ({lowest}) to {high:+z.{digits}f} ({highest}).")
    return " ".join(said)


def _panel(table: ScoreTable, task: str, title: str, shots: Sequence[int]) -> dict[str, Any]:
    """One task against shots; without a shot count that no revision was measured at."""
    cells = {revision: _by_shots(table, records, task) for revision, records in table.records.items()}
    counts = [count for count in sorted(shots) if any(count in own for own in cells.values())]
    lines = [[number(own[count]) if count in own else None for count in counts] for own in cells.values()]
    centre = fmean if table.kind == "seed" else median
    whole = [[line[place] for line in lines] for place in range(len(counts))]
    mixed = [not _belong_together(table, task, count) for count in counts]
    return {
        "title": title,
        "shots": counts,
        "lines": [line for line in lines if any(value is not None for value in line)],
        "middle": [
            None if None in at or is_mixed else number(centre(v for v in at if v is not None))
            for at, is_mixed in zip(whole, mixed, strict=True)
        ],
    }


def _belong_together(table: ScoreTable, task: str, num_fewshot: int) -> bool:
    """Whether the cells of all runs are of one dtype and one metric, so that a mean over them means something."""
    cells = [record for own in table.records.values() for record in own if record.task == task]
    cells = [record for record in cells if record.num_fewshot == num_fewshot]
    dtypes = {record.dtype for record in cells} - {UNKNOWN}
    return len(dtypes) <= 1 and len({table.measure.metric(record) for record in cells}) <= 1


def _by_shots(table: ScoreTable, records: Sequence[Record], task: str) -> dict[int, float]:
    found = {}
    for record in records:
        metric = table.measure.metric(record)
        if record.task == task and record.limit is None and metric and isinstance(record.num_fewshot, int):
            value = table.measure.scale * table.measure.figures(record)[metric]
            if math.isfinite(value):
                found[record.num_fewshot] = value
    return found


def _runs(table: ScoreTable) -> str:
    """`5 seeds`, `1 seed` or `64 indices`."""
    return plural(len(table.rows), table.kind, "indices" if table.kind == "index" else None)


def _standing(table: ScoreTable) -> str:
    return {
        "measured": "measured",
        "imported": "imported from results that others measured",
        "published": "published, not measured again",
    }[table.standing]


def _unit(table: ScoreTable) -> str:
    return {"score": "score, %", "bits_per_byte": "bits per byte, lower is better"}.get(
        table.measure.name, table.measure.title
    )


def _digits(table: ScoreTable) -> int:
    return 2 if table.measure.scale == 100 else 4


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
