"""The base of every YAML file of mixhub: strict, frozen models that report all their problems at once."""

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
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mixhub.errors import ABSENT, MixhubError, Problem, SpecError, nearest
from mixhub.phrases import listed

CONFIG = ConfigDict(strict=True, frozen=True)

K = TypeVar("K")
V = TypeVar("V")


def _plain(value: object) -> Any:
    """Turn mappings into dicts and tuples into lists, at every level."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


FrozenMap = Annotated[Mapping[K, V], AfterValidator(MappingProxyType), PlainSerializer(_plain)]
"""A mapping that cannot change after validation."""

FrozenList = Annotated[tuple[V, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)]
"""A YAML list, kept as a tuple."""


class Spec(BaseModel):
    """A part of a specification: strict types, frozen, no unknown keys."""

    model_config = ConfigDict(**CONFIG, extra="forbid")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problems := list(self._broken_rules()):
            raise problems_error(problems)
        return self

    def _broken_rules(self) -> Iterator[Problem]:
        """Yield broken rules that concern several fields; keys are relative to this part."""
        return iter(())

    @model_serializer(mode="wrap")
    def _omit_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit keys without a value, except those that have one by default."""
        fields = type(self).model_fields
        data: dict[str, Any] = serialize(self)
        return {
            key: value
            for key, value in data.items()
            if value is not None or key not in fields or fields[key].default is not None
        }

    @classmethod
    def from_data(cls, data: object, file: str, *, hint: str | None = None) -> Self:
        """Make the spec from parsed YAML; raises SpecError with every problem and the name of the file."""
        return validated(cls, data, file, hint=hint)

    @classmethod
    def of_text(cls, first: str, text: str) -> dict[str, str]:
        """Return keys of the part that a text in its place may mean; by default its first required key."""
        return {first: text}

    def to_data(self) -> dict[str, Any]:
        """Return plain data from which `from_data` makes an equal spec; keys without a value are omitted."""
        data: dict[str, Any] = _plain(self.model_dump())
        return data

    def sha256(self) -> str:
        """Return a hash of the content that does not depend on the order of keys or the layout of the file."""
        return data_sha256(self.to_data())


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], data: object, file: str, *, hint: str | None = None) -> Model:
    """Make a model from data; raises SpecError with every problem and the name of the file."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpecError(file, list(_problems(model, error)), hint=hint) from None


def problems_error(problems: list[Problem]) -> PydanticCustomError:
    """Return the error with which a validator reports several problems of a part; keys are relative to it."""
    return PydanticCustomError("problems", "several problems", {"problems": problems})


def rule_error(rule: str, *, code: str) -> PydanticCustomError:
    """Return the error with which a validator refuses a value."""
    return PydanticCustomError("rule", "{rule}", {"rule": rule, "code": code})


def data_sha256(data: object) -> str:
    """Return the sha256 of the canonical JSON of plain data; raises MixhubError if the data is not plain."""
    try:
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        message = f"not plain data ({error}): keys must be text, and numbers finite"
        raise MixhubError(message, code="data-not-plain") from None
    return hashlib.sha256(canonical.encode()).hexdigest()


def parse_yaml(text: str, file: str) -> Any:
    """Parse YAML; raises SpecError with line and column if it is malformed or repeats a key."""
    import yaml

    from mixhub.spec.strict_yaml import Loader, RepeatedKeyError

    try:
        return yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date
        where, reason = file, str(error).splitlines()[0]
        if isinstance(error, yaml.MarkedYAMLError):
            reason = str(error.problem or error.context)
            if mark := error.problem_mark or error.context_mark:
                where = f"{file}:{mark.line + 1}:{mark.column + 1}"
        code = "key-repeated" if isinstance(error, RepeatedKeyError) else "yaml-malformed"
        raise SpecError(where, [Problem("", None, f"not valid YAML: {reason}", code=code)]) from None


def read_yaml(path: Path, error: type[MixhubError] = MixhubError) -> Any:
    """Parse a YAML file; raises `error` if it cannot be read, and SpecError if it is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error(f"{path}: no such file", code="file-missing", path=path) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{path}: cannot be read: {problem}", code="file-unreadable", path=path) from None
    return parse_yaml(text, str(path))


def to_yaml(data: object, *, in_a_line: bool = False) -> str:
    """Return plain data as YAML, in the order of its keys; on request in a single line, with braces."""
    import yaml

    from mixhub.spec.strict_yaml import Dumper

    width = math.inf if in_a_line else 100
    return yaml.dump(
        data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=width, default_flow_style=in_a_line
    )


_MAPPING = ("value-type", "must be a mapping of keys to values")
_TRAP = "; YAML reads numbers such as 1e-4 as text: write 1.0e-4"
_RULES = {
    "float_type": ("value-type", "must be a number"),
    "int_type": ("value-type", "must be an integer"),
    "string_type": ("value-type", "must be text"),
    "bool_type": ("value-type", "must be true or false"),
    "tuple_type": ("value-type", "must be a list"),
    "list_type": ("value-type", "must be a list"),
    "mapping_type": _MAPPING,
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "finite_number": ("value-range", "must be a finite number"),
    "greater_than": ("value-range", "must be above {gt}"),
    "greater_than_equal": ("value-range", "must be at least {ge}"),
    "less_than": ("value-range", "must be below {lt}"),
    "less_than_equal": ("value-range", "must be at most {le}"),
    "too_short": ("value-length", "must not be empty"),
    "string_too_short": ("value-length", "must not be empty"),
    "literal_error": ("value-choice", "must be one of {expected}"),
    "string_pattern_mismatch": ("value-format", "must match {pattern}"),
    "missing": ("key-missing", "is required"),
}
"""Our code and rule for each of pydantic's kinds of error."""


def _problems(model: type[BaseModel], error: ValidationError) -> Iterator[Problem]:
    for entry in error.errors():
        location, kind, value, context = entry["loc"], entry["type"], entry["input"], entry.get("ctx", {})
        key = ".".join(map(str, location))
        code, rule = _RULES.get(kind, ("value-invalid", entry["msg"].replace("Input should be", "must be")))
        rule = rule.format(**context) if kind in _RULES else rule
        if kind == "problems":
            for problem in context["problems"]:
                inner = ".".join(part for part in (key, problem.key) if part)
                yield Problem(inner, problem.value, problem.rule, code=problem.code)
            continue
        if kind == "rule":
            code, rule = context["code"], context["rule"]
        elif kind == "model_type":
            rule = _mapping_rule(_model_at(model, location), value)
        elif kind == "missing":
            value = ABSENT
        elif kind == "extra_forbidden":
            known = _known_keys(model, location[:-1])
            near = nearest(str(location[-1]), known)
            code, rule = "key-unknown", f"unknown key; {f'did you mean {near}?' if near else f'keys: {listed(known)}'}"
        elif kind in ("float_type", "int_type") and isinstance(value, str) and "e" in value.casefold():
            rule += _TRAP
        yield Problem(key, value, rule, code=code)


def _mapping_rule(model: type[BaseModel], value: object) -> str:
    """The rule for a value in place of a part; a text shows the part with the text in it."""
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    if issubclass(model, Spec) and isinstance(value, str) and required:
        example = dict.fromkeys(required, "…") | model.of_text(required[0], value)
        return f"must be a mapping such as {{{', '.join(f'{key}: {text}' for key, text in example.items())}}}"
    return f"must be a mapping with the keys {listed(required or list(model.model_fields), most=5)}"


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    return list(_model_at(model, location).model_fields)


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of the part at a location."""
    for part in location:
        if not issubclass(model, RootModel) and part in model.model_fields:
            model = model_in(model.model_fields[str(part)].annotation) or model
    return model


def model_in(annotation: object) -> type[BaseModel] | None:
    """Return the first model in a type; None if it has none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for argument in get_args(annotation) if (model := model_in(argument))), None)
