"""What a card says, as values, a view model for each section: pure functions of a family and of what is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mixhub.card.facts import scores
from mixhub.card.facts.mixture import MixtureFacts, mixture_facts, mixtures_table
from mixhub.card.facts.recipe import is_confirmed, made_elsewhere
from mixhub.card.facts.runs import NOTHING, Known, RunFacts, Sibling
from mixhub.card.markdown.text import Table
from mixhub.card.page.about import (
    AboutSection,
    ClosingSection,
    DataSection,
    RevisionAbout,
    about_section,
    closing_section,
    data_section,
    revision_about,
)
from mixhub.card.page.loading import (
    LoadSection,
    RevisionsSection,
    TensorSection,
    family_load_section,
    load_section,
    revisions_section,
    tensor_section,
)
from mixhub.card.page.results import ResultsSection, SiblingsSection, results_section, siblings_section
from mixhub.card.page.training import (
    ArchitectureSection,
    ComputeSection,
    TrainingSection,
    architecture_section,
    compute_section,
    lineage_table,
    training_section,
)
from mixhub.card.plots.losses import losses_plot
from mixhub.card.plots.mixture import mixture_plot
from mixhub.card.plots.plot import Plot
from mixhub.card.plots.scores import difference_plot, scores_plot, shots_plot
from mixhub.spec.family import Family


@dataclass(frozen=True)
class Sections:
    """What the card of a family and those of its revisions have in common."""

    family: Family
    subject: str
    """What the card is of: "this family" or "this model"."""
    is_trained: bool
    """Whether there is a model yet."""
    tensors: TensorSection
    data: DataSection
    training: TrainingSection
    architecture: ArchitectureSection
    compute: ComputeSection
    results: ResultsSection
    closing: ClosingSection


@dataclass(frozen=True)
class CardContext:
    """All that the card of a family says."""

    sections: Sections
    about: AboutSection
    load: LoadSection
    revisions: RevisionsSection
    mixture: MixtureFacts | None
    """The mixture that all runs share; None where each has its own."""
    mixtures: Table | None
    """A line of weights per index; None where all runs share one mixture."""
    siblings: SiblingsSection
    plots: Mapping[str, Plot]
    """By name: `scores`, `shots`, `mixture`, `losses`, and `difference-<sibling>`."""


@dataclass(frozen=True)
class RevisionContext:
    """All that the card of one revision says."""

    sections: Sections
    about: RevisionAbout
    load: LoadSection
    mixture: MixtureFacts
    lineage: Table | None


def family_context(
    family: Family,
    *,
    runs: Sequence[RunFacts],
    commits: Mapping[str, str] | None = None,
    known: Known = NOTHING,
    on_main: str | None = None,
) -> CardContext:
    """What the card of a family says.

    Args:
        family: the specification.
        runs: its runs and what is known of them, as `mixhub.card.facts.gather.gather` returns them.
        commits: the commit of each branch that was pushed.
        known: what is known beside the runs, as `gather_known` returns it.
        on_main: the revision whose model `main` holds, empty where it holds one that nobody names; None: none, or the
            one that the family names, once that is pushed.

    Raises:
        ResultsError: cells have neither acc nor acc_norm, or those of one run were made with different weights.
    """
    commits = commits or {}
    all_runs = family.runs()
    trained = (
        all_runs
        if made_elsewhere(family)
        else [facts.run for facts in runs if facts.lineage is not None or facts.run.revision in commits]
    )
    sections = _sections(family, runs, known, "this family", is_trained=bool(trained))
    return CardContext(
        sections=sections,
        about=about_section(family, len(trained)),
        load=family_load_section(family, trained, commits, on_main),
        revisions=revisions_section(family, trained, runs, commits),
        mixture=mixture_facts(family, all_runs[0], known.domain_tokens, confirmed=is_confirmed(family, runs))
        if family.mixture is not None
        else None,
        mixtures=mixtures_table(family) if family.mixtures is not None else None,
        siblings=siblings_section(family, sections.results, known.siblings),
        plots=_plots(family, runs, sections.results, known.siblings) if family.card.plots else MappingProxyType({}),
    )


def revision_context(family: Family, facts: RunFacts, *, known: Known = NOTHING) -> RevisionContext:
    """What the card of one revision says. It names no commit: the card is part of the commit."""
    return RevisionContext(
        sections=_sections(family, [facts], known, "this model", is_trained=True),
        about=revision_about(family, facts.run, facts.earlier_of),
        load=load_section(family, facts.run),
        mixture=mixture_facts(family, facts.run, known.domain_tokens, confirmed=is_confirmed(family, [facts])),
        lineage=lineage_table(facts),
    )


def _sections(family: Family, runs: Sequence[RunFacts], known: Known, subject: str, *, is_trained: bool) -> Sections:
    return Sections(
        family=family,
        subject=subject,
        is_trained=is_trained,
        tensors=tensor_section(family, runs, confirmed=is_confirmed(family, runs)),
        data=data_section(family),
        training=training_section(family, runs),
        architecture=architecture_section(family),
        compute=compute_section(family, runs),
        results=results_section(family, runs, known),
        closing=closing_section(family, known.withdrawals),
    )


def _plots(
    family: Family, runs: Sequence[RunFacts], results: ResultsSection, siblings: Sequence[Sibling]
) -> Mapping[str, Plot]:
    curves = {facts.run.revision: facts.metrics for facts in runs if facts.metrics and facts.lineage}
    mixtures = {family.name: family.mixture} if family.mixture else {run.revision: run.mixture for run in family.runs()}
    made = [
        mixture_plot(mixtures, family.data.train_prefix),
        losses_plot(curves, family.data.valid_prefix) if curves else None,
        scores_plot(results.best.table, results.best.chance) if results.best else None,
        shots_plot(results.measured.table) if results.measured else None,
        *(_difference_plot(results, sibling) for sibling in siblings),
    ]
    return MappingProxyType({plot.name: plot for plot in made if plot is not None})


def _difference_plot(results: ResultsSection, sibling: Sibling) -> Plot | None:
    other = scores.measured(sibling.family, sibling.runs, sibling.samples)
    compared = scores.comparison(results.measured, other) if results.measured and other else None
    plot = difference_plot(compared) if compared is not None else None
    return replace(plot, name=f"difference-{sibling.family.name}") if plot is not None else None
