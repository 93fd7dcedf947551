"""The files of a branch: of a run, an earlier step, its optimizer state, or the family's card."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mixhub.analysis.scores import of_suite
from mixhub.card.facts.gather import gather_family, gather_run
from mixhub.card.markdown.parse import read_card
from mixhub.card.page.receipts import rendered_files
from mixhub.card.page.write import draw_plots, family_card, revision_card
from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, ResultsError, RunError
from mixhub.files import read_json
from mixhub.hub.check.run import RunCheck
from mixhub.hub.remote.eval_results import eval_result_files
from mixhub.hub.remote.files import CARD, METRICS, RESULTS, LocalFile, is_model_file, local_file
from mixhub.spec.family import Family, Run
from mixhub.workspace.cells import Cell, read_cells, samples_path
from mixhub.workspace.export import TRAIN_CONFIG_FILE
from mixhub.workspace.lineage import UNKNOWN, file_sha256, read_lineage
from mixhub.workspace.paths import STATE_FILE, Workspace


def run_files(
    workspace: Workspace, family: Family, checked: RunCheck, endpoint: Endpoint, *, samples: bool = False
) -> dict[str, LocalFile]:
    """Return the files of the branch of a run or of an earlier step, by path.

    The export, its card, and the run's metrics; of the last step also its results as `results/<task>.<k>shot.json`,
    those that count for the scores, and those that measure benchmarks again in the Hub's own format, unless the weights
    were withdrawn.

    Args:
        workspace: holds them.
        family: the family.
        checked: the run, with its hashes, so that no large file is read again.
        endpoint: the hub.
        samples: also the samples, as parquet, one file per cell.

    Raises:
        MixhubError: the card cannot be rendered, or a file cannot be read.
    """
    files = {
        name: LocalFile(checked.export / name, checked.states[name].size, sha256, state=checked.states[name])
        for name, sha256 in sorted(checked.content.hashes.items())
    }
    facts = gather_run(workspace, family, checked.run, checked.step)
    folder = workspace.revision_card(checked.run).parent
    files |= _card_files(revision_card(workspace, family, facts), folder) | _license_files(workspace, family)
    metrics = workspace.run_folder(checked.run).metrics
    if metrics.exists() and facts.earlier_of is None:
        files[METRICS] = local_file(metrics)
    cells = of_suite(family, facts.cells)
    shown = [] if facts.withdrawal else cells
    for path, content in eval_result_files(shown, endpoint, checked.run.repo_id, checked.branch).items():
        files[path] = local_file(content)
    for cell in cells:
        files[f"{RESULTS}/{cell.path.name}"] = local_file(cell.path)
        own = samples_path(cell.path)
        if samples and own.is_file():
            if file_sha256(own) != cell.provenance.samples_sha256:
                message = f"{own}: not the samples of {cell.path.name}, which states another hash"
                hint = "evaluate the cell again, or push without --samples"
                raise ResultsError(message, code="samples-differ", hint=hint, path=own)
            files[f"{RESULTS}/{cell.path.stem}.samples.parquet"] = local_file(_samples_parquet(own))
    return files


def unpublished_cells(workspace: Workspace, family: Family, run: Run) -> list[Cell]:
    """Return the cells of a run that do not count for its scores: of some documents only, or not of the suite."""
    cells = read_cells(workspace.results(run))
    counted = {cell.path for cell in of_suite(family, cells)}
    return [cell for cell in cells if cell.path not in counted]


def main_files(
    workspace: Workspace,
    family: Family,
    commits: Mapping[str, str],
    published: Mapping[str, Path],
    on_main: str | None = None,
    only: Collection[str] | None = None,
) -> dict[str, LocalFile]:
    """Return the files of `main`: the family's card, which names commits, plots, files that it shows, and the licence.

    Args:
        workspace: holds them.
        family: the family.
        commits: of the runs, by revision.
        published: folders of branches of the hub that are described instead of the local runs (see `gather_family`).
        on_main: the revision whose model `main` holds (see `mixhub.card.facts.runs.FamilyFacts`).
        only: the revisions that the card tells of (see `gather_family`).

    Raises:
        MixhubError: the card cannot be rendered, or the licence is missing.
    """
    facts = gather_family(workspace, family, commits=commits, published=published, on_main=on_main, only=only)
    card = family_card(workspace, facts)
    folder = workspace.card(family).parent
    drawn = draw_plots(card.plots, folder, rendered_files(workspace))
    plots = {path.relative_to(folder).as_posix(): data for path, data in drawn.items()}
    files = {name: local_file(data) for name, data in plots.items()}
    return {**_card_files(card.text, folder, plots), **files, **_license_files(workspace, family)}


def state_files(workspace: Workspace, family: Family, run: Run) -> dict[str, LocalFile]:
    """Return the optimizer state of a run: its newest checkpoint, and its `train_config.yaml`.

    Raises:
        RunError: the run has no checkpoint here, or one that started from other weights than its exports.
    """
    folder = workspace.run_folder(run)
    steps = folder.checkpoint_steps()
    if not steps:
        message = f"{folder.checkpoints}: no checkpoint, so no optimizer state of {run.revision} to publish"
        hint = "omit --with-optimizer; adopted runs have none, and finished runs keep one until it is deleted"
        raise RunError(message, code="checkpoint-missing", hint=hint, path=folder.checkpoints)
    checkpoint = folder.checkpoint(steps[-1])
    state = read_json(checkpoint / STATE_FILE, RunError)
    initial = state.get("initial_weights_sha256") if isinstance(state, Mapping) else None
    exports = [folder.export(step) for step in folder.export_steps()]
    expected = {read_lineage(export).initial_weights_sha256 for export in exports} - {UNKNOWN}
    if expected and initial not in expected:
        message = f"{checkpoint}: belongs to another run: it started from other weights than the exports"
        hint = "put the run's own checkpoint back, or omit --with-optimizer"
        raise RunError(message, code="checkpoint-foreign", hint=hint, path=checkpoint)
    files = {f"step-{steps[-1]:06d}/{path.name}": local_file(path) for path in sorted(checkpoint.iterdir())}
    files[TRAIN_CONFIG_FILE] = local_file(folder.train_config)
    layout = _WHOLE_STATE if "optimizer.pt" in {path.name for path in checkpoint.iterdir()} else _SHARDED_STATE
    files[CARD] = local_file(_state_card(family, run, steps[-1], layout).encode())
    return files | _license_files(workspace, family)


def _license_files(workspace: Workspace, family: Family) -> dict[str, LocalFile]:
    """Return the licence file, if the family names one; raises SpecError if it is missing."""
    path = workspace.license(family)
    return {path.name: local_file(path)} if path else {}


def _card_files(card: str, folder: Path, drawn: Mapping[str, object] | None = None) -> dict[str, LocalFile]:
    """Return a card, and the files beside it that it shows or links to.

    Args:
        card: its text.
        folder: its folder.
        drawn: paths of plots that are drawn for it, and need not exist.

    Raises:
        ExportError: a file has the name of another file of the branch.
    """
    files = {CARD: local_file(card.encode())}
    for link in read_card(card).links:
        target = unquote(link.address.partition("#")[0])
        path = folder / target
        if not target or ":" in target or target in (drawn or {}) or not path.is_file():
            continue
        if not path.resolve().is_relative_to(folder.resolve()):
            continue
        name = path.resolve().relative_to(folder.resolve()).as_posix()
        if is_model_file(name) or name == METRICS or name.startswith(f"{RESULTS}/"):
            message = f"{path}: the card links to this file, but {name} on the branch is another file"
            hint = "rename the file and the link, or delete the file to link to the branch's"
            raise ExportError(message, code="card-file-reserved", hint=hint, path=path)
        files.setdefault(name, local_file(path))
    return files


def _samples_parquet(samples: Path) -> bytes:
    """Return the samples of a cell as parquet: one row per document, in order; nested values as JSON text."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").split("\n") if line]
    columns = dict.fromkeys(key for row in rows for key in row)
    table = pa.table({column: _column([row.get(column) for row in rows]) for column in columns})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _column(values: list[Any]) -> list[Any]:
    """Return values of one type: unchanged, or as JSON text if they are nested or of several types."""
    values = [json.dumps(one, ensure_ascii=False) if isinstance(one, dict | list) else one for one in values]
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) <= 1:
        return values
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]


_WHOLE_STATE = """\
`optimizer.pt` was written by `torch.save`: open it with `torch.load(..., weights_only=True)`."""
_SHARDED_STATE = """\
The `shard-*.safetensors` files hold weights (`model.`) and moments of AdamW (`optimizer.`), in the layout of torch's
`HuggingFaceStorageWriter`: read them with `torch.distributed.checkpoint`, on any number of processes."""


def _state_card(family: Family, run: Run, step: int, layout: str) -> str:
    return f"""---
library_name: mixhub
tags:
- optimizer-state
---

# {run.revision} of {family.name}: weights and optimizer at step {step}

To resume training; the model itself is on the branch `{run.branch}`. With mixhub, put `step-{step:06d}` into
`runs/{family.name}/{run.revision}/checkpoints/` of a workspace, and `train_config.yaml` beside `checkpoints`.
{layout}
"""
