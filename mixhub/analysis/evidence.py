"""The evidence for one family or model: its cells, by revision, and its published scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from mixhub.analysis.imported import imported_records
from mixhub.analysis.lm_eval_files import Superseded, read_outputs
from mixhub.analysis.pairs import Origin, family_origins
from mixhub.analysis.published.eval_results import FOLDER, read_eval_results
from mixhub.analysis.published.reading import read_published, table_file
from mixhub.analysis.published.table import PublishedTable, published_table
from mixhub.analysis.scores import SETTINGS, Column, Standing, columns_of, is_of_suite, with_metrics
from mixhub.errors import MixhubError, ResultsError, UnknownNameError
from mixhub.phrases import listed, plural
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
    standing: Standing = "measured"
    """`imported` for cells of a family that others measured."""
    imported: Evidence | None = None
    """The cells of the family that others measured."""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """By revision, what it may share with a run of another family; only of measured weights."""

    @property
    def measured(self) -> bool:
        """Whether there are cells."""
        return any(self.records.values())

    @property
    def by_standing(self) -> list[Evidence]:
        """The evidence with its own cells, if it has some, and that of imported cells."""
        return [*([self] if self.measured else []), *([self.imported] if self.imported else [])]


def find_evidence(source: str, workspace: Workspace | None = None, progress: Progress = SILENT) -> Evidence:
    """Find a family by name, else a file or folder of results, or a published table (.md, .csv, .tsv).

    In a folder of several models, each revision of each model is a row.

    Raises:
        UnknownNameError: no family or path has this name.
        ResultsError: the files cannot be read.
    """
    return _as_one(source, find_by_model(source, workspace, progress))


def find_by_model(source: str, workspace: Workspace | None = None, progress: Progress = SILENT) -> list[Evidence]:
    """Find the evidence as `find_evidence` does; of a folder of models with several revisions, one for each model."""
    path = Path(source)
    names = workspace.family_names() if workspace is not None else catalog.names()
    if source in names:
        return [family_evidence(workspace.family(source) if workspace else catalog.get(source), workspace)]
    if (table := table_file(source)) is not None:
        return [_table_evidence(*table, known_tasks(workspace))]
    if path.exists():
        tasks = known_tasks(workspace)
        return (
            _evidence_of_repo(path, tasks, progress) if (path / FOLDER).is_dir() else _by_model(path, tasks, progress)
        )
    hint = f"families: {', '.join(names)}; or pass a folder of results, or a table (.md, .csv, .tsv)"
    raise UnknownNameError("source", source, names, hint=hint)


def find_seeds(
    sources: Sequence[str], workspace: Workspace | None = None, progress: Progress = SILENT
) -> list[Evidence]:
    """Find the evidence of several sources as seeds of one recipe: all results in one, a row for each revision of each
    model; families and published tables as by themselves.

    Raises:
        UnknownNameError, ResultsError: as for `find_evidence`.
    """
    every = [(one, source) for source in sources for one in find_by_model(source, workspace, progress)]
    results = [(one, source) for one, source in every if one.measured and one.family is None]
    others = [one for one, _ in every if not one.measured or one.family is not None]
    if len(results) < 2:
        return [one for one, _ in results] + others
    models = {one.name for one, _ in results}
    revisions = [revision for one, _ in results for revision in one.records]
    is_one_model = len(models) == 1 and kind_of(revisions) != "revision" and len({*revisions}) == len(revisions)
    rows = [
        (revision if is_one_model else row, source, one.records[revision])
        for one, source in results
        for row, revision in zip(_row_names(one), one.records, strict=True)
    ]
    merged = Evidence(
        name=models.pop() if len(models) == 1 else ", ".join(sources),
        kind="seed",
        family=None,
        records=MappingProxyType(distinct_rows(rows)),
        published=None,
        superseded=tuple(superseded for one, _ in results for superseded in one.superseded),
        notes=tuple(note for one, _ in results for note in one.notes),
        tasks=results[0][0].tasks,
    )
    return [merged, *others]


Row = TypeVar("Row")


def distinct_rows(rows: Sequence[tuple[str, str, Row]]) -> dict[str, Row]:
    """Rows by name, from names, sources and what the rows hold; those of one name get their source added."""
    names = [name for name, _, _ in rows]
    return {f"{name} in {source}" if names.count(name) > 1 else name: row for name, source, row in rows}


def family_evidence(family: Family, workspace: Workspace | None) -> Evidence:
    """The cells that a workspace has of a family's runs, and the family's published scores.

    Raises:
        ResultsError: a cell is malformed or belongs to another run, or cells of one run were made with different
            weights.
    """
    records: dict[str, tuple[Record, ...]] = {}
    notes = []
    measured = []
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
            stale = _weights_note(workspace, family, run, cells[0].weights_sha256)
            notes += stale
            measured += [] if stale else [run]
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
        imported=_imported_evidence(family, workspace) if workspace is not None else None,
        origins=family_origins(family, workspace, measured) if workspace is not None else MappingProxyType({}),
    )


def _imported_evidence(family: Family, workspace: Workspace) -> Evidence | None:
    """The cells of a family that others measured."""
    cells = {run.revision: imported_records(workspace.imported(run), run) for run in family.runs()}
    found = MappingProxyType({revision: own for revision, own in cells.items() if own})
    return Evidence(family.name, family.revisions.kind, family, found, None, standing="imported") if found else None


def _by_model(path: Path, tasks: Sequence[Task], progress: Progress) -> list[Evidence]:
    """The cells in a file or folder: of each model, or in one for all if each model has one revision."""
    outputs = read_outputs([path], progress)
    by_model: dict[str, list[Record]] = {}
    for record in outputs.records:
        by_model.setdefault(record.model, []).append(record)
    found = []
    for model, records in by_model.items():
        rows = _rows(records)
        found.append(
            Evidence(
                name=model if model != UNKNOWN else str(path),
                kind=kind_of(rows),
                family=None,
                records=MappingProxyType(rows),
                published=None,
                superseded=tuple(one for one in outputs.superseded if one.by.model == model),
                tasks=tuple(tasks),
            )
        )
    if all(len(one.records) == 1 for one in found):
        found = [_as_one(str(path), found)]
    return [replace(found[0], notes=outputs.notes), *found[1:]]


def _evidence_of_repo(path: Path, tasks: Sequence[Task], progress: Progress) -> list[Evidence]:
    """The cells in a folder with the files of a repo, and the scores that were published there."""
    published, problems = read_eval_results(path, tasks)
    try:
        found = _by_model(path, tasks, progress)
    except ResultsError as error:
        if error.code != "results-missing":
            raise
        if published is None:
            raise problems[0] if problems else error from None
        found = []
    notes = [f"not used: {problem.message}" for problem in problems]
    if published is not None and len(found) != 1:
        published = replace(published, notes=(*published.notes, *notes))
        return [*found, Evidence(str(path), "revision", None, MappingProxyType({}), published)]
    return [replace(found[0], published=published, notes=(*found[0].notes, *notes)), *found[1:]]


def _rows(records: Iterable[Record]) -> dict[str, tuple[Record, ...]]:
    """The cells of one model by revision; a revision that was measured with several settings has a row for each."""
    by_revision: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: revision_order(record.revision)):
        by_revision.setdefault(record.revision, []).append(record)
    rows: dict[str, list[Record]] = {}
    for revision, own in by_revision.items():
        settings = _settings(own)
        for record in own:
            values = ", ".join(f"{getattr(record, name)}" for name in settings)
            rows.setdefault(f"{revision} ({values})" if values else revision, []).append(record)
    return {row: tuple(own) for row, own in rows.items()}


def _settings(records: Iterable[Record]) -> list[str]:
    """The settings in which records of the same cell differ; those of prompts also between cells."""
    by_cell: dict[tuple[object, ...], list[Record]] = {}
    prompts: set[str] = set()
    for record in records:
        prompts.add(record.prompting)
        by_cell.setdefault((record.task, record.num_fewshot, record.limit), []).append(record)
    return [
        name
        for name in SETTINGS
        if any(len({getattr(r, name) for r in own}) > 1 for own in by_cell.values())
        or (name == "prompting" and len(prompts - {UNKNOWN}) > 1)
    ]


def _as_one(name: str, evidence: Sequence[Evidence]) -> Evidence:
    """Several models in one, a row for each revision of each model."""
    evidence = [one for one in evidence if one.measured] or evidence
    if len(evidence) == 1:
        return evidence[0]
    rows: dict[str, tuple[Record, ...]] = {}
    for one in evidence:
        rows |= dict(zip(_row_names(one), one.records.values(), strict=True))
    return Evidence(
        name=name,
        kind="model",
        family=None,
        records=MappingProxyType(rows),
        published=None,
        superseded=tuple(superseded for one in evidence for superseded in one.superseded),
        notes=tuple(note for one in evidence for note in one.notes),
        tasks=evidence[0].tasks,
    )


def _row_names(evidence: Evidence) -> list[str]:
    """The names of a model's rows in a table of several models."""
    if len(evidence.records) == 1 and {*evidence.records} <= {UNKNOWN, "main", "local"}:
        return [evidence.name]
    return [f"{evidence.name} {revision}" for revision in evidence.records]


def _table_evidence(path: Path, line: int | None, tasks: Sequence[Task]) -> Evidence:
    table = read_published(path, tasks, line)
    rows = [f"{table.row_kind.casefold()}-{row.label}" if row.label.isdecimal() else row.label for row in table.rows]
    return Evidence(path.name, kind_of(rows), None, MappingProxyType({}), table)


def known_tasks(workspace: Workspace | None = None) -> tuple[Task, ...]:
    """The tasks of the workspace's family and of the catalog, with their titles and documents."""
    families = [] if workspace is None else [workspace.family()]
    families += [catalog.get(name) for name in catalog.names()]
    tasks: dict[str, Task] = {}
    for task in (task for family in families for task in family.evaluation.tasks):
        tasks.setdefault(task.name, task)
    return tuple(tasks.values())


def family_columns(
    evaluation: Evaluation, evidence: Evidence, *, limited: bool = False
) -> tuple[Evidence, tuple[Column, ...]]:
    """The columns of a suite, and the evidence with only the cells that count for its scores.

    The seed of the shots must be the suite's for a family's own cells; other tools' results rarely have it. With
    `limited`, cells that a limit cut short remain.
    """

    def counts(record: Record) -> bool:
        is_own = evidence.family is not None and evidence.standing == "measured"
        has_seed = not is_own or record.fewshot_seed == evaluation.fewshot_seed
        return has_seed and is_of_suite(evaluation, record, limited=limited)

    selected = _with_cells(evidence, counts, "they are not in the suite")
    return selected, with_metrics(columns_of(evaluation), selected.records)


def common_columns(evidence: Sequence[Evidence], *, limited: bool = False) -> tuple[list[Evidence], tuple[Column, ...]]:
    """Columns for results without a suite: the tasks and shot counts that each model has in any revision; and the
    evidence with only their cells. With `limited`, cells that a limit cut short remain."""
    titles = {task.name: task.title for one in evidence for task in one.tasks or known_tasks()}
    every = [record for one in evidence for own in one.records.values() for record in own]
    cells_of = [
        {(r.task, r.num_fewshot) for own in one.records.values() for r in own if limited or r.limit is None}
        for one in evidence
    ]
    common = set.intersection(*cells_of)
    groups: dict[str, set[str]] = {}
    for record in every:
        groups.setdefault(record.task, set()).add(record.group)
    columns = []
    for name in dict.fromkeys([*titles, *groups]):
        if shots := sorted(count for task, count in common if task == name and isinstance(count, int)):
            group = "" if "" in groups[name] else min(groups[name])
            columns.append(Column(name, titles.get(name, name), tuple(shots), group=group))
    shown = {column.task for column in columns}
    columns = [column if column.group in shown else column._replace(group="") for column in columns]
    selected = {(column.task, shots) for column in columns for shots in column.num_fewshot}

    def counts(record: Record) -> bool:
        return (record.task, record.num_fewshot) in selected and (limited or record.limit is None)

    why = "their number of shots is unknown, or other models lack it"
    found = [_with_cells(one, counts, why) for one in evidence]
    return found, with_metrics(columns, *(one.records for one in found))


def _with_cells(evidence: Evidence, counts: Callable[[Record], bool], why_others: str) -> Evidence:
    """The evidence with only the cells that count, and notes on the others; `why_others` for whole cells."""
    records = {revision: tuple(filter(counts, own)) for revision, own in evidence.records.items()}
    others = [record for own in evidence.records.values() for record in own if not counts(record)]
    groups = {
        "they do not state whether a limit cut them short": [r for r in others if r.limit == UNKNOWN],
        "a limit cut them short (to show them: --allow-incomplete)": [
            r for r in others if r.limit not in (None, UNKNOWN)
        ],
        why_others: [r for r in others if r.limit is None],
    }
    notes = [
        f"not scored: {plural(len(group), 'cell')}, because {why}: {name_cells(group)}"
        for why, group in groups.items()
        if group
    ]
    return replace(evidence, records=MappingProxyType(records), notes=(*evidence.notes, *notes))


def name_cells(records: Iterable[Record]) -> str:
    """`piqa 5-shot, copa 0-shot`; only the first of many."""
    return listed(list(dict.fromkeys(f"{record.task} {record.num_fewshot}-shot" for record in records)), most=3)


def _weights_note(workspace: Workspace, family: Family, run: Run, weights: str) -> list[str]:
    with suppress(MixhubError):
        exported = read_lineage(workspace.run_folder(run).export(family.training.steps)).weights_sha256
        if exported != weights:
            difference = f"{run.revision} was measured with weights {weights[:12]}, but its export has {exported[:12]}"
            return [f"{difference}: evaluate again"]
    return []


def kind_of(revisions: Iterable[str]) -> str:
    """What varies over revisions: `seed` or `index` if they are named so, else `revision`."""
    kinds = {match["kind"] if (match := _NUMBERED.fullmatch(revision)) else "revision" for revision in revisions}
    kind = kinds.pop() if len(kinds) == 1 else "revision"
    return "index" if kind.endswith("index") else kind


def revision_order(revision: str) -> tuple[str, int, str]:
    """A key to sort revisions by: `seed-2` before `seed-10`."""
    stem, number = re.fullmatch(r"(.*?)(\d*)", revision, re.DOTALL).groups()  # type: ignore[union-attr]
    return stem, int(number or 0), revision
