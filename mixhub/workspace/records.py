"""One cell, measured with any harness: what is known about it, and what is unknown."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mixhub.errors import ResultsError
from mixhub.workspace.lineage import UNKNOWN, Unknown

BITS_PER_BYTE = "bits_per_byte"
"""-log2 of the probability of the right answer over the UTF-8 bytes of its text, as scored; lower is better."""
ANSWER_PROBABILITY = "answer_probability"
"""Probability of the right answers over that of all choices; higher is better."""
PLAIN = "plain"
"""Prompts without system instruction or chat template."""
_NOT_FIGURES = frozenset({"alias", "name", "sample_len", "sample_count", "samples", " ", ""})
"""Keys among lm-eval's figures that are not figures."""


ACCURACIES = ("acc_norm", "acc")
"""The metrics of scores, the preferred one first."""
_NO_SHARE = re.compile(
    r"perplexity|ppl|bits_per|bpb|loss|nll|likelihood|log_?prob|brier|_diff|stereotype|toxicity|error|\bw?er\b"
    r"|bleu|rouge|chrf|\bter\b|(^|_)exact$|hasans|noans|best_",
    re.IGNORECASE,
)
"""Metrics that are no share of right answers between 0 and 1, of which more is better."""


def main_metric(metrics: Mapping[str, float]) -> str | None:
    """The metric of a task's score: `acc_norm`, else `acc`, else the first share of right answers, else the first."""
    accuracy = next((name for name in ACCURACIES if name in metrics), None)
    shares = (name for name in metrics if is_share(name, metrics[name]))
    return accuracy or next(shares, None) or next(iter(metrics), None)


def is_share(metric: str, value: float) -> bool:
    """Whether a value can be a share of right answers, by the name of its metric."""
    return abs(value) <= 1 and _NO_SHARE.search(metric.partition(",")[0]) is None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One task at one num_fewshot for one revision, read from a results file of any version of lm-eval."""

    path: Path
    """The file that it was read from."""
    model: str
    """The family, the model as lm-eval calls it, without its seed, or `unknown`."""
    revision: str
    """Branch of the run, revision of another model, or `unknown`."""
    task: str
    """lm-eval's name of the task."""
    num_fewshot: int | Unknown
    """Shots in each prompt."""
    metrics: Mapping[str, float]
    """Values by metric, with lm-eval's names and scales; filters other than `none` follow after a comma."""
    stderrs: Mapping[str, float]
    """Standard errors over documents, by metric."""
    measures: Mapping[str, float]
    """mixhub's own measures, if the task has them: `bits_per_byte` and `answer_probability`, each with its `_stderr`
    and the number of its `_documents`. Empty if another tool measured."""
    documents: int | Unknown
    """Documents that were evaluated."""
    documents_in_split: int | Unknown
    """Documents of the evaluated split."""
    limit: float | Unknown | None
    """Number of documents that were evaluated, or their share if below 1; None for all."""
    fewshot_seed: int | Unknown
    """Seed of the choice of shots."""
    task_version: str
    """Version of the task, or `unknown`."""
    task_hash: str
    """lm-eval's hash of all documents, prompts and targets, or `unknown`."""
    dataset: str
    """Path, configuration and, if known, commit of the documents; or `unknown`."""
    prompting: str
    """What surrounds the prompts: `plain`, hashes of system instruction and chat template, or `unknown`."""
    weights_sha256: str
    """Hash of the weights, commit of another model's repo, or `unknown`."""
    dtype: str
    """Dtype of the computation, such as `float32`, or `unknown`."""
    device: str
    """Kind of device, such as `cpu` or `cuda`, or `unknown`."""
    harness: str
    """Version of lm-eval, or `unknown`; files before 0.4.9 do not have it."""
    date: float | None
    """When it was measured, seconds since 1970; None if unknown."""
    seconds: float | None
    """Duration of the measurement of all tasks in the file; None if unknown."""
    samples: Path | None
    """The samples, a line per document; None if there are none."""
    group: str = ""
    """The group whose score, in the same file, includes this task; empty if there is none."""
    is_group: bool = False
    """Whether it is the score of a group of tasks, as lm-eval summarized them."""

    @property
    def name(self) -> str:
        """The cell in words, such as `piqa 5-shot of seed-1`."""
        return f"{self.task} {self.num_fewshot}-shot of {self.revision}"


@dataclass(frozen=True)
class Entries:
    """The entries of one task in a results file of lm-eval, in which each key holds entries by task."""

    path: Path
    """The file."""
    data: Mapping[str, Any]
    """Its content."""
    task: str
    """lm-eval's name of the task."""
    malformed: Callable[[Path, str], ResultsError]
    """Makes the error for a malformed entry."""

    def entry(self, key: str) -> Any:
        """The required entry of the task under `key`."""
        by_task = self.data.get(key)
        if not isinstance(by_task, Mapping) or self.task not in by_task:
            raise self.malformed(self.path, f"{key}.{self.task}: is required")
        return by_task[self.task]

    def mapping(self, key: str) -> Mapping[str, Any]:
        """The required entry of the task under `key`, a mapping."""
        value = self.entry(key)
        if not isinstance(value, Mapping):
            raise self.malformed(self.path, f"{key}.{self.task}: must be a mapping")
        return value

    def number(self, key: str) -> float:
        """The number, or the text of one, under `key` of the whole file."""
        try:
            return float(self.data.get(key, ""))
        except (TypeError, ValueError):
            raise self.malformed(self.path, f"{key}: must be a number") from None

    def figures(self, *, is_old: bool = False) -> Figures:
        """Values and standard errors by metric; at least one metric is required.

        lm-eval's keys are `<metric>,<filter>` and `<metric>_stderr,<filter>`; in old files they have no filter.
        """
        figures = Figures({}, {}, [])
        for key, value in self.mapping("results").items():
            name, comma, kind = str(key).partition(",")
            is_stderr = name.endswith("_stderr")
            if key in _NOT_FIGURES or not (comma or is_old) or (is_stderr and value == "N/A"):
                continue
            metric = name.removesuffix("_stderr") + ("" if kind in ("", "none") else f",{kind}")
            if (number := _finite(value)) is None:
                figures.omitted.append(f"results.{self.task}.{key} = {value!s:.40}")
            else:
                (figures.stderrs if is_stderr else figures.metrics)[metric] = number
        if not figures.metrics:
            unfit = f"{figures.omitted[0]}: must be a finite number" if figures.omitted else ""
            raise self.malformed(self.path, unfit or f"results.{self.task}: has no metric")
        return figures


class Figures(NamedTuple):
    """The figures of one task in a file."""

    metrics: dict[str, float]
    """Values by metric."""
    stderrs: dict[str, float]
    """Standard errors by metric."""
    omitted: list[str]
    """Keys with their values that are not finite numbers."""


def _finite(value: object) -> float | None:
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def require_same_weights(records: Sequence[Record]) -> None:
    """Check that the cells of one revision were made with the same weights; ResultsError names two files."""
    known = [record for record in records if record.weights_sha256 != UNKNOWN]
    for record in known[1:]:
        if record.weights_sha256 != known[0].weights_sha256:
            raise ResultsError(
                f"{known[0].path} and {record.path} were made with different weights of {record.revision}",
                code="results-weights-differ",
                hint="evaluate the older one again, or delete it",
                paths=(known[0].path, record.path),
                revision=record.revision,
            )
