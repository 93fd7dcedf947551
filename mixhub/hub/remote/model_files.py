"""Which files of a repo Transformers opens, and why there may be none."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NoReturn

from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, MixhubError
from mixhub.files import read_json
from mixhub.hub.remote.branches import SMALL, fetch, is_weights
from mixhub.hub.remote.client import branch_heads
from mixhub.hub.remote.files import RemoteFile
from mixhub.hub.rules.config import ADAPTER_CONFIG, CONFIG
from mixhub.phrases import listed
from mixhub.workspace.export import opened_weights, weights_problems
from mixhub.workspace.lineage import LINEAGE_FILE

WRONGLY_PUBLISHED = "this revision was published wrongly: report it to the publisher, or load another"
"""Hint for users who only load a model."""
_OTHER_FORMAT = "load a revision with safetensors weights, or convert them with the tools of their format"
_NOT_FOR_LOADING = re.compile(r"metrics\.jsonl|.*\.(svg|png)|adapter_.*")
_OF_TOKENIZER = (".json", ".model", ".spm", ".txt", ".tiktoken")
"""Suffixes of large files that may belong to a tokenizer."""
_TEMPLATES = "additional_chat_templates/"
"""A folder that Transformers reads, though no config names it."""
_SHOWN = 3


def fetch_model(
    endpoint: Endpoint, repo_id: str, commit: str, tree: Mapping[str, RemoteFile], where: str, subfolder: str = ""
) -> Path:
    """Download configs, tokenizer and code of a model, and the weights that Transformers opens.

    Args:
        endpoint: the hub.
        repo_id: the repo.
        commit: the commit.
        tree: its files, by path.
        where: the revision, for errors.
        subfolder: the folder of the model in the repo.

    Returns:
        The folder of the commit.

    Raises:
        ExportError: by the names of its files, the revision holds no model that Transformers can open.
    """
    prefix = f"{subfolder}/" if subfolder else ""
    names = {path.removeprefix(prefix): file for path, file in tree.items() if path.startswith(prefix)}
    if CONFIG not in names:
        _refuse_other_content(endpoint, repo_id, commit, names, f"{where}/{subfolder}" if subfolder else where)
    folder = fetch(endpoint, repo_id, commit, [prefix + name for name in names if _is_read(name, names[name])], tree)
    if ADAPTER_CONFIG in names:
        warnings.warn(f"{where}: the adapter beside its model is not applied; peft can do so", stacklevel=5)
    weights = _require_weights(folder / subfolder, names, where)
    fetch(endpoint, repo_id, commit, [prefix + name for name in weights], tree)
    return folder


def _is_read(name: str, file: RemoteFile) -> bool:
    """Whether Transformers may read a file that is not weights: text in the model's folder, code, or a tokenizer."""
    is_near = "/" not in name or name.endswith(".py") or name.startswith(_TEMPLATES)
    is_text = file.sha256 is None or (name.endswith(_OF_TOKENIZER) and file.size <= SMALL)
    return is_near and is_text and not is_weights(name) and not _NOT_FOR_LOADING.fullmatch(name)


def _require_weights(folder: Path, names: Collection[str], where: str) -> list[str]:
    """Return the weights that Transformers opens; of a model of ours, refuse others beside them."""
    try:
        weights = opened_weights(folder, names)
        problem = next(weights_problems(folder, names), None)
    except ExportError as error:
        message = error.message.replace(f"{folder}/", f"{where}: ")
        raise ExportError(message, code=error.code, hint=WRONGLY_PUBLISHED) from None
    if missing := [name for name in weights if name not in names]:
        message = f"{where}: lacks {listed(missing, most=_SHOWN)}, which its index names"
        raise ExportError(message, code="shard-missing", hint=WRONGLY_PUBLISHED, files=tuple(missing))
    if problem is not None and (not weights or LINEAGE_FILE in names):
        other = [name for name in names if is_weights(name) and not name.endswith(".safetensors")]
        has_other = f"; {listed(other, most=_SHOWN)}: not a format that mixhub loads" if other and not weights else ""
        hint = WRONGLY_PUBLISHED if weights or problem.code == "index-missing" else _OTHER_FORMAT
        message = f"{where}: {problem.what}{has_other}"
        raise ExportError(message, code=problem.code, hint=hint, files=tuple(problem.files or other))
    if problem is not None and problem.code == "weights-ambiguous":
        warnings.warn(f"{where}: {problem.what}", stacklevel=6)
    return weights


def _refuse_other_content(
    endpoint: Endpoint, repo_id: str, commit: str, names: Collection[str], where: str
) -> NoReturn:
    """Raise the error for a revision without `config.json`, by what it holds instead."""
    if ADAPTER_CONFIG in names:
        try:
            stated = read_json(fetch(endpoint, repo_id, commit, [ADAPTER_CONFIG]) / ADAPTER_CONFIG, ExportError)
        except MixhubError:
            stated = {}
        base = stated.get("base_model_name_or_path") if isinstance(stated, Mapping) else None
        hint = f"load {base or 'its base model'}, then apply the adapter with peft"
        message = f"{where}: holds an adapter, not a model of its own"
        raise ExportError(message, code="model-adapter", hint=hint, base=base)
    folders = sorted(name.removesuffix(f"/{CONFIG}") for name in names if name.endswith(f"/{CONFIG}"))
    if folders:
        message = f"{where}: holds its models in folders: {listed(folders, most=_SHOWN)}"
        hint = f'mixhub.load(..., subfolder="{folders[0]}")'
        raise ExportError(message, code="model-in-folder", hint=hint, folders=tuple(folders))
    others = [name for name, head in branch_heads(endpoint, repo_id).items() if head != commit]
    hint = f"load another branch: {listed(others, most=6)}" if others else "the repo has no other branch"
    weights = [name for name in names if is_weights(name)]
    found = f"; it has {listed(weights, most=_SHOWN)}" if weights else ""
    message = f"{where}: holds no model for Transformers (no {CONFIG}){found}"
    raise ExportError(message, code="model-missing", hint=hint, files=tuple(weights))
