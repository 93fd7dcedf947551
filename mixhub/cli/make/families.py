"""`mixhub families`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.options import WorkspaceOption, workspace_if_any

if TYPE_CHECKING:
    from mixhub.spec import Family


def families(
    name: Annotated[str | None, typer.Argument(help="Show this one whole.", show_default=False)] = None,
    workspace_dir: WorkspaceOption = None,
    fields: Annotated[bool, typer.Option("--fields", help="Say what each field of mixhub.yaml means.")] = False,
) -> None:
    """List the families that are known, or show one whole, its mixture normalised."""
    from mixhub.errors import UsageError
    from mixhub.spec import catalog

    if fields:
        if name is not None:
            raise UsageError(
                "give either --fields, or a family",
                code="option-conflict",
                hint=f"the family: mixhub families {name}",
                options=("NAME", "--fields"),
            )
        _show_fields()
        return
    workspace = workspace_if_any(workspace_dir)
    if name is not None:
        _show(workspace.family(name) if workspace else catalog.get(name))
        return
    from mixhub.cli.common.console import show_table
    from mixhub.phrases import magnitude

    known = (
        [workspace.family(each) for each in workspace.family_names()]
        if workspace
        else [catalog.get(n) for n in catalog.names()]
    )
    show_table(
        ["family", "repo_id", "revisions", "parameters", "tokens", "domains", "published scores"],
        [
            (
                family.name,
                family.repo_id,
                _revisions(family),
                magnitude(family.architecture.parameters),
                magnitude(family.training.tokens),
                _domains(family),
                len(family.published_scores.scores) if family.published_scores else "-",
            )
            for family in known
        ],
    )


def _show_fields() -> None:
    from mixhub.cli.common.console import say, show_table
    from mixhub.spec import Family
    from mixhub.spec.fields import described
    from mixhub.workspace.paths import CONFIG_FILE, WorkspaceConfig

    columns = ["field", "default", "meaning"]
    show_table(columns, list(described(WorkspaceConfig)), title=CONFIG_FILE)
    extends = ("extends", "-", "Takes over what it does not name of another family, of the workspace or the catalog.")
    families = [extends, *(field for field in described(Family) if field.key != "name")]
    show_table(columns, families, title="families.<name>, a family of your own")
    say("A family that extends another takes over all but repo_id, mixture, mixtures, card and published_scores.")
    say("A model of another shape, and a tokenizer of another size, are called like the family unless it names them.")


def _revisions(family: Family) -> str:
    runs = family.runs()
    return runs[0].revision if len(runs) == 1 else f"{runs[0].revision} … {runs[-1].revision}"


def _domains(family: Family) -> str:
    counts = {len(run.mixture.shares) for run in family.runs()}
    return str(counts.pop()) if len(counts) == 1 else f"{min(counts)}-{max(counts)}"


def _show(family: Family) -> None:
    from mixhub.cli.common.console import say, show_table
    from mixhub.phrases import magnitude

    architecture, training = family.architecture, family.training
    say(f"{family.card.title}\n")
    say(family.card.summary.strip())
    show_table(
        ["", ""],
        [
            ("family", family.name),
            ("repo_id", family.repo_id),
            ("revisions", _revisions(family)),
            *([("on main", family.main_run.revision)] if family.main_run else []),
            ("parameters", f"{architecture.parameters:,}"),
            ("training tokens", f"{training.tokens:,} ({magnitude(training.tokens)})"),
            ("tokenizer", f"{family.tokenizer.repo_id or family.tokenizer.name}, {family.tokenizer.vocab_size:,} ids"),
            ("data", family.data.dataset or family.data.corpus),
            ("license", family.card.license),
        ],
    )
    skipped = {"origins", "origin"}
    rows = [
        (f"architecture.{key}", value, architecture.origin)
        for key, value in architecture.to_data().items()
        if key not in skipped
    ]
    rows += [
        (f"training.{key}", value, training.origin(key))
        for key, value in training.to_data().items()
        if key not in skipped
    ]
    show_table(["recipe", "value", "origin"], [(key, str(value), origin) for key, value, origin in rows])
    _show_mixtures(family)
    shots = ", ".join(map(str, family.evaluation.num_fewshot))
    show_table(
        ["task", "column", "documents"],
        [(task.name, task.title, task.documents or "unknown") for task in family.evaluation.tasks],
        title=f"evaluation, shots {shots}",
    )
    _show_published(family)


def _show_mixtures(family: Family) -> None:
    from mixhub.cli.common.console import say, show_table
    from mixhub.phrases import magnitude

    if family.mixture is not None:
        shares = family.mixture.shares
        weights = family.mixture.domain_weights
        show_table(
            ["domain", "weight", "share", "tokens"],
            [
                (
                    domain,
                    f"{weight:g}",
                    f"{shares[domain]:.4%}" if domain in shares else "not sampled",
                    magnitude(shares.get(domain, 0.0) * family.training.tokens),
                )
                for domain, weight in sorted(weights.items(), key=lambda item: -item[1])
            ],
            title="mixture, normalised",
        )
        return
    say("one mixture per index; the three largest shares of each:")
    show_table(
        ["revision", "domains", "largest shares"],
        [
            (
                run.revision,
                len(run.mixture.shares),
                ", ".join(
                    f"{domain.removeprefix(family.data.train_prefix)} {share:.1%}"
                    for domain, share in sorted(run.mixture.shares.items(), key=lambda item: -item[1])[:3]
                ),
            )
            for run in family.runs()
        ],
    )


def _show_published(family: Family) -> None:
    from mixhub.cli.common.console import say, show_figures

    published = family.published_scores
    if published is None:
        say("no published scores in the catalog")
        return
    titles = {task.name: task.title for task in family.evaluation.tasks}
    figures = {
        (revision, titles[task]): f"{score:.2f}"
        for revision, row in published.scores.items()
        for task, score in row.items()
    }
    figures |= {(revision, "Average"): f"{score:.2f}" for revision, score in published.average.items()}
    columns = [title for title in (*titles.values(), "Average") if any(column == title for _, column in figures)]
    show_figures(list(published.scores), columns, figures, title="published scores, not re-measured", corner="score")
    say(f"source: {published.source}")
    say(f"rule: {published.rule}")
