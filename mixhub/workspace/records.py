"""One cell as somebody measured it, with whatever harness: what is known of it, and what is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ResultsError
from mixhub.workspace.lineage import Unknown

BITS_PER_BYTE = "bits_per_byte"
"""-log2 of the probability of the right answer over the UTF-8 bytes of its text, as scored; lower is better."""
ANSWER_PROBABILITY = "answer_probability"
"""Probability of the right answers over that of all choices; higher is better."""
PLAIN = "plain"
"""Prompts without system instruction or chat template."""


@dataclass(frozen=True)
class Record:
    """One task at one num_fewshot for one revision, read from a file of lm-eval's, of any version."""

    path: Path
    """The file that it was read from."""
    model: str
    """Name of the family; else what lm-eval calls the model, without its seed; or `unknown`."""
    revision: str
    """Branch of the run; of another model's its revision, or `unknown`."""
    task: str
    """lm-eval's name of the task."""
    num_fewshot: int | Unknown
    """Shots in each prompt."""
    metrics: Mapping[str, float]
    """Values by metric, as lm-eval names and scales them; a filter other than `none` stands behind a comma."""
    stderrs: Mapping[str, float]
    """Standard errors over documents, of the metrics that have one."""
    measures: Mapping[str, float]
    """What lm-eval has no metric for: `bits_per_byte` and `answer_probability`, where the task allows them, each with
    its `_stderr` and the number of its `_documents`. Empty where another tool measured."""
    higher_is_better: Mapping[str, bool]
    """By metric, where lm-eval says it."""
    documents: int | Unknown
    """Documents that were evaluated."""
    documents_in_split: int | Unknown
    """Documents that the evaluated split has."""
    limit: float | Unknown | None
    """Only so many documents were evaluated, or such a share below 1; None: all."""
    fewshot_seed: int | Unknown
    """Seed of the choice of shots."""
    task_version: str
    """Version of the task, or `unknown`."""
    task_hash: str
    """lm-eval's hash of all documents, prompts and targets, or `unknown`."""
    dataset: str
    """Where the documents are from: path, configuration and, where it is known, commit; or `unknown`."""
    prompting: str
    """What stands around the prompts: `plain`, or hashes of system instruction and chat template; or `unknown`."""
    weights_sha256: str
    """Hash of the weights; of other models the commit of their repo, or `unknown`."""
    dtype: str
    """What the weights were computed in, as `float32`, or `unknown`."""
    device: str
    """Kind of device, as `cpu` or `cuda`, or `unknown`."""
    harness: str
    """Version of lm-eval, or `unknown`; files of before 0.4.9 do not say it."""
    versions: Mapping[str, str]
    """Versions of further packages, where they are known."""
    date: float | None
    """When it was measured, seconds since 1970; None where it is not known."""
    seconds: float | None
    """Time that the measurement took; of a file with several tasks, that of all; None where it is not known."""
    samples: Path | None
    """The samples, one line a document; None where they were not kept."""

    @property
    def metric(self) -> str:
        """What its score is made of: `acc_norm`, else `acc`; raises ResultsError when it has neither."""
        for name in ("acc_norm", "acc"):
            if name in self.metrics:
                return name
        raise ResultsError(
            f"{self.path}: task {self.task} has neither acc_norm nor acc, so it has no score",
            code="score-missing",
            hint="leave the task out of the family's evaluation",
            path=self.path,
            task=self.task,
        )

    @property
    def name(self) -> str:
        """The cell in words, as `piqa 5-shot of seed-1`."""
        return f"{self.task} {self.num_fewshot}-shot of {self.revision}"


@dataclass(frozen=True)
class Entries:
    """What one of lm-eval's results files says of one task; every key holds its entries by task."""

    path: Path
    """The file."""
    data: Mapping[str, Any]
    """Its content."""
    task: str
    """lm-eval's name of the task."""
    malformed: Callable[[Path, str], ResultsError]
    """Makes the error for what is not as it must be."""

    def entry(self, key: str) -> Any:
        """The task's entry under `key`, which must be there."""
        by_task = self.data.get(key)
        if not isinstance(by_task, Mapping) or self.task not in by_task:
            raise self.malformed(self.path, f"{key}.{self.task}: is required")
        return by_task[self.task]

    def mapping(self, key: str) -> Mapping[str, Any]:
        """The task's entry under `key`, which must be a mapping."""
        value = self.entry(key)
        if not isinstance(value, Mapping):
            raise self.malformed(self.path, f"{key}.{self.task}: must be a mapping")
        return value

    def number(self, key: str) -> float:
        """What stands under `key` for the whole file, which must be a number or the text of one."""
        try:
            return float(self.data.get(key, ""))
        except (TypeError, ValueError):
            raise self.malformed(self.path, f"{key}: must be a number") from None

    def directions(self) -> dict[str, bool]:
        """By metric, whether higher is better, where it is said."""
        return {str(name): bool(value) for name, value in self.mapping("higher_is_better").items() if value is not None}

    def figures(self) -> tuple[dict[str, float], dict[str, float]]:
        """Values and standard errors by metric. lm-eval's keys are `<metric>,<filter>` and `<metric>_stderr,<filter>`;
        what has no filter is no figure. At least one metric must be there, and each must be a finite number."""
        metrics: dict[str, float] = {}
        stderrs: dict[str, float] = {}
        for key, value in self.mapping("results").items():
            name, comma, kind = str(key).partition(",")
            is_stderr = name.endswith("_stderr")
            if not comma or (is_stderr and value == "N/A"):
                continue
            shown = name.removesuffix("_stderr") + ("" if kind == "none" else f",{kind}")
            (stderrs if is_stderr else metrics)[shown] = self.finite(key, value)
        if not metrics:
            raise self.malformed(self.path, f"results.{self.task}: has no metric")
        return metrics, stderrs

    def finite(self, key: str, value: object) -> float:
        """A figure, which must be a finite number."""
        try:
            number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.malformed(self.path, f"results.{self.task}.{key} = {value!s:.40}: must be a finite number")
        return number
