"""Checks that vendors have the undocumented names that mixhub uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

from mixhub.errors import MixhubError


def require_names(package: str, relied_on: Mapping[str, Sequence[str]], error: type[MixhubError], code: str) -> None:
    """Raise one error with all names that the installed version of a package lacks.

    Args:
        package: as pip names it, with the versions that mixhub supports, for example `lm_eval>=0.4.12,<0.5`.
        relied_on: by module, names of functions, of classes with their attributes, and of module variables.
        error: the class of the error.
        code: its code.
    """
    names = sorted(f"{module}.{name}" for module, names in relied_on.items() for name in names if _absent(module, name))
    if names:
        name = package.partition(">")[0]
        raise error(
            f"{name} {version(name)}: lacks what mixhub relies on: {', '.join(names)}",
            code=code,
            hint=f"run pip install '{package}'; if the version is in that range, report it to mixhub",
            version=version(name),
            names=names,
        )


def _absent(module: str, name: str) -> bool:
    try:
        value: Any = import_module(module)
    except ImportError:
        return True
    for part in name.split("."):
        if hasattr(value, part):
            value = getattr(value, part)
        else:  # an attribute of its objects, unless nothing assigns it
            return not (isinstance(value, type) and part in value.__init__.__code__.co_names)  # type: ignore[misc]
    return False
