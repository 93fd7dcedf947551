"""Text of the cards: templates filled from a context, under the metadata. The same context gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub import catalog
from mixhub.card import metadata, text
from mixhub.card.context import CardContext, RevisionContext, family_context, revision_context
from mixhub.card.facts import RunFacts
from mixhub.family import Family
from mixhub.files import write_text

if TYPE_CHECKING:
    import jinja2
    from huggingface_hub import ModelCardData


def render_family(family: Family, runs: Sequence[RunFacts], *, commits: Mapping[str, str] | None = None) -> str:
    """The card of a family, for `main`; see `family_context` for the arguments."""
    return render_family_context(family_context(family, runs=runs, commits=commits))


def render_revision(family: Family, facts: RunFacts) -> str:
    """The card of one revision, for its branch."""
    return render_revision_context(revision_context(family, facts))


def render_family_context(context: CardContext) -> str:
    """The card that a family's context makes."""
    return _render("family.md.j2", context, metadata.family_metadata(context))


def render_revision_context(context: RevisionContext) -> str:
    """The card that a revision's context makes."""
    return _render("revision.md.j2", context, metadata.revision_metadata(context))


def render_catalog(name: str) -> str:
    """The card of a shipped family, from the catalog alone; raises UnknownNameError, naming the nearest."""
    family = catalog.get(name)
    return render_family(family, [RunFacts(run) for run in family.runs()])


def write_model_cards(folder: Path) -> list[Path]:
    """Writes the cards of all shipped families, each to `<folder>/<family>/README.md`; the paths."""
    rendered = {folder / name / "README.md": render_catalog(name) for name in catalog.names()}
    return [write_text(path, card) for path, card in rendered.items()]


def _render(template: str, context: CardContext | RevisionContext, data: ModelCardData) -> str:
    body = (
        _environment().get_template(template).render(card=context, shared=context.shared, family=context.shared.family)
    )
    lines = [line.rstrip() for line in body.strip().split("\n")]
    return f"---\n{data.to_yaml()}\n---\n\n{_without_blank_runs(lines)}\n"


def _without_blank_runs(lines: Sequence[str]) -> str:
    """One blank line between paragraphs, however many conditions of a template came to nothing."""
    kept = [line for i, line in enumerate(lines) if line or (i > 0 and lines[i - 1])]
    return "\n".join(kept)


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mixhub.card", "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(code=text.code, number=_number, table=lambda table: table.markdown())
    return environment


def _finalized(value: Any) -> str:
    """Every value that a template names is escaped, unless it is Markdown already."""
    return text.escape(value)


def _number(value: int) -> str:
    return f"{value:,}"
