"""What mixhub writes of the Every Eval Ever schema 0.3.0; fields that are None are absent from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

VERSION = "0.3.0"
"""Version of the schema."""
Texts = Mapping[str, str]
"""Details: the schema allows only text."""


class _Part(msgspec.Struct, omit_defaults=True):
    """A part of a record."""


class SourceMetadata(_Part):
    """Who measured."""

    source_name: str
    source_type: Literal["evaluation_run"]
    source_organization_name: str
    evaluator_relationship: Literal["first_party", "third_party", "other"]


class EvalLibrary(_Part):
    """The harness."""

    name: str
    version: str
    additional_details: Texts | None = None


class InferenceEngine(_Part):
    """What ran the model."""

    name: str
    version: str | None = None


class ModelInfo(_Part):
    """The model."""

    name: str
    id: str
    developer: str
    additional_details: Texts
    inference_engine: InferenceEngine | None = None


class SourceData(_Part):
    """The documents."""

    dataset_name: str
    source_type: Literal["hf_dataset", "other"]
    hf_repo: str | None = None
    hf_split: str | None = None
    samples_number: int | None = None
    additional_details: Texts | None = None


class MetricConfig(_Part):
    """A metric."""

    evaluation_description: str
    metric_id: str
    metric_name: str
    lower_is_better: bool
    metric_kind: str | None = None
    metric_unit: str | None = None
    score_type: Literal["continuous"] | None = None
    min_score: float | None = None
    max_score: float | Literal["Infinity"] | None = None


class StandardError(_Part):
    """A standard error over documents."""

    value: float
    method: Literal["analytic", "bootstrap"] | None = None


class Uncertainty(_Part):
    """How sure a score is."""

    standard_error: StandardError | None = None
    num_samples: int | None = None


class ScoreDetails(_Part):
    """A score."""

    score: float
    details: Texts | None = None
    uncertainty: Uncertainty | None = None


class GenerationArgs(_Part):
    """Settings of the text that the model generates, and its prompt."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_tokens: int | None = None
    prompt_template: str | None = None


class GenerationConfig(_Part):
    """The prompts."""

    additional_details: Texts
    generation_args: GenerationArgs | None = None


class EvaluationResult(_Part):
    """One metric of a cell."""

    evaluation_result_id: str
    evaluation_name: str
    source_data: SourceData
    metric_config: MetricConfig
    score_details: ScoreDetails
    generation_config: GenerationConfig
    evaluation_timestamp: str | None = None


class DetailedResults(_Part):
    """Where the samples of a cell are."""

    format: Literal["jsonl"]
    file_path: str
    hash_algorithm: Literal["sha256"]
    checksum: str
    total_rows: int


class EvaluationLog(_Part):
    """The record of a cell."""

    schema_version: str
    evaluation_id: str
    retrieved_timestamp: str
    source_metadata: SourceMetadata
    eval_library: EvalLibrary
    model_info: ModelInfo
    evaluation_results: tuple[EvaluationResult, ...]
    evaluation_timestamp: str | None = None
    detailed_evaluation_results: DetailedResults | None = None


class Input(_Part):
    """What a document asks."""

    raw: str
    reference: tuple[str, ...]
    choices: tuple[str, ...] | None = None


class Output(_Part):
    """What the model answered."""

    raw: tuple[str, ...]


class Attribution(_Part):
    """How the answer was read from the output."""

    turn_idx: int
    source: str
    extracted_value: str
    extraction_method: str
    is_terminal: bool


class Evaluation(_Part):
    """The score of a document."""

    score: float
    is_correct: bool


class Instance(_Part):
    """A row of samples: one document and one metric."""

    schema_version: str
    evaluation_id: str
    model_id: str
    evaluation_name: str
    evaluation_result_id: str
    sample_id: str
    sample_hash: str
    interaction_type: Literal["single_turn"]
    input: Input
    output: Output
    answer_attribution: tuple[Attribution, ...]
    evaluation: Evaluation
    metadata: Texts
