"""Gather the facts of a family from a workspace."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mixhub.analysis.imported import imported_records
from mixhub.analysis.samples import NO_SAMPLES, SampleSummary, read_summary
from mixhub.analysis.scores import columns_of, of_suite
from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.card.facts.withdrawal import Withdrawal, withdrawals
from mixhub.errors import CorpusError, ResultsError, RunError, nearest
from mixhub.files import read_json
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family, Run
from mixhub.workspace.cells import Cell, read_cells
from mixhub.workspace.export import count_parameters
from mixhub.workspace.lineage import UNKNOWN, Lineage, read_lineage
from mixhub.workspace.manifest import MANIFEST_FILE, read_manifest
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import Workspace
from mixhub.workspace.recipe_diff import require_same_recipe


def gather_family(
    workspace: Workspace,
    family: Family,
    *,
    commits: Mapping[str, str] | None = None,
    on_main: str | None = None,
    published: Mapping[str, Path] | None = None,
    only: Collection[str] | None = None,
    progress: Progress = SILENT,
) -> FamilyFacts:
    """Return what the card of a family shows.

    Args:
        workspace: the workspace.
        family: the family.
        commits: the commit of each run that was pushed, by revision.
        on_main: see `FamilyFacts`.
        published: by revision, a folder with the content of its branch on a hub, which is read instead of the run.
        only: the revisions to describe; the others appear as if they had not been trained. None: all.
        progress: shows the files of samples.

    Raises:
        ResultsError: results or samples are malformed, or were made with other weights than the export's.
        ExportError, SpecError: the lineage or the `train_config.yaml` of an export is missing or malformed.
        RunError: a run was trained with another recipe or mixture than the family has now, or its model has another
            shape; two runs were trained on different token shards or tokenizers; or the metrics of a run are malformed.
        UnknownNameError: a sibling is not a family.
    """
    siblings = [workspace.family(name) for name in family.card.siblings]
    facts = _gather(workspace, family, published or {}, only, progress)
    return replace(
        facts,
        commits=commits or {},
        on_main=on_main,
        siblings=tuple(_gather(workspace, sibling, {}, None, progress) for sibling in siblings),
    )


def facts_of_run(workspace: Workspace, family: Family, run: RunFacts) -> FamilyFacts:
    """Return what the card of a run's branch shows. No commit: the card is part of the commit."""
    samples, tokens = _samples(workspace, family, [run], SILENT), _domain_tokens(workspace, family, [run])
    return FamilyFacts(family, (run,), of_run=True, samples=samples, domain_tokens=tokens)


def gather_run(
    workspace: Workspace,
    family: Family,
    run: Run,
    step: int | None = None,
    branch: Path | None = None,
    withdrawn: Sequence[Withdrawal] | None = None,
) -> RunFacts:
    """Return the facts of one run; raises as `gather_family`, and compares no runs.

    Args:
        workspace: the workspace.
        family: the family.
        run: the run.
        step: an earlier step that has an export; it has no scores. By default, the last one.
        branch: a folder with the content of the run's branch, which is read instead of the run.
        withdrawn: the withdrawals of the family; by default they are read.
    """
    folder, last_step = workspace.run_folder(run), family.training.steps
    is_earlier = step not in (None, last_step)
    export: Path | None = None
    if step is not None and is_earlier:
        export = workspace.export(run, step)
    elif last_step in folder.export_steps():
        export = folder.export(last_step)
    place, results, metrics = folder.path, workspace.results(run), folder.metrics
    if branch is not None:
        place, export, results, metrics = branch, branch, branch / "results", branch / "metrics.jsonl"
    lineage = None
    if export is not None:
        lineage = read_lineage(export)
        require_same_recipe(family, run, export / folder.train_config.name, place)
        _require_same_shape(family, export)
    cells = () if is_earlier else tuple(read_cells(results))
    for cell in cells:
        _require_own_weights(cell, lineage, run, results)
    name = family.branch(run, step)
    withdrawn = withdrawals(workspace, family) if withdrawn is None else withdrawn
    marks = [one for one in withdrawn if one.concerns(run, name)]
    return RunFacts(
        replace(run, revision=name, branch=name) if is_earlier else run,
        lineage,
        cells,
        imported=() if is_earlier else imported_records(workspace.imported(run), run),
        weights_dtype=_weights_dtype(export) if export else None,
        parameters=_parameters(family, export) if export else None,
        special_tokens=_special_tokens(export) if export else None,
        metrics=_metrics(metrics, lineage) if lineage else (),
        withdrawal=next((one for one in marks[::-1] if lineage and one.weights_sha256 == lineage.weights_sha256), None),
        earlier_of=run if is_earlier else None,
    )


def _gather(
    workspace: Workspace,
    family: Family,
    published: Mapping[str, Path],
    only: Collection[str] | None,
    progress: Progress,
) -> FamilyFacts:
    _require_known_imports(workspace, family)
    withdrawn = withdrawals(workspace, family)
    runs = [
        gather_run(workspace, family, run, branch=published.get(run.revision), withdrawn=withdrawn)
        if only is None or run.revision in only
        else RunFacts(run, None, imported=imported_records(workspace.imported(run), run))
        for run in family.runs()
    ]
    for key, what in (("corpus_sha256", "token shards"), ("tokenizer_sha256", "tokenizers")):
        _require_same(workspace, runs, key, what)
    return FamilyFacts(
        family,
        tuple(runs),
        samples=_samples(workspace, family, runs, progress),
        domain_tokens=_domain_tokens(workspace, family, runs),
        withdrawals=tuple(withdrawn),
    )


def _metrics(path: Path, lineage: Lineage) -> tuple[Mapping[str, Any], ...]:
    return tuple(line for line in read_metrics(path) if lineage.step == UNKNOWN or line["step"] <= lineage.step)


def _samples(workspace: Workspace, family: Family, runs: Sequence[RunFacts], progress: Progress) -> SampleSummary:
    records = {one.run.revision: of_suite(family, one.cells) for one in runs if one.cells}
    if not records:
        return NO_SAMPLES
    return read_summary(records, columns_of(family.evaluation), workspace.sample_summaries(family), progress)


def _domain_tokens(workspace: Workspace, family: Family, runs: Sequence[RunFacts]) -> Mapping[str, int] | None:
    """Return tokens by domain, if the shards in the workspace are those that the runs were trained on."""
    tokens = workspace.tokens(family)
    if not (tokens / MANIFEST_FILE).is_file():
        return None
    try:
        manifest = read_manifest(tokens).for_family(family)
    except CorpusError:
        return None
    trained_on = {one.lineage.corpus_sha256 for one in runs if one.lineage is not None} - {UNKNOWN}
    if trained_on and trained_on != {manifest.sha256()}:
        return None
    return MappingProxyType({domain: packed.tokens for domain, packed in manifest.train.items()})


def _weights_dtype(export: Path) -> str | None:
    """Return the dtype in the config of the export."""
    config = _json_object(export / "config.json")
    dtype = config.get("dtype", config.get("torch_dtype"))
    return str(dtype) if dtype else None


def _parameters(family: Family, export: Path) -> int | None:
    """Return the number of parameters in the weights; None if the architecture says it."""
    a = family.architecture
    return count_parameters(export, a.vocab_size) if a.parameters is None else None


def _special_tokens(export: Path) -> Mapping[str, str] | None:
    """Return the tokens in the settings of the tokenizer."""
    settings = _json_object(export / "tokenizer_config.json")
    tokens = {kind: settings.get(f"{kind}_token") for kind in ("bos", "eos", "pad")}
    texts = {kind: token.get("content") if isinstance(token, dict) else token for kind, token in tokens.items()}
    return {kind: text for kind, text in texts.items() if isinstance(text, str)} if settings else None


def _json_object(path: Path) -> dict[str, Any]:
    data = read_json(path, RunError) if path.is_file() else {}
    return data if isinstance(data, dict) else {}


def _require_known_imports(workspace: Workspace, family: Family) -> None:
    """Refuse a folder of imported results that is not named after a revision, as it would be ignored."""
    revisions = [run.revision for run in family.runs()]
    folder = workspace.imported(family.runs()[0]).parent
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in revisions and not path.name.startswith("."):
            near = nearest(path.name, revisions)
            message = f"{path}: {family.name} has no revision of this name" + (
                f"; did you mean {near}?" if near else ""
            )
            hint = f"rename the folder to the revision of the results, such as {folder.name}/{near or revisions[0]}/"
            raise ResultsError(message, hint=hint, code="imported-revision-unknown", path=path, nearest=near)


def _require_same_shape(family: Family, export: Path) -> None:
    """Refuse weights of another shape than the family's, by the names in their config.

    Values of several parts are left to `check`: Transformers reads them in several spellings.
    """
    config = _json_object(export / "config.json")
    for key, expected in family.architecture.config.items():
        if config.get(key) not in (None, expected) and not isinstance(expected, dict | list):
            message = f"{export / 'config.json'}: {key} = {config[key]}, but {family.name} has {expected}"
            hint = "correct the architecture of the family, or remove the export of another model"
            raise RunError(message, hint=hint, code="architecture-differs", path=export, key=key)


def _require_same(workspace: Workspace, runs: Sequence[RunFacts], key: str, what: str) -> None:
    hashes = [(one.run, getattr(one.lineage, key)) for one in runs if one.lineage is not None]
    known = [(run, sha256) for run, sha256 in hashes if sha256 != UNKNOWN]
    for run, sha256 in known[1:]:
        first, expected = known[0]
        if sha256 != expected:
            message = (
                f"{run.family}: {first.revision} and {run.revision} were trained on different {what} "
                f"(sha256 {expected[:12]} and {sha256[:12]}), so they differ in more than the {run.kind}"
            )
            hint = f"delete or rename {workspace.run_folder(run).path}, and train {run.revision} again"
            pair = (first.revision, run.revision)
            raise RunError(message, hint=hint, code="runs-incomparable", key=key, revisions=pair)


def _require_own_weights(cell: Cell, lineage: Lineage | None, run: Run, folder: Path) -> None:
    name = f"{folder.parent.name}/{folder.name}/{cell.task}.{cell.num_fewshot}shot"
    option = f"--{run.kind} {run.label}"
    message = f"{name}: evaluated with weights {cell.weights_sha256}, but"
    if lineage is None:
        hint = f"export the run again with mixhub train {option}, or delete {folder}"
        raise ResultsError(f"{message} {run.revision} has no export", hint=hint, code="export-missing", cell=name)
    if cell.weights_sha256 != lineage.weights_sha256:
        hashes = {"weights_sha256": cell.weights_sha256, "export_sha256": lineage.weights_sha256}
        message += f" the export has {lineage.weights_sha256}"
        hint = f"run mixhub evaluate {option}"
        raise ResultsError(message, hint=hint, code="results-foreign", cell=name, **hashes)
