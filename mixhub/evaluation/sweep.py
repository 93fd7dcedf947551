"""Many cells in one process: requests are built once for all checkpoints, and each cell is written when it is done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from mixhub.errors import ResultsError, WorkspaceError
from mixhub.evaluation.encoding import Encoder
from mixhub.evaluation.harness import load_model, measure
from mixhub.evaluation.options import (
    DEFAULT_OPTIONS,
    CellKey,
    Failures,
    Options,
    Storage,
    bad_option,
    requested_cells,
    shard_of,
)
from mixhub.evaluation.provenance import ModelUnderTest, SweepConfig, differences, finished_cell, write_cell
from mixhub.evaluation.requests import Requests
from mixhub.evaluation.suite import naming
from mixhub.files import clear_leftovers, locked
from mixhub.phrases import listed, plural
from mixhub.progress import SILENT, Bar, Progress
from mixhub.spec import Evaluation
from mixhub.workspace.cells import Cell, read_cell, samples_path

logger = logging.getLogger(__name__)


def evaluate(
    model: ModelUnderTest,
    evaluation: Evaluation,
    *,
    results: Path,
    storage: Storage,
    options: Options = DEFAULT_OPTIONS,
    progress: Progress = SILENT,
    failures: Failures | None = None,
) -> list[Cell]:
    """Measure the missing cells of a model, and return those requested: task by task, then by shots.

    A cell that fails does not stop the others: its error is raised after them, or added to `failures`.

    A cell on disk is done if it was made from the same weights, step, tokenizer, task, data, shots seed, dtype and
    versions of lm-eval, Transformers and torch; otherwise it is measured again and replaced. A whole cell also counts
    as a limited one; a limited cell never replaces a whole one of the same weights, and a whole one replaces a limited
    one. Several processes may measure into one folder: each takes the cells that no other holds, and waits at the end
    for those that the others still measure.

    Afterwards the random generators, loggers and progress bars of the process are as they were. Threads that evaluate
    at the same time take turns, cell by cell.

    Args:
        model: the weights.
        evaluation: tasks, shot counts and seed of the shots.
        results: folder of the cells, `<task>.<k>shot.json`.
        storage: where tasks, documents and built requests are.
        options: the cells to measure, and how.
        progress: shows cells.
        failures: collects the cells that fail; None: their errors are raised at the end.

    Returns:
        The requested cells; with several shards, those of them that exist.

    Raises:
        ExportError: the model or its tokenizer cannot be loaded.
        UnknownNameError: the suite, or lm-eval, does not have a task.
        ResultsError: a dataset cannot be loaded, a figure is not finite, a file in the way is not a cell of ours or was
            changed, a limited cell would replace a whole one, or a task fixes its shots at 0 or has too few documents
            for them.
        UsageError: an option is out of range.
    """
    where = f"{model.name}'s evaluation" if model.run else "the suite"
    requested = requested_cells(evaluation, options, storage.task_sources, where)
    for folder in (results, *results.parents):
        if folder.is_file():
            raise bad_option("--output", folder, "must be a folder, not a file", "pass --output DIR")
    config = SweepConfig.of(model, evaluation, storage, options)
    shard = shard_of(requested, evaluation, options.shard)
    own = Failures()
    encoder = partial(Encoder.load, model.folder, prompting=options.prompting)
    _measure_missing(config, shard, storage, results, encoder=encoder, progress=progress, failures=own)
    if failures is None:
        own.report()
    else:
        failures.errors.update(own.errors)
    return [read_cell(path) for cell in own.without(requested) if (path := cell.path(results)).is_file()]


def prefetch(
    encoder: Encoder,
    evaluation: Evaluation,
    *,
    storage: Storage,
    options: Options = DEFAULT_OPTIONS,
    progress: Progress = SILENT,
) -> int:
    """Download documents and build the requests of a suite for later use offline; return the number of requests.

    Args:
        encoder: the encoder of the models to measure.
        evaluation: tasks, shot counts and seed of the shots.
        storage: where tasks, documents and built requests are.
        options: the cells.
        progress: shows cells.

    Raises:
        UnknownNameError, ResultsError, UsageError: as for `evaluate`.
    """
    requested = requested_cells(evaluation, options, storage.task_sources, "the suite")
    cells = shard_of(requested, evaluation, options.shard)
    requests, failures = Requests(storage, encoder, evaluation.fewshot_seed, options.limit), Failures()
    cells = requests.build(cells, progress, failures)
    failures.report()
    return sum(requests.size(cell)[0] for cell in cells)


def _measure_missing(
    config: SweepConfig,
    cells: Sequence[CellKey],
    storage: Storage,
    results: Path,
    *,
    encoder: Callable[[], Encoder],
    progress: Progress,
    failures: Failures,
) -> None:
    missing = []
    for cell in cells:
        with failures.catch(cell):
            missing += [cell] if finished_cell(config, cell, results) is None else []
    if not missing:
        return
    already = len(cells) - len(missing)
    replaced = _say_replaced(config, missing, results)
    requests = Requests(storage, encoder(), config.fewshot_seed, config.limit)
    missing = requests.build(missing, progress, failures, stock=config.backend == "stock")
    if missing:
        _Sweep(config, requests, results, replaced, failures).measure(missing, progress, already=already)


def _say_replaced(config: SweepConfig, cells: Sequence[CellKey], results: Path) -> frozenset[tuple[str, int]]:
    """Say which cells on disk are measured again, and why; return their names."""
    by_reason: dict[tuple[str, ...], list[CellKey]] = {}
    for cell in cells:
        if names := differences(config, cell, results):
            by_reason.setdefault(names, []).append(cell)
    for names, own in by_reason.items():
        what, which = plural(len(own), "cell"), listed(own, most=3)
        logger.warning("%s: replacing %s (%s): different %s", results, what, which, listed(names))
    return frozenset(cell.names for own in by_reason.values() for cell in own)


@dataclass(frozen=True)
class _Sweep:
    """The cells of one call that this process measures."""

    config: SweepConfig
    requests: Requests
    results: Path
    replaced: frozenset[tuple[str, int]]
    """Cells that differ from those on disk since the call began."""
    failures: Failures

    def measure(self, cells: Sequence[CellKey], progress: Progress, *, already: int) -> None:
        """Load the model once; measure and write cell after cell, and those that another process holds last."""
        from mixhub.evaluation.lm_eval_private import quiet

        config = self.config
        with quiet():
            lm = load_model(config.model.folder, config.device, config.dtype, config.backend, config.device_map)
        encoder = self.requests.encoder
        if encoder.chat_template is not None:
            lm.tokenizer.chat_template = encoder.chat_template
        support = getattr(lm, "layout_support", None)
        if support is not None and support.note:
            logger.warning("%s: %s; the figures are the same", config.model.name, support.note)
        tokens = sum(self.requests.size(cell)[1] for cell in cells)
        total, unit = (tokens, "token") if tokens else (len(cells), "cell")
        with progress.start(f"evaluate {config.model.revision}", total, unit) as bar:
            meter = _Meter(bar, tokens, already, already + len(cells))
            lm.on_scored = meter.scored
            held = [cell for cell in cells if not self._try(lm, cell, meter, waits=False)]
            for cell in held:
                self._try(lm, cell, meter, waits=True)

    def _try(self, lm: Any, cell: CellKey, meter: _Meter, *, waits: bool) -> bool:
        """Claim a cell, and go on if it fails, unless the weights themselves are not finite."""
        try:
            return self._claim(lm, cell, meter, waits=waits)
        except ResultsError as error:
            support = getattr(lm, "layout_support", None)
            if error.code == "figure-not-finite" and support is not None and not support.is_finite:
                with naming(f"{self.config.model}, cell {cell}"):
                    raise
            self.failures.add(cell, error)
            return True

    def _claim(self, lm: Any, cell: CellKey, meter: _Meter, *, waits: bool) -> bool:
        """Measure a cell, unless another process holds it or has already measured it; return whether it is done."""
        path = cell.path(self.results)
        lock = self.results / ".locks" / path.name
        try:
            with locked(lock, f"{cell} is being measured", timeout=-1 if waits else 0):
                for file in (path, samples_path(path)):
                    clear_leftovers(self.results, file.name)
                meter.cell = str(cell)
                done = finished_cell(self.config, cell, self.results)
                if done is None and cell.names not in self.replaced:
                    self._require_free(cell)
                if done is not None:
                    meter.skipped(self.requests.size(cell)[1])
                meter.finished(done or self._measured(lm, cell))
        except WorkspaceError as error:
            if error.code == "lock-held":
                return False
            raise
        return True

    def _require_free(self, cell: CellKey) -> None:
        """Do not replace what another process wrote meanwhile; a limited cell gives way as always."""
        if names := [name for name in differences(self.config, cell, self.results) if name != "limit"]:
            path = cell.path(self.results)
            message = f"{path}: another process has written this cell meanwhile, with different {listed(names)}"
            raise ResultsError(message, code="cell-taken", path=path, differences=tuple(names))

    def _measured(self, lm: Any, cell: CellKey) -> Cell:
        """Measure one cell and write it."""
        from mixhub.evaluation.lm_eval_private import quiet

        config, built = self.config, self.requests.task(cell)
        with quiet():
            prepared = self.requests.get(cell)
            prompting = self.requests.encoder.prompting
            limit, seed = config.limit, config.fewshot_seed
            measured = measure(lm, built.task, cell.num_fewshot, limit, seed, prepared, prompting)
        written = write_cell(config, lm, built, measured, cell, self.results)
        for note in written.notes:
            logger.warning("%s: %s", cell, note)
        return written


@dataclass
class _Meter:
    """The progress of a call, for a bar and for a log."""

    bar: Bar
    tokens: int
    """Tokens to run; 0: the bar counts cells."""
    cells_done: int
    cells: int
    """Requested cells."""
    cell: str = ""
    """The cell that is being measured."""
    _requests_run: int = 0
    _tokens_run: int = 0
    _tokens_skipped: int = 0
    _started: float = field(default_factory=time.monotonic)

    def scored(self, requests: int, tokens: int) -> None:
        """Count requests of the cell that were answered."""
        self._requests_run += requests
        self._tokens_run += tokens
        self.bar.advance(tokens, self._note())

    def skipped(self, tokens: int) -> None:
        """Count a cell that another process measured."""
        self._tokens_skipped += tokens
        self.bar.advance(tokens)

    def finished(self, cell: Cell) -> None:
        """Count a cell that is on disk, and log it."""
        self.cells_done += 1
        self.bar.advance(0 if self.tokens else 1, self._note())
        name = next((name for name in ("acc_norm", "acc") if name in cell.metrics), min(cell.metrics))
        facts = f"{name} {cell.metrics[name]:.4f}, {cell.documents} documents, {cell.seconds:.1f} s"
        waiting = self.tokens - self._tokens_run - self._tokens_skipped
        left = ""
        if self._tokens_run and waiting > 0:
            seconds = round(waiting * (time.monotonic() - self._started) / self._tokens_run)
            left = f", about {timedelta(seconds=seconds)} left"
        logger.info("%s: %s; %d of %d cells%s", self.cell, facts, self.cells_done, self.cells, left)

    def _note(self) -> str:
        rate = self._requests_run / max(1e-9, time.monotonic() - self._started)
        speed = f" · {rate:.3g} requests/s" if self._requests_run else ""
        return f"{self.cells_done} of {self.cells} cells{speed} · {self.cell}"
