"""What a family takes from elsewhere: its tokenizer, and the documents that it is evaluated on."""

from __future__ import annotations

import fnmatch
import glob
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mixhub.endpoint import Endpoint, HubChoice
from mixhub.errors import HubError
from mixhub.files import write_text
from mixhub.hub.remote.client import client, hub_errors
from mixhub.hub.remote.connect import open_hub
from mixhub.spec.base import to_yaml
from mixhub.workspace.paths import Workspace

_CONVERTED = "refs/convert/parquet"
"""Where the Hub keeps what it made of a dataset, also of one that is a script, which datasets 4 and later refuses."""
_CONVERTED_FILE = re.compile(r"(?P<config>[^/]+)/(?!partial-)(?P<split>[^/]+)/\d+\.parquet")
"""Of datasets that are too large for it, the Hub converts a part only."""
_TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt"]


def fetch_tokenizer(endpoint: Endpoint, repo_id: str) -> Path:
    """Folder of a repo's tokenizer, from the cache where it is there.

    Raises:
        RepoNotFoundError, HubUnreachableError: the hub has no such repo, or does not answer.
    """
    from huggingface_hub import snapshot_download

    with hub_errors(endpoint, repo_id):
        folder = snapshot_download(
            repo_id,
            endpoint=endpoint.url,
            token=endpoint.token,
            cache_dir=endpoint.cache_dir,
            allow_patterns=_TOKENIZER_FILES,
        )
    return Path(str(folder))


@dataclass(frozen=True)
class DatasetFetch:
    """Fetches datasets from a hub, which is opened when the first one is asked for."""

    choice: HubChoice
    """Which hub."""
    workspace: Workspace | None = None
    """Whose embedded hub `local` means."""

    @property
    def hub(self) -> str:
        """Which hub, as an address or `local`."""
        return self.choice.value

    def __call__(self, repo_id: str, config: str | None, revision: str | None, into: Path) -> str:
        """As `fetch_dataset`."""
        with open_hub(self.choice, self.workspace) as endpoint:
            return fetch_dataset(endpoint, repo_id, config, revision, into)


def fetch_dataset(endpoint: Endpoint, repo_id: str, config: str | None, revision: str | None, into: Path) -> str:
    """Puts the files of one config of a dataset repo into a folder that `load_dataset` opens; gives the commit.

    Of a repo that is a script, the parquet files that the Hub made of it are taken.

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
    if "README.md" in paths:
        _downloaded(endpoint, repo_id, commit, ["README.md"], into)
    metadata = _metadata(endpoint, repo_id, into / "README.md")
    configs = metadata.get("configs")
    if not configs and f"{repo_id.split('/')[-1]}.py" in paths:
        return _fetch_converted(endpoint, repo_id, config, into)
    if isinstance(configs, list) and configs:
        chosen = _without_folder(_config(endpoint, repo_id, configs, config))
        if patterns := list(_leaves(chosen.get("data_files"))) or _below(chosen.get("data_dir")):
            paths = [path for path in paths if any(_matches(path, pattern) for pattern in patterns)]
        _write_card(into, chosen, metadata.get("dataset_info"))
    wanted_paths = [path for path in paths if not path.endswith(".py") and path != "README.md"]
    _downloaded(endpoint, repo_id, commit, wanted_paths, into)
    return commit


def _write_card(into: Path, config: Mapping[str, Any], info: object) -> None:
    """A card with this config only: `load_dataset` wants the files of every config that a card names."""
    name = config.get("config_name", "default")
    card: dict[str, Any] = {"configs": [dict(config)]}
    if isinstance(info, list):
        info = next((own for own in info if isinstance(own, Mapping) and own.get("config_name") == name), None)
    if isinstance(info, Mapping) and info.get("config_name", name) == name:
        card["dataset_info"] = dict(info)
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
    _downloaded(endpoint, repo_id, commit, [path for files in splits.values() for path in files], into)
    files = [{"split": split, "path": sorted(paths)} for split, paths in sorted(splits.items())]
    _write_card(into, {"config_name": config or "default", "data_files": files}, None)
    return commit


def _dataset_files(endpoint: Endpoint, repo_id: str, revision: str | None) -> tuple[str, list[str]]:
    from huggingface_hub import errors

    with hub_errors(endpoint, repo_id, revision):
        try:
            info = client(endpoint).dataset_info(repo_id, revision=revision)
        except errors.RevisionNotFoundError:  # `hub_errors` would list the branches of a model
            raise HubError(
                f"{endpoint}: dataset {repo_id} has no revision {revision or 'main'}",
                code="dataset-revision-missing",
                hint="name another in dataset_kwargs.revision of the task, or mirror the dataset as parquet",
                dataset=repo_id,
                revision=revision or "main",
            ) from None
        return str(info.sha), [sibling.rfilename for sibling in info.siblings or ()]


def _downloaded(endpoint: Endpoint, repo_id: str, commit: str, paths: Sequence[str], into: Path) -> None:
    from huggingface_hub import snapshot_download

    with hub_errors(endpoint, repo_id, commit):
        snapshot_download(
            repo_id,
            repo_type="dataset",
            revision=commit,
            endpoint=endpoint.url,
            token=endpoint.token,
            local_dir=into,
            allow_patterns=[glob.escape(path) for path in paths],
        )
    shutil.rmtree(into / ".cache", ignore_errors=True)  # the client's notes on a folder that it may update
    if missing := [path for path in paths if not (into / path).is_file()]:
        raise HubError(
            f"{endpoint}: dataset {repo_id} at {commit}: {missing[0]} did not come",
            code="download-incomplete",
            hint="try again",
            dataset=repo_id,
            path=missing[0],
        )


def _config(endpoint: Endpoint, repo_id: str, configs: Sequence[Any], config: str | None) -> Mapping[str, Any]:
    by_name = {str(own.get("config_name", "default")): own for own in configs if isinstance(own, Mapping)}
    if config is None:
        default = [own for own in by_name.values() if own.get("default")]
        only = list(by_name.values()) if len(by_name) == 1 else []
        candidates = default or [own for own in (by_name.get("default"),) if own] or only
        if not candidates:
            raise _no_config(endpoint, repo_id, config, list(by_name))
        return candidates[0]
    if config not in by_name:
        raise _no_config(endpoint, repo_id, config, list(by_name))
    return by_name[config]


def _no_config(endpoint: Endpoint, repo_id: str, config: str | None, names: Sequence[str]) -> HubError:
    return HubError(
        f"{endpoint}: dataset {repo_id} has no config {config or 'default'} (it has: {', '.join(names) or 'none'})",
        code="dataset-config-missing",
        hint="correct dataset_name in the task's YAML, or mirror the dataset with that config",
        dataset=repo_id,
        config=config or "default",
        configs=tuple(names),
    )


def _metadata(endpoint: Endpoint, repo_id: str, card: Path) -> Mapping[str, Any]:
    """What a dataset card says at its head; empty where it says nothing, or there is none."""
    from huggingface_hub import metadata_load

    if not card.is_file():
        return {}
    try:
        metadata: Any = metadata_load(card)
    except (ValueError, yaml.YAMLError) as error:
        raise HubError(
            f"{endpoint}: dataset {repo_id}: the head of its README.md is no YAML: {str(error).splitlines()[0]}",
            code="dataset-card-malformed",
            hint="correct it there, or mirror the dataset with a card that can be read",
            dataset=repo_id,
        ) from None
    return metadata if isinstance(metadata, Mapping) else {}


def _without_folder(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config whose `data_files` are said from the root: of the first config, datasets looks for them only there."""
    if not config.get("data_dir") or not config.get("data_files"):
        return config
    folder = _relative(str(config["data_dir"]))
    rest = {key: value for key, value in config.items() if key not in ("data_dir", "data_files")}
    return {**rest, "data_files": _moved(config["data_files"], folder)}


def _moved(data_files: object, folder: str) -> Any:
    if isinstance(data_files, str):
        return f"{folder}/{_relative(data_files)}"
    if isinstance(data_files, Mapping):
        return {key: value if key == "split" else _moved(value, folder) for key, value in data_files.items()}
    return [_moved(inner, folder) for inner in data_files] if isinstance(data_files, list) else data_files


def _below(folder: object) -> list[str]:
    return [f"{_relative(str(folder))}/**"] if folder else []


def _matches(path: str, pattern: str) -> bool:
    """As datasets matches, or more: `**/` may stand for no folder at all."""
    pattern = _relative(pattern)
    return any(fnmatch.fnmatchcase(path, own) for own in (pattern, pattern.replace("**/", "")))


def _relative(path: str) -> str:
    return path.removeprefix("./").strip("/")


def _leaves(data_files: object) -> Iterator[str]:
    """Patterns in any of the forms that a dataset card may write them."""
    if isinstance(data_files, str):
        yield data_files
    elif isinstance(data_files, Mapping):
        yield from _leaves(data_files["path"] if "path" in data_files else list(data_files.values()))
    elif isinstance(data_files, list):
        for inner in data_files:
            yield from _leaves(inner)
