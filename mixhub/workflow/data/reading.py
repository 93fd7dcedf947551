"""Which documents a run reads at which step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from mixhub.data.hashes import TOKENIZER
from mixhub.data.orders.choice import order_of
from mixhub.data.seen import Samples, SeenDocument
from mixhub.data.shards import TokenShards
from mixhub.data.tokenizer import open_tokenizer
from mixhub.errors import RunError, UsageError
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import RunName, WorkspaceLike, find_run, open_workspace
from mixhub.workspace.lineage import UNKNOWN, read_lineage
from mixhub.workspace.recipe_diff import require_same_recipe

if TYPE_CHECKING:
    from pathlib import Path

    import pandas

    from mixhub.spec import Family, Run
    from mixhub.workspace.manifest import Manifest
    from mixhub.workspace.paths import RunFolder


@dataclass(frozen=True)
class SeenDocuments:
    """What some steps of a run read."""

    revision: str
    first_step: int
    """The first of these steps, counted from 1."""
    last_step: int
    documents: tuple[SeenDocument, ...]
    """The parts in the order in which they are read. Those of one sample follow each other."""
    partial: tuple[str, ...]
    """Files of these documents with rows that were held out or skipped, so that a number is not that of a line."""

    @cached_property
    def totals(self) -> dict[str, dict[str, int]]:
        """Samples, different documents and tokens by domain, in the order of their names."""
        by_domain: dict[str, list[SeenDocument]] = {}
        for part in self.documents:
            by_domain.setdefault(part.domain, []).append(part)
        return {
            domain: {
                "samples": len({part.sample for part in by_domain[domain]}),
                "documents": len({(part.file, part.document) for part in by_domain[domain]}),
                "tokens": sum(part.tokens for part in by_domain[domain]),
            }
            for domain in sorted(by_domain)
        }

    def frame(self) -> pandas.DataFrame:
        """Return a row per part of a document, with the fields of `SeenDocument`."""
        import pandas as pd

        return pd.DataFrame([asdict(part) for part in self.documents])

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        parts = [{key: value for key, value in asdict(part).items() if value is not None} for part in self.documents]
        steps = {"revision": self.revision, "first_step": self.first_step, "last_step": self.last_step}
        return steps | {"documents": parts, "totals": self.totals, "partial": list(self.partial)}


def seen_documents(
    workspace: WorkspaceLike,
    *,
    step: int,
    to: int | None = None,
    text: bool = False,
    progress: Progress = SILENT,
    **run_name: Unpack[RunName],
) -> SeenDocuments:
    """Report which documents some steps of a run read, whether it is trained or not.

    A sample is one token longer than a sequence: its last token is only a target.

    Args:
        workspace: the workspace with the token shards.
        step: the first step; step 1 makes the first update.
        to: the last step; None: only `step`.
        text: also decode the tokens.
        progress: reports what is not known.
        **run_name: seed or index, and family.

    Raises:
        UsageError: the run does not have these steps, or no run is named.
        UnknownNameError: there is no such run.
        RunError: the run was trained with another recipe or other tokens, or its order seed is unknown.
        CorpusError: there are no token shards, they are damaged, or they lack the ends of documents.
    """
    workspace = open_workspace(workspace)
    family, run = find_run(workspace, **run_name)
    first, last = _checked_steps(family, step, to)
    shards = TokenShards(workspace.tokens(family), family.training.sequence_length)
    manifest = shards.manifest.for_family(family)
    _require_read(family, run, manifest, workspace.run_folder(run), progress)
    documents = tuple(_documents(family, run, shards, range(first, last + 1), text))
    return SeenDocuments(run.revision, first, last, documents, _partial(documents, manifest))


def _checked_steps(family: Family, step: int, to: int | None) -> tuple[int, int]:
    last, steps = step if to is None else to, family.training.steps
    for option, value, least in (("--step", step, 1), ("--to", last, step)):
        if not least <= value <= steps:
            message = f"{option} = {value}: must be from {least} to {steps}, the last step of {family.name}"
            raise UsageError(message, code="option-value", option=option, value=value)
    return step, last


def _require_read(family: Family, run: Run, manifest: Manifest, folder: RunFolder, progress: Progress) -> None:
    """Raise RunError if the run was trained with another recipe or with other tokens than there are now."""
    if exports := folder.export_steps():
        export = folder.export(exports[-1])
        require_same_recipe(family, run, export / folder.train_config.name, folder.path)
        lineage = read_lineage(export)
        if lineage.corpus_sha256 == UNKNOWN:
            progress.notice(f"{run.revision} was trained elsewhere; this is what it would read here")
        elif lineage.corpus_sha256 != manifest.sha256():
            message = f"{export}: the token shards changed since this run was trained"
            hint = "restore them to see what the run read"
            raise RunError(message, code="tokens-changed", hint=hint, path=export)
    elif checkpoints := folder.checkpoint_steps():
        from mixhub.training.checkpoints.state import read_state, require_unchanged

        path = folder.checkpoint(checkpoints[-1])
        require_unchanged(path, read_state(path), family, run, manifest)


def _documents(family: Family, run: Run, shards: TokenShards, steps: range, with_text: bool) -> Iterator[SeenDocument]:
    samples = Samples(family, shards, order_of(family, run, shards.manifest))
    decode = _decoder(shards.folder) if with_text else None
    for step in steps:
        for sample in samples.of_step(step):
            yield from samples.documents(sample, decode)


def _partial(documents: Iterable[SeenDocument], manifest: Manifest) -> tuple[str, ...]:
    files = {part.file for part in documents}
    sources = (source for domain in manifest.train.values() for source in domain.sources)
    return tuple(source.name for source in sources if source.name in files and (source.held_out or source.skipped))


def _decoder(tokens: Path) -> Callable[[list[int]], str]:
    tokenizer = open_tokenizer(tokens / TOKENIZER)
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=False)
