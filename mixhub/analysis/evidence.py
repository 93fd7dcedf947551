"""The evidence for one family or model: its cells, by revision, and its published scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from mixhub.analysis.lm_eval_files import Superseded, read_outputs
from mixhub.analysis.published.reading import read_published, table_file
from mixhub.analysis.published.table import PublishedTable, published_table
from mixhub.analysis.scores import SCORE, Column, columns_of, is_of_suite
from mixhub.errors import MixhubError, ResultsError, UnknownNameError
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.spec import Evaluation, Family, Run, Task, catalog
from mixhub.workspace.cells import read_cells
from mixhub.workspace.lineage import UNKNOWN, read_lineage
from mixhub.workspace.paths import Workspace
from mixhub.workspace.records import Record

_NUMBERED = re.compile(r"(?P<kind>seed|model-index|index)[-_]?(?P<number>\d+)")


@dataclass(frozen=True)
class Evidence:
    """The cells of one family or model, and its published scores; the two are never mixed."""

    name: str
    """The family, the model as lm-eval calls it, or the file of a published table."""
    kind: str
    """What varies over the revisions: `seed`, `index`, or `revision` if unknown."""
    family: Family | None
    """The family, if it is a known one."""
    records: Mapping[str, tuple[Record, ...]]
    """Cells by revision, in the order of the seeds; each cell once."""
    published: PublishedTable | None
    """Published scores."""
    superseded: tuple[Superseded, ...] = ()
    """Cells that were measured again later."""
    notes: tuple[str, ...] = ()
    """Notes for a reader of the scores, a sentence each."""
    tasks: tuple[Task, ...] = ()
    """Tasks with known titles, if it is not a family."""

    @property
    def measured(self) -> bool:
        """Whether there are cells."""
        return any(self.records.values())


def find_evidence(source: str, workspace: Workspace | None = None, progress: Progress = SILENT) -> Evidence:
    """Find a family by name, else a file or folder of results, or a published table (.md, .csv, .tsv).

    Raises:
        UnknownNameError: no family or path has this name.
        ResultsError: the files cannot be read, or belong to two models.
    """
    path = Path(source)
    names = workspace.family_names() if workspace is not None else catalog.names()
    if source in names:
        return family_evidence(workspace.family(source) if workspace else catalog.get(source), workspace)
    if (table := table_file(source)) is not None:
        return _table_evidence(*table, known_tasks(workspace))
    if path.exists():
        return path_evidence([path], known_tasks(workspace), progress)
    hint = f"families: {', '.join(names)}; or pass a folder of results, or a table (.md, .csv, .tsv)"
    raise UnknownNameError("source", source, names, hint=hint)


def family_evidence(family: Family, workspace: Workspace | None) -> Evidence:
    """The cells that a workspace has of a family's runs, and the family's published scores.

    Raises:
        ResultsError: a cell is malformed or belongs to another run, or cells of one run were made with different
            weights.
    """
    records: dict[str, tuple[Record, ...]] = {}
    notes = []
    for run in family.runs() if workspace is not None else ():
        assert workspace is not None
        cells = read_cells(workspace.results(run))
        for cell in cells:
            if (cell.model, cell.revision) != (run.family, run.revision):
                message = f"{cell.path}: belongs to {cell.model} {cell.revision}, not to {run.revision}"
                raise ResultsError(
                    message, code="cell-misplaced", hint="move it to its own folder, or delete it", path=cell.path
                )
        if cells:
            records[run.revision] = tuple(cells)
            notes += _weights_note(workspace, family, run, cells[0].weights_sha256)
    without = [run.revision for run in family.runs() if run.revision not in records]
    if records and without:
        notes.append(f"not evaluated yet: {listed(without, most=5)}")
    return Evidence(
        name=family.name,
        kind=family.revisions.kind,
        family=family,
        records=MappingProxyType(records),
        published=published_table(family),
        notes=tuple(notes),
    )


def path_evidence(paths: Sequence[Path], tasks: Sequence[Task] = (), progress: Progress = SILENT) -> Evidence:
    """The cells of one model in files and folders.

    Raises:
        ResultsError: as `read_outputs`, or the cells belong to two models.
    """
    outputs = read_outputs(paths, progress)
    first = outputs.records[0]
    for record in outputs.records:
        if record.model != first.model:
            message = f"two models in one folder: {first.path} ({first.model}) and {record.path} ({record.model})"
            raise ResultsError(
                message, code="models-mixed", hint="pass the results of one model", paths=(first.path, record.path)
            )
    by_revision: dict[str, list[Record]] = {}
    for record in sorted(outputs.records, key=lambda record: _order(record.revision)):
        by_revision.setdefault(record.revision, []).append(record)
    skipped = listed([path.name for path in outputs.skipped], most=3)
    return Evidence(
        name=first.model if first.model != UNKNOWN else str(paths[0]),
        kind=_kind(by_revision),
        family=None,
        records=MappingProxyType({revision: tuple(own) for revision, own in by_revision.items()}),
        published=None,
        superseded=outputs.superseded,
        notes=(f"skipped {len(outputs.skipped)} JSON files that are not results: {skipped}",) if skipped else (),
        tasks=tuple(tasks),
    )


def _table_evidence(path: Path, line: int | None, tasks: Sequence[Task]) -> Evidence:
    table = read_published(path, tasks, line)
    rows = [f"{table.row_kind.casefold()}-{row.label}" if row.label.isdecimal() else row.label for row in table.rows]
    return Evidence(path.name, _kind(rows), None, MappingProxyType({}), table)


def known_tasks(workspace: Workspace | None = None) -> tuple[Task, ...]:
    """The tasks of the workspace's family and of the catalog, with their titles and documents."""
    families = [] if workspace is None else [workspace.family()]
    families += [catalog.get(name) for name in catalog.names()]
    tasks: dict[str, Task] = {}
    for task in (task for family in families for task in family.evaluation.tasks):
        tasks.setdefault(task.name, task)
    return tuple(tasks.values())


def family_columns(evaluation: Evaluation, evidence: Evidence) -> tuple[Evidence, tuple[Column, ...]]:
    """The columns of a suite, and the evidence with only the cells that count for its scores.

    The seed of the shots must be the suite's for families; other tools' results rarely have it.
    """

    def counts(record: Record) -> bool:
        has_seed = evidence.family is None or record.fewshot_seed == evaluation.fewshot_seed
        return has_seed and is_of_suite(evaluation, record)

    return _with_cells(evidence, counts), columns_of(evaluation)


def common_columns(evidence: Sequence[Evidence]) -> tuple[list[Evidence], tuple[Column, ...]]:
    """Columns for results without a suite: the tasks and shot counts that each model has in any revision; and the
    evidence with only their cells."""
    titles = {task.name: task.title for one in evidence for task in one.tasks or known_tasks()}
    cells_of = [
        {(r.task, r.num_fewshot) for own in one.records.values() for r in own if _makes_score(r)} for one in evidence
    ]
    common = set.intersection(*cells_of)
    every_task = [record.task for one in evidence for own in one.records.values() for record in own]
    columns = []
    for name in dict.fromkeys([*titles, *every_task]):
        if shots := sorted(count for task, count in common if task == name and isinstance(count, int)):
            columns.append(Column(name, titles.get(name, name), tuple(shots)))
    selected = {(column.task, shots) for column in columns for shots in column.num_fewshot}

    def counts(record: Record) -> bool:
        return (record.task, record.num_fewshot) in selected and _makes_score(record)

    return [_with_cells(one, counts) for one in evidence], tuple(columns)


def _makes_score(record: Record) -> bool:
    """Whether it has an accuracy over all documents."""
    return record.limit is None and SCORE.metric(record) is not None


def _with_cells(evidence: Evidence, counts: Callable[[Record], bool]) -> Evidence:
    """The evidence with only the cells that count, and notes on the others."""
    records = {revision: tuple(filter(counts, own)) for revision, own in evidence.records.items()}
    others = [record for own in evidence.records.values() for record in own if not counts(record)]
    groups = {
        "cells do not state whether a limit cut them short": [r for r in others if r.limit == UNKNOWN],
        "cells were cut short by a limit, so not scored": [r for r in others if r.limit not in (None, UNKNOWN)],
        "other cells are not in the suite": [r for r in others if r.limit is None],
    }
    notes = [f"{len(group)} {what}: {_names(group)}" for what, group in groups.items() if group]
    return replace(evidence, records=MappingProxyType(records), notes=(*evidence.notes, *notes))


def _names(records: Iterable[Record]) -> str:
    return listed(list(dict.fromkeys(f"{record.task} {record.num_fewshot}-shot" for record in records)), most=3)


def _weights_note(workspace: Workspace, family: Family, run: Run, weights: str) -> list[str]:
    with suppress(MixhubError):
        exported = read_lineage(workspace.run_folder(run).export(family.training.steps)).weights_sha256
        if exported != weights:
            difference = f"{run.revision} was measured with weights {weights[:12]}, but its export has {exported[:12]}"
            return [f"{difference}: evaluate again"]
    return []


def _kind(revisions: Iterable[str]) -> str:
    kinds = {match["kind"] if (match := _NUMBERED.fullmatch(revision)) else "revision" for revision in revisions}
    kind = kinds.pop() if len(kinds) == 1 else "revision"
    return "index" if kind.endswith("index") else kind


def _order(revision: str) -> tuple[str, int, str]:
    """`seed-2` before `seed-10`."""
    stem, number = re.fullmatch(r"(.*?)(\d*)", revision, re.DOTALL).groups()  # type: ignore[union-attr]
    return stem, int(number or 0), revision
