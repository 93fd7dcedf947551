"""The values that the template of a card uses: a pure function of the facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mixhub.analysis.comparison import Comparison
from mixhub.card.facts.mixture import mixture_yaml, mixtures_table, shares_table
from mixhub.card.facts.recipe import architecture
from mixhub.card.facts.runs import FamilyFacts
from mixhub.card.markdown.text import Markdown, block, branches, code, escape, link, listed
from mixhub.card.page.loading import loading, repo_link, revisions, tensors
from mixhub.card.page.results import results, siblings
from mixhub.card.page.training import catalog_link, compute, dataset_parts, lineage_table, training
from mixhub.card.plots.losses import losses_plot
from mixhub.card.plots.mixture import mixture_plot
from mixhub.card.plots.plot import Plot
from mixhub.card.plots.scores import difference_plot, scores_plot, shots_plot
from mixhub.endpoint import HUGGINGFACE
from mixhub.spec import catalog
from mixhub.spec.family import Family, Run

Values = Mapping[str, Any]
"""By the name that a template uses."""


def card_values(facts: FamilyFacts) -> Values:
    """Return the values for the card of a family or of a run.

    Raises:
        ResultsError: cells have neither acc nor acc_norm, or those of one run were made with different weights.
    """
    family, scores = facts.family, results(facts)
    beside, comparisons = siblings(facts, scores)
    plots = _plots(facts, scores, comparisons) if family.card.plots and not facts.of_run else ()
    values = {
        "family": family,
        "subject": "this model" if facts.of_run else "this family",
        "is_trained": bool(facts.trained),
        "replication": _replication(facts),
        "load": loading(facts),
        "tensors": tensors(facts),
        "data": _data(facts),
        "is_mixture_known": _is_mixture_known(family),
        "training": training(facts),
        "architecture": _architecture(facts),
        "compute": compute(facts),
        "results": scores,
        "siblings": beside,
        "closing": _closing(facts),
        "plots": {**dict.fromkeys(("mixture", "losses", "scores", "shots")), **{one.name: one for one in plots if one}},
    }
    if facts.of_run:
        (one,) = facts.runs
        about = {"run": one.run, "earlier_of": one.earlier_of, "family_link": repo_link(facts)}
        return values | {"about": about, "mixture": _mixture(facts, one.run), "lineage": lineage_table(one)}
    return values | {
        "about": _about(facts),
        "mixture": _mixture(facts, facts.runs[0].run) if family.mixture is not None else None,
        "mixtures": mixtures_table(family) if family.mixture is None else None,
        "revisions": revisions(facts),
    }


def dataset_repos(family: Family) -> list[str]:
    """Return the dataset repos of a family: the one that its corpus is a copy of, and those that its card names."""
    own, named = family.data.dataset, list(family.card.datasets)
    return named if own is None or own in named else [own, *named]


def _about(facts: FamilyFacts) -> Values:
    card, trained, total = facts.family.card, len(facts.trained), len(facts.family.revisions.labels)
    place = "in its own repo" if facts.family.has_repo_per_run else "on its own branch"
    each = place if total == 1 else f"one per {facts.family.revisions.kind}, each {place}"
    license_ = code(card.license)
    if card.license_name is not None:
        name = link(card.license_name, card.license_link) if card.license_link else escape(card.license_name)
        license_ = Markdown(f"{license_}: {name}")
    return {
        "models": f"{total:,}, {each}" if trained == total else f"{trained:,} of {total:,} trained; {each}",
        "base_model": link(card.base_model, f"{HUGGINGFACE}/{card.base_model}") if card.base_model else None,
        "license": license_,
        "withdrawn": branches([one.run.revision for one in facts.runs if one.withdrawal]),
    }


def _replication(facts: FamilyFacts) -> Values | None:
    """Return the published family that this one replicates, what differs from it, and where the seeds come from."""
    if (original := facts.original) is None:
        return None
    return {
        "original": catalog_link(original, original.repo_id),
        "is_on_hub": original.name in catalog.published(),
        "changed": listed([code(key) for key in facts.changed_parts]),
        "seeds": facts.family.seeds_origin,
    }


def _is_mixture_known(family: Family) -> bool:
    """Whether a family states a mixture; `init --from-model` writes a note, and one domain for all text."""
    return family.card.mixture_note is None or any(len(run.mixture.shares) > 1 for run in family.runs())


def _mixture(facts: FamilyFacts, run: Run) -> Values:
    return {
        "yaml": mixture_yaml(facts, run),
        "shares": shares_table(facts, run),
        "has_tokens": facts.has_tokens,
        "has_epochs": facts.has_tokens and bool(facts.domain_tokens),
        "is_single": len(run.mixture.shares) == 1,
    }


def _data(facts: FamilyFacts) -> Values:
    family = facts.family
    links = {name: link(name, f"{HUGGINGFACE}/datasets/{name}") for name in dataset_repos(family)}
    return {
        "links": listed(list(links.values())),
        "count": len(links),
        "subset": _subset(facts),
        "trained_on": links.get(family.data.dataset or ""),
        "others": listed([shown for name, shown in links.items() if name != family.data.dataset]),
    }


def _subset(facts: FamilyFacts) -> Markdown | None:
    """Return which part of which datasets the runs were trained on, unless it is all of the one that is named."""
    parts = {one.lineage.datasets for one in facts.runs if one.lineage and isinstance(one.lineage.datasets, tuple)}
    own = next(iter(parts), ())
    is_plain = all(one.is_whole and one.repo_id == facts.family.data.dataset for one in own)
    return None if is_plain else dataset_parts(own)


def _architecture(facts: FamilyFacts) -> Values:
    tokenizer = facts.family.tokenizer
    name = tokenizer.repo_id
    return {
        "table": architecture(facts),
        "parameters": facts.parameters,
        "tokenizer": link(name, f"{HUGGINGFACE}/{name}") if name else code(tokenizer.name),
    }


def _closing(facts: FamilyFacts) -> Values:
    card, revisions = facts.family.card, facts.family.revisions
    limits, links = [*card.limits], dict(card.links)
    if revisions.kind == "seed" and len(revisions.labels) > 1:
        limits.append(
            "The seeds show how much a result varies by chance. Picking the seed with the best score means reporting "
            "luck: report all seeds, or one that was chosen before the scores were known."
        )
    if card.arxiv and not any(card.arxiv in address for address in links.values()):
        links["Paper"] = f"{HUGGINGFACE}/papers/{card.arxiv}"
    return {
        "limits": limits,
        "errata": [*card.errata, *(one.sentence() for one in facts.withdrawals)],
        "links": [link(text, address) for text, address in links.items()],
        "citation": block(card.citation, "bibtex") if card.citation else None,
    }


def _plots(facts: FamilyFacts, scores: Values, comparisons: Mapping[str, Comparison]) -> Iterator[Plot | None]:
    family, best, measured = facts.family, scores["best"], scores["measured"]
    curves = {one.run.revision: one.metrics for one in facts.runs if one.metrics}
    if _is_mixture_known(family):
        own = {family.name: family.mixture} if family.mixture else {}
        mixtures = own or {run.revision: run.mixture for run in family.runs()}
        yield mixture_plot(mixtures, family.data.train_prefix, family.name)
    yield losses_plot(curves, family.data.valid_prefix, family.name)
    yield scores_plot(best.table, best.chance) if best else None
    yield shots_plot(measured.table, measured.chance) if measured else None
    for name, comparison in comparisons.items():
        plot = difference_plot(comparison)
        yield replace(plot, name=f"difference-{name}") if plot else None
