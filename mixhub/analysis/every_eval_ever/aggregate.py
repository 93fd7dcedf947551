"""The record of a cell: one model, one task, one number of shots, with all of its metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mixhub.analysis.every_eval_ever.identity import Identity
from mixhub.analysis.every_eval_ever.instances import result_id
from mixhub.analysis.every_eval_ever.metrics import metric_config, own_measures, standard_error
from mixhub.analysis.every_eval_ever.schema import (
    VERSION,
    EvalLibrary,
    EvaluationLog,
    EvaluationResult,
    GenerationArgs,
    GenerationConfig,
    InferenceEngine,
    ModelInfo,
    ScoreDetails,
    SourceData,
    SourceMetadata,
    Uncertainty,
)
from mixhub.workspace.cells import Cell
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

_FILES = frozenset({"arrow", "csv", "json", "pandas", "parquet", "text", "webdataset", "xml"})
"""Values of `dataset_path` that mean files."""
_REPO = re.compile(r"[\w.-]+(/[\w.-]+)?(?<!\.py)(?<!\.json)(?<!\.jsonl)", re.ASCII)
"""Other values of `dataset_path`, unless they are paths."""
_ENGINES = {"hf": "transformers", "hf-causal": "transformers", "gpt2": "transformers", "gguf": "llama.cpp"}
"""By lm-eval's name of a kind of model, what runs it, if that is named otherwise."""
_REMOTE = re.compile(r"openai|anthropic|textsynth|watsonx|.*-(chat-)?completions")
"""Kinds of models behind an API."""


@dataclass(frozen=True)
class TaskEntries:
    """What the results file of a cell has of its task."""

    data: Mapping[str, Any]
    """The whole file."""
    config: Mapping[str, Any]
    """The configuration of the task."""
    settings: Mapping[str, Any]
    """The configuration of the whole evaluation."""
    of_metrics: Mapping[str, Any]
    """`higher_is_better` and `aggregations`, by metric."""

    @classmethod
    def of(cls, record: Record, data: Mapping[str, Any]) -> TaskEntries:
        """Select the entries of a cell from its file."""
        config = _of_task(data, "configs", record.task)
        listed = config.get("metric_list")
        metrics = [one for one in (listed if isinstance(listed, list) else ()) if isinstance(one, Mapping)]
        higher = {str(one.get("metric")): one.get("higher_is_better") for one in metrics}
        higher = {**higher, **_of_task(data, "higher_is_better", record.task)}
        aggregations = {str(one.get("metric")): str(one["aggregation"]) for one in metrics if "aggregation" in one}
        of_metrics = {"higher_is_better": higher, "aggregations": aggregations}
        return cls(data, config, data.get("config") or {}, of_metrics)

    @property
    def delimiter(self) -> str:
        """The text between prompt and answer."""
        return str(self.config.get("target_delimiter", " "))


def _of_task(data: Mapping[str, Any], key: str, task: str) -> Mapping[str, Any]:
    by_task = data.get(key)
    entry = by_task.get(task) if isinstance(by_task, Mapping) else None
    return entry if isinstance(entry, Mapping) else {}


def evaluation_log(record: Record, entries: TaskEntries, identity: Identity) -> EvaluationLog:
    """The record of a cell, without its id and its samples."""
    when = None if record.date is None else str(record.date)
    relation: Literal["first_party", "third_party", "other"] = "other"
    if identity.is_own is not None:
        relation = "first_party" if identity.is_own else "third_party"
    return EvaluationLog(
        schema_version=VERSION,
        evaluation_id="",
        evaluation_timestamp=when,
        retrieved_timestamp=when or UNKNOWN,
        source_metadata=SourceMetadata(
            source_name="mixhub" if isinstance(record, Cell) else "lm-evaluation-harness",
            source_type="evaluation_run",
            source_organization_name=identity.organization,
            evaluator_relationship=relation,
        ),
        eval_library=_library(record, entries),
        model_info=_model(record, entries, identity),
        evaluation_results=tuple(_results(record, entries)),
    )


def _library(record: Record, entries: TaskEntries) -> EvalLibrary:
    details = {"git_hash": entries.data.get("git_hash"), "transformers": entries.data.get("transformers_version")}
    if isinstance(record, Cell):
        made = record.provenance
        details = {**made.versions, "backend": made.backend, "scorer": made.scorer, "layout": made.layout}
    return EvalLibrary(name="lm_eval", version=record.harness, additional_details=_texts(details) or None)


def _model(record: Record, entries: TaskEntries, identity: Identity) -> ModelInfo:
    kind = str(entries.settings.get("model") or UNKNOWN)
    engine = _ENGINES.get(kind, kind)
    stated = entries.data.get("transformers_version")
    version = str(stated) if stated and engine == "transformers" else None
    is_remote = _REMOTE.fullmatch(kind) is not None
    required = {
        "deployment_type": UNKNOWN if kind == UNKNOWN else "externally_managed" if is_remote else "self_deployed",
        "model_availability": UNKNOWN,
    }
    details = {
        "revision": identity.revision,
        "dtype": record.dtype,
        "device": record.device,
        "num_parameters": entries.settings.get("model_num_parameters"),
    }
    if isinstance(record, Cell):
        made = record.provenance.to_data()
        details |= {name: made.get(name) for name in ("step", "weights_sha256", "tokenizer_sha256")}
        details |= {made["kind"]: made["number"]} if "kind" in made else {}
    else:
        details["sha"] = record.weights_sha256
    return ModelInfo(
        name=record.model if record.revision == UNKNOWN else f"{record.model}@{record.revision}",
        id=identity.model_id,
        developer=identity.developer,
        inference_engine=None if engine == UNKNOWN else InferenceEngine(name=engine, version=version),
        additional_details={**required, **_texts(details)},
    )


def _results(record: Record, entries: TaskEntries) -> Iterator[EvaluationResult]:
    source, prompts = _source(record, entries), _prompts(record, entries)
    for metric, value in {**record.metrics, **own_measures(record)}.items():
        documents = record.measures.get(f"{metric}_documents", record.documents)
        uncertainty = Uncertainty(
            standard_error=standard_error(record, metric, entries.of_metrics),
            num_samples=None if documents == UNKNOWN else int(documents),
        )
        used = metric.partition(",")[2]
        yield EvaluationResult(
            evaluation_result_id=result_id(metric),
            evaluation_name=f"{record.task}/{used}" if used else record.task,
            source_data=source,
            evaluation_timestamp=None if record.date is None else str(record.date),
            metric_config=metric_config(record, metric, value, entries.of_metrics),
            score_details=ScoreDetails(score=value, details=_counts(record) or None, uncertainty=uncertainty),
            generation_config=prompts,
        )


def _counts(record: Record) -> dict[str, str]:
    """What was counted during the measurement."""
    if not isinstance(record, Cell):
        return {}
    names = ("requests", "truncated", "own_shots", "doubled_prefixes")
    return _texts({name: getattr(record.provenance, name) for name in names})


def _source(record: Record, entries: TaskEntries) -> SourceData:
    path = str(entries.config.get("dataset_path") or "")
    is_repo = _REPO.fullmatch(path) is not None and path not in _FILES and not path.startswith(".")
    details = {"dataset_path": path or None, "config": entries.config.get("dataset_name")}
    if isinstance(record, Cell):
        fingerprint = record.provenance.dataset.fingerprint
        is_commit = re.fullmatch(r"[0-9a-f]{40}", fingerprint) is not None
        is_repo = is_repo and is_commit
        details["revision" if is_commit else "sha256"] = fingerprint
    split = entries.config.get("test_split") or entries.config.get("validation_split")
    return SourceData(
        dataset_name=record.task,
        source_type="hf_dataset" if is_repo else "other",
        hf_repo=path if is_repo else None,
        hf_split=str(split) if is_repo and split else None,
        samples_number=record.documents_in_split if is_repo and record.documents_in_split != UNKNOWN else None,
        additional_details=_texts(details) or None,
    )


def _prompts(record: Record, entries: TaskEntries) -> GenerationConfig:
    found = entries.config.get("generation_kwargs")
    given = found if isinstance(found, Mapping) else {}
    template = entries.config.get("doc_to_text")
    numbers = {name: value for name, value in given.items() if type(value) in (int, float)}
    length = given.get("max_gen_toks")
    arguments = GenerationArgs(
        **{name: numbers.get(name) for name in ("temperature", "top_p", "top_k")},
        max_tokens=length if type(length) is int and length >= 1 else None,
        prompt_template=template if isinstance(template, str) else None,
    )
    details = {
        "num_fewshot": record.num_fewshot,
        "fewshot_seed": record.fewshot_seed,
        "limit": record.limit,
        "prompting": record.prompting,
        "output_type": entries.config.get("output_type"),
        "task_version": record.task_version,
        "task_hash": record.task_hash,
        "task_sha256": record.provenance.task_sha256 if isinstance(record, Cell) else None,
    }
    return GenerationConfig(
        generation_args=None if arguments == GenerationArgs() else arguments, additional_details=_texts(details)
    )


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """The values that are known, as text."""
    return {name: str(value) for name, value in values.items() if value not in (None, UNKNOWN)}
