"""`mixhub hub serve` and `mixhub hub import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mixhub.cli.common.groups import group

app = group("Run the embedded hub: a hub on your machine that works with the usual clients.")

RootOption = Annotated[
    Path | None,
    typer.Option(
        help="Storage folder of the hub. [default: hub/ in the current workspace]", metavar="DIR", show_default=False
    ),
]


@app.command()
def serve(
    root: RootOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.", metavar="HOST")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            help="Port to listen on. [default: the one last used for this storage]", metavar="PORT", min=1, max=65535
        ),
    ] = None,
) -> None:
    """Serve the embedded hub until you press Ctrl-C."""
    from mixhub.cli.common.console import say
    from mixhub.hubserver import RunningHub, run_forever

    storage = _root(root)
    if not (storage / "store.json").exists():
        say(f"{storage} is empty: creating a new hub")

    def ready(hub: RunningHub) -> None:
        say(f"serving {storage} at {hub.url}")
        if hub.beside is not None:
            say(f"another server has the same storage, at {hub.beside}: both see each other's commits")
        say(f"clients: export HF_ENDPOINT={hub.url} HF_TOKEN=hf_mixhub_local")

    run_forever(storage, host, port, ready)


@app.command(name="import")
def import_(
    folder: Annotated[
        Path, typer.Argument(help="Folder; each <namespace>/<name> in it becomes a repo.", metavar="DIR")
    ],
    root: RootOption = None,
    repo_type: Annotated[Literal["model", "dataset"], typer.Option(help="Type of the repos.")] = "model",
) -> None:
    """Import folders into the embedded hub as repos, one commit each.

    A repo that already has the same files gets no new commit.
    """
    from mixhub.cli.common.console import say
    from mixhub.hubserver import import_folder
    from mixhub.phrases import plural

    storage = _root(root)
    repos = import_folder(folder, storage, repo_type, lambda repo: say(f"{repo.repo_id} = {repo.commit}"))
    say(f"{plural(len(repos), 'repo')} in {storage}")


def _root(root: Path | None) -> Path:
    from mixhub.errors import UsageError, WorkspaceError
    from mixhub.workspace.paths import CONFIG_FILE, Workspace

    if root is not None:
        if (root / CONFIG_FILE).is_file():
            message, hint = f"--root {root}: is a workspace; its hub is in a subfolder", f"pass --root {root / 'hub'}"
            raise UsageError(message, code="option-value", hint=hint, option="--root", value=str(root))
        return root
    try:
        return Workspace.find().hub
    except WorkspaceError as error:
        message, hint = f"no hub given, and {error.message}", "pass the folder of the hub: --root DIR"
        raise UsageError(message, code="option-missing", hint=hint, option="--root") from None
