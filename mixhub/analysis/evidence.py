"""What is known of a family or of any model: its cells, of all its revisions, and what was published of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from mixhub.analysis.lm_eval_files import Superseded, read_outputs
from mixhub.analysis.published.reading import read_published, table_file
from mixhub.analysis.published.table import PublishedTable, published_table
from mixhub.analysis.scores import Column, columns_of
from mixhub.errors import MixhubError, ResultsError, UnknownNameError
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.spec import Evaluation, Family, Run, Task, catalog
from mixhub.workspace.cells import read_cells
from mixhub.workspace.lineage import UNKNOWN, read_lineage
from mixhub.workspace.paths import Workspace
from mixhub.workspace.recipe_diff import recipe_changes
from mixhub.workspace.records import Record

_NUMBERED = re.compile(r"(?P<kind>seed|model-index|index)[-_]?(?P<number>\d+)")


@dataclass(frozen=True)
class Evidence:
    """The cells of one family or model, and its published scores; the two never mix."""

    name: str
    """Name of the family; else the model as lm-eval calls it, or the file of a published table."""
    kind: str
    """What varies over the revisions: `seed`, `index`, or `revision` where it is not known."""
    family: Family | None
    """Where it is one that is known."""
    records: Mapping[str, tuple[Record, ...]]
    """Cells by revision, in the order of the seeds; one a cell."""
    published: PublishedTable | None
    """Scores as somebody printed them."""
    superseded: tuple[Superseded, ...] = ()
    """Cells that were measured again later."""
    notes: tuple[str, ...] = ()
    """What a reader of the scores should know, a sentence each."""
    tasks: tuple[Task, ...] = ()
    """Tasks whose titles are known, where it is of no family."""

    @property
    def measured(self) -> bool:
        """Whether it has cells."""
        return any(self.records.values())


def find_evidence(source: str, workspace: Workspace | None = None, progress: Progress = SILENT) -> Evidence:
    """What SOURCE means: a family by name, else a file or folder of results, or a published table (.md, .csv, .tsv).

    Raises:
        UnknownNameError: there is neither such a family nor such a path.
        ResultsError: what lies there cannot be read, or is of two models; names the files.
    """
    path = Path(source)
    known = workspace.family_names() if workspace is not None else catalog.names()
    if source in known:
        return family_evidence(workspace.family(source) if workspace else catalog.get(source), workspace)
    if (table := table_file(source)) is not None:
        return table_evidence(*table, known_tasks(workspace))
    if path.exists():
        return path_evidence([path], known_tasks(workspace), progress)
    hint = f"families: {', '.join(known)}; or give a folder of results, or a table (.md, .csv, .tsv)"
    raise UnknownNameError("source", source, known, hint=hint)


def family_evidence(family: Family, workspace: Workspace | None) -> Evidence:
    """The cells that a workspace has of a family's runs, and the family's published scores.

    Raises:
        ResultsError: a cell is malformed or of another run, or cells of one run were made with different weights;
            names the files.
    """
    records: dict[str, tuple[Record, ...]] = {}
    notes = []
    for run in family.runs() if workspace is not None else ():
        assert workspace is not None
        cells = read_cells(workspace.results(run))
        for cell in cells:
            if (cell.model, cell.revision) != (run.family, run.revision):
                raise ResultsError(
                    f"{cell.path}: is a cell of {cell.model} {cell.revision}, in the folder of {run.revision}",
                    code="cell-misplaced",
                    hint="put it where it belongs, or delete it",
                    path=cell.path,
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
    """The cells in files and folders, which must all be of one model.

    Raises:
        ResultsError: as `read_outputs` does; also when they are of two models, naming a file of each.
    """
    outputs = read_outputs(paths, progress)
    first = outputs.records[0]
    for record in outputs.records:
        if record.model != first.model:
            raise ResultsError(
                f"two models in one folder: {first.path} is of {first.model}, {record.path} of {record.model}",
                code="models-mixed",
                hint="give the results of one model, or each model's folder apart",
                paths=(first.path, record.path),
            )
    by_revision: dict[str, list[Record]] = {}
    for record in sorted(outputs.records, key=lambda record: _order(record.revision)):
        by_revision.setdefault(record.revision, []).append(record)
    notes = []
    if outputs.skipped:
        named = ", ".join(path.name for path in outputs.skipped[:3])
        notes.append(f"{len(outputs.skipped)} JSON files that are no results were left alone: {named}")
    return Evidence(
        name=first.model if first.model != UNKNOWN else str(paths[0]),
        kind=_kind(by_revision),
        family=None,
        records=MappingProxyType({revision: tuple(found) for revision, found in by_revision.items()}),
        published=None,
        superseded=outputs.superseded,
        notes=tuple(notes),
        tasks=tuple(tasks),
    )


def table_evidence(path: Path, line: int | None, tasks: Sequence[Task]) -> Evidence:
    """A published table of these tasks: in a Markdown card, or a CSV; raises ResultsError as `read_published` does."""
    table = read_published(path, tasks, line)
    rows = [f"{table.row_kind.casefold()}-{row.label}" if row.label.isdecimal() else row.label for row in table.rows]
    return Evidence(path.name, _kind(rows), None, MappingProxyType({}), table)


def known_tasks(workspace: Workspace | None = None) -> tuple[Task, ...]:
    """The tasks of the workspace's family and of the shipped ones, with their titles and documents."""
    families = [] if workspace is None else [workspace.family()]
    families += [catalog.get(name) for name in catalog.names()]
    found: dict[str, Task] = {}
    for family in families:
        for task in family.evaluation.tasks:
            found.setdefault(task.name, task)
    return tuple(found.values())


def family_columns(evaluation: Evaluation, evidence: Evidence) -> tuple[Evidence, tuple[Column, ...]]:
    """The columns of a suite, and the evidence without the cells that its scores are not made of.

    The seed of the shots is the suite's for families; other tools' results seldom say theirs.
    """
    names = {task.name for task in evaluation.tasks}
    kept = {
        revision: tuple(
            record
            for record in records
            if record.task in names
            and record.num_fewshot in evaluation.num_fewshot
            and record.limit is None
            and (evidence.family is None or record.fewshot_seed == evaluation.fewshot_seed)
        )
        for revision, records in evidence.records.items()
    }
    return _without_others(evidence, kept), columns_of(evaluation)


def common_columns(evidence: Sequence[Evidence]) -> tuple[list[Evidence], tuple[Column, ...]]:
    """Columns for results that belong to no suite: the tasks and shot counts that each of the models has in any
    revision, so that what a revision lacks is seen. With them the evidence, without other cells."""
    tasks = {task.name: task for one in evidence for task in one.tasks or known_tasks()}
    shots_of = [_shots(one) for one in evidence]
    names = list(dict.fromkeys([*tasks, *(name for shots in shots_of for name in shots)]))
    columns = []
    for name in names:
        given = [shots.get(name, set()) for shots in shots_of]
        if shots := set.intersection(*given):
            title = tasks[name].title if name in tasks else name
            columns.append(Column(name, title, tuple(sorted(shots))))
    wanted = {(column.task, shots) for column in columns for shots in column.num_fewshot}
    kept = []
    for one in evidence:
        own = {
            revision: tuple(r for r in records if (r.task, r.num_fewshot) in wanted and _scored(r))
            for revision, records in one.records.items()
        }
        kept.append(_without_others(one, own))
    return kept, tuple(columns)


def _shots(evidence: Evidence) -> dict[str, set[int]]:
    """Shot counts by task, of what makes a score."""
    found: dict[str, set[int]] = {}
    for records in evidence.records.values():
        for record in records:
            if isinstance(record.num_fewshot, int) and _scored(record):
                found.setdefault(record.task, set()).add(record.num_fewshot)
    return found


def _scored(record: Record) -> bool:
    """Whether it makes a score: it has an accuracy, and saw all documents."""
    return record.limit is None and not {"acc", "acc_norm"}.isdisjoint(record.metrics)


def _without_others(evidence: Evidence, kept: Mapping[str, tuple[Record, ...]]) -> Evidence:
    """The evidence with only the cells that count, and a note on the others."""
    notes = list(evidence.notes)
    there = {id(record) for records in kept.values() for record in records}
    others = [r for records in evidence.records.values() for r in records if id(r) not in there]
    if limited := [record for record in others if record.limit == UNKNOWN]:
        notes.append(f"{len(limited)} cells may have been cut short by a limit, which is not known: {_names(limited)}")
    if limited := [record for record in others if record.limit not in (None, UNKNOWN)]:
        notes.append(f"{len(limited)} cells were cut short by a limit, so they make no score: {_names(limited)}")
    if rest := [record for record in others if record.limit is None]:
        notes.append(f"{len(rest)} further cells are not of the suite: {_names(rest)}")
    return replace(evidence, records=MappingProxyType(dict(kept)), notes=tuple(notes))


def _names(records: Iterable[Record]) -> str:
    return listed(list(dict.fromkeys(f"{record.task} {record.num_fewshot}-shot" for record in records)), most=3)


def _weights_note(workspace: Workspace, family: Family, run: Run, weights: str) -> list[str]:
    folder = workspace.run_folder(run)
    if family.training.steps not in folder.export_steps():
        return []
    try:
        export = read_lineage(folder.export(family.training.steps)).weights_sha256
        trained_with = folder.export(family.training.steps) / folder.train_config.name
        changed = list(recipe_changes(family, run, trained_with).values())
    except MixhubError:
        return []
    if changed:
        line = changed[0].removeprefix(f"{trained_with}: ")
        return [f"{run.revision} was not trained with what the family says now: {line}"]
    if export == weights:
        return []
    return [f"{run.revision} was measured with weights {weights[:12]}, but its export has {export[:12]}: measure anew"]


def _kind(revisions: Iterable[str]) -> str:
    kinds = {match["kind"] if (match := _NUMBERED.fullmatch(revision)) else "revision" for revision in revisions}
    kind = kinds.pop() if len(kinds) == 1 else "revision"
    return "index" if kind.endswith("index") else kind


def _order(revision: str) -> tuple[str, int, str]:
    """`seed-2` before `seed-10`."""
    stem, number = re.fullmatch(r"(.*?)(\d*)", revision, re.DOTALL).groups()  # type: ignore[union-attr]
    return stem, int(number or 0), revision
