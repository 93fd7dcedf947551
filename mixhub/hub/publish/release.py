"""What a branch holds: the files of a run, of an earlier step, of its resumable state, and of the family's card."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mixhub.card.facts.gather import gather_family, gather_run
from mixhub.card.markdown.parse import read_card
from mixhub.card.page.receipts import rendered_files
from mixhub.card.page.write import draw_plots, family_card, revision_card
from mixhub.errors import ExportError, MixhubError, ResultsError, RunError
from mixhub.files import read_json
from mixhub.hub.check.run import RunCheck
from mixhub.hub.remote.files import CARD, METRICS, RESULTS, TRAIN_CONFIG, LocalFile, is_model_file, local_file
from mixhub.spec.family import Family, Run
from mixhub.workspace.cells import Cell, samples_path
from mixhub.workspace.lineage import UNKNOWN, file_sha256, read_lineage
from mixhub.workspace.paths import RunFolder, Workspace


def run_files(
    workspace: Workspace, family: Family, checked: RunCheck, *, samples: bool = False
) -> dict[str, LocalFile]:
    """What the branch of a run or of an earlier step of it holds, by path.

    The export, its card, the run's metrics, and of the last step its results as `results/<task>.<k>shot.json`.

    Args:
        workspace: where it lies.
        family: the family.
        checked: the run, as it was checked: its hashes are taken, so that no large file is read again.
        samples: the samples too, as parquet, one file a cell.

    Raises:
        MixhubError: the card cannot be rendered, or a file cannot be read.
    """
    content = checked.content
    files = {
        name: LocalFile(checked.export / name, checked.states[name].size, sha256, state=checked.states[name])
        for name, sha256 in sorted(content.hashes.items())
    }
    facts = gather_run(workspace, family, checked.run, checked.step)
    folder = workspace.revision_card(checked.run).parent
    files |= card_files(revision_card(workspace, family, facts), folder)
    files |= license_files(workspace, family)
    metrics = workspace.run_folder(checked.run).metrics
    if metrics.exists() and facts.earlier_of is None:
        files[METRICS] = local_file(metrics)
    for cell in facts.cells:
        files[f"{RESULTS}/{cell.path.name}"] = local_file(cell.path)
        if samples and samples_path(cell.path).is_file():
            _require_own_samples(cell)
            files[f"{RESULTS}/{cell.path.stem}.samples.parquet"] = local_file(samples_parquet(samples_path(cell.path)))
    return files


def _require_own_samples(cell: Cell) -> None:
    path = samples_path(cell.path)
    if file_sha256(path) != cell.provenance.samples_sha256:
        raise ResultsError(
            f"{path}: are not the samples of {cell.path.name}, which names another hash",
            code="samples-differ",
            hint="evaluate the cell anew, or push without --samples",
            path=path,
        )


def license_files(workspace: Workspace, family: Family) -> dict[str, LocalFile]:
    """The file of the licence, where the family names one; raises SpecError when it is not there."""
    path = workspace.license(family)
    return {path.name: local_file(path)} if path else {}


def main_files(
    workspace: Workspace,
    family: Family,
    commits: Mapping[str, str],
    published: Mapping[str, Path],
    on_main: str | None = None,
) -> dict[str, LocalFile]:
    """What `main` holds: the family's card, which names commits, with its plots and what it shows, and the licence.

    Args:
        workspace: where it lies.
        family: the family.
        commits: of the branches, by revision.
        published: what the branches of runs hold that are on the hub alone (see `gather_family`).
        on_main: whose model `main` holds (see `mixhub.card.facts.runs.FamilyFacts`).

    Raises:
        MixhubError: the card cannot be rendered, or the licence is not there.
    """
    facts = gather_family(workspace, family, commits=commits, published=published, on_main=on_main)
    card = family_card(workspace, facts)
    folder = workspace.card(family).parent
    drawn = draw_plots(card.plots, folder, rendered_files(workspace))
    plots = {path.relative_to(folder).as_posix(): data for path, data in drawn.items()}
    files = {name: local_file(data) for name, data in plots.items()}
    return {**card_files(card.text, folder, plots), **files, **license_files(workspace, family)}


def state_files(workspace: Workspace, family: Family, run: Run) -> dict[str, LocalFile]:
    """The resumable state of a run: its newest checkpoint with the optimizer, and what it is trained with.

    Raises:
        RunError: the run has no checkpoint here.
    """
    folder = workspace.run_folder(run)
    steps = folder.checkpoint_steps()
    if not steps:
        raise RunError(
            f"{folder.checkpoints}: no checkpoint, so there is no optimizer state of {run.revision} to publish",
            code="checkpoint-missing",
            hint="leave --with-optimizer out; adopted runs have none, and finished ones keep it until it is deleted",
            path=folder.checkpoints,
        )
    checkpoint = folder.checkpoint(steps[-1])
    _require_own_state(folder, checkpoint)
    files = {f"step-{steps[-1]:06d}/{path.name}": local_file(path) for path in sorted(checkpoint.iterdir())}
    files[TRAIN_CONFIG] = local_file(folder.train_config)
    files[CARD] = local_file(_state_card(family, run, steps[-1]).encode())
    return files | license_files(workspace, family)


def _require_own_state(folder: RunFolder, checkpoint: Path) -> None:
    """Refuses a checkpoint that began with other weights than the run's exports."""
    state = read_json(checkpoint / "state.json", RunError)
    initial = state.get("initial_weights_sha256") if isinstance(state, Mapping) else None
    exports = [folder.export(step) for step in folder.export_steps()]
    expected = {read_lineage(export).initial_weights_sha256 for export in exports} - {UNKNOWN}
    if expected and initial not in expected:
        raise RunError(
            f"{checkpoint}: is of another run: it began with weights {str(initial)[:12]}, and the exports with "
            f"{', '.join(one[:12] for one in sorted(expected))}",
            code="checkpoint-foreign",
            hint="put the run's own checkpoint back, or leave --with-optimizer out",
            path=checkpoint,
        )


def card_files(card: str, folder: Path, drawn: Mapping[str, object] | None = None) -> dict[str, LocalFile]:
    """A card, and the files of one's own beside it that it shows or links to.

    Args:
        card: its text.
        folder: where it lies, or would lie.
        drawn: paths that are drawn for it, and need not lie there.

    Raises:
        ExportError: one has the name of a file that the branch holds for itself.
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
        if name == CARD:
            continue
        if is_model_file(name) or name == METRICS or name.startswith(f"{RESULTS}/"):
            raise ExportError(
                f"{path}: the card links to it, and {name} of the branch is another file",
                code="card-file-reserved",
                hint="delete it, so that the link means the branch's; or rename it, and the link",
                path=path,
            )
        files[name] = local_file(path)
    return files


def samples_parquet(samples: Path) -> bytes:
    """The samples of a cell as parquet: a row a document, in their order; what is nested stands as JSON text.

    Raises:
        MixhubError: a line is not JSON.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    rows: list[dict[str, Any]] = []
    for number, line in enumerate(samples.read_text(encoding="utf-8").split("\n"), 1):
        if not line:
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise MixhubError(
                f"{samples}:{number}: not JSON: {error}",
                code="samples-malformed",
                hint="evaluate the cell anew",
                path=samples,
                line=number,
            ) from None
        rows.append({key: _plain(value) for key, value in row.items()})
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = pa.table({column: _column([row.get(column) for row in rows]) for column in columns})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _plain(value: object) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value


def _column(values: list[Any]) -> list[Any]:
    """Values of one type: as they are, or as JSON text where they are of several."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 or kinds == {int, float}:
        return [float(value) if value is not None and len(kinds) > 1 else value for value in values]
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]


def _state_card(family: Family, run: Run, step: int) -> str:
    return f"""---
library_name: mixhub
tags:
- optimizer-state
---

# {run.revision} of {family.name}: weights and optimizer at step {step}

What training goes on from; the model itself is on the branch `{run.revision}`. With mixhub, put the folder
`step-{step:06d}` below `runs/{family.name}/{run.revision}/checkpoints/` of a workspace, and `train_config.yaml` beside
`checkpoints`. `optimizer.pt` is a file of `torch.save`: open it with `torch.load(..., weights_only=True)`.
"""
