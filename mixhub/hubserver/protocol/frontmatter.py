"""The YAML metadata at the top of a README, and the checks that the Hub makes before a commit."""

from __future__ import annotations

import re
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

_BLOCK = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)(?:\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)

_Texts = Annotated[list[str], BeforeValidator(lambda value: value if isinstance(value, list) else [value])]


class _Task(BaseModel):
    type: Any


class _Dataset(_Task):
    name: Any


class _Metric(_Task):
    value: Any


class _Result(BaseModel):
    task: _Task = Field({}, validate_default=True)  # so that missing keys of it are listed
    dataset: _Dataset = Field({}, validate_default=True)
    metrics: list[_Metric] = Field(min_length=1)


class _Model(BaseModel):
    name: str
    results: list[_Result]


class _Metadata(BaseModel):
    tags: _Texts | None = None
    language: _Texts | None = None
    datasets: _Texts | None = None
    metrics: _Texts | None = None
    license: _Texts | None = None
    base_model: _Texts | None = None
    model_index: list[_Model] | None = Field(None, alias="model-index")


def without_metadata(readme: str) -> str:
    """Return the text of a README below its metadata."""
    return _BLOCK.sub("", readme, count=1)


def read_metadata(readme: str) -> dict[str, Any]:
    """Return the metadata of a README; empty if there is none or it cannot be read."""
    block = _BLOCK.match(readme)
    try:
        metadata = yaml.safe_load(block[1]) if block else None
    except (yaml.YAMLError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _without_nulls(value: Any) -> Any:
    """Return YAML without the keys whose value is null, which count as missing."""
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return value


def metadata_problems(readme: str) -> tuple[list[str], list[str]]:
    """Return errors and warnings about the metadata of a README, each one line."""
    block = _BLOCK.match(readme)
    if block is None or not block[1].strip():
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        metadata = yaml.safe_load(block[1])
        if not isinstance(metadata, dict):
            return [f"the metadata must be a mapping, not {type(metadata).__name__}"], []
        _Metadata.model_validate(_without_nulls(metadata))
    except ValidationError as problem:
        return [
            f'"{".".join(map(str, error["loc"]))}": {"is required" if error["type"] == "missing" else error["msg"]}'
            for error in problem.errors()
        ], []
    except (yaml.YAMLError, ValueError) as problem:  # ValueError: a date such as 2025-13-01
        return [f"the metadata is not YAML: {' '.join(str(problem).split())}"], []
    return [], []
