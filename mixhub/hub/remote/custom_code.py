"""Custom code of models, which runs if mixhub.yaml allows it, at a pinned commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixhub.endpoint import LOCAL, choose_hub_of_call
from mixhub.errors import ExportError, UsageError
from mixhub.hub.remote.client import snapshot
from mixhub.hub.remote.connect import open_hub
from mixhub.spec.architecture import OtherArchitecture
from mixhub.spec.family import Family
from mixhub.workspace.paths import CONFIG_FILE, Workspace

_CLASSES = ("AutoConfig", "AutoModelForCausalLM")
"""Keys of `auto_map` for what mixhub opens."""


@contextmanager
def allowed_code(workspace: Workspace, family: Family) -> Iterator[None]:
    """Let Transformers know the classes of a family of custom code for a block; nothing for other families.

    The code is that of the commit in mixhub.yaml, whatever lies beside the weights. It comes from the hub of the
    workspace, or from HF_ENDPOINT or huggingface.co if that is `local`, and is kept in the cache.

    Raises:
        UsageError: mixhub.yaml does not allow the code, or `auto_map` does not name its repo.
        ExportError: the code does not define the classes.
        HubError: it cannot be downloaded.
    """
    references = _references(family)
    if not references:
        yield
        return
    modules = {key: _module(workspace, family, reference) for key, reference in references.items()}
    from mixhub.hub.rules.config import reason, running_code
    from mixhub.hub.rules.transformers_private import classes_known

    config, model = (modules[key] for key in _CLASSES)
    context = classes_known(config, model)
    try:
        kind = context.__enter__()
    except Exception as error:  # anything that the code raises
        message = f"the code of {family.name} cannot be run: {reason(error)}"
        raise ExportError(message, code="code-unusable", family=family.name) from error
    try:
        with running_code(kind):
            yield
    finally:
        context.__exit__(None, None, None)


def _references(family: Family) -> Mapping[str, str]:
    """Return `auto_map` of a family whose type Transformers does not know; empty for others."""
    architecture = family.architecture
    if not isinstance(architecture, OtherArchitecture) or not architecture.config.get("auto_map"):
        return {}
    from transformers import CONFIG_MAPPING

    stated: Any = architecture.config["auto_map"]
    if architecture.model_type in CONFIG_MAPPING:
        return {}
    if not isinstance(stated, Mapping) or not all(isinstance(stated.get(key), str) for key in _CLASSES):
        message = f"{family.name}: auto_map must name the classes of {' and '.join(_CLASSES)}"
        raise UsageError(message, code="code-unnamed", family=family.name)
    return {key: str(stated[key]) for key in _CLASSES}


def _module(workspace: Workspace, family: Family, reference: str) -> tuple[str, Path]:
    """Return the class that a reference names, as `module.Class`, and the folder of its module."""
    repo_id, _, name = reference.rpartition("--")
    if not repo_id:
        message = f"{family.name}: auto_map names {reference}, without the repo of the code"
        hint = f"write OWNER/NAME--{reference} in architecture.auto_map in {CONFIG_FILE}"
        raise UsageError(message, code="code-unnamed", hint=hint, family=family.name)
    if (commit := workspace.config.code.get(repo_id)) is None:
        message = f"{family.name} needs the code in {repo_id}, which {CONFIG_FILE} does not allow"
        hint = f"if you have read it and trust it, add to {CONFIG_FILE}: code: {{{repo_id}: COMMIT}}"
        raise UsageError(message, code="code-not-allowed", hint=hint, repo_id=repo_id)
    hub = None if workspace.config.hub == LOCAL else workspace.config.hub
    with open_hub(choose_hub_of_call(hub, None), workspace) as endpoint:
        return name, snapshot(endpoint, repo_id, commit, allow_patterns=["*.py"])
