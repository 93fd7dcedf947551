"""The sections of a card on what it is of: at its head, on the data, and at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixhub.card.facts.withdrawal import Withdrawal
from mixhub.card.markdown.text import Markdown, block, code, escape, link, listed
from mixhub.card.page.loading import repo_link
from mixhub.endpoint import HUGGINGFACE
from mixhub.spec.family import Family, Run


@dataclass(frozen=True)
class AboutSection:
    """What a family is, in a few lines."""

    models: str
    """How many of them are trained, where that is not all, and what they lie on."""
    parameters: int
    context_length: int
    """Tokens."""
    base_model: Markdown | None
    """The model that training went on from; None where it began anew."""
    license: Markdown


@dataclass(frozen=True)
class RevisionAbout:
    """What one revision is."""

    run: Run
    earlier_of: Run | None
    """The run of which these weights are an earlier step."""
    family_link: Markdown


@dataclass(frozen=True)
class DataSection:
    """The datasets of a family."""

    all: tuple[Markdown, ...]
    listed: Markdown
    """The same as a list in words."""
    trained_on: Markdown | None
    """The dataset that the corpus is a copy of, where the family names it."""
    beside: Markdown
    """The others."""


@dataclass(frozen=True)
class ClosingSection:
    """What stands at the end of a card."""

    limits: tuple[str, ...]
    errata: tuple[str, ...]
    links: tuple[Markdown, ...]
    citation: Markdown | None


def about_section(family: Family, trained: int) -> AboutSection:
    """What a family is; `trained` is the number of its models that are there."""
    base = family.card.base_model
    return AboutSection(
        models=_models(family, trained),
        parameters=family.architecture.parameters,
        context_length=family.architecture.max_position_embeddings,
        base_model=link(base, f"{HUGGINGFACE}/{base}") if base else None,
        license=_license(family),
    )


def revision_about(family: Family, run: Run, earlier_of: Run | None) -> RevisionAbout:
    """What one revision is."""
    return RevisionAbout(run, earlier_of, repo_link(family))


def datasets(family: Family) -> list[str]:
    """The dataset repos of a family: those that its card names, and the one that its corpus is a copy of."""
    named = list(family.card.datasets)
    if family.data.dataset is not None and family.data.dataset not in named:
        named.insert(0, family.data.dataset)
    return named


def data_section(family: Family) -> DataSection:
    """The datasets of a family."""
    repos = {name: link(name, f"{HUGGINGFACE}/datasets/{name}") for name in datasets(family)}
    return DataSection(
        all=tuple(repos.values()),
        listed=listed(tuple(repos.values())),
        trained_on=repos.get(family.data.dataset or ""),
        beside=listed([shown for name, shown in repos.items() if name != family.data.dataset]),
    )


def closing_section(family: Family, withdrawals: Sequence[Withdrawal]) -> ClosingSection:
    """What stands at the end of a card."""
    card = family.card
    return ClosingSection(
        limits=tuple(_limits(family)),
        errata=(*card.errata, *(one.sentence() for one in withdrawals)),
        links=tuple(link(text, address) for text, address in _links(family).items()),
        citation=block(card.citation, "bibtex") if card.citation else None,
    )


def _models(family: Family, trained: int) -> str:
    total, each = len(family.revisions.numbers), f"one per {family.revisions.kind}, a branch each"
    return f"{total:,}, {each}" if trained == total else f"{trained:,} of {total:,} trained; {each}"


def _links(family: Family) -> dict[str, str]:
    links = dict(family.card.links)
    arxiv = family.card.arxiv
    if arxiv and not any(arxiv in address for address in links.values()):
        links["Paper"] = f"{HUGGINGFACE}/papers/{arxiv}"
    return links


def _limits(family: Family) -> list[str]:
    given = list(family.card.limits)
    if family.revisions.kind == "seed" and len(family.revisions.numbers) > 1:
        given.append(
            "The seeds show how much a result varies by chance. Whoever picks the seed with the best score reports "
            "luck: report all of them, or the one that was chosen before the scores were known."
        )
    return given


def _license(family: Family) -> Markdown:
    card = family.card
    if card.license_name is None:
        return code(card.license)
    address = card.license_link or ""
    named = link(card.license_name, address) if address.startswith("http") else escape(card.license_name)
    return Markdown(f"{code(card.license)}: {named}")
