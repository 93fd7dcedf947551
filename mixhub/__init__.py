"""Train, evaluate, publish and load families of language models.

    model, tokenizer = mixhub.load("human-1b", seed=4)

    mixhub.pack("my-work")
    mixhub.train("my-work", seed=1)
    mixhub.push("my-work", seed=1)

The functions do what the commands of the same name do; `mixhub.workflow` has the others. Each name is imported when it
is first used, so `import mixhub` imports no torch and no client of the Hub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixhub._version import __version__

if TYPE_CHECKING:
    from mixhub.analysis.results import results
    from mixhub.errors import (
        CorpusError,
        ExportError,
        HubError,
        HubUnreachableError,
        MixhubError,
        PushConflictError,
        RepoNotFoundError,
        ResultsError,
        RevisionNotFoundError,
        RunError,
        SpecError,
        UnknownNameError,
        UsageError,
        WorkspaceError,
    )
    from mixhub.hub.remote.load import load, load_all
    from mixhub.spec import Family
    from mixhub.workflow.make.adoption import adopt
    from mixhub.workflow.make.packing import pack
    from mixhub.workflow.make.training import train
    from mixhub.workflow.measure.evaluation import evaluate
    from mixhub.workflow.release.cards import render_card
    from mixhub.workflow.release.checks import check
    from mixhub.workflow.release.generation import generate
    from mixhub.workflow.release.promotions import promote
    from mixhub.workflow.release.pushes import push
    from mixhub.workflow.release.verifications import verify
    from mixhub.workflow.release.withdrawals import withdraw
    from mixhub.workspace.paths import Workspace

__all__ = [
    "CorpusError",
    "ExportError",
    "Family",
    "HubError",
    "HubUnreachableError",
    "MixhubError",
    "PushConflictError",
    "RepoNotFoundError",
    "ResultsError",
    "RevisionNotFoundError",
    "RunError",
    "SpecError",
    "UnknownNameError",
    "UsageError",
    "Workspace",
    "WorkspaceError",
    "__version__",
    "adopt",
    "check",
    "evaluate",
    "generate",
    "load",
    "load_all",
    "pack",
    "promote",
    "push",
    "render_card",
    "results",
    "train",
    "verify",
    "withdraw",
]

_HOMES = {
    "Family": "mixhub.spec.family",
    "Workspace": "mixhub.workspace.paths",
    "load": "mixhub.hub.remote.load",
    "load_all": "mixhub.hub.remote.load",
}
"""Where those are that are neither exceptions nor functions of the workflow."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mixhub' has no attribute {name!r}")
    from importlib import import_module

    home = "mixhub.errors" if name.endswith("Error") else _HOMES.get(name, "mixhub.workflow")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
