"""`mixhub add`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.console import say, say_next
from mixhub.cli.common.options import WorkspaceOption, find_workspace

_MIXTURE_HELP = (
    "YAML file with the mixture, in RegMix's format or with one line `domain: weight` per domain; or a folder of such "
    "files, which makes a family with one run, an index, for each."
)
_EXTENDS_HELP = "Family whose recipe it has. [default: the workspace's]"
_EACH_HELP = "Make a family of each file in the folder, named NAME-<file>, with all seeds."


def add(
    name: Annotated[str, typer.Argument(help="Name of the new family.", metavar="NAME")],
    mixture: Annotated[Path, typer.Option(help=_MIXTURE_HELP, metavar="FILE|DIR")],
    extends: Annotated[str | None, typer.Option(help=_EXTENDS_HELP, metavar="FAMILY")] = None,
    each: Annotated[bool, typer.Option("--each", help=_EACH_HELP)] = False,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Add a mixture to the workspace: a new family in mixhub.yaml, with the recipe of one that exists.

    The other lines of mixhub.yaml stay as they are.
    """
    from mixhub import workflow
    from mixhub.phrases import listed, plural, ranges

    workspace = find_workspace(workspace_dir)
    added = workflow.add(workspace, name, mixture, extends=extends, each=each)
    for family in added:
        kinds = family.revisions.plural(family.revisions.kind)
        runs = f"{plural(len(family.runs()), 'run')}, {kinds} {ranges(family.revisions.labels)}"
        say(f"added {family.name} ({family.repo_id}): {runs}")
    first, others = added[0], [family.name for family in added[1:]]
    named = f"--family {first.name}"
    say_next(f"mixhub data pack {named} && mixhub train {named} --all")
    if others:
        say(f"the same for {listed(others, most=8)}")
