"""What every YAML file of ours shares: strict, frozen models whose problems are all reported at once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    RootModel,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mixhub.errors import ABSENT, MixhubError, Problem, SpecError, nearest

CONFIG = ConfigDict(strict=True, frozen=True)

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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problems := list(self._broken_rules()):
            raise problems_error(problems)
        return self

    def _broken_rules(self) -> Iterator[Problem]:
        """Broken rules that no field can state alone; keys are relative to this part."""
        return iter(())

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
        rule = f"must be a mapping of keys to values, not {_kind(data)}"
        raise SpecError(file, [Problem("", data, rule, code="value-type")], hint=hint)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpecError(file, list(_problems(model, data, error)), hint=hint) from None


def problems_error(problems: list[Problem]) -> PydanticCustomError:
    """What a validator raises to report several problems of one part; keys are relative to that part."""
    return PydanticCustomError("problems", "several problems", {"problems": problems})


def rule_error(rule: str, *, code: str) -> PydanticCustomError:
    """What a validator raises to refuse one value."""
    return PydanticCustomError("rule", "{rule}", {"rule": rule, "code": code})


def data_sha256(data: object) -> str:
    """sha256 of the canonical JSON (sorted keys, no spaces) of plain data; raises MixhubError when it is none."""
    try:
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise MixhubError(
            f"holds what is no plain data ({error}): keys must be texts, and numbers finite", code="data-not-plain"
        ) from None
    return hashlib.sha256(canonical.encode()).hexdigest()


def parse_yaml(text: str, file: str) -> Any:
    """Parses YAML; raises SpecError with line and column when it is none, or when a key stands twice."""
    import yaml

    from mixhub.spec.strict_yaml import Loader, RepeatedKeyError

    try:
        return yaml.load(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        rule = f"not valid YAML: {error.problem or error.context}"
        repeated = isinstance(error, RepeatedKeyError)
        problem = Problem("", None, rule, code="key-repeated" if repeated else "yaml-malformed")
        raise SpecError(place, [problem]) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that none can be
        rule = f"not valid YAML: {str(error).splitlines()[0]}"
        raise SpecError(file, [Problem("", None, rule, code="yaml-malformed")]) from None


def read_yaml(path: Path, error: type[MixhubError] = MixhubError) -> Any:
    """Parses a YAML file; raises `error` when it cannot be read and SpecError when it is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error(f"{path}: no such file", code="file-missing", path=path) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{path}: cannot be read: {problem}", code="file-unreadable", path=path) from None
    return parse_yaml(text, str(path))


def to_yaml(data: object) -> str:
    """YAML text of plain data, in the order of its keys."""
    import yaml

    from mixhub.spec.strict_yaml import Dumper

    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


_RULES = {
    "float_type": ("value-type", "must be a number"),
    "int_type": ("value-type", "must be a whole number"),
    "string_type": ("value-type", "must be text"),
    "bool_type": ("value-type", "must be true or false"),
    "tuple_type": ("value-type", "must be a list"),
    "mapping_type": ("value-type", "must be a mapping of keys to values"),
    "dict_type": ("value-type", "must be a mapping of keys to values"),
    "model_type": ("value-type", "must be a mapping of keys to values"),
    "finite_number": ("value-range", "must be a finite number"),
    "greater_than": ("value-range", "must be above {gt}"),
    "greater_than_equal": ("value-range", "must be at least {ge}"),
    "less_than": ("value-range", "must be below {lt}"),
    "less_than_equal": ("value-range", "must be at most {le}"),
    "too_short": ("value-length", "must not be empty"),
    "string_too_short": ("value-length", "must not be empty"),
    "literal_error": ("value-choice", "must be one of {expected}"),
    "string_pattern_mismatch": ("value-format", "must match {pattern}"),
}
"""By pydantic's kind of error, our code and the rule."""


def _problems(model: type[BaseModel], data: object, error: ValidationError) -> Iterator[Problem]:
    for entry in error.errors():
        location = entry["loc"]
        key = ".".join(str(part) for part in location)
        kind, value, context = entry["type"], entry["input"], entry.get("ctx", {})
        if kind == "problems":
            for problem in context["problems"]:
                inner = ".".join(part for part in (key, problem.key) if part)
                yield Problem(inner, problem.value, problem.rule, code=problem.code)
        elif kind == "missing":
            yield Problem(key, ABSENT, "is required", code="key-missing")
        elif kind == "extra_forbidden":
            known = _known_keys(model, location[:-1])
            near = nearest(str(location[-1]), known)
            meant = f"did you mean {near}?" if near else f"known keys: {', '.join(known)}"
            yield Problem(key, value, f"unknown key; {meant}", code="key-unknown")
        elif kind == "rule":
            yield Problem(key, value, context["rule"], code=context["code"])
        else:
            code, template = _RULES.get(kind, ("value-invalid", ""))
            rule = template.format(**context) or entry["msg"].replace("Input should be", "must be")
            yield Problem(key, value, _number_rule(kind, value) or rule, code=code)


def _number_rule(kind: str, value: object) -> str | None:
    """The rule for text where a number must stand; None for anything else."""
    if kind not in ("float_type", "int_type") or not isinstance(value, str):
        return None
    try:
        number = float(value)
    except ValueError:
        return "must be a number, not text"
    if not math.isfinite(number):
        return None
    written = str(int(number)) if kind == "int_type" else repr(number) if "." in repr(number) else f"{number:.1e}"
    return f"must be a number; YAML reads {value!r} as text: write {written}"


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        if issubclass(model, RootModel) or part not in model.model_fields:
            continue
        inner = model_in(model.model_fields[str(part)].annotation)
        if inner is not None:
            model = inner
    return list(model.model_fields)


def model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if found := model_in(argument):
            return found
    return None


def _kind(data: object) -> str:
    return {type(None): "nothing", str: "text", list: "a list"}.get(type(data), type(data).__name__)
