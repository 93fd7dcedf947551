"""The fields of a specification, with default and meaning, for `mixhub families --fields`."""

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
    """Its path, such as `training.steps`; `[]` stands for each entry of a list."""
    default: str
    """Its default as YAML; `required` if it must be set, `-` if it has no value by default."""
    meaning: str
    """The docstring below it, and its possible values if they are few."""


def described(model: type[BaseModel], prefix: str = "") -> Iterator[Described]:
    """Yield every field of a specification and of its parts, in the order of declaration."""
    meanings = _meanings(model)
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        value = None if field.is_required() else field.get_default(call_default_factory=True)
        default = "-" if value is None or value == () or value == {} else to_yaml(value).removesuffix("...\n").strip()
        meaning = " ".join(meanings[name].split())
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        if len(choices) > 1:
            meaning = f"{meaning} One of {', '.join(map(str, choices))}."
        yield Described(key, "required" if field.is_required() else default, meaning)
        part = model_in(field.annotation)
        if part is not None and issubclass(part, Spec):
            yield from described(part, f"{key}[]." if get_origin(field.annotation) is tuple else f"{key}.")


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """The docstrings below the fields, from the source: pydantic could read them, but at each import."""
    (definition,) = ast.parse(dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: str(ast.literal_eval(below.value))
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr)
    }
