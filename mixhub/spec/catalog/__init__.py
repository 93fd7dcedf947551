"""The families that mixhub ships: one YAML each."""

from __future__ import annotations

import csv
from functools import cache
from typing import Any

from mixhub.errors import UnknownNameError
from mixhub.spec.base import parse_yaml
from mixhub.spec.family import Family, extend

_PUBLISHED = ("human-1b", "doremi-1b", "pile-cc-1b", "regmix-1b", "random-1b")
_ORDER = (*_PUBLISHED, "proxies-1m", "proxies-1m-test", "proxies-60m")


def names() -> list[str]:
    """Return the names of the shipped families: the published ones in the order of their paper's table, then others."""
    return list(_ORDER)


def published() -> list[str]:
    """Return the names of the shipped families whose models are on a hub; of the others, only the recipe is known."""
    return list(_PUBLISHED)


def data(name: str) -> dict[str, Any]:
    """Return the data of a shipped family, merged with what it extends; raises UnknownNameError."""
    if name not in _ORDER:
        hint = (
            "run mixhub families to list them; a custom family needs its workspace: --workspace DIR, or workspace='DIR'"
        )
        raise UnknownNameError("family", name, _ORDER, hint=hint)
    own: dict[str, Any] = parse_yaml(source(name), f"{name}.yaml")
    if isinstance(table := own.get("mixtures"), str):
        own["mixtures"] = _mixtures(table)
    base = own.pop("extends", None)
    return extend(data(base), own) if base else own


def source(name: str) -> str:
    """Return the YAML of a shipped family."""
    return _text(f"{name}.yaml")


def _mixtures(table: str) -> dict[int, dict[str, float]]:
    """Return mixtures by index, from a CSV file with a row for each and a column for each domain."""
    rows = csv.DictReader(_text(table).splitlines())
    return {int(row.pop("index")): {domain: float(weight) for domain, weight in row.items()} for row in rows}


def _text(file: str) -> str:
    from importlib import resources

    return resources.files(__name__).joinpath(file).read_text(encoding="utf-8")


@cache
def get(name: str) -> Family:
    """Return a shipped family; raises UnknownNameError."""
    return Family.from_data(data(name), f"{name}.yaml")
