"""Validation losses in the logs of a run: mixhub's, those of the Hugging Face Trainer, CSV files and TensorBoard's."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mixhub.analysis.losses.names import validation_losses
from mixhub.analysis.scores import OVERALL
from mixhub.errors import ResultsError
from mixhub.files import read_json
from mixhub.phrases import listed
from mixhub.workspace.metrics import read_metrics

Curve = dict[int | None, float]
"""Loss by step, in nats per token; not finite if the run diverged. The step is None if the log has only one loss."""
Curves = dict[str, Curve]
"""By domain."""

_STEPS = ("train/global_step", "trainer/global_step", "global_step", "step", "_step", "iteration", "iter")
"""Titles of columns with steps. W&B's own `_step` counts its rows, so the trainer's steps come first."""
_LABELS = ("run", "run_name", "run name", "name", "revision", "seed", "index", "model")
"""Titles of columns that name a run."""
_BLANK = ("", "-", "n/a", "na", "none", "null")
"""Words for a figure that a row does not have."""
_TENSORBOARD_CSV = re.compile(r"(?:run-)?(?P<run>.+?)-tag-(?P<tag>.+)")
"""The name of a CSV file that TensorBoard offers for download."""
_BROWSER = ("step", "value", "wall time")
"""The titles in such a file."""


def reader_of(path: Path) -> str | None:
    """The format of a log by the name of its file; None if it has no such name."""
    if path.name in ("metrics.jsonl", "trainer_state.json"):
        return path.name
    if path.suffix.casefold() in (".csv", ".tsv"):
        return "csv"
    return "events" if path.name.startswith("events.out.tfevents") else None


def read_log(path: Path) -> dict[str, Curves]:
    """Read the validation losses of each run in a log; of a log that names no runs, under an empty name.

    Raises:
        ResultsError: the file cannot be read, or has no validation losses.
        RunError: a line of `metrics.jsonl` is malformed.
    """
    kind = reader_of(path)
    if kind == "csv":
        return _csv_runs(path)
    if kind == "metrics.jsonl":
        points, names = _metrics_points(path)
    elif kind == "trainer_state.json":
        points, names = _trainer_points(path)
    else:
        points, names = _event_points(path)
    domains = validation_losses(dict.fromkeys(name for name, *_ in points))
    if not domains:
        raise no_losses(path, names)
    curves: Curves = {}
    for name, step, loss in points:
        if name in domains:
            curves.setdefault(domains[name], {})[step] = loss
    return {"": curves}


def no_losses(path: Path, names: Iterable[str]) -> ResultsError:
    """The error for a log without validation losses."""
    has = f"it has {listed(list(names), most=5)}" if names else "it is empty"
    return ResultsError(
        f"{path}: no validation losses: {has}",
        code="losses-missing",
        hint="validation losses have names like eval_arxiv_loss or valid_arxiv; training losses are not read",
        path=path,
    )


_Points = list[tuple[str, int, float]]
"""Metric, step and value."""


def _metrics_points(path: Path) -> tuple[_Points, list[str]]:
    lines = read_metrics(path)
    points = [
        (f"valid_{key.removeprefix('valid_')}", line["step"], float(loss))
        for line in lines
        for key, loss in line.get("validation", {}).items()
    ]
    return points, ["training losses"] if lines else []


def _trainer_points(path: Path) -> tuple[_Points, list[str]]:
    state = read_json(path, ResultsError)
    history = state.get("log_history") if isinstance(state, Mapping) else None
    if not isinstance(history, list):
        message = f"{path}: not a state of the Hugging Face Trainer: no log_history"
        raise ResultsError(message, code="log-malformed", hint="pass the file that the Trainer wrote", path=path)
    entries = [entry for entry in history if isinstance(entry, Mapping) and isinstance(entry.get("step"), int)]
    points = [
        (str(name), entry["step"], float(value))
        for entry in entries
        for name, value in entry.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name != "step"
    ]
    return points, list(dict.fromkeys(name for name, *_ in points))


def _event_points(path: Path) -> tuple[_Points, list[str]]:
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util import tensor_util
    except ImportError:
        message = f"{path}: TensorBoard's files need the package tensorboard"
        raise ResultsError(
            message, code="package-missing", hint="pip install 'mixhub[tensorboard]'", path=path, package="tensorboard"
        ) from None
    events = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    points: _Points = [(tag, one.step, float(one.value)) for tag in tags["scalars"] for one in events.Scalars(tag)]
    for tag in tags["tensors"]:  # where scalars are in files of newer versions
        for one in events.Tensors(tag):
            value = tensor_util.make_ndarray(one.tensor_proto)
            if value.size == 1 and value.dtype.kind == "f":
                points.append((tag, one.step, float(value.item())))
    return points, [*tags["scalars"], *tags["tensors"]]


def _csv_runs(path: Path) -> dict[str, Curves]:
    """The runs of a CSV: columns of losses beside one of steps, with the run in the title as W&B writes them, in a
    column of its own, or not named; or, without steps, a row for each run."""
    titles, numbered = _read_rows(path)
    rows = [row for _, row in numbered]
    lower = [title.strip().casefold() for title in titles]
    at_step = next((lower.index(name) for name in _STEPS if name in lower), None)
    at_label = next((lower.index(name) for name in _LABELS if name in lower), None)
    if set(lower) == set(_BROWSER):
        return _browser_runs(
            path, [(line, row[lower.index("step")], row[lower.index("value")]) for line, row in numbered]
        )
    if at_step is None and at_label is None:
        message = f"{path}: no column of steps, and none that names runs; it has {listed(titles, most=5)}"
        hint = "name a column step, or one of run, seed and index with a row for each run"
        raise ResultsError(message, code="losses-missing", hint=hint, path=path)
    columns = {at: title for at, title in enumerate(titles) if at not in (at_step, at_label) and title.strip()}
    in_titles = {at: match for at, title in columns.items() if (match := re.fullmatch(r"(.+?) - (.+)", title))}
    metrics = {
        at: in_titles[at][2] if at in in_titles else title for at, title in columns.items() if lower[at] not in _STEPS
    }
    numeric = {at: name for at, name in metrics.items() if any(_number(row[at]) is not None for row in rows)}
    domains = validation_losses(dict.fromkeys(numeric.values()), only_named=False)
    if not domains:
        raise no_losses(path, titles)
    runs: dict[str, Curves] = {}
    for line, row in numbered:
        step = None if at_step is None else _step(path, line, titles[at_step], row[at_step])
        if at_step is not None and step is None:
            continue
        label = "" if at_label is None else _label(titles[at_label], row[at_label])
        for at, name in numeric.items():
            loss = _loss(path, line, titles[at], row[at]) if name in domains else None
            if loss is not None:
                run = in_titles[at][1] if at in in_titles else label
                curve = runs.setdefault(run, {}).setdefault(domains[name], {})
                if step in curve and str(curve[step]) != str(loss):
                    raise _repeated(path, line, titles[at], step)
                curve[step] = loss
    if not runs:
        raise no_losses(path, titles)
    return runs


def _repeated(path: Path, line: int, title: str, step: int | None) -> ResultsError:
    """The error for a loss that is there twice, with different figures: of runs that no column tells apart, or of one
    that was resumed."""
    at = "" if step is None else f" at step {step}"
    message = f"{path}:{line}: {title}: a run has two different losses of this domain{at}"
    hint = "name the runs in a column run, seed or index; if it is one run, delete a row or column"
    return ResultsError(message, code="label-repeated", hint=hint, path=path, line=line)


def _browser_runs(path: Path, points: Sequence[tuple[int, str, str]]) -> dict[str, Curves]:
    """One curve that TensorBoard offered for download, whose run and metric are in the name of the file."""
    named = _TENSORBOARD_CSV.fullmatch(path.stem)
    tag = named["tag"] if named else path.stem
    domain = next(iter(validation_losses([tag]).values()), OVERALL)
    curve: Curve = {
        step: loss
        for line, at, value in points
        if (step := _step(path, line, "Step", at)) is not None
        and (loss := _loss(path, line, "Value", value)) is not None
    }
    if not curve:
        raise no_losses(path, ())
    return {named["run"] if named else "": {domain: curve}}


def _read_rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The titles and rows of a CSV or TSV file, each row with the number of its line.

    Raises:
        ResultsError: the file is missing, not UTF-8 or not CSV, or a row has too many or too few cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        message = f"{path}: not UTF-8: {problem.reason} at byte {problem.start}"
        raise ResultsError(message, code="file-malformed", hint="save it as UTF-8", path=path) from None
    first = text.partition("\n")[0]
    delimiter = "\t" if path.suffix.casefold() == ".tsv" else ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as problem:
        message = f"{path}:{reader.line_num}: not CSV: {problem}"
        raise ResultsError(message, code="file-malformed", hint="export it again", path=path) from None
    if not lines:
        raise no_losses(path, ())
    (_, titles), *rows = lines
    for line, row in rows:
        if len(row) != len(titles):
            message = f"{path}:{line}: has {len(row)} cells, but {len(titles)} titles"
            raise ResultsError(message, code="table-ragged", hint="export it again", path=path, line=line)
    return titles, rows


def _number(text: str) -> float | None:
    """The figure in a cell, also if it is not finite; None for blank cells and words."""
    try:
        return float(text)
    except ValueError:
        return None


def _loss(path: Path, line: int, title: str, text: str) -> float | None:
    """The loss in a cell; None if it is blank."""
    number = _number(text)
    if number is None and text.strip().casefold() not in _BLANK:
        raise _malformed(path, line, title, text, "must be a number such as 2.5")
    return number


def _step(path: Path, line: int, title: str, text: str) -> int | None:
    """The step in a cell; None if it is blank."""
    if text.strip().casefold() in (*_BLANK, "nan"):
        return None
    if (number := _number(text)) is None or not number.is_integer():
        raise _malformed(path, line, title, text, "must be an integer such as 1000")
    return int(number)


def _malformed(path: Path, line: int, title: str, text: str, rule: str) -> ResultsError:
    message = f"{path}:{line}: {title} = {text!r}: {rule}, or blank"
    return ResultsError(message, code="cell-malformed", hint="correct it, or export it again", path=path, line=line)


def _label(title: str, text: str) -> str:
    """`seed-1` for 1 in a column of seeds."""
    kind = title.strip().casefold()
    return f"{kind}-{text.strip()}" if kind in ("seed", "index") and text.strip().isdecimal() else text.strip()
