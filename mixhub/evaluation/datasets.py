"""The documents of tasks: dataset repos, downloaded once into folders that need no hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mixhub.errors import HubError, ResultsError
from mixhub.files import clear_leftovers, locked, new_folder, read_json, write_json

_SNAPSHOT_FILE = "mixhub-snapshot.json"


class Fetch(Protocol):
    """Downloads from a hub. `evaluate` itself makes no network request."""

    @property
    def hub(self) -> str:
        """The hub, as an address or `local`."""

    def __call__(self, repo_id: str, config: str | None, revision: str | None, into: Path) -> str:
        """Download the files of one config of a dataset repo into a folder, and return the commit.

        Raises:
            HubError: the hub does not answer, or does not have the repo, config or revision.
        """


@dataclass(frozen=True)
class Datasets:
    """A folder of downloaded dataset repos."""

    root: Path
    fetch: Fetch | None = None
    """None: nothing is downloaded."""
    only_from: str | None = None
    """Download again what came from another hub than this one; None: any hub will do."""
    refresh: bool = False
    """Whether to download a repo again if the hub has another commit by now."""

    @property
    def prepared(self) -> Path:
        """The cache of the datasets library, which distinguishes files, but not two folders."""
        return self.root / "arrow"

    def prepared_folder(self, repo_id: str, config: str | None, commit: str) -> Path:
        """Return the library's cache for a commit of a dataset repo."""
        return self.prepared / repo_id.replace("/", "--") / _config_name(config) / commit[:12]

    def folder(self, repo_id: str, config: str | None) -> Path:
        """Return the folder of one config of a repo."""
        return self.root / repo_id.replace("/", "--") / _config_name(config)

    def commit(self, repo_id: str, config: str | None, revision: str | None) -> str | None:
        """Return the commit of one config of a dataset repo, if it was downloaded."""
        snapshot = self._snapshot(self.folder(repo_id, config), revision)
        return snapshot["commit"] if snapshot else None

    def get(self, repo_id: str, config: str | None, revision: str | None) -> tuple[Path, str]:
        """Return folder and commit of one config of a dataset repo, downloading it if necessary.

        Raises:
            ResultsError: it cannot be downloaded; the hint says how to mirror it.
        """
        folder = self.folder(repo_id, config)
        with locked(folder.parent / ".lock", f"{folder} is being downloaded", timeout=-1):
            before = self._snapshot(folder, revision)
            if before is not None and not (self.refresh and self.fetch is not None):
                return folder, before["commit"]
            if self.fetch is None:
                raise _missing(repo_id, config, "not downloaded, and no hub to download it from")
            clear_leftovers(folder.parent)
            try:
                with new_folder(folder) as building:
                    commit, hub = self.fetch(repo_id, config, revision, building), self.fetch.hub
                    if before is not None and (before["commit"], before["hub"]) == (commit, hub):
                        raise _UnchangedError
                    snapshot = {"format": 1, "hub": hub, "repo_id": repo_id, "config": config}
                    write_json(building / _SNAPSHOT_FILE, {**snapshot, "revision": revision, "commit": commit})
            except _UnchangedError:
                return folder, commit
            except HubError as error:
                raise _missing(repo_id, config, error.message) from error
        return folder, commit

    def _snapshot(self, folder: Path, revision: str | None) -> dict[str, Any] | None:
        """Return hub, revision and commit of the folder, if they are the requested ones."""
        try:
            snapshot = read_json(folder / _SNAPSHOT_FILE, ResultsError)
            matches = snapshot["format"] == 1 and snapshot.get("revision") == revision and snapshot["commit"]
            is_elsewhere = self.only_from is not None and snapshot["hub"] != self.only_from
        except (ResultsError, KeyError, TypeError):
            return None
        return snapshot if matches and not is_elsewhere else None


def _config_name(config: str | None) -> str:
    """Return a folder name; a repo's default config need not be the one called `default`."""
    return "default" if config is None else f"config-{config}"


class _UnchangedError(Exception):
    """The hub has the commit that is on disk: the folder stays."""


def _missing(repo_id: str, config: str | None, why: str) -> ResultsError:
    name = f"{repo_id} ({config})" if config else repo_id
    hint = (
        "download it on a machine with network (add --prefetch to this command), or mirror it: hf download --repo-type "
        f"dataset {repo_id} --local-dir DIR/{repo_id}; mixhub hub import DIR --repo-type dataset; --datasets-hub local"
    )
    message = f"dataset {name} cannot be loaded: {why}"
    return ResultsError(message, code="dataset-missing", hint=hint, dataset=repo_id, config=config)
