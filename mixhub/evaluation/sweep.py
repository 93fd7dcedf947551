"""Many cells in one process: requests are built once for all checkpoints, and each cell is written when it is done."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, ResultsError, UnknownNameError, UsageError, WorkspaceError
from mixhub.evaluation.datasets import Datasets
from mixhub.evaluation.encoding import Encoder
from mixhub.evaluation.harness import (
    BACKENDS,
    SCORER,
    STDERR,
    Backend,
    Measured,
    choose_device,
    choose_dtype,
    load_model,
    measure,
    require_shots,
)
from mixhub.evaluation.lm_eval_private import quiet
from mixhub.evaluation.requests import Key, Prepared, RequestStore, prepare
from mixhub.evaluation.suite import BuiltTask, SuiteTask, build, known_fingerprint, resolve
from mixhub.files import clear_leftovers, locked, write_bytes, write_text
from mixhub.progress import SILENT, Bar, Progress
from mixhub.spec import Evaluation, Family, Run, Task
from mixhub.workspace.cells import (
    MEASURES_KEY,
    PROVENANCE_KEY,
    Cell,
    Dataset,
    Provenance,
    cell_path,
    figures_sha256,
    read_cell,
    samples_path,
)
from mixhub.workspace.export import require_complete
from mixhub.workspace.lineage import (
    UNKNOWN,
    Lineage,
    combined_sha256,
    file_sha256,
    read_lineage,
    versions,
    weights_sha256,
)
from mixhub.workspace.recipe_diff import require_same_recipe

_PACKAGES = ("lm_eval", "transformers", "torch", "datasets")
_DECIDING = ("lm_eval", "transformers", "torch")
"""Packages whose version may move a figure: cells of other versions of them are measured anew."""
_DOCUMENTS = 1000
"""What a task is taken to have, for sharing out cells, where the family does not say."""
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt", "spiece.model")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """The weights that are measured, and what is known of them."""

    folder: Path
    """Weights, config and tokenizer, in Transformers format."""
    name: str
    """The family; else a repo_id, or the folder's name."""
    revision: str
    """The run's branch; else what was asked for."""
    weights_sha256: str
    """Hash of the weights."""
    tokenizer_sha256: str
    """Hash of the tokenizer."""
    run: Run | None = None
    """The run, when it is a family's."""
    step: int | str = UNKNOWN
    """Updates made."""


@dataclass(frozen=True)
class Options:
    """How cells are measured."""

    tasks: Sequence[str] | None = None
    """Names; else all of the suite's."""
    num_fewshot: Sequence[int] | None = None
    """Shot counts; else all of the suite's."""
    limit: int | None = None
    """Only the first so many documents of each task."""
    device: str | None = None
    """`cpu`, `cuda` or `cuda:N`; else the best there is."""
    dtype: str | None = None
    """Else float32 on CPU and bfloat16 on CUDA."""
    backend: Backend = "mixhub"
    """`stock`: lm-eval's own scoring of one request after the other."""
    shard: tuple[int, int] = (1, 1)
    """(i, n): the i-th of n parts of the cells, counted from 1. Parts have no cell in common, and each cell is the same
    whatever n is."""


@dataclass(frozen=True)
class Place:
    """Where documents and built requests are kept."""

    datasets: Datasets
    """Dataset repos."""
    requests: Path | None = None
    """Built requests, for all checkpoints; None: they are built anew by each call."""


@dataclass(frozen=True)
class _Cell:
    """One cell that is asked for."""

    task: SuiteTask
    num_fewshot: int

    def __str__(self) -> str:
        return f"{self.task.name} {self.num_fewshot}-shot"


@dataclass(frozen=True)
class _Setting:
    """What all cells of one call share."""

    subject: Subject
    fewshot_seed: int
    device: str
    dtype: str
    limit: int | None
    backend: Backend
    datasets: Datasets
    versions: Mapping[str, str]


def evaluate(
    family: Family,
    run: Run,
    *,
    export: Path,
    results: Path,
    place: Place,
    options: Options = Options(),
    task_configs: Mapping[str, Path] | None = None,
    progress: Progress = SILENT,
) -> list[Cell]:
    """Measures the cells of a run that are missing, and gives those that were asked for: task by task, then by shots.

    A cell on disk counts as done when it was made from the same weights, step, tokenizer, task, data, shots seed, dtype
    and versions of lm-eval, Transformers and torch; else it is measured anew and replaced. A whole cell also stands for
    a limited one; a limited cell never replaces a whole one of the same weights, and a whole one replaces a limited
    one. Several processes may measure into one folder: each takes the cells that no other holds, and waits at the end
    for what the others still measure.

    Args:
        family: says the suite and the seed of the shots.
        run: what was trained.
        export: its weights, in Transformers format.
        results: folder of this run's cells, `<task>.<k>shot.json`.
        place: where documents and built requests are kept.
        options: which cells, and how.
        task_configs: by task, the YAML of each task that has one of its own.
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
    suite = _suite(family.evaluation, options, task_configs or {}, f"{family.name}'s evaluation")
    require_complete(export)
    lineage = _own_lineage(family, run, export)
    require_same_recipe(family, run, export / "train_config.yaml", export.parent.parent)
    subject = Subject(
        folder=export,
        name=family.name,
        revision=run.revision,
        weights_sha256=lineage.weights_sha256,
        tokenizer_sha256=_tokenizer_sha256(export),
        run=run,
        step=lineage.step,
    )
    return _sweep(subject, family.evaluation, suite, results, place, options, progress)


def evaluate_folder(
    folder: Path,
    *,
    name: str,
    revision: str,
    evaluation: Evaluation,
    results: Path,
    place: Place,
    options: Options = Options(),
    task_configs: Mapping[str, Path] | None = None,
    progress: Progress = SILENT,
) -> list[Cell]:
    """`evaluate` for any causal language model in Transformers format, whoever trained it.

    Args:
        folder: weights as safetensors, config and tokenizer.
        name: what the cells call the model.
        revision: what they call its revision.
        evaluation: tasks, shot counts and seed of the shots.
        results: folder of the cells.
        place: where documents and built requests are kept.
        options: which cells, and how.
        task_configs: by task, the YAML of each task that has one of its own.
        progress: shows cells.

    Raises:
        ExportError: the folder holds no causal language model whose weights are safetensors.
    """
    if not (folder / "config.json").is_file():
        raise ExportError(
            f"{folder}: holds no model (no config.json)", hint="name a folder in Transformers format", path=folder
        )
    suite = _suite(evaluation, options, task_configs or {}, "the suite")
    subject = Subject(folder, name, revision, weights_sha256(folder), _tokenizer_sha256(folder))
    return _sweep(subject, evaluation, suite, results, place, options, progress)


def prefetch(
    encoder: Encoder,
    evaluation: Evaluation,
    *,
    place: Place,
    options: Options = Options(),
    task_configs: Mapping[str, Path] | None = None,
    progress: Progress = SILENT,
) -> int:
    """Fetches documents and builds the requests of a suite, so that evaluation needs no network; how many there are.

    Args:
        encoder: of the models that will be measured.
        evaluation: tasks, shot counts and seed of the shots.
        place: where documents and built requests are kept.
        options: which cells.
        task_configs: by task, the YAML of each task that has one of its own.
        progress: shows cells.

    Raises:
        UnknownNameError, ResultsError, UsageError: as for `evaluate`.
    """
    suite = _suite(evaluation, options, task_configs or {}, "the suite")
    cells = _shard([_Cell(task, k) for task in suite for k in _shots(evaluation, options)], evaluation, options.shard)
    with _Requests(place, encoder, evaluation.fewshot_seed, options.limit) as requests:
        requests.build(cells, progress)
        return sum(requests.size(cell)[0] for cell in cells)


def _suite(evaluation: Evaluation, options: Options, task_configs: Mapping[str, Path], where: str) -> list[SuiteTask]:
    """The tasks that are asked for, read; raises what is wrong with the options before anything is opened."""
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"limit = {options.limit}: must be at least 1 document", limit=options.limit)
    if options.backend not in BACKENDS:
        raise UsageError(f"backend = {options.backend!r}: must be one of {', '.join(BACKENDS)}")
    number, count = options.shard
    if not 1 <= number <= count:
        raise UsageError(
            f"--shard = {number}/{count}: must be i/n with i from 1 to n",
            hint="of eight, the first is 1/8",
        )
    shots = _shots(evaluation, options)
    suite = resolve(_chosen_tasks(evaluation, options.tasks, where), task_configs)
    # lm-eval keeps such a task at 0 shots whatever is asked, so its figure would stand under another shot count.
    for task in suite:
        if task.config.get("num_fewshot") == 0 and any(shots):
            raise ResultsError(
                f"task {task.name}: {task.source} fixes num_fewshot at 0, so there is no {max(shots)}-shot cell",
                hint="set evaluation.num_fewshot to [0], or give the task a YAML of its own without num_fewshot",
                task=task.name,
            )
    return suite


def _chosen_tasks(evaluation: Evaluation, names: Sequence[str] | None, where: str) -> list[Task]:
    known = {task.name: task for task in evaluation.tasks}
    for name in names or ():
        if name not in known:
            raise UnknownNameError("task", name, known, where=where)
    return [task for name, task in known.items() if names is None or name in names]


def _shots(evaluation: Evaluation, options: Options) -> list[int]:
    if options.num_fewshot is None:
        return list(evaluation.num_fewshot)
    for count in options.num_fewshot:
        if count < 0:
            raise UsageError(f"num_fewshot = {count}: must not be negative", num_fewshot=count)
        if count not in evaluation.num_fewshot:
            known = ", ".join(map(str, evaluation.num_fewshot))
            raise UsageError(
                f"num_fewshot = {count}: must be one of the suite's shot counts: {known}",
                hint="leave it out to measure all of them, or add it to evaluation.num_fewshot of the family",
                num_fewshot=count,
            )
    return sorted(set(options.num_fewshot))


def _own_lineage(family: Family, run: Run, export: Path) -> Lineage:
    lineage = read_lineage(export)
    if (lineage.family, lineage.revision) != (family.name, run.revision):
        raise ExportError(
            f"{export}: is {lineage.revision} of {lineage.family} by its lineage, not {run.revision} of {family.name}",
            hint="name the run that it is of, or put each run's export into its own folder",
            path=export,
        )
    actual = weights_sha256(export)
    if actual != lineage.weights_sha256:
        raise ExportError(
            f"{export}: its weights are {actual}, and its lineage names {lineage.weights_sha256}",
            hint="delete the folder and make it again from the newest checkpoint: mixhub train --seed N (or --index N)",
            path=export,
        )
    return lineage


def _tokenizer_sha256(folder: Path) -> str:
    """Hash of `tokenizer.json`; of the files there are, for tokenizers that have none."""
    if (folder / "tokenizer.json").is_file():
        return file_sha256(folder / "tokenizer.json")
    files = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    if not files:
        raise ExportError(f"{folder}: holds no tokenizer (no tokenizer.json)", hint="put it beside the weights")
    return combined_sha256((path.name, file_sha256(path)) for path in files)


def _sweep(
    subject: Subject,
    evaluation: Evaluation,
    suite: Sequence[SuiteTask],
    results: Path,
    place: Place,
    options: Options,
    progress: Progress,
) -> list[Cell]:
    if results.is_file():
        raise UsageError(f"{results}: is a file, and cells need a folder", hint="--output DIR", path=results)
    device = choose_device(options.device)
    setting = _Setting(
        subject=subject,
        fewshot_seed=evaluation.fewshot_seed,
        device=device,
        dtype=choose_dtype(options.dtype, device),
        limit=options.limit,
        backend=options.backend,
        datasets=place.datasets,
        versions=versions(*_PACKAGES),
    )
    shots = _shots(evaluation, options)
    asked = [_Cell(task, k) for task in suite for k in shots]
    mine = _shard(asked, evaluation, options.shard)
    missing = [cell for cell in mine if not _is_done(setting, cell, results)]
    if missing:
        with quiet():
            encoder = _encoder(subject.folder)
        with _Requests(place, encoder, evaluation.fewshot_seed, options.limit) as requests:
            requests.build(missing, progress, stock=options.backend == "stock")
            _measure_all(setting, requests, missing, results, progress, already=len(mine) - len(missing))
    paths = [cell_path(results, cell.task.name, cell.num_fewshot) for cell in asked]
    return [read_cell(path) for path in paths if path.is_file()]


def _encoder(folder: Path) -> Encoder:
    try:
        return Encoder.load(folder)
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        raise ExportError(
            f"{folder}: its tokenizer cannot be loaded: {type(error).__name__}: {reason}",
            hint="put the tokenizer that the model was trained with beside its weights",
            path=folder,
        ) from error


def _shard(cells: Sequence[_Cell], evaluation: Evaluation, shard: tuple[int, int]) -> list[_Cell]:
    """One of n parts of about the same work, as far as documents and shots tell: the largest cells are dealt first."""
    number, count = shard
    documents = {task.name: task.documents or _DOCUMENTS for task in evaluation.tasks}
    work = [documents[cell.task.name] * (1 + cell.num_fewshot) for cell in cells]
    loads = [0] * count
    owner = [0] * len(cells)
    for place in sorted(range(len(cells)), key=lambda place: (-work[place], place)):
        owner[place] = min(range(count), key=loads.__getitem__)
        loads[owner[place]] += work[place]
    return [cell for place, cell in enumerate(cells) if owner[place] == number - 1]


@dataclass
class _Requests:
    """Requests of the cells of one call: from the store where they are there, else built and put there."""

    place: Place
    encoder: Encoder
    fewshot_seed: int
    limit: int | None
    _built: dict[str, BuiltTask] = field(default_factory=dict)
    _keys: dict[tuple[str, int], Key | None] = field(default_factory=dict)
    _sizes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def __enter__(self) -> _Requests:
        self._scratch = tempfile.TemporaryDirectory(prefix="mixhub-requests-")
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def build(self, cells: Sequence[_Cell], progress: Progress, *, stock: bool = False) -> None:
        """Has all requests stored, and all datasets loaded; the stock backend needs the datasets only.

        Raises:
            ResultsError: a dataset cannot be loaded, or a task has too few documents for the shots.
        """
        for task, shots in _by_task(cells):
            with quiet():
                self._built[task.name] = build(task, self.place.datasets)
                require_shots(self._built[task.name].task, max(shots))
        waiting = [] if stock else [cell for cell in cells if not self._is_stored(cell)]
        if waiting:
            logger.info("building the requests of %s", "1 cell" if len(waiting) == 1 else f"{len(waiting)} cells")
            with progress.start("build requests", len(waiting), "cell") as bar:
                for cell in waiting:
                    with quiet():
                        self._store_anew(cell)
                    bar.advance(note=str(cell))

    def task(self, cell: _Cell) -> BuiltTask:
        """The cell's task with its dataset loaded."""
        return self._built[cell.task.name]

    def size(self, cell: _Cell) -> tuple[int, int]:
        """Requests and tokens of a cell; none where lm-eval builds them itself."""
        return self._sizes.get(_name(cell), (0, 0))

    def get(self, cell: _Cell) -> Prepared | None:
        """The requests of a cell; None where lm-eval builds them itself."""
        key = self._keys.get(_name(cell))
        if key is None:
            return None
        found = self._store(key).get(key)
        if found is None:  # deleted or damaged since
            self._store_anew(cell)
            found = self._store(key).get(key)
        return found

    def _is_stored(self, cell: _Cell) -> bool:
        key = Key.of(self.task(cell), self.encoder, cell.num_fewshot, self.fewshot_seed, self.limit)
        size = self._store(key).size(key)
        if size is not None:
            self._keys[_name(cell)], self._sizes[_name(cell)] = key, size
        return size is not None

    def _store_anew(self, cell: _Cell) -> None:
        built = self.task(cell)
        try:
            found = prepare(built.task, self.encoder, cell.num_fewshot, self.fewshot_seed, self.limit)
        except ResultsError as error:
            raise ResultsError(f"cell {cell}: {error.message}", hint=error.hint) from error
        if found is None:
            self._keys[_name(cell)] = None
            return
        key = Key.of(built, self.encoder, cell.num_fewshot, self.fewshot_seed, self.limit)
        self._store(key).put(key, found)
        self._keys[_name(cell)] = key
        self._sizes[_name(cell)] = (found.requests, len(found.packing.tokens))

    def _store(self, key: Key) -> RequestStore:
        kept = self.place.requests if key.names_documents else None
        return RequestStore(kept or Path(self._scratch.name))


def _name(cell: _Cell) -> tuple[str, int]:
    return cell.task.name, cell.num_fewshot


def _by_task(cells: Sequence[_Cell]) -> Iterator[tuple[SuiteTask, list[int]]]:
    for task in {cell.task.name: cell.task for cell in cells}.values():
        yield task, [cell.num_fewshot for cell in cells if cell.task.name == task.name]


def _is_done(setting: _Setting, cell: _Cell, results: Path) -> bool:
    """Whether a cell on disk stands for this one.

    Raises:
        ResultsError: the file in its place is no cell of ours, or is a whole one that a limited one would replace.
    """
    path = cell_path(results, cell.task.name, cell.num_fewshot)
    if not path.exists():
        return False
    there = read_cell(path)
    if differing := _differences(setting, cell.task, there):
        if there.limit is None and setting.limit is not None and "weights_sha256" not in differing:
            raise ResultsError(
                f"{path}: is a whole cell of these weights, which {setting.limit} documents would replace "
                f"(it differs in {', '.join(differing)})",
                hint="leave out the limit to measure it anew, or delete it",
                path=path,
            )
        return False
    if not there.samples.is_file() or file_sha256(there.samples) != there.provenance.samples_sha256:
        return False
    return there.limit is None or there.limit == setting.limit


def _differences(setting: _Setting, task: SuiteTask, cell: Cell) -> list[str]:
    """In what a cell on disk differs from the one that was asked for, its limit apart."""
    made, subject = cell.provenance, setting.subject
    wanted = {
        "family": (made.family, subject.name),
        "revision": (made.revision, subject.revision),
        "step": (made.step, subject.step),
        "weights_sha256": (made.weights_sha256, subject.weights_sha256),
        "tokenizer_sha256": (made.tokenizer_sha256, subject.tokenizer_sha256),
        "fewshot_seed": (made.fewshot_seed, setting.fewshot_seed),
        "dtype": (made.dtype, setting.dtype),
        "task_sha256": (made.task_sha256, task.sha256),
        **{f"{name} version": (made.versions.get(name), setting.versions[name]) for name in _DECIDING},
    }
    if setting.backend == "stock":
        wanted["backend"] = (made.backend, "stock")
    elif made.backend == "mixhub":
        wanted["scorer"] = (made.scorer, SCORER)
    if (documents := known_fingerprint(task, setting.datasets)) != UNKNOWN:
        wanted["dataset"] = (made.dataset.fingerprint, documents)
    return [name for name, (there, here) in wanted.items() if there != here]


def _measure_all(
    setting: _Setting,
    requests: _Requests,
    cells: Sequence[_Cell],
    results: Path,
    progress: Progress,
    already: int,
) -> None:
    """Loads the model once; measures and writes cell after cell, those that another process holds last."""
    subject = setting.subject
    with quiet():
        lm = load_model(subject.folder, setting.device, setting.dtype, setting.backend)
    suitability = getattr(lm, "suitability", None)
    if suitability is not None and suitability.note:
        logger.warning("%s: %s; the figures are the same", subject.folder, suitability.note)
    tokens = sum(requests.size(cell)[1] for cell in cells)
    counts_tokens = tokens > 0
    with progress.start(
        f"evaluate {subject.revision}", tokens if counts_tokens else len(cells), "token" if counts_tokens else "cell"
    ) as bar:
        meter = _Meter(bar, tokens, already, already + len(cells))
        lm.on_scored = meter.scored
        held: list[_Cell] = []
        for waits, queue in ((False, cells), (True, held)):
            for cell in queue:
                with _claimed(results, cell, waits) as claimed:
                    if not claimed:
                        held.append(cell)
                        continue
                    meter.cell = str(cell)
                    if _is_done(setting, cell, results):  # by another process, since
                        done = read_cell(cell_path(results, cell.task.name, cell.num_fewshot))
                        meter.skipped(requests.size(cell)[1])
                    else:
                        done = _measured(setting, lm, requests, cell, results)
                    meter.finished(done, counts_tokens)


@contextmanager
def _claimed(results: Path, cell: _Cell, waits: bool) -> Iterator[bool]:
    """Whether the cell is this process's for the block; when it waits, it always is."""
    name = cell_path(results, cell.task.name, cell.num_fewshot).name
    lock = locked(results / ".locks" / name, f"{cell} is being measured", timeout=-1 if waits else 0)
    try:
        lock.__enter__()
    except WorkspaceError:
        yield False
        return
    try:
        for own in (name, samples_path(Path(name)).name):
            clear_leftovers(results, own)
        yield True
    finally:
        lock.__exit__(None, None, None)


@dataclass
class _Meter:
    """How far a call is, for a bar and for a log."""

    bar: Bar
    tokens: int
    """Tokens in all."""
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

    def finished(self, cell: Cell, counts_tokens: bool) -> None:
        """A cell is there."""
        self.cells_done += 1
        self.bar.advance(0 if counts_tokens else 1, self._note())
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


def _measured(setting: _Setting, lm: Any, requests: _Requests, cell: _Cell, results: Path) -> Cell:
    """Measures one cell and writes it."""
    built = requests.task(cell)
    started, date = time.monotonic(), time.time()
    with quiet():
        prepared = requests.get(cell)
        try:
            found = measure(lm, built.task, cell.num_fewshot, setting.limit, setting.fewshot_seed, prepared)
        except ResultsError as error:
            if str(cell) in error.message:
                raise
            raise ResultsError(f"cell {cell}: {error.message}; nothing was written for it", hint=error.hint) from error
    samples = "".join(_line(sample) for sample in found.samples).encode()
    provenance = _provenance(setting, lm, built, cell.num_fewshot, found, samples)
    results_json = _results_json(setting, found, provenance, date, time.monotonic() - started)
    return _write(cell_path(results, cell.task.name, cell.num_fewshot), results_json, samples)


def _line(sample: Mapping[str, Any]) -> str:
    """A sample as JSON. Log-likelihoods are finite by now; a document's own fields that are not are written as null."""
    try:
        return json.dumps(sample, default=_jsonable, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps(_finite(sample), default=_jsonable, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: object) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _provenance(
    setting: _Setting, lm: Any, built: BuiltTask, num_fewshot: int, found: Measured, samples: bytes
) -> Provenance:
    figures = json.loads(json.dumps(found.results["results"], default=_jsonable, allow_nan=False))  # as they are read
    subject, task = setting.subject, built.suite
    ours = setting.backend == "mixhub"
    return Provenance(
        family=subject.name,
        revision=subject.revision,
        kind=subject.run.kind if subject.run else None,
        number=subject.run.number if subject.run else None,
        step=subject.step,
        weights_sha256=subject.weights_sha256,
        tokenizer_sha256=subject.tokenizer_sha256,
        task=task.name,
        task_sha256=task.sha256,
        num_fewshot=num_fewshot,
        fewshot_seed=setting.fewshot_seed,
        limit=setting.limit,
        dtype=setting.dtype,
        device=setting.device.partition(":")[0],
        backend=setting.backend,
        scorer=SCORER if ours else None,
        layout=lm.layout if ours else None,
        batch_tokens=lm.batch_tokens if ours else None,
        batch_size=None if ours else lm.batch_size,
        dataset=Dataset(
            path=str(task.config.get("dataset_path")),
            name=task.config.get("dataset_name"),
            fingerprint=built.fingerprint,
        ),
        stderr=STDERR,
        samples_sha256=hashlib.sha256(samples).hexdigest(),
        results_sha256=figures_sha256(figures, {task.name: found.measures}),
        versions=setting.versions,
    )


def _results_json(setting: _Setting, found: Measured, provenance: Provenance, date: float, seconds: float) -> str:
    """lm-eval's results and ours, without what names the machine or a folder (`git_hash`, environment)."""
    subject = setting.subject
    name = f"{subject.name}@{subject.revision}"
    config = {
        "model": "hf",
        "model_args": {"pretrained": subject.name, "revision": subject.revision, "dtype": setting.dtype},
        "model_revision": subject.revision,
        "model_sha": "",
    }
    whole = {
        **found.results,
        "config": {**config, **found.results["config"]},
        "date": date,
        "transformers_version": setting.versions["transformers"],
        "lm_eval_version": setting.versions["lm_eval"],
        "model_source": "hf",
        "model_name": name,
        "model_name_sanitized": re.sub(r"[@/]", "__", name),
        "total_evaluation_time_seconds": str(seconds),
        MEASURES_KEY: {provenance.task: found.measures},
        PROVENANCE_KEY: provenance.to_data(),
    }
    return json.dumps(whole, indent=2, default=_jsonable, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, results_json: str, samples: bytes) -> Cell:
    """The result goes first and comes last: while it is there, the samples beside it are its own."""
    path.unlink(missing_ok=True)
    write_bytes(samples_path(path), samples)
    write_text(path, results_json)
    return read_cell(path)


def _jsonable(value: object) -> Any:
    """What JSON has no form for, as lm-eval writes it; functions by name, since their address changes."""
    from lm_eval.utils import handle_non_serializable

    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return handle_non_serializable(value)
