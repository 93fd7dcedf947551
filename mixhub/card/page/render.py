"""Text of the cards: templates filled from a context, under the metadata. The same context gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from mixhub.card.facts.runs import NOTHING, Known, RunFacts, Sibling
from mixhub.card.facts.withdrawal import mark_withdrawn
from mixhub.card.markdown import figures, text
from mixhub.card.markdown.templating import fill, sandbox
from mixhub.card.page import metadata
from mixhub.card.page.context import CardContext, RevisionContext, Sections, family_context, revision_context
from mixhub.card.page.custom import UNCUSTOMIZED, Customization
from mixhub.spec import catalog
from mixhub.spec.family import Family

if TYPE_CHECKING:
    import jinja2
    from huggingface_hub import ModelCardData

_PLOTS = ("mixture", "losses", "scores", "shots")
"""Plots that a template may name, whether they are there or not."""


def render_family(
    family: Family,
    runs: Sequence[RunFacts],
    *,
    commits: Mapping[str, str] | None = None,
    known: Known = NOTHING,
    custom: Customization = UNCUSTOMIZED,
) -> str:
    """The card of a family, for `main`; see `family_context` for the arguments and what is raised."""
    return render_family_context(family_context(family, runs=runs, commits=commits, known=known), custom)


def render_revision(
    family: Family, facts: RunFacts, *, known: Known = NOTHING, custom: Customization = UNCUSTOMIZED
) -> str:
    """The card of one revision, for its branch."""
    card = render_revision_context(revision_context(family, facts, known=known), custom)
    return card if facts.withdrawal is None else mark_withdrawn(card, facts.withdrawal)


def render_family_context(context: CardContext, custom: Customization = UNCUSTOMIZED) -> str:
    """The card that a family's context makes; raises SpecError when a template of one's own cannot be filled."""
    plots = {**dict.fromkeys(_PLOTS), **context.plots}
    return _render("family.md.j2", context, plots, metadata.family_metadata(context), custom)


def render_revision_context(context: RevisionContext, custom: Customization = UNCUSTOMIZED) -> str:
    """The card that a revision's context makes; raises SpecError when a template of one's own cannot be filled."""
    return _render("revision.md.j2", context, dict.fromkeys(_PLOTS), metadata.revision_metadata(context), custom)


def catalog_context(name: str) -> CardContext:
    """What the card of a shipped family says, from the catalog alone; raises UnknownNameError, naming the nearest."""
    family = catalog.get(name)
    siblings = (catalog.get(sibling) for sibling in family.card.siblings)
    known = Known(siblings=tuple(Sibling(one, tuple(map(RunFacts, one.runs()))) for one in siblings))
    return family_context(family, runs=[RunFacts(run) for run in family.runs()], known=known)


def render_catalog(name: str) -> str:
    """The card of a shipped family, from the catalog alone; raises UnknownNameError, naming the nearest."""
    return render_family_context(catalog_context(name))


def _render(
    template: str,
    context: CardContext | RevisionContext,
    plots: Mapping[str, object],
    data: ModelCardData,
    custom: Customization,
) -> str:
    values = {**_by_name(context.sections), **_by_name(context), "plots": plots}
    body = fill(_environment(), template, custom.template, values)
    body = _without_blank_runs(body.strip().split("\n"))
    if custom.sections is not None:
        body = custom.sections.apply(body)
    return f"---\n{data.to_yaml()}\n---\n\n{body.rstrip()}\n"


def _by_name(values: CardContext | RevisionContext | Sections) -> dict[str, Any]:
    return {field.name: getattr(values, field.name) for field in fields(values)}


def _without_blank_runs(lines: Sequence[str]) -> str:
    """One blank line between paragraphs, however many conditions of a template came to nothing; code stays as it is."""
    kept: list[str] = []
    fence = ""
    for line in lines:
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if mark is not None and not fence:
            fence = mark[1]
        elif mark is not None and mark[1].startswith(fence) and not line.strip(" `~"):
            fence = ""
        if fence or line.strip() or (kept and kept[-1]):
            kept.append(line if fence or line.strip() else "")
    return "\n".join(kept)


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = sandbox()(
        loader=jinja2.PackageLoader("mixhub.card.page", "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,  # so that jinja2 marks what is text already: blocks that `super()` gives, macros
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        code=text.code, number=figures.whole, table=lambda table: table.markdown(), figure=_figure
    )
    return environment


def _finalized(value: Any) -> text.Markdown:
    """Every value that a template names is escaped, unless it is Markdown already."""
    return text.Markdown(value) if hasattr(value, "__html__") else text.escape(value)


def _figure(plot: Any) -> text.Markdown:
    """A plot, where there is one: the PNG, which every page shows, with a link to the SVG."""
    if plot is None:
        return text.Markdown("")
    return text.image(plot.alt, f"plots/{plot.name}.png", f"plots/{plot.name}.svg")
