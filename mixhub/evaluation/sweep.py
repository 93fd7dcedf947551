"""Many cells in one process: requests are built once for all checkpoints, and each cell is written when it is done."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, ResultsError, UsageError, WorkspaceError
from mixhub.evaluation.encoding import Encoder
from mixhub.evaluation.harness import load_model, measure
from mixhub.evaluation.options import DEFAULT_OPTIONS, CellKey, Options, Storage, requested_cells, shard_of
from mixhub.evaluation.provenance import ModelUnderTest, SweepConfig, Timing, finished_cell, write_cell
from mixhub.evaluation.requests import Requests
from mixhub.evaluation.suite import first_line
from mixhub.files import clear_leftovers, locked
from mixhub.progress import SILENT, Bar, Progress
from mixhub.spec import Evaluation, Family, Run
from mixhub.workspace.cells import Cell, read_cell, samples_path

logger = logging.getLogger(__name__)


def evaluate(
    family: Family,
    run: Run,
    *,
    export: Path,
    results: Path,
    storage: Storage,
    options: Options = DEFAULT_OPTIONS,
    progress: Progress = SILENT,
) -> list[Cell]:
    """Measures the cells of a run that are missing, and gives those that were asked for: task by task, then by shots.

    A cell on disk counts as done when it was made from the same weights, step, tokenizer, task, data, shots seed, dtype
    and versions of lm-eval, Transformers and torch; otherwise it is measured again and replaced. A whole cell also
    stands for a limited one; a limited cell never replaces a whole one of the same weights, and a whole one replaces a
    limited one. Several processes may measure into one folder: each takes the cells that no other holds, and waits at
    the end for what the others still measure.

    Afterwards the random generators, loggers and progress bars of the process are as they were. Threads that evaluate
    at the same time take turns, cell by cell.

    Args:
        family: says the suite and the seed of the shots.
        run: what was trained.
        export: its weights, in Transformers format.
        results: folder of this run's cells, `<task>.<k>shot.json`.
        storage: where tasks, documents and built requests are.
        options: which cells, and how.
        progress: shows cells.

    Returns:
        The cells that were asked for; with several shards, those of them that are there.

    Raises:
        ExportError: the export is incomplete, another run's, or not the weights that its lineage names.
        RunError: the export was trained with another recipe or mixture than the family has now.
        UnknownNameError: no such task in the family, or in lm-eval.
        ResultsError: a dataset cannot be loaded, a figure is not finite, a file in the way is no cell of ours or was
            changed, a limited cell would replace a whole one, or a task fixes its shots at 0 or has too
            few documents for them.
        UsageError: an option is out of range.
    """
    cells = requested_cells(family.evaluation, options, storage.task_configs, f"{family.name}'s evaluation")
    model = ModelUnderTest.of_run(family, run, export)
    return _sweep(model, family.evaluation, cells, results, storage, options, progress)


def evaluate_folder(
    folder: Path,
    *,
    name: str,
    revision: str,
    evaluation: Evaluation,
    results: Path,
    storage: Storage,
    options: Options = DEFAULT_OPTIONS,
    progress: Progress = SILENT,
) -> list[Cell]:
    """`evaluate` for any causal language model in Transformers format, whoever trained it.

    Args:
        folder: weights as safetensors, config and tokenizer.
        name: what the cells call the model.
        revision: what they call its revision.
        evaluation: tasks, shot counts and seed of the shots.
        results: folder of the cells.
        storage: where tasks, documents and built requests are.
        options: which cells, and how.
        progress: shows cells.

    Raises:
        ExportError: the folder holds no causal language model whose weights are safetensors.
    """
    if not (folder / "config.json").is_file():
        raise ExportError(
            f"{folder}: holds no model (no config.json)",
            code="file-missing",
            hint="name a folder in Transformers format",
            path=folder / "config.json",
        )
    cells = requested_cells(evaluation, options, storage.task_configs, "the suite")
    model = ModelUnderTest.of_folder(folder, name, revision)
    return _sweep(model, evaluation, cells, results, storage, options, progress)


def prefetch(
    encoder: Encoder,
    evaluation: Evaluation,
    *,
    storage: Storage,
    options: Options = DEFAULT_OPTIONS,
    progress: Progress = SILENT,
) -> int:
    """Fetches documents and builds the requests of a suite, so that evaluation needs no network; how many there are.

    Args:
        encoder: of the models that will be measured.
        evaluation: tasks, shot counts and seed of the shots.
        storage: where tasks, documents and built requests are.
        options: which cells.
        progress: shows cells.

    Raises:
        UnknownNameError, ResultsError, UsageError: as for `evaluate`.
    """
    requested = requested_cells(evaluation, options, storage.task_configs, "the suite")
    cells = shard_of(requested, evaluation, options.shard)
    with Requests(storage, encoder, evaluation.fewshot_seed, options.limit) as requests:
        requests.build(cells, progress)
        return sum(requests.size(cell)[0] for cell in cells)


def _sweep(
    model: ModelUnderTest,
    evaluation: Evaluation,
    requested: Sequence[CellKey],
    results: Path,
    storage: Storage,
    options: Options,
    progress: Progress,
) -> list[Cell]:
    if results.is_file():
        raise UsageError(
            f"{results}: is a file, and cells need a folder",
            code="option-value",
            hint="--output DIR",
            option="--output",
            value=results,
        )
    config = SweepConfig.of(model, evaluation, storage, options)
    mine = shard_of(requested, evaluation, options.shard)
    missing = [cell for cell in mine if finished_cell(config, cell, results) is None]
    if missing:
        with Requests(storage, _encoder(model.folder), config.fewshot_seed, config.limit) as requests:
            requests.build(missing, progress, stock=config.backend == "stock")
            _Sweep(config, requests, results).measure(missing, progress, already=len(mine) - len(missing))
    return [read_cell(path) for cell in requested if (path := cell.path(results)).is_file()]


def _encoder(folder: Path) -> Encoder:
    from mixhub.evaluation.lm_eval_private import quiet

    try:
        with quiet():
            return Encoder.load(folder)
    except Exception as error:
        raise ExportError(
            f"{folder}: its tokenizer cannot be loaded: {type(error).__name__}: {first_line(error)}",
            code="tokenizer-unusable",
            hint="put the tokenizer that the model was trained with beside its weights",
            path=folder,
        ) from error


@dataclass(frozen=True)
class _Sweep:
    """The cells of one call that this process measures."""

    config: SweepConfig
    requests: Requests
    results: Path

    def measure(self, cells: Sequence[CellKey], progress: Progress, *, already: int) -> None:
        """Loads the model once; measures and writes cell after cell, those that another process holds last."""
        lm = self._load()
        tokens = sum(self.requests.size(cell)[1] for cell in cells)
        total, unit = (tokens, "token") if tokens else (len(cells), "cell")
        with progress.start(f"evaluate {self.config.model.revision}", total, unit) as bar:
            meter = _Meter(bar, tokens, already, already + len(cells))
            lm.on_scored = meter.scored
            held = [cell for cell in cells if not self._take(lm, cell, meter, waits=False)]
            for cell in held:
                self._take(lm, cell, meter, waits=True)

    def _load(self) -> Any:
        from mixhub.evaluation.lm_eval_private import quiet

        folder = self.config.model.folder
        with quiet():
            lm = load_model(folder, self.config.device, self.config.dtype, self.config.backend)
        support = getattr(lm, "layout_support", None)
        if support is not None and support.note:
            logger.warning("%s: %s; the figures are the same", folder, support.note)
        return lm

    def _take(self, lm: Any, cell: CellKey, meter: _Meter, *, waits: bool) -> bool:
        """Measures a cell, unless another process holds it, or has measured it since; whether it is done."""
        with _claimed(self.results, cell, waits) as is_claimed:
            if not is_claimed:
                return False
            meter.cell = str(cell)
            done = finished_cell(self.config, cell, self.results)
            if done is not None:
                meter.skipped(self.requests.size(cell)[1])
            meter.finished(done or self._measured(lm, cell))
        return True

    def _measured(self, lm: Any, cell: CellKey) -> Cell:
        """Measures one cell and writes it."""
        from mixhub.evaluation.lm_eval_private import quiet

        config, built = self.config, self.requests.task(cell)
        started, date = time.monotonic(), time.time()
        with quiet():
            prepared = self.requests.get(cell)
            try:
                measured = measure(lm, built.task, cell.num_fewshot, config.limit, config.fewshot_seed, prepared)
            except ResultsError as error:
                if str(cell) in error.message:
                    raise
                raise ResultsError(
                    f"cell {cell}: {error.message}; nothing was written for it",
                    code=error.code,
                    hint=error.hint,
                    **error.fields,
                ) from error
        timing = Timing(date, time.monotonic() - started)
        return write_cell(config, lm, built, measured, timing, cell, self.results)


@contextmanager
def _claimed(results: Path, cell: CellKey, waits: bool) -> Iterator[bool]:
    """Whether the cell is this process's for the block; when it waits, it always is."""
    path = cell.path(results)
    lock = locked(results / ".locks" / path.name, f"{cell} is being measured", timeout=-1 if waits else 0)
    try:
        lock.__enter__()
    except WorkspaceError:
        yield False
        return
    try:
        for file in (path, samples_path(path)):
            clear_leftovers(results, file.name)
        yield True
    finally:
        lock.__exit__(None, None, None)


@dataclass
class _Meter:
    """How far a call is, for a bar and for a log."""

    bar: Bar
    tokens: int
    """Tokens in all; 0: the bar counts cells."""
    cells_done: int
    """Cells that are there."""
    cells: int
    """Cells that were asked for."""
    cell: str = ""
    """What is being measured."""
    _requests_run: int = 0
    _tokens_run: int = 0
    _tokens_done: int = 0
    _started: float = field(default_factory=time.monotonic)

    def scored(self, requests: int, tokens: int) -> None:
        """Some requests of the cell are answered."""
        self._requests_run += requests
        self._tokens_run += tokens
        self._tokens_done += tokens
        self.bar.advance(tokens, self._note())

    def skipped(self, tokens: int) -> None:
        """A cell was measured by another process."""
        self._tokens_done += tokens
        self.bar.advance(tokens)

    def finished(self, cell: Cell) -> None:
        """A cell is there."""
        self.cells_done += 1
        self.bar.advance(0 if self.tokens else 1, self._note())
        names = [name for name in ("acc_norm", "acc") if name in cell.metrics] or sorted(cell.metrics)
        logger.info(
            "%s: %s %.4f, %d documents, %.1f s; %d of %d cells%s",
            self.cell,
            names[0],
            cell.metrics[names[0]],
            cell.documents,
            cell.seconds,
            self.cells_done,
            self.cells,
            self._left(),
        )

    def _note(self) -> str:
        rate = self._requests_run / max(1e-9, time.monotonic() - self._started)
        speed = f" · {rate:.3g} requests/s" if self._requests_run else ""
        return f"{self.cells_done} of {self.cells} cells{speed} · {self.cell}"

    def _left(self) -> str:
        waiting = self.tokens - self._tokens_done
        if not self._tokens_run or waiting <= 0:
            return ""
        seconds = round(waiting * (time.monotonic() - self._started) / self._tokens_run)
        if seconds < 1:
            return ""
        return f", about {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"
