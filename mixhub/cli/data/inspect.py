"""`mixhub data inspect`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mixhub.cli.common import console, options

if TYPE_CHECKING:
    from mixhub.data.orders.regmix import LoaderDomain
    from mixhub.workflow import InspectedDomain, Inspection

_OUTPUT_HELP = "Also plot the training domains: file (.svg, .png or .pdf), or folder for .svg and .png."
_MOST_NAMED = 5
_Number = TypeVar("_Number", int, float)


def inspect(
    seed: options.SeedOption = None,
    index: options.IndexOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help=_OUTPUT_HELP, metavar="PATH")] = None,
    as_json: options.JsonOption = False,
    family_name: options.FamilyOption = None,
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Show what a run reads of each domain: text, tokens, weight, epochs; exit with 1 if a domain cannot be read.

    Works before and after packing. With --seed or --index, the samples of that run are counted; otherwise, the
    sequences of a domain are its share of the run.
    """
    from mixhub import workflow
    from mixhub.findings import exit_status

    workspace = options.find_workspace(workspace_dir)
    family = workspace.family(family_name)
    name = workflow.RunName(seed=seed, index=index, family=family)
    inspection = workflow.inspect_data(workspace, progress=console.progress(as_json=as_json), **name)
    plots = workflow.save_plot(inspection.plot(), output) if output is not None else []
    if as_json:
        console.say_json(inspection.to_data())
    else:
        _show(inspection)
        for path in plots:
            console.say(str(path))
    if status := exit_status(inspection.findings):
        raise typer.Exit(status)


def _show(inspection: Inspection) -> None:
    """Print the tables, the findings, and notes."""
    from mixhub.phrases import magnitude, plural

    train, valid = inspection.of_split("train"), inspection.of_split("valid")
    console.show_table(_TEXT, [_text(one) for one in train], title=f"{inspection.family}: training text")
    rows = [_reading(one, inspection.sequence_length) for one in train]
    amount = f"{plural(inspection.sequences, 'sequence')}, {magnitude(inspection.tokens)} tokens"
    title = f"what {inspection.revision or 'a run'} reads in order {inspection.order}: {amount}"
    console.show_table(["domain", "packed", "weight", "sequences", "tokens", "epochs"], rows, title=title)
    if inspection.loader is not None:
        rows = [(one.domain, *_loaded(part)) for one, part in zip(train, inspection.loader, strict=True)]
        columns = ["domain", "chunks", "left over", "tokens in tails", "weight", "share"]
        console.show_table(columns, rows, title="what RegMix's loader makes of it")
    rows = [(*_text(one), _known(one.sequences, "{:,}".format)) for one in valid]
    console.show_table([*_TEXT, "read"], rows, title="validation text, and the sequences read each time")
    console.show_findings(inspection.findings)
    for note in _notes(inspection):
        console.say_wrapped(note)


_TEXT = ("domain", "files", "size", "documents", "tokens", "median", "longest")


def _text(domain: InspectedDomain) -> tuple[object, ...]:
    from mixhub.phrases import magnitude, size

    figures = (domain.documents, domain.tokens, domain.median_document, domain.longest_document)
    return domain.domain, domain.files, size(domain.size), *(_known(figure, magnitude) for figure in figures)


def _reading(domain: InspectedDomain, sequence_length: int) -> tuple[object, ...]:
    from mixhub.card.markdown.figures import epochs, percent
    from mixhub.phrases import magnitude

    sequences = domain.sequences or 0
    shares = _known(domain.share, percent), _known(domain.weight, percent)
    return domain.domain, *shares, sequences, magnitude(sequences * sequence_length), _known(domain.epochs, epochs)


def _loaded(domain: LoaderDomain) -> tuple[object, ...]:
    from mixhub.card.markdown.figures import percent
    from mixhub.phrases import magnitude

    left = domain.chunks - domain.chunks_read
    shares = percent(domain.weight), percent(domain.share)
    return domain.chunks, left, magnitude(domain.tokens_lost), *shares


def _known(value: _Number | None, shown: Callable[[_Number], str]) -> str:
    return "-" if value is None else shown(value)


def _notes(inspection: Inspection) -> Iterator[str]:
    """Yield what the tables do not say."""
    from mixhub.card.markdown.figures import epochs
    from mixhub.phrases import listed

    train = inspection.of_split("train")
    repeated = sorted((one for one in train if (one.epochs or 0) > 1), key=lambda one: -(one.epochs or 0))
    if repeated:
        named = [f"{one.domain} ({epochs(one.epochs or 0)} times)" for one in repeated]
        yield f"read more than once: {listed(named, most=_MOST_NAMED)}"
    if inspection.unused:
        yield f"text that {inspection.family} does not sample: {listed(inspection.unused, most=_MOST_NAMED)}"
    if skipped := [f"{one.domain} {one.skipped_rows:,}" for one in inspection.domains if one.skipped_rows]:
        yield f"broken rows that were not packed: {listed(skipped, most=_MOST_NAMED)}"
    if not inspection.is_packed:
        yield options.as_asked("documents, tokens and epochs are known after packing: mixhub data pack")
    elif inspection.revision is None:
        yield "sequences are those to expect from the weights; pass --seed N to count those of a run"
