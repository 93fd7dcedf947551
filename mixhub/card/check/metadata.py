"""Whether the metadata of a card is what the Hub takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mixhub.card.check.finding import Finding
from mixhub.card.markdown.parse import ReadCard, front_matter
from mixhub.errors import nearest
from mixhub.spec import identifiers
from mixhub.spec.identifiers import repo_id_problem

if TYPE_CHECKING:
    from yaml import Node

Rule = Callable[[str], str | None]
"""What is wrong with a text; None when nothing is."""

MEND = "mend the lines between the two ---"
_QUOTE = "YAML reads it so; put it into quotes to have it as text"
_RELATIONS = ("adapter", "finetune", "merge", "quantized")
_ARXIV = "arxiv:"


class MetadataLines:
    """The lines of a card at which values of its metadata stand."""

    def __init__(self, text: str) -> None:
        self._head = front_matter(text.removeprefix("\ufeff"))

    @cached_property
    def _root(self) -> Node | None:
        import yaml

        # Empty lines in front, so that the parser counts the lines of the file.
        return yaml.compose("\n" * self._head.lines[0] + self._head.yaml, yaml.CSafeLoader) if self._head else None

    def line(self, *path: str | int) -> int:
        """The line of a value, by keys and indices from the outermost; of what is not there, that of what holds it."""
        from yaml import MappingNode, SequenceNode

        node, line = self._root, self._head.lines[0] if self._head else 1
        for part in path:
            if isinstance(node, MappingNode) and (found := [pair for pair in node.value if pair[0].value == part]):
                line, node = found[0][0].start_mark.line + 1, found[0][1]
            elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line


def metadata_findings(card: ReadCard, lines: MetadataLines, source: str) -> Iterator[Finding]:
    """What is wrong with the metadata of a card but for its model-index.

    Keys that nobody here knows are left alone. A dataset or a base model may be named without a namespace, as `squad`:
    the Hub still leads such names of old to the repo that they meant.

    Args:
        card: the card as read.
        lines: where its metadata stands.
        source: names the card in findings.
    """
    if not card.metadata:
        message = "has no metadata" if card.metadata_lines is None else "the metadata is empty"
        yield Finding("metadata", source, 1, "metadata", message, "a card begins with YAML between two lines of ---")
        return
    for path, value, rule in _problems(card.metadata):
        key = _dotted(path)
        hint = _QUOTE if isinstance(value, (bool, int, float)) else MEND
        found = "" if value is None else f" = {shown(value)}"
        yield Finding("metadata", source, lines.line(*path), key, f"{key}{found}: {rule}", hint)


def client_findings(card: ReadCard, lines: MetadataLines, source: str) -> Iterator[Finding]:
    """Why the client of the Hub, which opens cards for others, cannot read the metadata; nothing when it can.

    Args:
        card: the card as read.
        lines: where its metadata stands.
        source: names the card in findings.
    """
    from huggingface_hub import ModelCardData

    try:
        ModelCardData(**card.metadata)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        message = f"huggingface_hub cannot read it: {said}"
        yield Finding("metadata", source, lines.line(), "metadata", message, MEND)


def _problems(metadata: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any, str]]:
    """Where, the value there, and the rule that it breaks."""
    rules: dict[str, Rule] = {
        "license": identifiers.license_problem,
        "license_name": identifiers.license_name_problem,
        "license_link": identifiers.license_link_problem,
        "language": identifiers.language_problem,
        "datasets": _repo_problem,
        "base_model": _repo_problem,
        "new_version": repo_id_problem,
        "base_model_relation": _relation_problem,
        "pipeline_tag": identifiers.pipeline_tag_problem,
        "library_name": identifiers.library_problem,
        "metrics": _nothing,
        "tags": _tag_problem,
    }
    single = {"license_name", "license_link", "new_version", "base_model_relation", "pipeline_tag", "library_name"}
    for key, rule in rules.items():
        value = metadata.get(key)
        if isinstance(value, list) and key not in single:
            yield from _list_problems(key, value, rule)
        elif value is not None:
            said = (
                rule(value)
                if isinstance(value, str)
                else f"must be text{'' if key in single else ' or a list of texts'}"
            )
            if said:
                yield (key,), value, said
    if metadata.get("license") == identifiers.OTHER:
        for key in ("license_name", "license_link"):
            if metadata.get(key) is None:
                yield (key,), None, "is required, since the license is other"


def _list_problems(key: str, values: list[Any], rule: Rule) -> Iterator[tuple[tuple[str | int, ...], Any, str]]:
    for at, value in enumerate(values):
        said = rule(value) if isinstance(value, str) else "must be text"
        if not said and key == "tags" and value in values[:at]:
            said = "stands there twice"
        if said:
            yield (key, at), value, said


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


def _nothing(_: str) -> str | None:
    return None


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


def shown(value: object, most: int = 80) -> str:
    """A value of the metadata on one line, as YAML has it; cut where it is long."""
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= most else f"{text[: most - 2]} …"
