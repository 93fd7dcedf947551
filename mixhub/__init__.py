"""Train, evaluate, publish and load families of language models.

    model, tokenizer = mixhub.load("human-1b", seed=4)

    mixhub.pack("my-work")
    mixhub.train("my-work", seed=1)
    mixhub.push("my-work", seed=1)

The functions do what the commands of the same name do; `mixhub.workflow` has the others. Each name is imported on first
use, so `import mixhub` imports neither torch nor a client of the Hub.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from mixhub._version import __version__

if TYPE_CHECKING:
    from mixhub.errors import (
        CellsFailedError,
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
    from mixhub.hub.load.load import load, load_all
    from mixhub.spec import Family
    from mixhub.workflow.data.packing import pack
    from mixhub.workflow.make.adoption import adopt
    from mixhub.workflow.make.series import train_each
    from mixhub.workflow.make.training import train
    from mixhub.workflow.measure.evaluation import evaluate
    from mixhub.workflow.measure.frames import results
    from mixhub.workflow.release.cards import render_card
    from mixhub.workflow.release.checks import check
    from mixhub.workflow.release.generation import generate
    from mixhub.workflow.release.promotions import promote
    from mixhub.workflow.release.pushes import push
    from mixhub.workflow.release.verifications import verify
    from mixhub.workflow.release.withdrawals import withdraw
    from mixhub.workspace.paths import Workspace

__all__ = [
    "CellsFailedError", "CorpusError", "ExportError", "Family", "HubError", "HubUnreachableError", "MixhubError",
    "PushConflictError", "RepoNotFoundError", "ResultsError", "RevisionNotFoundError", "RunError", "SpecError",
    "UnknownNameError", "UsageError", "Workspace", "WorkspaceError", "__version__", "adopt", "check", "evaluate",
    "generate", "load", "load_all", "pack", "promote", "push", "render_card", "results", "train", "train_each",
    "verify", "withdraw",
]  # fmt: skip


def lazy_names(module: str, file: str) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module that imports what its `if TYPE_CHECKING:` block names, on first use."""

    @cache
    def homes() -> dict[str, str]:
        import ast
        from pathlib import Path

        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
        (block,) = (node for node in tree.body if isinstance(node, ast.If))
        nodes = (node for node in block.body if isinstance(node, ast.ImportFrom))
        return {name.name: str(node.module) for node in nodes for name in node.names}

    def get_name(name: str) -> Any:
        from importlib import import_module

        if name not in homes():
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(import_module(homes()[name]), name)

    return get_name


__getattr__ = lazy_names(__name__, __file__)


def __dir__() -> list[str]:
    return sorted(__all__)
