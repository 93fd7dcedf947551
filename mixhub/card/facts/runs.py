"""The facts of a family: the one value from which a card is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mixhub.analysis.samples import NO_SAMPLES, SampleSummary
from mixhub.card.facts.withdrawal import Withdrawal
from mixhub.spec import catalog
from mixhub.spec.family import Family, Run
from mixhub.workspace.cells import Cell
from mixhub.workspace.lineage import UNKNOWN, Lineage
from mixhub.workspace.records import Record

_WITHOUT_EFFECT = (
    *("micro_batch_size", "checkpoint_interval", "keep_checkpoints", "permanent_checkpoint_interval", "spike_limit"),
    *("origins", "init_seed", "order_seed"),
)
"""Fields of the training that depend on the machine, and seeds, which cards state elsewhere."""


@dataclass(frozen=True)
class RunFacts:
    """The facts of a run."""

    run: Run
    lineage: Lineage | None = None
    """Of the export; None without an export."""
    cells: tuple[Cell, ...] = ()
    """Evaluated with the weights of the export."""
    imported: tuple[Record, ...] = ()
    """Evaluated elsewhere and imported; with which weights is not known."""
    weights_dtype: str | None = None
    """Of the export's tensors, such as `float32`; None if unknown."""
    parameters: int | None = None
    """Numbers in the export's weights; None if the architecture of the family says how many there are."""
    special_tokens: Mapping[str, str] | None = None
    """The tokens that the tokenizer of the export calls `bos`, `eos` and `pad`, if it has them; None if unknown."""
    metrics: tuple[Mapping[str, Any], ...] = ()
    """Lines of `metrics.jsonl` (see `read_metrics`), up to the step of the export; empty without an export."""
    withdrawal: Withdrawal | None = None
    """Why these weights were withdrawn."""
    earlier_of: Run | None = None
    """The run, if this is an earlier step of it; `run.revision` is then the branch of the step."""

    @property
    def training_loss(self) -> float | None:
        """The loss of the last step, before its update, in nats per token."""
        return next((line["loss"] for line in reversed(self.metrics) if "loss" in line), None)

    @property
    def validation_losses(self) -> Mapping[str, float]:
        """The losses of the last validation, by domain key, in nats per token."""
        return next((line["validation"] for line in reversed(self.metrics) if "validation" in line), {})


@dataclass(frozen=True)
class FamilyFacts:
    """A family, its runs, and all else that its card shows; or one run, for the card of its branch."""

    family: Family
    runs: tuple[RunFacts, ...]
    of_run: bool = False
    """Whether the card is that of the one run in `runs`."""
    commits: Mapping[str, str] = field(default_factory=dict)
    """The commit of each run that was pushed, by revision."""
    on_main: str | None = None
    """The revision whose model `main` holds; empty if it holds an unnamed one. None: it holds none, or the one that the
    family names once that is pushed."""
    samples: SampleSummary = NO_SAMPLES
    """Summary of the samples of its cells."""
    domain_tokens: Mapping[str, int] | None = None
    """Training tokens in the shards of each domain, without prefix; None without the shards of these runs."""
    siblings: tuple[FamilyFacts, ...] = ()
    """Families to show beside it."""
    withdrawals: tuple[Withdrawal, ...] = ()
    """Revisions that were withdrawn."""

    @property
    def original(self) -> Family | None:
        """The published family that this one replicates."""
        return catalog.get(self.family.replicates) if self.family.replicates else None

    @property
    def changed_parts(self) -> list[str]:
        """The keys of the family that differ from the recipe that it replicates; of the training, each key."""
        own, original = self.family, self.original
        if original is None:
            return []
        parts = ("architecture", "tokenizer", "validation")
        changed = [part for part in parts if getattr(own, part) != getattr(original, part)]
        changed += ["data"] if own.data.dataset != original.data.dataset else []
        known = {run.label: run.mixture for run in original.runs()}
        changed += ["mixture"] if any(run.mixture != known.get(run.label) for run in own.runs()) else []
        ours, theirs = own.training.to_data(), original.training.to_data()
        keys = [key for key in type(own.training).model_fields if key not in _WITHOUT_EFFECT]
        return changed + [f"training.{key}" for key in keys if ours.get(key) != theirs.get(key)]

    @property
    def parameters(self) -> int | None:
        """Number of parameters of a model: by the architecture, else by the weights of a run; None if unknown."""
        counts = (one.parameters for one in self.runs if one.parameters is not None)
        return self.family.architecture.parameters or next(counts, None)

    @property
    def made_elsewhere(self) -> bool:
        """Whether this is a family of the catalog in the repo of its publishers."""
        return self.family.name in catalog.published() and catalog.get(self.family.name).repo_id == self.family.repo_id

    @property
    def trained(self) -> list[Run]:
        """The runs that have a model."""
        if self.made_elsewhere and not self.of_run:
            return self.family.runs()
        return [one.run for one in self.runs if one.lineage or one.run.revision in self.commits or self.of_run]

    @property
    def run_heading(self) -> str:
        """Heading of a column of runs: `Branch` if each has the name of its branch."""
        return "Branch" if all(one.run.revision == one.run.branch for one in self.runs) else "Run"

    @property
    def is_confirmed(self) -> bool:
        """Whether the recipe of the family is known to be that of its runs.

        If all runs were trained elsewhere without a record, only what the family itself states holds for them: what it
        inherits by `extends` is the recipe of other models.
        """
        lineages = [one.lineage for one in self.runs if one.lineage is not None]
        return not lineages or self.family.name in catalog.names() or any(one.steps != UNKNOWN for one in lineages)

    @property
    def has_tokens(self) -> bool:
        """Whether it is stated how many tokens a run sees."""
        return self.is_confirmed or self.states("steps", "global_batch_size", "sequence_length")

    def states(self, *fields: str) -> bool:
        """Return whether the family itself states all these fields of the recipe, rather than inherit them."""
        return all(self.family.training.origin(field) == "chosen" for field in fields)
