"""Whether the metadata of a card is what the Hub takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from mixhub.card.check.subject import Subject
from mixhub.card.markdown.model_index import Path
from mixhub.card.markdown.text import yaml_line
from mixhub.errors import nearest
from mixhub.findings import Finding
from mixhub.spec import identifiers
from mixhub.spec.identifiers import repo_id_problem

MEND = "mend the lines between the two ---"
_QUOTE = "YAML reads it so; put it into quotes to have it as text"
_RELATIONS = ("adapter", "finetune", "merge", "quantized")
_ARXIV = "arxiv:"


class _Fault(NamedTuple):
    """A value of the metadata that breaks a rule."""

    code: str
    path: Path
    value: Any
    rule: str


def missing_metadata(subject: Subject) -> Iterator[Finding]:
    """A card without metadata."""
    if not subject.card.metadata:
        message = "has no metadata" if subject.card.metadata_lines is None else "the metadata is empty"
        hint = "a card begins with YAML between two lines of ---"
        yield Finding("metadata-missing", subject.source, message, hint, line=1, about="metadata")


def invalid_values(subject: Subject) -> Iterator[Finding]:
    """Values that the Hub does not take, but for the model-index.

    Keys that nobody here knows are left alone. A dataset or a base model may be named without a namespace, as `squad`:
    the Hub still leads such names of old to the repo that they meant.
    """
    for rule in _RULES:
        value = subject.card.metadata.get(rule.key)
        if value is not None:
            for fault in _faults(rule, value):
                yield _finding(subject, fault)


def unnamed_licenses(subject: Subject) -> Iterator[Finding]:
    """A licence that the Hub does not know, without a name or a link."""
    if subject.card.metadata.get("license") == identifiers.OTHER:
        for key in ("license_name", "license_link"):
            if subject.card.metadata.get(key) is None:
                rule = "is required, since the license is other"
                yield _finding(subject, _Fault("license-unnamed", (key,), None, rule))


def unreadable_for_client(subject: Subject) -> Iterator[Finding]:
    """Metadata that the client of the Hub, which opens cards for others, cannot read."""
    from huggingface_hub import ModelCardData

    try:
        ModelCardData(**subject.card.metadata)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        message = f"huggingface_hub cannot read it: {reason}"
        yield Finding("metadata-refused", subject.source, message, MEND, line=subject.lines.line(), about="metadata")


def hub_findings(errors: Sequence[str], warnings: Sequence[str], source: str, hub: str) -> Iterator[Finding]:
    """What a hub says of a card.

    Args:
        errors: what it refuses the card for.
        warnings: what it says of a card that it takes.
        source: names the card.
        hub: names the hub.
    """
    hint = "mend the metadata of the card"
    for error in errors:
        yield Finding("card-refused", source, f"{hub} refuses it: {error}", hint, about=hub)
    for warning in warnings:
        yield Finding("card-doubted", source, f"{hub} warns: {warning}", hint, about=hub)


def _finding(subject: Subject, fault: _Fault) -> Finding:
    key = ".".join(map(str, fault.path))
    hint = _QUOTE if isinstance(fault.value, (bool, int, float)) else MEND
    value = "" if fault.value is None else f" = {yaml_line(fault.value)}"
    message, line = f"{key}{value}: {fault.rule}", subject.lines.line(*fault.path)
    return Finding(fault.code, subject.source, message, hint, line=line, about=key)


def _faults(rule: _TextRule, value: object) -> Iterator[_Fault]:
    if isinstance(value, list) and rule.may_be_list:
        for at, item in enumerate(value):
            path = (rule.key, at)
            if not isinstance(item, str):
                yield _Fault("metadata-no-text", path, item, "must be text")
            elif problem := rule.problem(item):
                yield _Fault(rule.code, path, item, problem)
            elif rule.key == "tags" and item in value[:at]:
                yield _Fault("tag-repeated", path, item, "stands there twice")
    elif not isinstance(value, str):
        kinds = "text or a list of texts" if rule.may_be_list else "text"
        yield _Fault("metadata-no-text", (rule.key,), value, f"must be {kinds}")
    elif problem := rule.problem(value):
        yield _Fault(rule.code, (rule.key,), value, problem)


def _repo_problem(name: str) -> str | None:
    return repo_id_problem(name if "/" in name else f"namespace/{name}")


def _relation_problem(text: str) -> str | None:
    if text in _RELATIONS:
        return None
    near = nearest(text, _RELATIONS)
    return f"must be one of {', '.join(_RELATIONS)}" + (f"; did you mean {near}?" if near else "")


def _tag_problem(tag: str) -> str | None:
    if tag.startswith(_ARXIV) and (problem := identifiers.arxiv_problem(tag.removeprefix(_ARXIV))):
        return f"behind {_ARXIV} {problem}"
    return identifiers.tag_problem(tag)


class _TextRule(NamedTuple):
    """What the text of a key must be, or each text of its list."""

    key: str
    code: str
    problem: Callable[[str], str | None]
    """What is wrong with a text; None when nothing is."""
    may_be_list: bool = True


_RULES = (
    _TextRule("license", "license-unknown", identifiers.license_problem),
    _TextRule("license_name", "license-name-malformed", identifiers.license_name_problem, may_be_list=False),
    _TextRule("license_link", "license-link-malformed", identifiers.license_link_problem, may_be_list=False),
    _TextRule("language", "language-unknown", identifiers.language_problem),
    _TextRule("datasets", "repo-id-malformed", _repo_problem),
    _TextRule("base_model", "repo-id-malformed", _repo_problem),
    _TextRule("new_version", "repo-id-malformed", repo_id_problem, may_be_list=False),
    _TextRule("base_model_relation", "relation-unknown", _relation_problem, may_be_list=False),
    _TextRule("pipeline_tag", "pipeline-unknown", identifiers.pipeline_tag_problem, may_be_list=False),
    _TextRule("library_name", "library-unknown", identifiers.library_problem, may_be_list=False),
    _TextRule("metrics", "metadata-no-text", lambda _: None),
    _TextRule("tags", "tag-malformed", _tag_problem),
)
