"""Train, evaluate, publish and load families of language models.

    model, tokenizer = mixhub.load("human-1b", seed=4)

What needs torch or a client of the Hub is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixhub._version import __version__

if TYPE_CHECKING:
    from mixhub.analysis.results import results
    from mixhub.hub.remote.load import load, load_all
    from mixhub.spec.family import Family

__all__ = ["Family", "__version__", "load", "load_all", "results"]

_HOMES = {
    "Family": "mixhub.spec.family",
    "load": "mixhub.hub.remote.load",
    "load_all": "mixhub.hub.remote.load",
    "results": "mixhub.analysis.results",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mixhub' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
