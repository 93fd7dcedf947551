"""`mixhub data download`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.console import progress, say, say_next, show_table
from mixhub.cli.common.options import FamilyOption, WorkspaceOption, find_workspace, note_family
from mixhub.errors import UsageError
from mixhub.phrases import listed, magnitude, plural, size

if TYPE_CHECKING:
    from mixhub.workflow import Download

_REPO_HELP = "Dataset repo. [default: the one that the family names]"
_DOMAIN_HELP = "Only this domain; repeat it for several. [default: those that the family reads]"
_FOR_HELP = "Take only as many files of each domain as a run of this family needs, by an estimate with a margin."
_SUBSET_HELP = (
    "With --for: accept that a part of the files gives another order than all of them, if the family has RegMix's. "
    "Manifest, lineage and card name the part."
)
_HUB_HELP = "Hub of the dataset: `local` or an address. [default: HF_ENDPOINT or huggingface.co]"


def download(
    repo: Annotated[str | None, typer.Option(help=_REPO_HELP, metavar="OWNER/NAME")] = None,
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.", metavar="NAME")] = "main",
    domain: Annotated[list[str] | None, typer.Option(help=_DOMAIN_HELP, metavar="NAME")] = None,
    for_family: Annotated[str | None, typer.Option("--for", help=_FOR_HELP, metavar="FAMILY")] = None,
    subset: Annotated[bool, typer.Option("--subset", help=_SUBSET_HELP)] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files and sizes; download nothing.")] = False,
    hub: Annotated[str | None, typer.Option(help=_HUB_HELP, metavar="HUB")] = None,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Download the text of a family from its dataset repo into data/<corpus>.

    Files that are there stay, and a killed download goes on where it stopped. Every file is compared with the hub's
    hash. Nothing is downloaded if the disk has no room for all.
    """
    from huggingface_hub import utils

    from mixhub import workflow
    from mixhub.workflow.data.downloads import BYTES_PER_TOKEN, MARGIN

    if for_family is not None and family_name not in (None, for_family):
        hint = f"to download for {for_family}, omit --family"
        raise UsageError("pass either --for or --family", code="option-conflict", hint=hint, option="--family")
    workspace = find_workspace(workspace_dir)
    family = workspace.family(for_family or family_name)
    if for_family is not None and for_family != workspace.config.family:
        note_family(for_family)
    utils.disable_progress_bars()  # type: ignore[attr-defined]  # ours counts the bytes of all files
    wanted = workflow.Wanted(repo, revision, tuple(domain or ()), for_budget=for_family is not None, subset=subset)
    done = workflow.download_data(workspace, wanted, family=family, hub=hub, dry_run=dry_run, progress=progress())
    _show(done, dry_run)
    if for_family is not None:
        say(
            f"for {magnitude(family.training.tokens)} tokens, at {BYTES_PER_TOKEN:g} bytes a token and "
            f"{MARGIN - 1:.0%} more"
        )
    if done.short:
        say(f"less text than that, so a run repeats it: {listed(done.short)}")
    if not dry_run:
        say(f"downloaded to {done.folder}, commit {done.commit[:12]} of {done.repo_id}")
        say_next("mixhub data pack")


def _show(done: Download, dry_run: bool) -> None:
    """Print the files with --dry-run, otherwise a row for each domain."""
    missing = set(done.missing)
    if dry_run:
        rows = [(one.path, size(one.remote.size), "" if one in missing else "there") for one in done.files]
        show_table(["file", "size", ""], rows)
    else:
        groups: dict[tuple[str, str], list[int]] = {}
        for one in done.files:
            groups.setdefault((one.split, one.domain), []).append(one.remote.size)
        table = [(split, domain, len(sizes), size(sum(sizes))) for (split, domain), sizes in groups.items()]
        show_table(["split", "domain", "files", "size"], table)
    there = len(done.files) - len(missing)
    say(
        f"{plural(len(done.files), 'file')}, {there:,} already there; {plural(len(missing), 'file')} to download, "
        f"{size(done.needed)}; {size(done.free)} free"
        if dry_run
        else f"{plural(len(missing), 'file')} downloaded, {size(done.needed)}; {there:,} already there"
    )
    if not done.train.is_whole:
        say(f"a part: {done.train.files:,} of the {done.train.of:,} files of training text of these domains")
