"""Whether the Hub accepts the metadata of a card."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field

from mixhub.card.check.subject import Subject
from mixhub.card.markdown.model_index import MODEL_INDEX, ModelIndex
from mixhub.errors import ABSENT, Problem, SpecError, nearest
from mixhub.findings import Finding
from mixhub.spec.base import Spec, validated
from mixhub.spec.values import LICENSE, Language, License, LicenseLink, LicenseName, RepoId, Tag, repo_id_problem, ruled

HINT = "correct the lines between the two ---"

# https://huggingface.co/docs/hub/repositories-licenses; the Hub adds new ones, so others are warnings.
_LICENSES = (
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bigscience-bloom-rail-1.0", "bigscience-openrail-m", "bsd",
    "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0",
    "cdla-permissive-2.0", "cdla-sharing-1.0", "creativeml-openrail-m", "ecl-2.0", "epl-2.0", "eupl-1.2", "gemma",
    "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "intel-research", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0", "llama2", "llama3",
    "llama3.1", "llama3.2", "llama3.3", "llama4", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1",
    "openmdw-1.0", "openrail", "openrail++", "osl-3.0", "other", "pddl", "unknown", "unlicense", "wtfpl", "zlib",
)  # fmt: skip

T = TypeVar("T")
OneOrMany = Annotated[
    tuple[T, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else (value,))
]

# The Hub still redirects old names without a namespace, such as `squad`.
OldRepoId = Annotated[str, ruled(lambda name: repo_id_problem(name if "/" in name else f"namespace/{name}"))]


class _Metadata(Spec):
    """The keys that have rules; all others may hold anything."""

    model_config = ConfigDict(extra="allow")

    license: OneOrMany[License] = ()
    license_name: LicenseName | None = None
    license_link: LicenseLink | None = None
    language: OneOrMany[Language] = ()
    datasets: OneOrMany[OldRepoId] = ()
    base_model: OneOrMany[OldRepoId] = ()
    base_model_relation: Literal["adapter", "finetune", "merge", "quantized"] | None = None
    new_version: RepoId | None = None
    pipeline_tag: str | None = None
    library_name: str | None = None
    metrics: OneOrMany[str] = ()
    tags: OneOrMany[Tag] = ()
    index: ModelIndex | None = Field(None, alias=MODEL_INDEX)

    def _broken_rules(self) -> Iterator[Problem]:
        for key in ("license_name", "license_link"):
            if self.license == ("other",) and getattr(self, key) is None:
                yield Problem(key, ABSENT, "is required if license is other", code="key-missing")


def missing_metadata(subject: Subject) -> Iterator[Finding]:
    """Find a card without metadata."""
    if not subject.card.metadata:
        message = "has no metadata" if subject.card.head is None else "the metadata is empty"
        hint = "begin the card with YAML between two lines of ---"
        yield subject.finding("metadata-missing", message, hint, line=1, about="metadata")


def invalid_metadata(subject: Subject) -> Iterator[Finding]:
    """Find values that the Hub does not accept, or that its client cannot read."""
    from huggingface_hub import ModelCardData

    metadata = subject.card.metadata
    try:
        validated(_Metadata, {key: value for key, value in metadata.items() if value is not None}, subject.card.source)
        ModelCardData(**metadata)
    except SpecError as error:
        for problem in error.problems:
            yield _finding(subject, problem)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        line = subject.card.metadata_line()
        message = f"huggingface_hub cannot read the metadata: {reason}"
        yield subject.finding("metadata-refused", message, HINT, line=line, about="metadata")


def unfamiliar_licenses(subject: Subject) -> Iterator[Finding]:
    """Warn of a licence that mixhub does not know, such as `apache2`; the Hub may know it."""
    value = subject.card.metadata.get("license")
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and re.fullmatch(LICENSE, text) and text not in _LICENSES:
            near = nearest(text, _LICENSES)
            message = f"license = {text!r}: is not a licence that mixhub knows" + (
                f"; did you mean {near}?" if near else ""
            )
            hint = "correct it, or ask the hub with mixhub card check --validate"
            line = subject.card.metadata_line("license")
            yield replace(
                subject.finding("license-unfamiliar", message, hint, line=line, about="license"), level="warning"
            )


def _finding(subject: Subject, problem: Problem) -> Finding:
    path = problem.key.split(".")
    if not isinstance(subject.card.metadata.get(path[0]), list):
        path = path[:1]  # a single value was checked as a list of one
    is_no_text = problem.code == "value-type" and path[0] != MODEL_INDEX
    code = "metadata-no-text" if is_no_text else "metadata-invalid"
    if path[0] == MODEL_INDEX:
        code = "model-index-key-missing" if problem.code == "key-missing" else "model-index-malformed"
    is_quotable = is_no_text and not isinstance(problem.value, (list, dict, type(None)))
    hint = "must be text; put the value into quotes" if is_quotable else HINT
    key = ".".join(path)
    message = str(Problem(key, problem.value, problem.rule, code=problem.code))
    return subject.finding(code, message, hint, line=subject.card.metadata_line(*path), about=key)


def hub_findings(errors: Sequence[str], warnings: Sequence[str], source: str, hub: str) -> Iterator[Finding]:
    """Yield a hub's findings on a card: errors for which it refuses the card, and warnings."""
    for error in errors:
        yield Finding("card-refused", source, f"{hub} refuses the metadata: {error}", HINT, about=hub)
    for warning in warnings:
        yield Finding("card-doubted", source, f"{hub} warns: {warning}", HINT, about=hub)
