"""Where the documents of tasks come from: dataset repos, fetched once into folders that need no hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mixhub.errors import HubError, ResultsError, SpecError
from mixhub.files import clear_leftovers, locked, new_folder, read_json, write_json
from mixhub.spec.base import Spec

_SNAPSHOT_FILE = "mixhub-snapshot.json"


class Fetch(Protocol):
    """What can reach a hub. `evaluate` itself makes no request."""

    @property
    def hub(self) -> str:
        """Which hub, as an address or `local`."""

    def __call__(self, repo_id: str, config: str | None, revision: str | None, into: Path) -> str:
        """Puts the files of one config of a dataset repo into a folder; gives the commit.

        Raises:
            HubError: the hub does not answer, or has no such repo, config or revision.
        """


class Snapshot(Spec):
    """What was fetched of a dataset repo."""

    format: int = 1
    """Version of this file's layout."""
    hub: str
    """Where it was fetched from."""
    repo_id: str
    """The dataset repo."""
    config: str | None = None
    """Its config; None: the default one."""
    revision: str | None = None
    """The revision that was asked for; None: the repo's own."""
    commit: str
    """The commit that this was."""


@dataclass(frozen=True)
class Datasets:
    """A folder of dataset repos, each whole or not there."""

    root: Path
    fetch: Fetch | None = None
    """None: what is not there already is not fetched."""
    only_from: str | None = None
    """A hub: what another one gave is fetched again. None: any will do."""
    refresh: bool = False
    """Whether a repo that is there is fetched again, in case the hub has another commit by now."""

    @property
    def prepared(self) -> Path:
        """Where the datasets library keeps what it has read; it distinguishes files, but not two folders."""
        return self.root / "arrow"

    def prepared_of(self, repo_id: str, config: str | None, commit: str) -> Path:
        """Where it keeps what it has read of a dataset repo."""
        return self.prepared / repo_id.replace("/", "--") / _config_name(config) / commit[:12]

    def folder(self, repo_id: str, config: str | None) -> Path:
        """Where one config of a repo lies."""
        return self.root / repo_id.replace("/", "--") / _config_name(config)

    def commit(self, repo_id: str, config: str | None, revision: str | None) -> str | None:
        """The commit of one config of a dataset repo, if it was fetched."""
        snapshot = self._snapshot(self.folder(repo_id, config), revision)
        return snapshot.commit if snapshot else None

    def get(self, repo_id: str, config: str | None, revision: str | None) -> tuple[Path, str]:
        """Folder and commit of one config of a dataset repo; fetched if it is not there.

        Raises:
            ResultsError: it is not there and cannot be fetched; says from where, and how to mirror it.
        """
        folder = self.folder(repo_id, config)
        with locked(folder.parent / ".lock", f"{folder} is being fetched", timeout=-1):
            before = self._snapshot(folder, revision)
            if before is not None and not (self.refresh and self.fetch is not None):
                return folder, before.commit
            if self.fetch is None:
                raise _missing(repo_id, config, "it was not fetched yet, and no hub was named")
            clear_leftovers(folder.parent)
            try:
                with new_folder(folder) as building:
                    commit = self.fetch(repo_id, config, revision, building)
                    snapshot = Snapshot(
                        hub=self.fetch.hub, repo_id=repo_id, config=config, revision=revision, commit=commit
                    )
                    write_json(building / _SNAPSHOT_FILE, snapshot.to_data())
                    if before is not None and (before.commit, before.hub) == (commit, snapshot.hub):
                        raise _Unchanged
            except _Unchanged:
                return folder, commit
            except HubError as error:
                raise _missing(repo_id, config, error.message) from error
        return folder, commit

    def _snapshot(self, folder: Path, revision: str | None) -> Snapshot | None:
        """What the folder holds, if it is what was asked for."""
        path = folder / _SNAPSHOT_FILE
        if not path.is_file():
            return None
        try:
            snapshot = Snapshot.from_data(read_json(path, ResultsError), str(path))
        except (ResultsError, SpecError):
            return None
        elsewhere = self.only_from is not None and snapshot.hub != self.only_from
        return None if snapshot.revision != revision or elsewhere else snapshot


def _config_name(config: str | None) -> str:
    """A repo's own default need not be the config that is called `default`."""
    return "default" if config is None else f"config-{config}"


class _Unchanged(Exception):  # noqa: N818 - no error: the folder that is there stays
    """The hub has what is there already."""


def _missing(repo_id: str, config: str | None, why: str) -> ResultsError:
    name = f"{repo_id} ({config})" if config else repo_id
    return ResultsError(
        f"dataset {name} cannot be loaded: {why}",
        code="dataset-missing",
        hint="fetch it where the network is (the same command with --prefetch), or mirror it: hf download --repo-type "
        f"dataset {repo_id} --local-dir DIR/{repo_id}; mixhub hub import DIR --repo-type dataset; --datasets-hub local",
        dataset=repo_id,
        config=config,
    )
