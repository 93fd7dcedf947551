"""`mixhub hub serve` and `mixhub hub import`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.groups import group

if TYPE_CHECKING:
    from mixhub.hubserver import ImportedRepo

app = group("The embedded hub: a Hub on your machine, for the usual clients.")

RootOption = Annotated[
    Path | None, typer.Option(help="Its storage; else hub/ of the workspace here.", metavar="DIR", show_default=False)
]


class RepoType(StrEnum):
    """What kind of repos a folder holds."""

    MODEL = "model"
    DATASET = "dataset"


@app.command()
def serve(
    root: RootOption = None,
    host: Annotated[str, typer.Option(help="Address to listen at.", metavar="HOST")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Else the one that this storage had before.", metavar="PORT", min=1, max=65535)
    ] = None,
) -> None:
    """Serve a hub until it is stopped (Ctrl-C)."""
    from mixhub.cli.common.console import say
    from mixhub.hubserver import run_forever

    storage = _root(root)
    if not (storage / "store.json").exists():
        say(f"{storage} holds no hub yet: making an empty one")

    def ready(url: str) -> None:
        say(f"serving {storage} at {url}")
        say(f"clients: export HF_ENDPOINT={url} HF_TOKEN=hf_mixhub_local")

    run_forever(storage, host, port, ready)


@app.command(name="import")
def import_(
    folder: Annotated[Path, typer.Argument(help="Each <namespace>/<name> below it becomes a repo.", metavar="DIR")],
    root: RootOption = None,
    repo_type: Annotated[RepoType, typer.Option(help="What the folders hold.")] = RepoType.MODEL,
) -> None:
    """Take folders into a hub's storage as repos, one commit each; a repo that has the same files gets none."""
    from mixhub.cli.common.console import say
    from mixhub.hubserver import import_folder
    from mixhub.phrases import plural

    def imported(repo: ImportedRepo) -> None:
        say(_imported_line(repo))

    storage = _root(root)
    repos = import_folder(folder, storage, repo_type.value, imported)
    say(f"{plural(len(repos), 'repo')} in {storage}")


def _imported_line(repo: ImportedRepo) -> str:
    return f"{repo.repo_id} = {repo.commit}"


def _root(root: Path | None) -> Path:
    from mixhub.errors import UsageError, WorkspaceError
    from mixhub.workspace.paths import CONFIG_FILE, Workspace

    if root is not None:
        if (root / CONFIG_FILE).is_file():
            raise UsageError(
                f"--root {root}: is a workspace, whose hub has a folder",
                code="option-value",
                hint=f"--root {root / 'hub'}",
                option="--root",
                value=str(root),
            )
        return root
    try:
        return Workspace.find().hub
    except WorkspaceError as error:
        raise UsageError(
            f"which hub? {error.message}",
            code="option-missing",
            hint="name its storage: --root DIR",
            option="--root",
        ) from None
