"""What a run reads of its data: text, tokens and weights of each domain, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from mixhub.card.markdown.figures import percent
from mixhub.data.corpus import Corpus
from mixhub.data.orders.choice import order_of
from mixhub.data.orders.regmix import LoaderDomain, loader_domains, loader_validation
from mixhub.data.shards import check_shards
from mixhub.errors import nearest
from mixhub.findings import Finding, Level
from mixhub.phrases import magnitude, plural
from mixhub.progress import SILENT, Bar, Progress
from mixhub.spec.mixture import sequences_per_domain
from mixhub.workflow.inputs import RunName, WorkspaceLike, find_family, open_workspace
from mixhub.workspace.manifest import Manifest, PackedDomain, Split, index_file, read_manifest, required_domains

if TYPE_CHECKING:
    import pandas

    from mixhub.card.plots.plot import Plot
    from mixhub.spec import Family, Run, Training
    from mixhub.workspace.paths import Workspace

MOST_EPOCHS = 4
"""Up to about four epochs, repeated data is nearly as good as new data (Muennighoff et al. 2023)."""
FEWEST_SEQUENCES = 100
"""A domain that gets fewer sequences is too light for its share to mean much."""
_SAMPLES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class InspectedDomain:
    """One domain of a split. What is not known before packing is None, and so are weight and epochs in validation."""

    split: Split
    domain: str
    """Its name, without prefix."""
    files: int = 0
    """Files of text."""
    size: int = 0
    """Bytes of these files."""
    skipped_rows: int = 0
    """Broken rows that were not packed."""
    documents: int | None = None
    """Documents in the shards."""
    tokens: int | None = None
    """Tokens in the shards, eos tokens included."""
    median_document: int | None = None
    """Median length of a document, in tokens, eos token included; half of the documents are at most as long."""
    longest_document: int | None = None
    """Length of the longest document, in tokens, eos token included."""
    share: float | None = None
    """Share of the packed tokens of the split."""
    weight: float | None = None
    """Share that the mixture asks for; the weights sum to 1."""
    available: int | None = None
    """Sequences of one epoch."""
    sequences: int | None = None
    """Sequences that the run reads, in training over all steps, in validation each time."""

    @property
    def epochs(self) -> float | None:
        """How often a run reads the domain."""
        if self.split == "valid" or not self.available or self.sequences is None:
            return None
        return self.sequences / self.available


@dataclass(frozen=True)
class Inspection:
    """What a run reads of its data."""

    family: str
    revision: str | None
    """The run whose samples were counted; None: the sequences are what the weights lead to expect of any run."""
    order: str
    """How samples are ordered: `training.order`."""
    sequence_length: int
    """Tokens per sequence."""
    steps: int
    sequences: int
    """Sequences that a run reads."""
    domains: tuple[InspectedDomain, ...]
    """Training domains in the order of the mixture, then validation domains."""
    unused: tuple[str, ...]
    """Training domains that have text in the corpus, but that the family does not sample."""
    loader: tuple[LoaderDomain, ...] | None
    """What RegMix's data loader makes of each training domain; None with other orders, and before packing."""
    findings: tuple[Finding, ...]

    @property
    def is_packed(self) -> bool:
        """Whether all domains are packed."""
        return all(domain.tokens is not None for domain in self.domains)

    @property
    def tokens(self) -> int:
        """Tokens that a run reads."""
        return self.sequences * self.sequence_length

    def of_split(self, split: Split) -> list[InspectedDomain]:
        """Return the domains of a split."""
        return [domain for domain in self.domains if domain.split == split]

    def frame(self) -> pandas.DataFrame:
        """Return a row per domain, with the fields of `InspectedDomain` and its epochs."""
        import pandas as pd

        return pd.DataFrame(self._rows)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        own = ("family", "revision", "order", "sequence_length", "steps", "sequences", "tokens")
        return {name: getattr(self, name) for name in own} | {
            "domains": self._rows,
            "unused": list(self.unused),
            "loader": None if self.loader is None else [asdict(domain) for domain in self.loader],
            "findings": [finding.to_data() for finding in self.findings],
        }

    def plot(self) -> Plot:
        """Plot weight, share of the packed tokens and epochs of each training domain."""
        from mixhub.card.plots.data import data_plot

        rows = [row for row in self._rows if row["split"] == "train"]
        name = self.family if self.revision is None else f"{self.family}, {self.revision}"
        return replace(data_plot(name, rows, self.tokens), name=f"{self.family}-data")

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        return [asdict(domain) | {"epochs": domain.epochs} for domain in self.domains]


def inspect_data(workspace: WorkspaceLike, *, progress: Progress = SILENT, **run_name: Unpack[RunName]) -> Inspection:
    """Report what a run reads of its data, before or after it is packed.

    Args:
        workspace: the workspace with text or token shards.
        progress: counts files whose documents are measured.
        **run_name: seed or index, and family. The samples of a named run are counted; if no run is named, or its order
            seed is unknown, the sequences of each domain are those that the weights lead to expect.

    Returns:
        Each domain with its text, its tokens and what the run reads of them, and the findings: errors for domains that
        the run cannot read, warnings for those that it hardly reads or reads often.

    Raises:
        UsageError: the family has a mixture per index, and no index is given.
        UnknownNameError: there is no such run.
        CorpusError: there is neither text nor tokens, or the shards are damaged or of another tokenizer.
    """
    workspace = open_workspace(workspace)
    family = find_family(workspace, run_name.get("family"))
    seed, index = run_name.get("seed"), run_name.get("index")
    is_named = seed is not None or index is not None
    run = family.run(seed=seed, index=index) if is_named or family.mixture is None else family.runs()[0]
    data, training = _Data.open(workspace, family), family.training
    loader = data.loader(run)
    trained, validated = data.trained(run, loader, progress), data.validated(progress)
    is_readable = all(one.available for one in trained) if loader is None else any(one.share for one in loader)
    is_counted = is_named and run.order_seed is not None and is_readable
    if is_counted and data.manifest is not None:
        trained = _counted(trained, family, run, data.manifest)
    domains = (*_with_shares(trained), *_with_shares(validated))
    return Inspection(
        family=family.name,
        revision=run.revision if is_counted else None,
        order=training.order,
        sequence_length=training.sequence_length,
        steps=training.steps,
        sequences=training.steps * training.global_batch_size,
        domains=domains,
        unused=data.unused(),
        loader=loader,
        findings=tuple(_findings(domains, loader, data)),
    )


@dataclass(frozen=True)
class _Data:
    """The text and the tokens of a family, each None if it does not exist."""

    family: Family
    text: Corpus | None
    manifest: Manifest | None
    tokens: Path

    @classmethod
    def open(cls, workspace: Workspace, family: Family) -> _Data:
        corpus, tokens, manifest = workspace.corpus(family), workspace.tokens(family), None
        if tokens.exists():
            manifest = read_manifest(tokens)
            manifest.require_tokenizer(family, str(tokens))
            check_shards(manifest, tokens)
        text = (
            None if manifest is not None and not corpus.is_dir() else Corpus.open(corpus, dataset=family.data.dataset)
        )
        return cls(family, text, manifest, tokens)

    def loader(self, run: Run) -> tuple[LoaderDomain, ...] | None:
        """Return what RegMix's loader makes of the training domains; None with other orders, and before packing."""
        packed = self.manifest.train if self.manifest is not None else {}
        names = {key: key.removeprefix(self.family.data.train_prefix) for key in run.mixture.shares}
        if self.family.training.loader is None or not all(name in packed for name in names.values()):
            return None
        domains = {key: packed[name] for key, name in names.items()}
        return tuple(loader_domains(run.mixture.domain_weights, domains, self.family.training))

    def trained(self, run: Run, loader: Sequence[LoaderDomain] | None, progress: Progress) -> list[InspectedDomain]:
        """Return the training domains of a run, with weights and the sequences to expect."""
        training, weights = self.family.training, run.mixture.shares
        names = [key.removeprefix(self.family.data.train_prefix) for key in weights]
        domains = self._domains("train", names, progress)
        shares = list(weights.values())
        if loader is not None and training.loader is not None:
            size, shares = training.loader.chunk_sequences, [one.share for one in loader]
            chunks = [one.chunks_read for one in loader]
            domains = [replace(one, available=size * read) for one, read in zip(domains, chunks, strict=True)]
        expected = [0] * len(shares)
        if any(shares):
            expected = sequences_per_domain(shares, training.tokens, training.sequence_length)
        read = zip(domains, weights.values(), expected, strict=True)
        return [replace(domain, weight=weight, sequences=sequences) for domain, weight, sequences in read]

    def validated(self, progress: Progress) -> list[InspectedDomain]:
        """Return the validation domains, with the sequences that are read each time."""
        names = [key.removeprefix(self.family.data.valid_prefix) for key in self.family.validation.shares]
        training, domains = self.family.training, self._domains("valid", names, progress)
        return [
            one
            if one.available is None
            else replace(one, sequences=self._validated(one.domain, one.available, training))
            for one in domains
        ]

    def _validated(self, name: str, available: int, training: Training) -> int:
        if training.validation_order is None or self.manifest is None:
            most: int = training.validation_sequences
            return min(available, most)
        return len(loader_validation(name, self.manifest.valid[name], training, seed=0))

    def _domains(self, split: Split, names: Sequence[str], progress: Progress) -> list[InspectedDomain]:
        """Return what is known of domains: from the manifest, or else from the text."""
        domains = []
        packed = {name: self.manifest.domains(split).get(name) if self.manifest else None for name in names}
        shards = sum(len(part.shards) for part in packed.values() if part is not None)
        with progress.start(f"measure {split} documents", shards, "file") as bar:
            for name, part in packed.items():
                if part is not None:
                    domains.append(self._packed(split, name, part, bar))
                elif self.text is not None and name in self.text.files[split]:
                    files, size = len(self.text.files[split][name]), self.text.size(split, name)
                    domains.append(InspectedDomain(split, name, files, size))
                else:
                    domains.append(InspectedDomain(split, name))
        return domains

    def _packed(self, split: Split, name: str, part: PackedDomain, bar: Bar) -> InspectedDomain:
        ends = [index_file(self.tokens / shard.file) for shard in part.shards] if part.has_ends else []
        median, longest = _document_lengths(ends, bar) if ends else (None, None)
        return InspectedDomain(
            split,
            name,
            files=len(part.sources),
            size=sum(source.size for source in part.sources),
            skipped_rows=sum(source.skipped.count for source in part.sources if source.skipped is not None),
            documents=part.documents,
            tokens=part.tokens,
            median_document=median,
            longest_document=longest,
            available=max(0, part.tokens - 1) // self.family.training.sequence_length,
        )

    def unused(self) -> tuple[str, ...]:
        """Return the training domains that have text, but that no run of the family samples."""
        sampled = required_domains(self.family)["train"]
        return tuple(name for name in (self.text.domains("train") if self.text else ()) if name not in sampled)


def _findings(
    domains: Sequence[InspectedDomain], loader: Sequence[LoaderDomain] | None, data: _Data
) -> Iterator[Finding]:
    """Yield what is wrong with the data, by domain."""
    skipped = set()
    if loader is not None:
        yield from _loader_findings(loader, data.family)
        skipped = {one.domain for one, part in zip(domains, loader, strict=False) if part.is_skipped}
    for domain in domains:
        where, length = f"{domain.split}/{domain.domain}", data.family.training.sequence_length
        if domain.split == "train" and domain.domain in skipped:
            continue
        if not domain.files:
            near = nearest(domain.domain, data.text.files[domain.split]) if data.text else None
            message = "no text and no tokens" + (f"; the nearest domain with text is {near}" if near else "")
            hint = "add its files, or give the domain a weight of 0"
            if domain.split == "valid" and data.text and domain.domain in data.text.files["train"]:
                hint += ", or hold out a part of its training text: mixhub data pack --valid-fraction 0.01"
            yield Finding("domains-missing", where, message, hint)
        if domain.available == 0:
            message = f"{plural(domain.tokens or 0, 'token')}, but a sequence needs {length} + 1"
            yield Finding("domain-too-small", where, message, "add text, or give the domain a weight of 0")
        elif domain.split == "valid" and domain.sequences == 0:
            level: Level = "warning" if any(one.split == "valid" and one.sequences for one in domains) else "error"
            message = "not validated: it has fewer chunks than RegMix's loader has ranks"
            hint = "add text, or set training.validation_order to null"
            yield Finding("domains-skipped", where, message, hint, level=level)
        if domain.split == "train" and domain.files and (domain.sequences or 0) < FEWEST_SEQUENCES:
            message = f"a run reads {plural(domain.sequences or 0, 'sequence')}, fewer than {FEWEST_SEQUENCES}"
            hint = "raise the weight of the domain, or train longer"
            yield Finding("domain-light", where, message, hint, level="warning")
        if domain.epochs is not None and domain.epochs > MOST_EPOCHS:
            message = f"a run reads its text {domain.epochs:,.1f} times, more than {MOST_EPOCHS}"
            hint = "add text, lower the weight of the domain, or train for fewer steps"
            yield Finding("domain-repeated", where, message, hint, level="warning")


def _loader_findings(loader: Sequence[LoaderDomain], family: Family) -> Iterator[Finding]:
    """Yield what RegMix's loader leaves out: domains, the ends of files, and chunks that its ranks cannot share."""
    sizes, prefix = family.training.loader, family.data.train_prefix
    assert sizes is not None
    chunk = sizes.chunk_sequences * (family.training.sequence_length + 1)
    read = [one for one in loader if not one.is_skipped]
    for one in loader:
        if one.is_skipped:
            rest = f"the other domains get its {percent(one.weight)}" if read else "no domain has as many"
            message = f"not sampled: {plural(one.chunks, 'chunk')}, fewer than the {sizes.ranks} ranks; {rest}"
            hint = (
                f"add text: it needs more than {magnitude(sizes.ranks * chunk)} tokens; or use another training.order"
            )
            level: Level = "warning" if read else "error"
            yield Finding("domains-skipped", f"train/{one.domain.removeprefix(prefix)}", message, hint, level=level)
    tails = sum(one.tokens_lost for one in read)
    left = chunk * sum(one.chunks - one.chunks_read for one in read)
    if tails or left:
        share = percent((tails + left) / sum(one.tokens for one in read))
        where = f"{magnitude(tails)} after the last whole chunk of a file, {magnitude(left)} in chunks left over"
        message = f"{magnitude(tails + left)} tokens of the sampled domains ({share}) are never read: {where}"
        hint = "so does RegMix's loader; with training.order iid or quota, all tokens can be read"
        yield Finding("tokens-unread", "train", message, hint, level="warning")


def _document_lengths(files: Iterable[Path], bar: Bar) -> tuple[int, int]:
    """Return the median and the largest length of the documents in files of their ends."""
    import numpy as np

    lengths, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    for path in files:
        ends = np.fromfile(path, "<u8")
        new, new_counts = np.unique(np.diff(ends, prepend=np.uint64(0)), return_counts=True)
        both = np.concatenate([counts, new_counts])
        lengths, places = np.unique(np.concatenate([lengths, new]), return_inverse=True)
        counts = np.zeros(len(lengths), np.int64)
        np.add.at(counts, places, both)
        bar.advance()
    cumulative = np.cumsum(counts)
    return int(lengths[np.searchsorted(cumulative, (cumulative[-1] + 1) // 2)]), int(lengths[-1])


def _counted(domains: Sequence[InspectedDomain], family: Family, run: Run, manifest: Manifest) -> list[InspectedDomain]:
    """Replace the sequences to expect by those of the run's own samples."""
    import numpy as np

    order = order_of(family, run, manifest)
    counts = np.zeros(len(order.domains), np.int64)
    for start in range(0, len(order), _SAMPLES_AT_ONCE):
        numbers, _ = order.samples(start, min(len(order), start + _SAMPLES_AT_ONCE))
        counts += np.bincount(numbers, minlength=len(counts))
    read = dict(zip(order.domains, counts.tolist(), strict=True))
    return [replace(one, sequences=read.get(key, 0)) for key, one in zip(run.mixture.shares, domains, strict=True)]


def _with_shares(domains: Sequence[InspectedDomain]) -> list[InspectedDomain]:
    """Add the shares of the packed tokens, if all domains are packed."""
    tokens = [domain.tokens for domain in domains]
    total = sum(filter(None, tokens))
    if None in tokens or not total:
        return list(domains)
    return [replace(domain, share=(domain.tokens or 0) / total) for domain in domains]
