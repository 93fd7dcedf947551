"""What every YAML file of ours shares: strict, frozen models whose problems are all reported at once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, RootModel, ValidationError
from pydantic_core import PydanticCustomError

from mixhub.errors import ABSENT, MixhubError, Problem, SpecError, nearest

CONFIG = ConfigDict(strict=True, frozen=True, use_attribute_docstrings=True)

K = TypeVar("K")
V = TypeVar("V")


def _plain(value: object) -> Any:
    """Mappings as dict and tuples as list, all the way down."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


FrozenMap = Annotated[Mapping[K, V], AfterValidator(MappingProxyType), PlainSerializer(_plain)]
"""A mapping that cannot be changed after validation."""

FrozenList = Annotated[tuple[V, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)]
"""A YAML list, kept as a tuple."""


class Spec(BaseModel):
    """A part of a specification: strict types, no change after it is made, no unknown keys."""

    model_config = ConfigDict(**CONFIG, extra="forbid")

    @classmethod
    def from_data(cls, data: object, file: str, *, hint: str | None = None) -> Self:
        """Makes the spec from parsed YAML; raises SpecError with every problem, naming `file`."""
        return validated(cls, data, file, hint=hint)

    def to_data(self) -> dict[str, Any]:
        """Plain data that `from_data` reads back to an equal spec; keys without a value are left out."""
        data: dict[str, Any] = _plain(self.model_dump(exclude_none=True))
        return data

    def sha256(self) -> str:
        """Hash of the content, independent of the order of keys and of the file's layout."""
        return data_sha256(self.to_data())


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], data: object, file: str, *, hint: str | None = None) -> Model:
    """`model` made from `data`; raises SpecError with every problem, naming `file`."""
    if issubclass(model, Spec) and not isinstance(data, Mapping):
        raise SpecError(file, [Problem("", data, f"must be a mapping of keys to values, not {_kind(data)}")], hint=hint)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpecError(file, list(_problems(model, data, error)), hint=hint) from None


class Described(NamedTuple):
    """A field as people are told of it."""

    key: str
    """Where it stands, as `training.steps`; `[]` for each one of a list."""
    default: str
    """What it is when it is left out; `required` when it cannot be, `-` when it is nothing then."""
    meaning: str
    """What it says, from the docstring below it, and the values that it may have where they are few."""


def described(model: type[BaseModel], prefix: str = "") -> Iterator[Described]:
    """Every field of a specification and of its parts, in the order in which they are declared."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        default = "required"
        if not field.is_required():
            default = _shown_default(field.get_default(call_default_factory=True))
        meaning = " ".join((field.description or "").split())
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        if len(choices) > 1:
            meaning = f"{meaning} One of {', '.join(map(str, choices))}."
        yield Described(key, default, meaning)
        part = _model_in(field.annotation)
        if part is not None and issubclass(part, Spec):
            yield from described(part, f"{key}[]." if get_origin(field.annotation) is tuple else f"{key}.")


def _shown_default(value: object) -> str:
    if value is None or value == () or value == {}:
        return "-"
    return to_yaml(value).removesuffix("...\n").strip()


def problems_error(problems: list[Problem]) -> PydanticCustomError:
    """What a validator raises to report several problems of one part; keys are relative to that part."""
    return PydanticCustomError("problems", "several problems", {"problems": problems})


def data_sha256(data: object) -> str:
    """sha256 of the canonical JSON (sorted keys, no spaces) of plain data; raises MixhubError when it is none."""
    try:
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise MixhubError(f"holds what is no plain data ({error}): keys must be texts, and numbers finite") from None
    return hashlib.sha256(canonical.encode()).hexdigest()


class _UniqueKeyLoader(yaml.CSafeLoader):
    """PyYAML keeps the last of two equal keys without a word; a domain given twice must not pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float, bool, type(None))):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be text or a number", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def parse_yaml(text: str, file: str) -> Any:
    """Parses YAML; raises SpecError with line and column when it is none, or when a key stands twice."""
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise SpecError(place, [Problem("", None, f"not valid YAML: {error.problem or error.context}")]) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that none can be
        raise SpecError(file, [Problem("", None, f"not valid YAML: {str(error).splitlines()[0]}")]) from None


def read_yaml(path: Path, error: type[MixhubError] = MixhubError) -> Any:
    """Parses a YAML file; raises `error` when it cannot be read and SpecError when it is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error(f"{path}: no such file", path=path) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{path}: cannot be read: {problem}", path=path) from None
    return parse_yaml(text, str(path))


class _Dumper(yaml.SafeDumper):
    """Blocks of text stay blocks; mappings keep their order."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def to_yaml(data: object) -> str:
    """YAML text of plain data, in the order of its keys."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _problems(model: type[BaseModel], data: object, error: ValidationError) -> Iterator[Problem]:
    for entry in error.errors():
        location = entry["loc"]
        key = ".".join(str(part) for part in location)
        kind, value, context = entry["type"], entry["input"], entry.get("ctx", {})
        if kind == "problems":
            for problem in context["problems"]:
                inner = ".".join(part for part in (key, problem.key) if part)
                yield Problem(inner, problem.value, problem.rule)
        elif kind == "missing":
            yield Problem(key, ABSENT, "is required")
        elif kind == "extra_forbidden":
            known = _known_keys(model, location[:-1])
            near = nearest(str(location[-1]), known)
            meant = f"did you mean {near}?" if near else f"known keys: {', '.join(known)}"
            yield Problem(key, value, f"unknown key; {meant}")
        else:
            yield Problem(key, value, _rule(kind, entry["msg"], value, context))


def _rule(kind: str, message: str, value: object, context: Mapping[str, Any]) -> str:
    if kind in ("float_type", "int_type") and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return "must be a number, not text"
        if math.isfinite(number):
            written = (
                str(int(number)) if kind == "int_type" else repr(number) if "." in repr(number) else f"{number:.1e}"
            )
            return f"must be a number; YAML reads {value!r} as text: write {written}"
    if kind == "int_type" and isinstance(value, float):
        return "must be a whole number"
    rules = {
        "float_type": "must be a number",
        "int_type": "must be a whole number",
        "string_type": "must be text",
        "bool_type": "must be true or false",
        "finite_number": "must be a finite number",
        "greater_than": f"must be above {context.get('gt')}",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than": f"must be below {context.get('lt')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "literal_error": f"must be one of {context.get('expected')}",
        "tuple_type": "must be a list",
        "mapping_type": "must be a mapping of keys to values",
        "dict_type": "must be a mapping of keys to values",
        "model_type": "must be a mapping of keys to values",
        "string_pattern_mismatch": f"must match {context.get('pattern')}",
        "too_short": "must not be empty",
        "string_too_short": "must not be empty",
    }
    if kind in ("repo_id", "range", "hub"):
        return str(context["rule"])
    return rules.get(kind) or message.replace("Input should be", "must be")


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        if issubclass(model, RootModel) or part not in model.model_fields:
            continue
        inner = _model_in(model.model_fields[str(part)].annotation)
        if inner is not None:
            model = inner
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if found := _model_in(argument):
            return found
    return None


def _kind(data: object) -> str:
    return {type(None): "nothing", str: "text", list: "a list"}.get(type(data), type(data).__name__)
