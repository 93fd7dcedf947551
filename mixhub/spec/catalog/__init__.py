"""The families that mixhub ships: one YAML each."""

from __future__ import annotations

from functools import cache
from typing import Any

from mixhub.errors import UnknownNameError
from mixhub.spec.base import parse_yaml
from mixhub.spec.family import Family, extend

_ORDER = ("human-1b", "doremi-1b", "pile-cc-1b", "regmix-1b", "random-1b")


def names() -> list[str]:
    """Return the names of the shipped families, in the order of their paper's table."""
    return list(_ORDER)


def data(name: str) -> dict[str, Any]:
    """Return the data of a shipped family, merged with what it extends; raises UnknownNameError."""
    if name not in _ORDER:
        hint = (
            "run mixhub families to list them; a custom family needs its workspace: --workspace DIR, or workspace='DIR'"
        )
        raise UnknownNameError("family", name, _ORDER, hint=hint)
    own: dict[str, Any] = parse_yaml(source(name), f"{name}.yaml")
    base = own.pop("extends", None)
    return extend(data(base), own) if base else own


def source(name: str) -> str:
    """Return the YAML of a shipped family."""
    from importlib import resources

    return resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


@cache
def get(name: str) -> Family:
    """Return a shipped family; raises UnknownNameError."""
    return Family.from_data(data(name), f"{name}.yaml")
