"""What a card says, as values: pure functions of a family and of what is known of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mixhub.card.facts import scores
from mixhub.card.facts.audit import AuditFacts, audit_measured, audit_published
from mixhub.card.facts.recipe import (
    MixtureFacts,
    Recipe,
    SeedFacts,
    is_confirmed,
    made_elsewhere,
    mixture_facts,
    mixtures_table,
    recipe,
    seeds,
    states_tokens,
)
from mixhub.card.facts.runs import NOTHING, Known, RunFacts, Sibling
from mixhub.card.facts.scores import Measurement, Scores, SideBySide
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, block, code, escape, link, listed, without_empty_columns
from mixhub.card.plots.losses import losses_plot
from mixhub.card.plots.mixture import mixture_plot
from mixhub.card.plots.plot import Plot
from mixhub.card.plots.scores import difference_plot, scores_plot, shots_plot
from mixhub.endpoint import HUGGINGFACE
from mixhub.spec.family import Family, Run
from mixhub.workspace.lineage import UNKNOWN

_COMPACT = 12
"""Families with more revisions than this fold their long tables."""


@dataclass(frozen=True)
class Results:
    """Scores by their standing, how they came about, and what of them does not fit."""

    measured: Scores | None
    measurement: Measurement | None
    """Of the measured ones."""
    measured_audit: AuditFacts | None
    imported: Scores | None
    import_: Measurement | None
    """Of the imported ones."""
    published: Scores | None
    published_audit: AuditFacts | None
    source: Markdown | None
    """Where the published scores stand."""

    @property
    def best(self) -> Scores | None:
        """Those that are known best: measured here, else imported, else published."""
        return self.measured or self.imported or self.published

    @property
    def audits(self) -> tuple[tuple[str, AuditFacts], ...]:
        """The audits that were made, each with what it is of."""
        given = (("measured", self.measured_audit), ("published", self.published_audit))
        return tuple((of, audit) for of, audit in given if audit is not None)


@dataclass(frozen=True)
class Compute:
    """What training took, as far as it is known."""

    flops: str | None
    """Of a whole run, by the usual formula; None where it is not stated how many tokens one sees."""
    flops_per_token: str
    runs: Table | None
    """A line per run of which anything is known; None where there is none."""


@dataclass(frozen=True)
class Shared:
    """What the card of a family and those of its revisions have in common."""

    family: Family
    subject: str
    """What the card is of: "this family" or "this model"."""
    datasets: tuple[Markdown, ...]
    datasets_listed: Markdown
    trained_on: Markdown | None
    """The dataset that the corpus is a copy of, where the family names it."""
    named_beside: Markdown
    """The others."""
    links: tuple[Markdown, ...]
    limits: tuple[str, ...]
    errata: tuple[str, ...]
    license: Markdown
    citation: Markdown | None
    base_model: Markdown | None
    """The model that training went on from; None where it began anew."""
    recipe: Recipe
    confirmed: bool
    """Whether the whole recipe of the family may be told as that of the runs."""
    special_tokens: Markdown
    """What the tokens that begin, end and pad text are."""
    adopted: Markdown | None
    """Branches of runs that another trainer made; None where there are none."""
    compute: Compute
    is_trained: bool
    """Whether there is a model yet."""
    weights_dtype: str | None
    """Of the exports' tensors; None where it is not known."""
    tasks_listed: Markdown
    """Tasks of the suite: titles, and lm-eval's names."""
    shots: str
    """Shot counts of the suite."""
    results: Results
    losses: Table | None
    has_siblings: bool


@dataclass(frozen=True)
class CardContext:
    """All that the card of a family says."""

    shared: Shared
    total: int
    """How many revisions there are."""
    models: str
    """How many of them are trained, where that is not all, and what they lie on."""
    main_is_card: bool
    """Whether it is known that `main` holds this card and no weights."""
    main_run: Run | None
    """The run whose model `main` holds too; None where it holds none, or none yet."""
    branches: Markdown
    """A sentence that names the branches that are there."""
    transformers_code: Markdown
    mixhub_code: Markdown
    revisions: Table | None
    """A line per revision; None where the names of many branches say all there is to say."""
    folded: bool
    """Whether long tables are folded."""
    pinned: Run | None
    """The run whose commit `mixhub_code` loads; None where no commit is known."""
    mixture: MixtureFacts | None
    """The mixture that all runs share."""
    mixtures: Table | None
    """A line of weights per index."""
    seeds: SeedFacts
    siblings: Table | None
    """A line per sibling."""
    side_by_side: tuple[SideBySide, ...]
    """Scores of the siblings beside those of the family, by standing."""
    plots: Mapping[str, Plot]
    """By name: `scores`, `shots`, `mixture`, `losses`, and `difference-<sibling>`."""


@dataclass(frozen=True)
class RevisionContext:
    """All that the card of one revision says."""

    shared: Shared
    run: Run
    earlier_of: Run | None
    """The run of which these weights are an earlier step."""
    family_link: Markdown
    transformers_code: Markdown
    mixhub_code: Markdown
    mixture: MixtureFacts
    lineage: Table | None
    seeds: SeedFacts


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
    meant = family.main_run
    if on_main is None and meant is not None:
        on_main = meant.revision if meant.revision in commits else ""
    trained = (
        all_runs
        if made_elsewhere(family)
        else [facts.run for facts in runs if facts.lineage is not None or facts.run.revision in commits]
    )
    shown, branches = (trained or all_runs)[0], {run.revision for run in trained}
    pinned = next((run for run in all_runs if run.revision in commits), None)
    shared = _shared(family, runs, known, "this family", is_trained=bool(trained))
    return CardContext(
        shared=shared,
        total=len(all_runs),
        models=_models(family, len(trained)),
        main_is_card=not made_elsewhere(family) and on_main is None,
        main_run=next((run for run in all_runs if run.revision == on_main), None),
        branches=_branches(family, trained),
        transformers_code=_transformers_code(family, shown),
        mixhub_code=_mixhub_code(family, pinned or shown, commits.get(pinned.revision) if pinned else None),
        revisions=_revisions(family, [facts for facts in runs if facts.run.revision in branches], commits),
        folded=len(all_runs) > _COMPACT,
        pinned=pinned,
        mixture=mixture_facts(family, all_runs[0], known.domain_tokens, confirmed=shared.confirmed)
        if family.mixture is not None
        else None,
        mixtures=mixtures_table(family) if family.mixtures is not None else None,
        seeds=seeds(family, runs),
        siblings=_siblings(known.siblings),
        side_by_side=tuple(_side_by_side(family, shared.results, known.siblings)),
        plots=_plots(family, runs, shared.results, known.siblings) if family.card.plots else MappingProxyType({}),
    )


def revision_context(family: Family, facts: RunFacts, *, known: Known = NOTHING) -> RevisionContext:
    """What the card of one revision says. It names no commit: the card is part of the commit."""
    shared = _shared(family, [facts], known, "this model", is_trained=True)
    return RevisionContext(
        shared=shared,
        run=facts.run,
        earlier_of=facts.earlier_of,
        family_link=_repo_link(family),
        transformers_code=_transformers_code(family, facts.run),
        mixhub_code=_mixhub_code(family, facts.run),
        mixture=mixture_facts(family, facts.run, known.domain_tokens, confirmed=shared.confirmed),
        lineage=_lineage(facts),
        seeds=seeds(family, [facts]),
    )


def datasets(family: Family) -> list[str]:
    """The dataset repos of a family: those that its card names, and the one that its corpus is a copy of."""
    named = list(family.card.datasets)
    if family.data.dataset is not None and family.data.dataset not in named:
        named.insert(0, family.data.dataset)
    return named


def _shared(family: Family, runs: Sequence[RunFacts], known: Known, subject: str, *, is_trained: bool) -> Shared:
    card = family.card
    repos = {name: link(name, f"{HUGGINGFACE}/datasets/{name}") for name in datasets(family)}
    dtypes = {facts.weights_dtype for facts in runs} - {None}
    confirmed = is_confirmed(family, runs)
    return Shared(
        family=family,
        subject=subject,
        datasets=tuple(repos.values()),
        datasets_listed=listed(tuple(repos.values())),
        trained_on=repos.get(family.data.dataset or ""),
        named_beside=listed([shown for name, shown in repos.items() if name != family.data.dataset]),
        links=tuple(link(text, address) for text, address in _links(family).items()),
        limits=tuple(_limits(family)),
        errata=(*card.errata, *(one.sentence() for one in known.withdrawals)),
        license=_license(family),
        citation=block(card.citation, "bibtex") if card.citation else None,
        base_model=link(card.base_model, f"{HUGGINGFACE}/{card.base_model}") if card.base_model else None,
        recipe=recipe(family, confirmed=confirmed),
        confirmed=confirmed,
        special_tokens=_special_tokens(family, runs),
        adopted=_adopted(runs),
        compute=_compute(family, runs),
        is_trained=is_trained,
        weights_dtype=" and ".join(sorted(filter(None, dtypes))) or None,
        tasks_listed=listed([Markdown(f"{escape(t.title)} ({code(t.name)})") for t in family.evaluation.tasks]),
        shots=figures.shots(family.evaluation.num_fewshot),
        results=_results(family, runs, known),
        losses=_losses(family, runs),
        has_siblings=bool(known.siblings),
    )


def _special_tokens(family: Family, runs: Sequence[RunFacts]) -> Markdown:
    """As the tokenizers of the runs have them; before there are any, as our trainer sets them.

    Of models that others made only the tokenizer is known, and that they name no other token for padding is not.
    """
    known = next((facts.special_tokens for facts in runs if facts.special_tokens), None)
    if known is None and made_elsewhere(family):
        eos = code(family.tokenizer.eos_token)
        return Markdown(f"In the tokenizer {eos} is the token that begins and ends text (bos, eos)")
    if known is None:
        known = dict.fromkeys(("bos", "eos", "pad"), family.tokenizer.eos_token)
    does = {"bos": "begins text (bos)", "eos": "ends text (eos)", "pad": "pads it"}
    if set(does) <= set(known) and len(set(known.values())) == 1:
        return Markdown(f"{code(known['eos'])} is the token that begins and ends text (bos, eos) and pads it")
    parts = [Markdown(f"{code(known[kind])} {said}") for kind, said in does.items() if kind in known]
    return listed(parts) if parts else Markdown("Its tokenizer names no token that begins, ends or pads text")


def _adopted(runs: Sequence[RunFacts]) -> Markdown | None:
    """Runs of whose training nothing is recorded: our own trainer always knows how many steps there are."""
    found = [code(facts.run.revision) for facts in runs if facts.lineage and facts.lineage.steps == UNKNOWN]
    if not found:
        return None
    return listed(found) if len(found) <= _COMPACT else Markdown(f"{len(found)} branches")


def _results(family: Family, runs: Sequence[RunFacts], known: Known) -> Results:
    measured = scores.measured(family, runs, known.samples)
    imported = scores.imported(family, runs)
    published = scores.published(family, runs)
    printed = family.published_scores
    return Results(
        measured=measured,
        measurement=scores.measurement(family, runs, measured) if measured else None,
        measured_audit=audit_measured(family, measured) if measured else None,
        imported=imported,
        import_=scores.measurement(family, runs, imported) if imported else None,
        published=published,
        published_audit=audit_published(family, published) if published else None,
        source=link(printed.source, printed.source) if printed else None,
    )


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


def _compute(family: Family, runs: Sequence[RunFacts]) -> Compute:
    per_token = recipe(family).flops_per_token
    rows = []
    for facts in runs:
        if facts.lineage is not None and (facts.lineage.device != UNKNOWN or facts.pace is not None):
            pace = facts.pace
            rows.append(
                (
                    code(facts.run.revision),
                    facts.lineage.device,
                    _number(facts.lineage.processes),
                    f"{pace.tokens_per_second:,.0f}" if pace else figures.ABSENT,
                    figures.hours(pace.hours) if pace else figures.ABSENT,
                )
            )
    headers = ("Branch", "Device", "Processes", "Tokens per second, median", "Time in steps")
    table = without_empty_columns(Table(headers, tuple(rows), frozenset({2, 3, 4})), figures.ABSENT) if rows else None
    has_tokens = is_confirmed(family, runs) or states_tokens(family)
    total = figures.flops(per_token * family.training.tokens) if has_tokens else None
    return Compute(total, figures.flops(per_token), table)


def _siblings(siblings: Sequence[Sibling]) -> Table | None:
    rows = tuple((_repo_link(one.family), one.family.card.title, one.family.card.summary) for one in siblings)
    return Table(("Family", "Title", "What it is"), rows) if rows else None


def _side_by_side(family: Family, own: Results, siblings: Sequence[Sibling]) -> list[SideBySide]:
    pairs = (
        (own.measured, [(one.family.name, scores.measured(one.family, one.runs, one.samples)) for one in siblings]),
        (own.imported, [(one.family.name, scores.imported(one.family, one.runs)) for one in siblings]),
        (own.published, [(one.family.name, scores.published(one.family, one.runs)) for one in siblings]),
    )
    found = []
    for mine, others in pairs:
        known = [(name, theirs) for name, theirs in others if theirs is not None]
        if mine is not None and (beside := scores.side_by_side(mine, known, family.name)) is not None:
            found.append(beside)
    return found


def _plots(
    family: Family, runs: Sequence[RunFacts], results: Results, siblings: Sequence[Sibling]
) -> Mapping[str, Plot]:
    curves = {facts.run.revision: facts.metrics for facts in runs if facts.metrics and facts.lineage}
    mixtures = {family.name: family.mixture} if family.mixture else {run.revision: run.mixture for run in family.runs()}
    made = [
        mixture_plot(mixtures, family.data.train_prefix),
        losses_plot(curves, family.data.valid_prefix) if curves else None,
        scores_plot(results.best.table, results.best.chance) if results.best else None,
        shots_plot(results.measured.table) if results.measured else None,
        *(_difference(results, sibling) for sibling in siblings),
    ]
    return MappingProxyType({plot.name: plot for plot in made if plot is not None})


def _difference(results: Results, sibling: Sibling) -> Plot | None:
    other = scores.measured(sibling.family, sibling.runs, sibling.samples)
    compared = scores.comparison(results.measured, other) if results.measured and other else None
    plot = difference_plot(compared) if compared is not None else None
    return replace(plot, name=f"difference-{sibling.family.name}") if plot is not None else None


def _models(family: Family, trained: int) -> str:
    total, each = len(family.revisions.numbers), f"one per {family.revisions.kind}, a branch each"
    return f"{total:,}, {each}" if trained == total else f"{trained:,} of {total:,} trained; {each}"


def _branches(family: Family, runs: Sequence[Run]) -> Markdown:
    total = len(family.revisions.numbers)
    if len(runs) < total:
        if not runs:
            return Markdown("No model is trained yet, so there is no branch yet.")
        if len(runs) == 1:
            return Markdown(f"1 of {total:,} models is trained; its branch is {code(runs[0].revision)}.")
        names = listed([code(run.revision) for run in runs])
        return Markdown(f"{len(runs):,} of {total:,} models are trained; their branches are {names}.")
    if len(runs) == 1:
        return Markdown(f"There is one branch, {code(runs[0].revision)}.")
    if len(runs) == 2:
        return Markdown(f"The branches are {code(runs[0].revision)} and {code(runs[1].revision)}.")
    numbers = list(family.revisions.numbers)
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        names = Markdown(f"{code(runs[0].revision)} to {code(runs[-1].revision)}")
    else:
        names = listed([code(run.revision) for run in runs])
    last = f"; the last {family.revisions.kind} is {max(numbers)}" if made_elsewhere(family) else ""
    return Markdown(f"There are {len(runs)} branches, {names}{last}.")


def _repo_link(family: Family) -> Markdown:
    """On the hub that the card lies on: an address would send readers of another hub away."""
    if made_elsewhere(family):
        return link(family.repo_id, f"{HUGGINGFACE}/{family.repo_id}")
    return Markdown(f"[{escape(family.repo_id)}](/{family.repo_id})")


def _transformers_code(family: Family, run: Run) -> Markdown:
    arguments = f'"{family.repo_id}", revision="{run.revision}"'
    return block(
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"model = AutoModelForCausalLM.from_pretrained({arguments})\n"
        f"tokenizer = AutoTokenizer.from_pretrained({arguments})",
        "python",
    )


def _mixhub_code(family: Family, run: Run, commit: str | None = None) -> Markdown:
    """By the family's name where mixhub ships it; its name in a workspace means nothing to a reader elsewhere."""
    if commit is not None:
        arguments = f'"{family.repo_id}", commit="{commit}"'
    elif made_elsewhere(family) and run in family.runs():
        arguments = f'"{family.name}", {run.kind}={run.number}'
    else:
        arguments = f'"{family.repo_id}", revision="{run.revision}"'
    return block(f"import mixhub\n\nmodel, tokenizer = mixhub.load({arguments})", "python")


def _revisions(family: Family, runs: Sequence[RunFacts], commits: Mapping[str, str]) -> Table | None:
    headers = ("Branch", family.revisions.kind.capitalize(), "Commit", "Weights (sha256)", "Steps", "State")
    rows = []
    for facts in runs:
        run, lineage = facts.run, facts.lineage
        rows.append(
            (
                code(run.revision),
                str(run.number),
                code(commits[run.revision]) if run.revision in commits else figures.ABSENT,
                code(lineage.weights_sha256[:12]) if lineage else figures.ABSENT,
                figures.ABSENT if lineage is None else _number(lineage.step),
                "withdrawn" if facts.withdrawal else figures.ABSENT,
            )
        )
    if not rows:
        return None
    table = without_empty_columns(Table(headers, tuple(rows), frozenset({1, 4})), figures.ABSENT)
    return None if len(runs) > _COMPACT and len(table.headers) == 2 else table


def _losses(family: Family, runs: Sequence[RunFacts]) -> Table | None:
    known = [facts for facts in runs if facts.losses.training is not None or facts.losses.validation]
    if not known:
        return None
    keys = list(dict.fromkeys(key for facts in known for key in facts.losses.validation))
    rows = tuple(
        (
            code(facts.run.revision),
            figures.loss(facts.losses.training),
            *(figures.loss(facts.losses.validation.get(key)) for key in keys),
        )
        for facts in known
    )
    headers = ("Branch", "Training", *(f"Validation: {key.removeprefix(family.data.valid_prefix)}" for key in keys))
    return Table(headers, rows, frozenset(range(1, len(headers))))


def _lineage(facts: RunFacts) -> Table | None:
    lineage = facts.lineage
    if lineage is None:
        return None
    rows: list[tuple[str, str]] = [
        ("Weights (sha256)", code(lineage.weights_sha256)),
        ("Initial weights (sha256)", _hash(lineage.initial_weights_sha256)),
        ("Token shards (sha256)", _hash(lineage.corpus_sha256)),
        ("Tokenizer (sha256)", _hash(lineage.tokenizer_sha256)),
        ("Training configuration (sha256)", _hash(lineage.train_config_sha256)),
        ("Steps", f"{_number(lineage.step)} of {_number(lineage.steps)}"),
        ("Tokens", _number(lineage.tokens)),
        ("Seed of the weights", str(lineage.init_seed)),
        ("Seed of the order", str(lineage.order_seed)),
        ("Device", lineage.device),
        ("Processes", _number(lineage.processes)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(lineage.versions.items())) or UNKNOWN),
    ]
    return Table(("Lineage", "Value"), tuple(rows))


def _hash(value: str) -> str:
    return value if value == UNKNOWN else code(value)


def _number(value: int | str) -> str:
    return value if isinstance(value, str) else f"{value:,}"
