"""The cells that mixhub measured, as files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from mixhub.errors import MixhubError, ResultsError, SpecError
from mixhub.files import read_json
from mixhub.spec.base import FrozenMap, Spec, data_sha256
from mixhub.spec.values import Count, Label, PositiveInt
from mixhub.workspace.lineage import UNKNOWN, Sha256, Unknown
from mixhub.workspace.records import PLAIN, Entries, Record, require_same_weights

PROVENANCE_KEY = "mixhub"
"""Key of the provenance in a result."""
MEASURES_KEY = "mixhub_measures"
"""Key of mixhub's own measures in results and samples, apart from lm-eval's metrics."""
OF_PROMPTS = ("system_instruction", "chat_template_sha256", "fewshot_as_multiturn")
"""Fields of a provenance that tell prompts from the task's plain text."""
GROUP_SUFFIX = ".group.json"
"""End of the names of files with the score of a group of tasks, beside their cells."""
_CELL_FILE = re.compile(r"(?P<task>.+)\.(?P<shots>\d+)shot\.json")


class Benchmark(Spec):
    """A task of a dataset repo that is a benchmark on the Hub, by the repo's `eval.yaml`."""

    task_id: str
    """Its id."""
    split: str
    """The split that it evaluates."""
    framework: str | None = None
    """The harness that the dataset names for it; absent if it names none."""


class Dataset(Spec):
    """The documents of a cell."""

    path: str
    """`dataset_path` of the task: a repo, or the kind of files."""
    name: str | None = None
    """`dataset_name` of the task."""
    fingerprint: str
    """Commit of the dataset's repo, hash of its local files, or `unknown`."""
    benchmark: Benchmark | None = None
    """The benchmark that the cell measured; absent if its `eval.yaml` names none with these documents."""

    @property
    def shown(self) -> str:
        """Its fields in one line."""
        return " ".join(filter(None, (self.path, self.name, f"at {self.fingerprint}")))


class Provenance(Spec):
    """The inputs of a cell. It has no paths of the machine that measured it."""

    format: Literal[2] = 2
    """Version of this format."""
    family: str
    """Name of the family; for other models, the repo_id or the name of the folder."""
    revision: str
    """Branch of the run, or the requested revision of another repo."""
    kind: Literal["seed", "index"] | None = None
    """What varies over the family's runs."""
    number: Label | None = None
    """The seed or the index."""
    step: Count | Unknown
    """Updates made."""
    weights_sha256: Sha256
    """Hash of the weights."""
    tokenizer_sha256: Sha256
    """Hash of `tokenizer.json`."""
    task: str
    """lm-eval's name of the task."""
    task_sha256: Sha256
    """Hash of the task's YAML, with what it includes."""
    num_fewshot: Count
    """Shots in each prompt."""
    fewshot_seed: Count
    """Seed of the choice of shots."""
    limit: PositiveInt | None = None
    """Number of documents that were evaluated; absent for all."""
    system_instruction: str | None = None
    """Text at the start of every prompt; absent for none."""
    chat_template_sha256: Sha256 | None = None
    """Hash of the chat template; absent for plain text."""
    fewshot_as_multiturn: bool | None = None
    """With a chat template: whether each shot was a turn of its own."""
    dtype: str
    """Dtype of the computation."""
    device: str
    """Kind of device, such as `cpu` or `cuda`."""
    backend: Literal["mixhub", "stock"]
    """The backend that scored: mixhub's or lm-eval's."""
    scorer: Count | None = None
    """Version of mixhub's backend."""
    layout: str | None = None
    """Whether inputs shared rows (see `scorer.Layout`)."""
    batch_tokens: PositiveInt | None = None
    """Tokens per forward pass, for mixhub's backend."""
    batch_size: PositiveInt | None = None
    """Requests per forward pass, for lm-eval's backend."""
    dataset: Dataset
    """The documents."""
    requests: Count | None = None
    """Requests to the model."""
    truncated: Count | None = None
    """Requests that were cut at the left to fit the context; absent in cells of mixhub 0.1.0."""
    own_shots: Count | None = None
    """Documents that were among their own shots, because the task draws shots from the split that it evaluates."""
    doubled_prefixes: Count | None = None
    """Texts of rolling log-likelihoods that began with two prefix tokens: the tokenizer's and lm-eval's."""
    stderr: str
    """Which standard errors were computed, and how."""
    samples_sha256: Sha256
    """Hash of the samples beside the result."""
    results_sha256: Sha256
    """Hash of the figures: lm-eval's `results`, and mixhub's measures."""
    versions: FrozenMap[str, str]
    """Versions of the packages that were used."""


@dataclass(frozen=True, kw_only=True)
class Cell(Record):
    """A cell that mixhub measured: nothing is unknown."""

    provenance: Provenance
    """Its inputs."""
    documents: int
    documents_in_split: int
    num_fewshot: int
    limit: int | None
    date: float
    seconds: float
    samples: Path

    @classmethod
    def of(cls, provenance: Provenance, path: Path, **figures: Any) -> Cell:
        """Make a cell from its provenance, its file, and the fields that are not in its provenance."""
        shared = ("revision", "task", "num_fewshot", "limit", "fewshot_seed", "weights_sha256", "dtype", "device")
        return cls(
            path=path,
            provenance=provenance,
            model=provenance.family,
            dataset=provenance.dataset.shown,
            prompting=_prompting(provenance),
            harness=provenance.versions.get("lm_eval", UNKNOWN),
            samples=samples_path(path),
            **{name: getattr(provenance, name) for name in shared},
            **figures,
        )

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.provenance.family

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of its figures should know; lm-eval's own figures have the same."""
        return tuple(note for note, _ in cell_notes([self]))

    @property
    def _counts(self) -> dict[str, tuple[int | None, int | None]]:
        """How many of what, and of how many."""
        made = self.provenance
        return {
            "requests were cut at the left to fit the context of the model": (made.truncated, made.requests),
            "documents are among their own shots": (made.own_shots, self.documents),
            "texts begin with two prefix tokens": (made.doubled_prefixes, None),
        }


def cell_notes(cells: Iterable[Cell]) -> list[tuple[str, list[Cell]]]:
    """What a reader of the figures of some cells should know, with the cells that it concerns."""
    found: dict[str, list[tuple[Cell, int, int | None]]] = {}
    for cell in cells:
        for what, (count, total) in cell._counts.items():
            if count:
                found.setdefault(what, []).append((cell, count, total))
    notes = []
    for what, counted in found.items():
        totals = [total for _, _, total in counted if total is not None]
        whole = f"of {sum(totals)} " if len(totals) == len(counted) else ""
        notes.append((f"{sum(count for _, count, _ in counted)} {whole}{what}", [cell for cell, _, _ in counted]))
    return notes


def _prompting(provenance: Provenance) -> str:
    """Return the settings of the prompts in words, like those of lm-eval's own results."""
    system = provenance.system_instruction
    given = {
        "system_instruction": None if system is None else hashlib.sha256(system.encode()).hexdigest(),
        "chat_template": provenance.chat_template_sha256,
        "fewshot_as_multiturn": provenance.fewshot_as_multiturn,
    }
    return ", ".join(f"{name} {str(value)[:8]}" for name, value in given.items() if value) or PLAIN


def cell_path(results: Path, task: str, num_fewshot: int) -> Path:
    """The file of a cell in a results folder."""
    return results / f"{task}.{num_fewshot}shot.json"


def samples_path(cell: Path) -> Path:
    """The file with the samples of a cell."""
    return cell.with_suffix(".samples.jsonl")


def read_cells(folder: Path) -> list[Cell]:
    """Read all cells in a results folder, by task and shots; empty if the folder does not exist.

    Raises:
        ResultsError: a file is not a mixhub cell, or two cells were made with different weights.
    """
    cells = cells_in(folder)
    for revision in dict.fromkeys(cell.revision for cell in cells):
        require_same_weights([cell for cell in cells if cell.revision == revision])
    return cells


def cells_in(folder: Path) -> list[Cell]:
    """Read all cells in a results folder, whatever their weights; ResultsError for a file that is not a cell."""
    named = sorted(
        (match["task"], int(match["shots"]), path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := _CELL_FILE.fullmatch(path.name)) and not path.name.startswith(".")
    )
    return [read_cell(path) for _, _, path in named]


def read_cell(path: Path) -> Cell:
    """Read one cell; raises as `parse_cell`, or if the file is not JSON."""
    return parse_cell(path, read_json(path, ResultsError))


def parse_cell(path: Path, data: object) -> Cell:
    """Parse the content of one cell.

    Its figures must have the hash in its provenance. That detects accidents and manual edits; it is not a signature,
    since anyone can write a new hash.

    Raises:
        ResultsError: the file is not a mixhub cell, is malformed, or was changed after the measurement.
    """
    if not isinstance(data, Mapping) or PROVENANCE_KEY not in data:
        raise _malformed(path, f"{PROVENANCE_KEY}: is required")
    try:
        provenance = Provenance.from_data(data[PROVENANCE_KEY], str(path))
    except SpecError as error:
        keys = ", ".join(f"{PROVENANCE_KEY}.{problem.key}" for problem in error.problems)
        raise ResultsError(error.message, code="results-malformed", hint=_HINT, path=path, key=keys) from None
    if path.name != cell_path(path.parent, provenance.task, provenance.num_fewshot).name:
        raise _malformed(path, f"holds {provenance.task} at {provenance.num_fewshot} shots", PROVENANCE_KEY)
    part = Entries(path, data, provenance.task, _malformed)
    metrics, stderrs, omitted = part.figures()
    if omitted:
        raise _malformed(path, f"{omitted[0]}: must be a finite number")
    measures = part.mapping(MEASURES_KEY)
    _require_as_measured(path, figures_sha256(data["results"], data[MEASURES_KEY]), provenance)
    counts = part.mapping("n-samples")
    documents, in_split = counts.get("effective"), counts.get("original")
    if not isinstance(documents, int) or not isinstance(in_split, int):
        raise _malformed(path, f"n-samples.{provenance.task}: must have the numbers original and effective")
    return Cell.of(
        provenance,
        path,
        metrics=MappingProxyType(metrics),
        stderrs=MappingProxyType(stderrs),
        measures=MappingProxyType({str(name): float(value) for name, value in measures.items()}),
        documents=documents,
        documents_in_split=in_split,
        task_version=str(part.entry("versions")),
        task_hash=str(part.entry("task_hashes")),
        date=part.number("date"),
        seconds=part.number("total_evaluation_time_seconds"),
    )


_HINT = "delete the file, then run mixhub evaluate"


def figures_sha256(results: object, measures: object) -> str:
    """Hash of lm-eval's figures and mixhub's; `unknown` if one is not finite, as no cell of mixhub has."""
    try:
        return data_sha256({"results": results, MEASURES_KEY: measures})
    except MixhubError:
        return UNKNOWN


def _require_as_measured(path: Path, actual: str, provenance: Provenance) -> None:
    if actual != provenance.results_sha256:
        run = f" --{provenance.kind} {provenance.number}" if provenance.kind else ""
        message = f"{path}: was changed after the measurement: its figures do not match the sha256 in its provenance"
        raise ResultsError(message, code="results-changed", hint=f"delete it and run mixhub evaluate{run}", path=path)


def _malformed(path: Path, what: str, key: str | None = None) -> ResultsError:
    """The error for a file; `what` begins with the malformed key, unless `key` is given."""
    key = key or what.partition(":")[0].partition(" = ")[0]
    message = f"{path}: not a mixhub cell: {what}"
    return ResultsError(message, code="results-malformed", hint=_HINT, path=path, key=key)
