"""The YAML format of families. Reading reports every problem at once, with its key, value and rule.

Names are imported on first use, so that a module of this package costs only what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixhub.spec.architecture import Architecture
    from mixhub.spec.family import Family, Run
    from mixhub.spec.mixture import Mixture
    from mixhub.spec.parts import Evaluation, Task, Tokenizer, Training

__all__ = ["Architecture", "Evaluation", "Family", "Mixture", "Run", "Task", "Tokenizer", "Training"]

_MODULES = {"Architecture": "architecture", "Family": "family", "Run": "family", "Mixture": "mixture"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'parts')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
