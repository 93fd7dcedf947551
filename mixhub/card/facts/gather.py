"""Reads what is known of a family from a workspace."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

from mixhub.analysis.lm_eval_files import read_outputs
from mixhub.analysis.samples import NO_SAMPLES, SampleSummary, read_summary
from mixhub.analysis.scores import columns_of, of_suite
from mixhub.card.facts.runs import FinalLosses, Known, Pace, RunFacts, Sibling
from mixhub.card.facts.withdrawal import Withdrawal, withdrawals
from mixhub.errors import CorpusError, ResultsError, RunError, nearest
from mixhub.files import read_json
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family, Run
from mixhub.spec.schedule import tokens_per_step
from mixhub.workspace.cells import Cell, read_cells
from mixhub.workspace.lineage import UNKNOWN, Lineage, read_lineage
from mixhub.workspace.manifest import MANIFEST_FILE, read_manifest
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import RunFolder, Workspace
from mixhub.workspace.recipe_diff import require_same_recipe
from mixhub.workspace.records import Record


def gather(workspace: Workspace, family: Family, published: Mapping[str, Path] | None = None) -> list[RunFacts]:
    """What is known of each run of a family, in the order of its runs.

    Args:
        workspace: where they lie.
        family: the family.
        published: by revision, the folder of what its branch on a hub holds, for runs that were trained elsewhere and
            pushed from there; what lies in the workspace comes first.

    Raises:
        ResultsError: results are malformed, or were made with other weights than the export's.
        ExportError, SpecError: the lineage or the `train_config.yaml` of an export is missing or malformed.
        RunError: a run was trained with another recipe or mixture than the family has now, or its model has another
            shape; two runs were trained on different token shards or tokenizers; or the metrics of a run are malformed.
    """
    _require_known_imports(workspace, family)
    found = [gather_run(workspace, family, run) for run in family.runs()]
    for number, facts in enumerate(found):
        folder = (published or {}).get(facts.run.revision)
        if folder is not None and facts.lineage is None:
            found[number] = _gather_published(workspace, family, facts, folder)
    for key, what in (("corpus_sha256", "token shards"), ("tokenizer_sha256", "tokenizers")):
        _require_alike(workspace, found, key, what)
    return found


def gather_run(workspace: Workspace, family: Family, run: Run) -> RunFacts:
    """What is known of one run; raises as `gather` does, and compares no runs."""
    folder = workspace.run_folder(run)
    export = _export(folder, family.training.steps)
    lineage = _own_lineage(family, run, folder, export) if export is not None else None
    cells = tuple(read_cells(workspace.results(run)))
    for cell in cells:
        _require_own_weights(cell, lineage, run, workspace.results(run))
    metrics = _up_to(read_metrics(folder.metrics), lineage.step if lineage else None)
    return RunFacts(
        run,
        lineage,
        _final_losses(metrics) if lineage else FinalLosses(),
        cells,
        imported=_imported(workspace.imported(run), run),
        weights_dtype=_weights_dtype(export) if export else None,
        special_tokens=_special_tokens(export) if export else None,
        pace=_pace(metrics, family),
        metrics=metrics,
        withdrawal=_withdrawal(workspace, family, run.revision, lineage),
    )


def _gather_published(workspace: Workspace, family: Family, facts: RunFacts, folder: Path) -> RunFacts:
    """What a branch tells of its run; what was brought to the workspace from another is kept."""
    lineage = read_lineage(folder)
    require_same_recipe(family, facts.run, folder / "train_config.yaml", folder)
    _require_same_shape(family, folder)
    cells = tuple(read_cells(folder / "results"))
    for cell in cells:
        _require_own_weights(cell, lineage, facts.run, folder / "results")
    metrics = _up_to(read_metrics(folder / "metrics.jsonl"), lineage.step)
    return replace(
        facts,
        lineage=lineage,
        losses=_final_losses(metrics),
        cells=cells,
        weights_dtype=_weights_dtype(folder),
        special_tokens=_special_tokens(folder),
        pace=_pace(metrics, family),
        metrics=metrics,
        withdrawal=_withdrawal(workspace, family, facts.run.revision, lineage),
    )


def gather_step(workspace: Workspace, family: Family, run: Run, step: int) -> RunFacts:
    """What is known of one step of a run: of the last as `gather_run` gives it, of an earlier one without scores.

    Raises:
        RunError: there is no export of that step.
        MixhubError: as `gather_run`.
    """
    if step == family.training.steps:
        return gather_run(workspace, family, run)
    folder = workspace.run_folder(run)
    export = workspace.export(run, step)
    lineage = _own_lineage(family, run, folder, export)
    metrics = _up_to(read_metrics(folder.metrics), step)
    branch = family.revisions.step_pattern.format(revision=run.revision, step=step)
    return RunFacts(
        replace(run, revision=branch),
        lineage,
        _final_losses(metrics),
        weights_dtype=_weights_dtype(export),
        special_tokens=_special_tokens(export),
        pace=_pace(metrics, family),
        metrics=metrics,
        withdrawal=_withdrawal(workspace, family, branch, lineage),
        earlier_of=run,
    )


def gather_known(
    workspace: Workspace,
    family: Family,
    runs: Sequence[RunFacts],
    progress: Progress = SILENT,
    *,
    of_family: bool = True,
) -> Known:
    """What is known of a family beside its runs.

    Args:
        workspace: where it lies.
        family: the family.
        runs: what `gather` found of it.
        progress: is told of each file of samples that is read.
        of_family: what only the card of a family shows, too: the families beside it, and what was withdrawn.

    Raises:
        UnknownNameError: there is no family of a sibling's name.
        MixhubError: as `gather` does, of the siblings too; or samples are malformed.
    """
    siblings = []
    for name in family.card.siblings if of_family else ():
        sibling = workspace.family(name)
        found = gather(workspace, sibling)
        siblings.append(Sibling(sibling, tuple(found), _samples(workspace, sibling, found, progress)))
    return Known(
        samples=_samples(workspace, family, runs, progress),
        domain_tokens=_domain_tokens(workspace, family, runs),
        siblings=tuple(siblings),
        withdrawals=tuple(withdrawals(workspace, family)) if of_family else (),
    )


def _withdrawal(workspace: Workspace, family: Family, revision: str, lineage: Lineage | None) -> Withdrawal | None:
    found = [
        one
        for one in withdrawals(workspace, family)
        if lineage is not None and (one.revision, one.weights_sha256) == (revision, lineage.weights_sha256)
    ]
    return found[-1] if found else None


def _own_lineage(family: Family, run: Run, folder: RunFolder, export: Path) -> Lineage:
    lineage = read_lineage(export)
    require_same_recipe(family, run, export / folder.train_config.name, folder.path)
    _require_same_shape(family, export)
    return lineage


def _require_same_shape(family: Family, export: Path) -> None:
    """Refuses to tell the family's shape of weights that have another, by what their config names."""
    config = read_json(export / "config.json", RunError) if (export / "config.json").is_file() else {}
    for key, asked in family.architecture.config.items() if isinstance(config, Mapping) else ():
        if config.get(key) not in (None, asked):
            raise RunError(
                f"{export / 'config.json'}: {key} = {config[key]}, but {family.name} says {asked}",
                hint="mend the family's architecture, or take the export of another model out of the workspace",
                code="architecture-differs",
                path=export,
                key=key,
            )


def _samples(workspace: Workspace, family: Family, runs: Sequence[RunFacts], progress: Progress) -> SampleSummary:
    records = {facts.run.revision: of_suite(family, facts.cells) for facts in runs if facts.cells}
    kept = workspace.sample_summaries(family)
    return read_summary(records, columns_of(family.evaluation), kept, progress) if records else NO_SAMPLES


def _domain_tokens(workspace: Workspace, family: Family, runs: Sequence[RunFacts]) -> Mapping[str, int] | None:
    """Tokens by domain, where the shards are those that the runs were trained on."""
    tokens = workspace.tokens(family)
    if not (tokens / MANIFEST_FILE).is_file():
        return None
    try:
        manifest = read_manifest(tokens).for_family(family)
    except CorpusError:
        return None
    known = {facts.lineage.corpus_sha256 for facts in runs if facts.lineage is not None} - {UNKNOWN}
    if known and known != {manifest.sha256()}:
        return None
    return MappingProxyType({domain: packed.tokens for domain, packed in manifest.train.items()})


def _require_known_imports(workspace: Workspace, family: Family) -> None:
    """Refuses imported results of what is no revision of the family: they would be left out in silence."""
    runs = family.runs()
    folder = workspace.imported(runs[0]).parent
    known = [run.revision for run in runs]
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in known and not path.name.startswith("."):
            near = nearest(path.name, known)
            raise ResultsError(
                f"{path}: {family.name} has no revision of that name" + (f"; did you mean {near}?" if near else ""),
                hint=f"imported results lie in a folder for each revision: {folder.name}/{near or known[0]}/",
                code="imported-revision-unknown",
                path=path,
                nearest=near,
            )


def _imported(folder: Path, run: Run) -> tuple[Record, ...]:
    if not folder.is_dir() or not any(folder.rglob("*.json")):
        return ()
    records = read_outputs([folder]).records
    models = sorted({record.model for record in records})
    if len(models) > 1:
        raise ResultsError(
            f"{folder}: holds results of {' and '.join(models)}, and only those of {run.revision} belong there",
            hint="give each model its own folder",
            code="models-mixed",
            path=folder,
            models=tuple(models),
        )
    for record in records:
        _require_own_revision(record, run)
    return tuple(replace(record, model=run.family, revision=run.revision) for record in records)


def _require_own_revision(record: Record, run: Run) -> None:
    """Refuses a file that names another seed; names that say nothing of seeds are taken by their folder."""
    named = re.search(r"(?:seed|index)[-_]?(\d+)$", record.revision)
    if named is not None and int(named[1]) != run.number:
        raise ResultsError(
            f"{record.path}: says that it is of {record.revision}, and lies in the folder of {run.revision}",
            hint="put it where it belongs",
            code="results-foreign",
            path=record.path,
            revision=record.revision,
        )


def _weights_dtype(export: Path) -> str | None:
    """As the config of the export says."""
    path = export / "config.json"
    config = read_json(path) if path.is_file() else {}
    named = config.get("dtype", config.get("torch_dtype")) if isinstance(config, dict) else None
    return str(named) if named else None


def _special_tokens(export: Path) -> Mapping[str, str] | None:
    """As the settings of the tokenizer say."""
    path = export / "tokenizer_config.json"
    settings = read_json(path) if path.is_file() else None
    if not isinstance(settings, dict):
        return None
    given = {kind: settings.get(f"{kind}_token") for kind in ("bos", "eos", "pad")}
    texts = {kind: one.get("content") if isinstance(one, dict) else one for kind, one in given.items()}
    return {kind: text for kind, text in texts.items() if isinstance(text, str)}


def _pace(metrics: Sequence[Mapping[str, Any]], family: Family) -> Pace | None:
    speeds = [line.get("tokens_per_second") for line in metrics if "loss" in line]
    known = [float(speed) for speed in speeds if isinstance(speed, int | float) and speed > 0]
    if not known or len(known) < len(speeds):
        return None
    per_step = tokens_per_step(family.training.global_batch_size, family.training.sequence_length)
    return Pace(median(known), sum(per_step / speed for speed in known) / 3600)


def _up_to(metrics: Sequence[Mapping[str, Any]], last_step: object) -> tuple[Mapping[str, Any], ...]:
    return tuple(line for line in metrics if not isinstance(last_step, int) or line["step"] <= last_step)


def _export(folder: RunFolder, last_step: int) -> Path | None:
    """The export of the last step: a run that is not at its end is not shown beside those that are."""
    return folder.export(last_step) if last_step in folder.export_steps() else None


def _require_alike(workspace: Workspace, found: Sequence[RunFacts], key: str, what: str) -> None:
    known = [
        (facts.run, value)
        for facts in found
        if facts.lineage is not None and (value := getattr(facts.lineage, key)) != UNKNOWN
    ]
    for run, value in known[1:]:
        first, expected = known[0]
        if value != expected:
            raise RunError(
                f"{run.family}: {first.revision} and {run.revision} were trained on different {what} "
                f"(sha256 {expected[:12]} and {value[:12]}), so they differ in more than the {run.kind}",
                hint="train them on the same token shards: delete or rename "
                f"{workspace.run_folder(run).path}, and train {run.revision} anew",
                code="runs-incomparable",
                key=key,
                revisions=(first.revision, run.revision),
            )


def _require_own_weights(cell: Cell, lineage: Lineage | None, run: Run, folder: Path) -> None:
    if lineage is not None and cell.weights_sha256 == lineage.weights_sha256:
        return
    name = f"{folder.parent.name}/{folder.name}/{cell.task}.{cell.num_fewshot}shot"
    option = f"--{run.kind} {run.number}"
    if lineage is None:
        raise ResultsError(
            f"{name}: was evaluated with weights {cell.weights_sha256}, but {run.revision} has no export to compare",
            hint=f"make the export again: mixhub train {option}; or delete {folder}",
            code="export-missing",
            cell=name,
            weights_sha256=cell.weights_sha256,
        )
    raise ResultsError(
        f"{name}: was evaluated with weights {cell.weights_sha256}, but the export has {lineage.weights_sha256}",
        hint=f"evaluate the export: mixhub evaluate {option}",
        code="results-foreign",
        cell=name,
        weights_sha256=cell.weights_sha256,
        export_sha256=lineage.weights_sha256,
    )


def _final_losses(metrics: Sequence[Mapping[str, Any]]) -> FinalLosses:
    training: float | None = None
    validation: Mapping[str, float] = {}
    for line in metrics:
        training = line.get("loss", training)
        validation = line.get("validation", validation)
    return FinalLosses(training, validation)
