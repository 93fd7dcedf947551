"""The fields of a specification as people read of them: key, default, meaning."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from textwrap import dedent
from typing import Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from mixhub.spec.base import Spec, model_in, to_yaml


class Described(NamedTuple):
    """A field as `mixhub families --fields` shows it."""

    key: str
    """Where it stands, as `training.steps`; `[]` for each entry of a list."""
    default: str
    """Its value if it is omitted, as YAML; `required` if it must be given, `-` if it then has no value."""
    meaning: str
    """The docstring below it, and the values that it may have if they are few."""


def described(model: type[BaseModel], prefix: str = "") -> Iterator[Described]:
    """Every field of a specification and of its parts, in the order in which they are declared."""
    meanings = _meanings(model)
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        default = "required"
        if not field.is_required():
            default = _shown_default(field.get_default(call_default_factory=True))
        meaning = " ".join(meanings[name].split())
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        if len(choices) > 1:
            meaning = f"{meaning} One of {', '.join(map(str, choices))}."
        yield Described(key, default, meaning)
        part = model_in(field.annotation)
        if part is not None and issubclass(part, Spec):
            yield from described(part, f"{key}[]." if get_origin(field.annotation) is tuple else f"{key}.")


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """By field, the docstring below it, read from the source: at import, nobody needs it."""
    (definition,) = ast.parse(dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: below.value.value
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


def _shown_default(value: object) -> str:
    if value is None or value == () or value == {}:
        return "-"
    return to_yaml(value).removesuffix("...\n").strip()
