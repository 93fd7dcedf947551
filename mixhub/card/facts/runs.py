"""What is known of a family: of each run its lineage, losses and cells; tokens; siblings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mixhub.analysis.samples import NO_SAMPLES, SampleSummary
from mixhub.card.facts.withdrawal import Withdrawal
from mixhub.spec.family import Family, Run
from mixhub.workspace.cells import Cell
from mixhub.workspace.lineage import Lineage
from mixhub.workspace.records import Record


@dataclass(frozen=True)
class FinalLosses:
    """The last losses that a run logged up to its export, in nats a token."""

    training: float | None = None
    """Of the last step, before its update."""
    validation: Mapping[str, float] = field(default_factory=dict)
    """Of the last validation, by domain key."""


@dataclass(frozen=True)
class Pace:
    """How fast a run was trained, as its metrics tell."""

    tokens_per_second: float
    """Median over its steps."""
    hours: float
    """In steps alone: validations, checkpoints and what was done twice after a stop are not in it."""


@dataclass(frozen=True)
class RunFacts:
    """A run and what is known of it."""

    run: Run
    lineage: Lineage | None = None
    """Of the export; None where there is no export."""
    losses: FinalLosses = FinalLosses()
    cells: tuple[Cell, ...] = ()
    """What was evaluated, with the weights of the export."""
    imported: tuple[Record, ...] = ()
    """What another measured, and somebody brought here; on which weights nobody knows."""
    weights_dtype: str | None = None
    """Of the export's tensors, as `float32`; None where it is not known."""
    special_tokens: Mapping[str, str] | None = None
    """What the tokenizer of the export calls `bos`, `eos` and `pad`; those that it has not are left out."""
    pace: Pace | None = None
    """None where the metrics do not tell."""
    metrics: tuple[Mapping[str, Any], ...] = ()
    """Lines of `metrics.jsonl` (see `read_metrics`), up to the export's step."""
    withdrawal: Withdrawal | None = None
    """Why these weights were withdrawn; None where they were not."""
    earlier_of: Run | None = None
    """The run of which this is an earlier step; its branch is then not the run's."""


@dataclass(frozen=True)
class Known:
    """What is known of a family beside its runs."""

    samples: SampleSummary = NO_SAMPLES
    """What the samples of its cells come to."""
    domain_tokens: Mapping[str, int] | None = None
    """Training tokens that lie in the shards of each domain, without prefix; None where the shards that the runs were
    trained on are not there."""
    siblings: tuple[Sibling, ...] = ()
    """Families to show beside it."""
    withdrawals: tuple[Withdrawal, ...] = ()
    """Revisions that were withdrawn, in their order."""


@dataclass(frozen=True)
class Sibling:
    """Another family, as it is shown beside one."""

    family: Family
    runs: tuple[RunFacts, ...]
    samples: SampleSummary = NO_SAMPLES


NOTHING = Known()
"""Where nothing is known beside the runs."""
