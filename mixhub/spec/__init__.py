"""What YAML may say of a family, read strictly: every problem at once, each with its key, its value and its rule.

Each name is imported when it is first used, so a module of this room costs no more than what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixhub.spec.family import Family, Run
    from mixhub.spec.mixture import Mixture
    from mixhub.spec.parts import (
        Architecture,
        CardFacts,
        Data,
        Evaluation,
        PublishedScores,
        Revisions,
        Task,
        Tokenizer,
        Training,
    )

__all__ = [
    "Architecture",
    "CardFacts",
    "Data",
    "Evaluation",
    "Family",
    "Mixture",
    "PublishedScores",
    "Revisions",
    "Run",
    "Task",
    "Tokenizer",
    "Training",
]

_HOMES = {"Family": "family", "Run": "family", "Mixture": "mixture"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'parts')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
