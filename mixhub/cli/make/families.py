"""`mixhub families`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.console import say, show_figures, show_table
from mixhub.cli.common.options import WorkspaceOption, workspace_if_any
from mixhub.errors import UsageError
from mixhub.phrases import magnitude, plural

if TYPE_CHECKING:
    from mixhub.spec import Family


def families(
    name: Annotated[
        str | None, typer.Argument(help="Family to show in full.", show_default=False, metavar="NAME")
    ] = None,
    workspace_dir: WorkspaceOption = None,
    fields: Annotated[bool, typer.Option("--fields", help="Explain the fields of mixhub.yaml.")] = False,
) -> None:
    """List the families in the workspace and in the built-in catalog, or show one in full."""
    from mixhub.spec import catalog
    from mixhub.workspace.paths import CONFIG_FILE

    if fields:
        if name is not None:
            hint = f"to show the family, run mixhub families {name}"
            raise UsageError("pass either --fields or a family", code="option-conflict", hint=hint)
        _show_fields()
        return
    workspace = workspace_if_any(workspace_dir)
    names, get = (workspace.family_names(), workspace.family) if workspace else (catalog.names(), catalog.get)
    if name is not None:
        _show(get(name))
        return
    rows = []
    for family in map(get, names):
        domains = sorted({len(run.mixture.shares) for run in family.runs()})
        sizes = (
            magnitude(parameters) if (parameters := family.architecture.parameters) else "unknown",
            magnitude(family.training.tokens),
        )
        count = f"{domains[0]}-{domains[-1]}" if len(domains) > 1 else str(domains[0])
        kind = family.revisions.kind
        runs = plural(len(family.runs()), kind, family.revisions.plural(kind))
        rows.append((family.name, _repo(family), runs, *sizes, count))
    show_table(["family", "repo_id", "revisions", "params", "tokens", "domains"], rows)
    if workspace is not None and (namespace := workspace.config.namespace) is not None:
        say(f"namespace: {namespace} in {CONFIG_FILE} replaces the owners; published families are at:")
        say(", ".join(workspace.stated_family(name).repo_id for name in names if name in catalog.published()))


def _show_fields() -> None:
    from mixhub.spec import Family
    from mixhub.spec.fields import described
    from mixhub.workspace.paths import CONFIG_FILE, WorkspaceConfig

    columns = ["field", "default", "meaning"]
    show_table(columns, list(described(WorkspaceConfig)), title=CONFIG_FILE)
    extends = ("extends", "-", "Family in the workspace or the catalog from which missing values are taken.")
    rows = [extends, *(field for field in described(Family) if field.key != "name")]
    show_table(columns, rows, title="families.<name>, a custom family")
    say("A family that extends another inherits all but repo_id, mixture, mixtures, card and published_scores.")
    say("If it changes the architecture or the tokenizer, model_name or tokenizer.name defaults to the family's name.")


def _repo(family: Family) -> str:
    """Return the repo; a shipped family whose models were never published has none."""
    from mixhub.spec import catalog

    is_published = family.name in catalog.published() or family.name not in catalog.names()
    return family.repo_id if is_published else "not published"


def _revisions(family: Family) -> str:
    runs = family.runs()
    return runs[0].revision if len(runs) == 1 else f"{runs[0].revision} … {runs[-1].revision}"


def _show(family: Family) -> None:
    architecture, training = family.architecture, family.training
    say(f"{family.card.title}\n")
    say(family.card.summary.strip())
    rows = [
        ("family", family.name),
        ("repo_id", _repo(family)),
        *([("replicates", family.replicates)] if family.replicates else []),
        ("revisions", _revisions(family)),
        *([("on main", family.main_run.revision)] if family.main_run else []),
        ("parameters", f"{architecture.parameters:,}" if architecture.parameters else "unknown"),
        ("training tokens", f"{training.tokens:,} ({magnitude(training.tokens)})"),
        ("tokenizer", f"{family.tokenizer.repo_id or family.tokenizer.name}, {family.tokenizer.vocab_size:,} ids"),
        ("data", family.data.dataset or family.data.corpus),
        ("license", family.card.license),
    ]
    show_table(["", ""], rows)
    values = {f"architecture.{key}": (value, architecture.origin) for key, value in architecture.to_data().items()}
    values |= {f"training.{key}": (value, training.origin(key)) for key, value in training.to_data().items()}
    recipe = [(key, _shown(value), origin) for key, (value, origin) in values.items() if "origin" not in key]
    show_table(["recipe", "value", "origin"], recipe)
    _show_mixtures(family)
    shots = ", ".join(map(str, family.evaluation.num_fewshot))
    tasks = [(task.name, task.title, task.documents or "unknown") for task in family.evaluation.tasks]
    show_table(["task", "column", "documents"], tasks, title=f"evaluation, shots {shots}")
    _show_published(family)


def _shown(value: object) -> str:
    return ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else str(value)


def _show_mixtures(family: Family) -> None:
    if family.mixture is not None:
        rows = []
        for domain, weight in sorted(family.mixture.domain_weights.items(), key=lambda item: -item[1]):
            share = family.mixture.shares.get(domain, 0.0)
            percent = f"{share:.4%}" if share else "not sampled"
            rows.append((domain, f"{weight:g}", percent, magnitude(share * family.training.tokens)))
        show_table(["domain", "weight", "share", "tokens"], rows, title="mixture, normalised")
        return
    say("one mixture per index; the three largest shares of each:")
    largest = []
    for run in family.runs():
        top = sorted(run.mixture.shares.items(), key=lambda item: -item[1])[:3]
        shares = (f"{domain.removeprefix(family.data.train_prefix)} {share:.1%}" for domain, share in top)
        largest.append((run.revision, len(run.mixture.shares), ", ".join(shares)))
    show_table(["revision", "domains", "largest shares"], largest)


def _show_published(family: Family) -> None:
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
