"""External files of a family: its tokenizer, and the documents it is evaluated on."""

from __future__ import annotations

import fnmatch
import glob
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mixhub.endpoint import Endpoint, HubChoice
from mixhub.errors import HubError
from mixhub.files import write_text
from mixhub.hub.remote.client import client, hub_errors, snapshot
from mixhub.hub.remote.connect import open_hub
from mixhub.phrases import listed
from mixhub.spec.base import to_yaml
from mixhub.workspace.paths import Workspace

_CONVERTED = "refs/convert/parquet"
"""Where the Hub keeps parquet copies of a dataset, also of a script, which datasets 4 and later refuse."""
_CONVERTED_FILE = re.compile(r"(?P<config>[^/]+)/(?!partial-)(?P<split>[^/]+)/\d+\.parquet")
"""The Hub converts only a part of a very large dataset."""
_BENCHMARK = "eval.yaml"
"""Names the tasks of a dataset that is a benchmark."""
_TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt"]


def fetch_tokenizer(endpoint: Endpoint, repo_id: str) -> Path:
    """Return the folder of a repo's tokenizer, from the cache if it is there.

    Raises:
        RepoNotFoundError, HubUnreachableError: the hub has no such repo, or does not answer.
    """
    return snapshot(endpoint, repo_id, allow_patterns=_TOKENIZER_FILES)


@dataclass(frozen=True)
class DatasetFetch:
    """Fetches datasets from a hub, which is opened for each."""

    choice: HubChoice
    workspace: Workspace | None = None
    """Its embedded hub is what `local` means."""

    @property
    def hub(self) -> str:
        """The hub, as an address or `local`."""
        return self.choice.value

    def __call__(self, repo_id: str, config: str | None, revision: str | None, into: Path) -> str:
        """As `fetch_dataset`."""
        with open_hub(self.choice, self.workspace) as endpoint:
            return fetch_dataset(endpoint, repo_id, config, revision, into)


def fetch_dataset(endpoint: Endpoint, repo_id: str, config: str | None, revision: str | None, into: Path) -> str:
    """Download one config of a dataset repo into a folder that `load_dataset` opens; return the commit.

    With it comes the `eval.yaml` of a benchmark.

    Of a repo that is a script, take the parquet files that the Hub made of it.

    Args:
        endpoint: the hub.
        repo_id: the dataset repo.
        config: its config; None: the default one.
        revision: a branch, tag or commit; None: `main`.
        into: an empty folder.

    Raises:
        RepoNotFoundError, RevisionNotFoundError, HubUnreachableError: the hub has none, or does not answer.
        HubError: the repo has no such config.
    """
    commit, paths = _dataset_files(endpoint, repo_id, revision)
    benchmark = {_BENCHMARK} & {*paths}
    if "README.md" in paths:
        _download(endpoint, repo_id, commit, ["README.md"], into)
    metadata = _metadata(endpoint, repo_id, into / "README.md")
    configs = metadata.get("configs")
    if not configs and f"{repo_id.split('/')[-1]}.py" in paths:
        return _fetch_converted(endpoint, repo_id, config, into)
    if isinstance(configs, list) and configs:
        chosen = _choose_config(endpoint, repo_id, configs, config)
        try:
            chosen = _with_data_files(chosen)
        except (TypeError, ValueError, KeyError, AttributeError) as error:  # datasets raises each for an odd shape
            raise _malformed_card(endpoint, repo_id, f"data_files: {type(error).__name__}: {error}") from None
        if patterns := [pattern for split in chosen.get("data_files") or () for pattern in split["path"]]:
            paths = [path for path in paths if any(_matches(path, pattern) for pattern in patterns)]
        elif folder := _relative(str(chosen.get("data_dir") or "")):
            paths = [path for path in paths if path.startswith(f"{folder}/")]
        _write_card(into, chosen, metadata.get("dataset_info"))
    selected = [path for path in paths if not path.endswith(".py") and path != "README.md"]
    _download(endpoint, repo_id, commit, dict.fromkeys([*selected, *benchmark]), into)
    return commit


def _write_card(into: Path, config: Mapping[str, Any], info: object) -> None:
    """Write a card with this config only: `load_dataset` expects the files of all configs in a card."""
    name = config.get("config_name", "default")
    card: dict[str, Any] = {"configs": [dict(config)]}
    infos = [info for info in (info if isinstance(info, list) else [info]) if isinstance(info, Mapping)]
    if own := next((one for one in infos if one.get("config_name", name) == name), None):
        card["dataset_info"] = dict(own)
    write_text(into / "README.md", f"---\n{to_yaml(card)}---\n")


def _fetch_converted(endpoint: Endpoint, repo_id: str, config: str | None, into: Path) -> str:
    commit, paths = _dataset_files(endpoint, repo_id, _CONVERTED)
    matches = [match for path in paths if (match := _CONVERTED_FILE.fullmatch(path))]
    names = sorted({match["config"] for match in matches})
    name = config or ("default" if "default" in names else names[0] if len(names) == 1 else "")
    splits: dict[str, list[str]] = {}
    for match in matches:
        if match["config"] == name:
            splits.setdefault(match["split"], []).append(match[0])
    if not splits:
        raise _no_config(endpoint, repo_id, config, names)
    _download(endpoint, repo_id, commit, [path for files in splits.values() for path in files], into)
    files = [{"split": split, "path": sorted(paths)} for split, paths in sorted(splits.items())]
    _write_card(into, {"config_name": config or "default", "data_files": files}, None)
    return commit


def _dataset_files(endpoint: Endpoint, repo_id: str, revision: str | None) -> tuple[str, list[str]]:
    """Return the commit of a revision, and the paths of its files."""
    from huggingface_hub import errors

    with hub_errors(endpoint, repo_id, revision):
        try:
            info = client(endpoint).dataset_info(repo_id, revision=revision)
        except errors.RevisionNotFoundError:  # `hub_errors` would list the branches of a model
            revision = revision or "main"
            message = f"{endpoint}: dataset {repo_id} has no revision {revision}"
            hint = "correct dataset_kwargs.revision in the task, or mirror the dataset as parquet"
            fields = {"dataset": repo_id, "revision": revision}
            raise HubError(message, code="dataset-revision-missing", hint=hint, **fields) from None
        return str(info.sha), [sibling.rfilename for sibling in info.siblings or ()]


def _download(endpoint: Endpoint, repo_id: str, commit: str, paths: Iterable[str], into: Path) -> None:
    patterns = [glob.escape(path) for path in paths]
    snapshot(endpoint, repo_id, commit, repo_type="dataset", local_dir=into, allow_patterns=patterns)
    shutil.rmtree(into / ".cache", ignore_errors=True)  # the client's notes for updating the folder
    if missing := [path for path in paths if not (into / path).is_file()]:
        message = f"{endpoint}: dataset {repo_id} at {commit}: {listed(missing)} did not arrive"
        hint = "the hub stopped answering, or lists files that it does not have: run it again"
        raise HubError(message, code="download-incomplete", hint=hint, dataset=repo_id, files=tuple(missing))


def _choose_config(endpoint: Endpoint, repo_id: str, configs: Sequence[Any], config: str | None) -> Mapping[str, Any]:
    by_name = {str(one.get("config_name", "default")): one for one in configs if isinstance(one, Mapping)}
    name = config
    if name is None:
        marked = [name for name, one in by_name.items() if one.get("default")]
        name = next(iter([*marked, *(by_name if len(by_name) == 1 else ())]), "default")
    if name not in by_name:
        raise _no_config(endpoint, repo_id, config, list(by_name))
    return by_name[name]


def _no_config(endpoint: Endpoint, repo_id: str, config: str | None, names: Sequence[str]) -> HubError:
    fields = {"dataset": repo_id, "config": config or "default", "configs": tuple(names)}
    message = f"{endpoint}: dataset {repo_id} has no config {fields['config']} (it has: {', '.join(names) or 'none'})"
    hint = "correct dataset_name in the task's YAML, or mirror the dataset with that config"
    return HubError(message, code="dataset-config-missing", hint=hint, **fields)


def _metadata(endpoint: Endpoint, repo_id: str, card: Path) -> Mapping[str, Any]:
    """Return the metadata of a dataset card; empty without a card or metadata."""
    from huggingface_hub import metadata_load

    try:
        metadata: Any = metadata_load(card) if card.is_file() else None
    except (ValueError, yaml.YAMLError) as error:
        raise _malformed_card(endpoint, repo_id, str(error)) from None
    return metadata if isinstance(metadata, Mapping) else {}


def _malformed_card(endpoint: Endpoint, repo_id: str, why: str) -> HubError:
    message = f"{endpoint}: dataset {repo_id}: README.md has malformed metadata: {why.splitlines()[0]}"
    hint = "correct it on the hub, or mirror the dataset with a readable card"
    return HubError(message, code="dataset-card-malformed", hint=hint, dataset=repo_id)


def _with_data_files(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config whose `data_files` are a list of splits, relative to the root.

    datasets looks for the files of the first config only there, even if the config has a `data_dir`.
    """
    from datasets.data_files import sanitize_patterns

    if not config.get("data_files"):
        return dict(config)
    folder = _relative(str(config.get("data_dir") or ""))
    files = [
        {"split": split, "path": [f"{folder}/{_relative(path)}" if folder else _relative(path) for path in paths]}
        for split, paths in sanitize_patterns(config["data_files"]).items()
    ]
    return {**{key: value for key, value in config.items() if key != "data_dir"}, "data_files": files}


def _matches(path: str, pattern: str) -> bool:
    """Whether datasets, or a little more, would match: `**/` may stand for no folder at all."""
    return any(fnmatch.fnmatchcase(path, one) for one in (pattern, pattern.replace("**/", "")))


def _relative(path: str) -> str:
    return path.removeprefix("./").strip("/")
