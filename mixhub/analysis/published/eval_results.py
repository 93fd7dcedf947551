"""Results in the Hub's own format, `.eval_results/*.yaml` (https://huggingface.co/docs/hub/eval-results).

Anybody may add some to a repo. They are published scores: each states a value for a task of a dataset, and nobody knows
here how it was measured.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from mixhub.analysis.published.table import Column, Figure, PublishedRow, PublishedTable, count_decimals
from mixhub.errors import MixhubError, ResultsError
from mixhub.phrases import listed
from mixhub.spec import Task
from mixhub.spec.base import parse_yaml

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry

FOLDER = ".eval_results"
"""The folder of a repo that holds them."""
_OWN = re.compile(rf"(?:{re.escape(FOLDER)}/)?mixhub-(?P<cell>.+\.\d+shot)\.yaml")


def is_eval_result(path: str) -> bool:
    """Whether the Hub reads a file of that path as results."""
    return re.fullmatch(rf"{re.escape(FOLDER)}/[^/]+\.ya?ml", path) is not None


def own_cell(path: str) -> str | None:
    """The stem of the cell, such as `piqa.0shot`, that a push writes a file for; None for files of others."""
    match = _OWN.fullmatch(path)
    return match["cell"] if match else None


def parse_eval_results(text: str, path: str) -> list[EvalResultEntry]:
    """Parse a file of results; raises ResultsError if the Hub cannot read it."""
    try:
        data = parse_yaml(text, path)
    except MixhubError as error:
        raise _malformed(path, error.message.removeprefix(path).lstrip(": ")) from None
    if not isinstance(data, list) or not data:
        raise _malformed(path, "must be a list of results")
    return [_entry(path, number, entry) for number, entry in enumerate(data, start=1)]


def _entry(path: str, number: int, entry: object) -> EvalResultEntry:
    from huggingface_hub import parse_eval_result_entries

    where = f"result {number}"
    dataset = entry.get("dataset") if isinstance(entry, dict) else None
    if not isinstance(dataset, dict) or not all(isinstance(dataset.get(key), str) for key in ("id", "task_id")):
        raise _malformed(path, f"{where}: dataset must have an id and a task_id")
    assert isinstance(entry, dict)
    value = entry.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise _malformed(path, f"{where}: value = {value!r:.40}: must be a finite number")
    if not isinstance(source := entry.get("source", {}), dict) or (source and not isinstance(source.get("url"), str)):
        raise _malformed(path, f"{where}: source must have a url")
    try:
        (found,) = parse_eval_result_entries([entry])
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed(path, f"{where}: {error}") from None
    return found


def _malformed(path: str, problem: str) -> ResultsError:
    hint = "fix the file; the Hub does not show results that it cannot read"
    return ResultsError(f"{path}: {problem}", code="eval-result-malformed", hint=hint, path=path, problem=problem)


def read_eval_results(folder: Path, tasks: Sequence[Task]) -> tuple[PublishedTable | None, list[ResultsError]]:
    """Read the results in `.eval_results/` of a repo's files, as one row; None if there are none. Also return why files
    are not used.

    Files that a push wrote for a cell in the folder's `results/` are omitted. If all values are between 0 and 1, and
    none is from a push, they are read as fractions; the Hub states no unit.

    Args:
        folder: the files of a repo, such as `hf download` writes them.
        tasks: the tasks with known titles.
    """
    entries: list[tuple[str, EvalResultEntry]] = []
    problems: list[ResultsError] = []
    for path in sorted((folder / FOLDER).iterdir()) if (folder / FOLDER).is_dir() else ():
        cell = own_cell(path.name)
        if not is_eval_result(f"{FOLDER}/{path.name}") or (cell and (folder / "results" / f"{cell}.json").is_file()):
            continue
        try:
            found = parse_eval_results(path.read_text(encoding="utf-8", errors="replace"), str(path))
        except ResultsError as error:
            problems.append(error)
        else:
            entries += [(path.stem, entry) for entry in found]
    return (_table(folder, entries, tasks) if entries else None), problems


def _table(folder: Path, entries: Sequence[tuple[str, EvalResultEntry]], tasks: Sequence[Task]) -> PublishedTable:
    names = [f"{entry.dataset_id} {entry.task_id}" for _, entry in entries]
    titles = [
        f"{name} ({stem}{'' if names[:at].count(name) == 0 else f' {at + 1}'})" if names.count(name) > 1 else name
        for at, (name, (stem, _)) in enumerate(zip(names, entries, strict=True))
    ]
    values = [Decimal(repr(entry.value)) for _, entry in entries]
    has_own = any(own_cell(f"{stem}.yaml") for stem, _ in entries)  # which are in percent
    is_fraction = all(0 <= value <= 1 for value in values) and not has_own
    notes = []
    if not is_fraction and (small := [title for title, value in zip(titles, values, strict=True) if 0 < value < 1]):
        notes.append(f"may be a fraction, since the Hub states no unit: {listed(small, most=3)}")
    notes += [_note(title, entry) for title, (_, entry) in zip(titles, entries, strict=True)]
    figures = {title: _figure(value, is_fraction) for title, value in zip(titles, values, strict=True)}
    by_name = {task.name: task for task in tasks}
    return PublishedTable(
        source=str(folder / FOLDER),
        columns=tuple(
            Column(title, by_name.get(entry.task_id)) for title, (_, entry) in zip(titles, entries, strict=True)
        ),
        rows=(PublishedRow(folder.resolve().name, MappingProxyType(figures)),),
        scale="fraction" if is_fraction else "percent",
        notes=tuple(notes),
    )


def _figure(value: Decimal, is_fraction: bool) -> Figure:
    percent = value.scaleb(2) if is_fraction else value
    return Figure(float(percent), count_decimals(percent))


def _note(title: str, entry: EvalResultEntry) -> str:
    """What an entry says of its value."""
    said = {"": entry.notes, "date": entry.date, "revision": entry.dataset_revision, "source": entry.source_url}
    known = [f"{name} {value}".strip() for name, value in said.items() if value]
    return f"{title}: {' '.join(', '.join(known).split()) or 'no details'}"
