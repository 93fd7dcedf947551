"""The runs whose validation losses a source has: a family of a workspace, or logs of any trainer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from mixhub.analysis.evidence import distinct_rows, kind_of, revision_order
from mixhub.analysis.lm_eval_files import split_seed
from mixhub.analysis.losses.logs import Curves, read_log, reader_of
from mixhub.analysis.pairs import Origin, family_origins
from mixhub.errors import MixhubError, ResultsError, UnknownNameError
from mixhub.phrases import listed, plural
from mixhub.spec import Family, catalog
from mixhub.workspace.lineage import read_lineage
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import Workspace

_PREFERENCE = ("metrics.jsonl", "trainer_state.json", "events", "csv")
"""Of several logs of one run, the first that has validation losses is read."""
_OF_RUN = re.compile(
    r"checkpoint-\d+|runs|logs|tensorboard|tb|wandb|version_\d+|[A-Z][a-z]{2}\d{2}_\d{2}-\d{2}-\d{2}_.+"
)
"""Folders in which trainers keep the logs of a run, below the run's own."""


@dataclass(frozen=True)
class LossRuns:
    """Runs of one family or of one name, with their validation losses."""

    name: str
    """The family, or the source."""
    kind: str
    """What varies over the runs: `seed`, `index`, or `revision` if unknown."""
    runs: Mapping[str, Curves]
    """By revision, in the order of the seeds."""
    text: Mapping[str, str] = field(default_factory=dict)
    """What the losses depend on apart from the model, such as the tokenizer; empty if unknown."""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """The known origins of the runs, by revision."""
    notes: tuple[str, ...] = ()
    """Notes for a reader, a sentence each."""


def find_losses(source: str, workspace: Workspace | None = None) -> list[LossRuns]:
    """Find the runs of a family by name, or those whose logs are in a file or folder.

    Runs named like `mix-a-seed1` and `mix-b-seed1` are of several names, one for each model.

    Raises:
        UnknownNameError: no family or path has this name.
        ResultsError: a file cannot be read, or there are no validation losses.
        RunError: a line of `metrics.jsonl` is malformed.
    """
    names = workspace.family_names() if workspace is not None else catalog.names()
    if source in names:
        family = workspace.family(source) if workspace is not None else catalog.get(source)
        return [_family_losses(family, workspace)]
    path = Path(source)
    if not path.exists():
        hint = f"families: {', '.join(names)}; or pass logs: metrics.jsonl, trainer_state.json, CSV or TensorBoard's"
        raise UnknownNameError("source", source, names, hint=hint)
    runs, notes = _runs_in(path)
    by_model: dict[str, dict[str, Curves]] = {}
    for label, curves in runs.items():
        model, seed = split_seed(label)
        by_model.setdefault(model if seed else "", {})[seed or label] = curves
    if any(len(own) == 1 for own in by_model.values()) and len(by_model) > 1:
        by_model = {"": runs}
    found = []
    for model, own in by_model.items():
        ordered = {revision: own[revision] for revision in sorted(own, key=revision_order)}
        name = model if len(by_model) > 1 else str(path)
        found.append(LossRuns(name, kind_of(ordered), MappingProxyType(ordered)))
    return [replace(found[0], notes=tuple(notes)), *found[1:]]


def find_seed_losses(sources: Sequence[str], workspace: Workspace | None = None) -> list[LossRuns]:
    """Find the runs of several sources as seeds of one recipe: those in logs in one, families as by themselves; raises
    as `find_losses`."""
    every = [(one, source) for source in sources for one in find_losses(source, workspace)]
    logs = [(one, source) for one, source in every if not one.text]
    families = [one for one, _ in every if one.text]
    if len(logs) < 2:
        return [one for one, _ in logs] + families
    rows = [(revision, source, curves) for one, source in logs for revision, curves in one.runs.items()]
    notes = tuple(note for one, _ in logs for note in one.notes)
    name = ", ".join(sources)
    return [LossRuns(name, "seed", MappingProxyType(distinct_rows(rows)), notes=notes), *families]


def _family_losses(family: Family, workspace: Workspace | None) -> LossRuns:
    """The losses of a family's runs in a workspace."""
    runs: dict[str, Curves] = {}
    trained = []
    for run in family.runs() if workspace is not None else ():
        assert workspace is not None
        curves: Curves = {}
        for line in read_metrics(workspace.run_folder(run).metrics):
            for key, loss in line.get("validation", {}).items():
                curves.setdefault(key.removeprefix(family.data.valid_prefix), {})[line["step"]] = float(loss)
        if curves:
            runs[run.revision] = curves
            trained.append(run)
    if not runs:
        where = f"in {workspace.root}" if workspace is not None else "without a workspace"
        message = f"{family.name}: no validation losses {where}"
        hint = f"run mixhub train --family {family.name} --all, or pass the logs of its runs"
        raise ResultsError(message, code="losses-missing", hint=hint, path=None)
    assert workspace is not None
    without = [run.revision for run in family.runs() if run.revision not in runs]
    tokenizers = set()
    for run in trained:
        with suppress(MixhubError):
            export = workspace.run_folder(run).export(family.training.steps)
            tokenizers.add(read_lineage(export).tokenizer_sha256)
    training = family.training
    text = {
        "validation corpora": family.data.corpus,
        "lengths of sequences": str(training.sequence_length),
        "numbers of validation sequences": str(training.validation_sequences),
        **({"tokenizers": tokenizers.pop()} if len(tokenizers) == 1 else {}),
    }
    notes = (f"not trained yet: {listed(without, most=5)}",) if without else ()
    return LossRuns(
        family.name,
        family.revisions.kind,
        MappingProxyType(runs),
        MappingProxyType(text),
        family_origins(family, workspace, trained),
        notes,
    )


def _runs_in(path: Path) -> tuple[dict[str, Curves], list[str]]:
    """The curves of all runs whose logs are in a file or folder, by name, and notes on what was not read."""
    if path.is_file():
        if reader_of(path) is None:
            message = (
                f"{path}: not a log: must be metrics.jsonl, trainer_state.json, .csv, .tsv or TensorBoard's events"
            )
            raise ResultsError(message, code="losses-missing", hint="pass a log, or a folder of logs", path=path)
        return {name or _name_of(path): curves for name, curves in read_log(path).items()}, []
    by_run: dict[Path, list[Path]] = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and reader_of(file) and not _is_hidden(file.relative_to(path)):
            by_run.setdefault(_run_folder(file, path), []).append(file)
    runs: dict[str, Curves] = {}
    skipped: list[ResultsError] = []
    for folder, files in by_run.items():
        for name, curves in _first_read(files, skipped).items():
            label = "/".join(part for part in (*folder.relative_to(path).parts, name) if part) or path.resolve().name
            runs[label] = curves
    if not runs:
        if skipped:
            raise skipped[0]
        message = f"{path}: no logs: metrics.jsonl, trainer_state.json, CSV or TensorBoard's events"
        raise ResultsError(message, code="losses-missing", hint="pass the folder of the runs", path=path)
    reasons = [problem.message for problem in skipped[:3]]
    if more := len(skipped) - len(reasons):
        reasons.append(plural(more, "more log"))
    return runs, [f"not used: {reason}" for reason in reasons]


def _first_read(files: Sequence[Path], skipped: list[ResultsError]) -> dict[str, Curves]:
    """The runs in the logs of one folder, by the kind of log that is preferred; later files have later steps."""
    for kind in _PREFERENCE:
        merged: dict[str, Curves] = {}
        for file in sorted((one for one in files if reader_of(one) == kind), key=_natural):
            try:
                found = read_log(file)
            except ResultsError as problem:
                if problem.code == "package-missing":
                    raise
                skipped.append(problem)
                continue
            for name, curves in found.items():
                for domain, curve in curves.items():
                    merged.setdefault(name, {}).setdefault(domain, {}).update(curve)
        if merged:
            return merged
    return {}


def _run_folder(file: Path, root: Path) -> Path:
    """The folder of the run that a log belongs to: without `checkpoint-500`, `runs/Nov30_12-00-00_host` and such."""
    folder = file.parent
    while folder != root and _OF_RUN.fullmatch(folder.name):
        folder = folder.parent
    return folder


def _name_of(path: Path) -> str:
    folder = path.parent
    while _OF_RUN.fullmatch(folder.name):
        folder = folder.parent
    is_named = reader_of(path) == "csv"
    return path.stem if is_named else folder.resolve().name


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _natural(path: Path) -> tuple[object, ...]:
    """`checkpoint-500` before `checkpoint-1000`, and those before the log of the whole run."""
    numbers: Iterable[int] = (int(number) for number in re.findall(r"checkpoint-(\d+)", str(path)))
    return (*numbers, float("inf")), str(path)
