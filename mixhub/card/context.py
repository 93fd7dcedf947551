"""What a card says, as values: pure functions of a family and of what is known of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixhub import catalog
from mixhub.card import figures, scores
from mixhub.card.facts import RunFacts
from mixhub.card.scores import Evidence, Scores
from mixhub.card.text import Markdown, Table, block, code, escape, link, listed, without_empty_columns
from mixhub.endpoint import HUGGINGFACE
from mixhub.family import Family, Origin, Run
from mixhub.lineage import UNKNOWN
from mixhub.mixture import Mixture, sequences_per_domain
from mixhub.spec import to_yaml

_COMPACT = 12
"""Families with more revisions than this fold their long tables."""

_SEEDS = ("Seed of the weights", "Seed of the order")

_DOUBT: tuple[Origin, ...] = ("published", "inferred", "chosen")


@dataclass(frozen=True)
class MixtureFacts:
    """One mixture: as it is written, and what it comes to."""

    yaml: Markdown
    """RegMix's keys of `train_config.yaml`."""
    shares: Table
    """Domain, share and expected tokens."""


@dataclass(frozen=True)
class Recipe:
    """How the runs are trained, and what is trained."""

    hyperparameters: Table
    architecture: Table
    context_length: int
    """Tokens."""
    parameters: int
    vocabulary: int
    """Ids in use, added tokens included."""
    eos_token: Markdown
    tokenizer: Markdown
    precision: str
    """The autocast dtype."""
    initialisation: Markdown
    initialisation_origin: Origin
    order: str
    order_origin: Origin


@dataclass(frozen=True)
class SeedFacts:
    """What fixes the runs."""

    known: bool
    """False where those who made the runs did not publish it."""
    table: Table | None
    """Seeds of the weights and of the order, where they are not simply the number of the run; one line, where all runs
    share them."""


@dataclass(frozen=True)
class Shared:
    """What the card of a family and those of its revisions have in common."""

    family: Family
    subject: str
    """What the card is of: "this family" or "this model"."""
    datasets: tuple[Markdown, ...]
    datasets_listed: Markdown
    links: tuple[Markdown, ...]
    limits: tuple[str, ...]
    citation: Markdown | None
    recipe: Recipe
    tasks_listed: Markdown
    """Tasks of the suite: titles, and lm-eval's names."""
    shots: str
    """Shot counts of the suite."""
    published_scores: Scores | None
    source: Markdown | None
    """Where the published scores stand."""
    measured_scores: Scores | None
    evidence: Evidence | None
    losses: Table | None


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


@dataclass(frozen=True)
class RevisionContext:
    """All that the card of one revision says."""

    shared: Shared
    run: Run
    family_link: Markdown
    transformers_code: Markdown
    mixhub_code: Markdown
    mixture: MixtureFacts
    lineage: Table | None
    seeds: SeedFacts


def family_context(
    family: Family, *, runs: Sequence[RunFacts], commits: Mapping[str, str] | None = None
) -> CardContext:
    """What the card of a family says.

    Args:
        family: the specification.
        runs: its runs and what is known of them, as `mixhub.card.facts.gather` returns them.
        commits: the commit of each branch that was pushed.
    """
    commits = commits or {}
    all_runs = family.runs()
    trained = (
        all_runs
        if made_elsewhere(family)
        else [facts.run for facts in runs if facts.lineage is not None or facts.run.revision in commits]
    )
    shown, branches = (trained or all_runs)[0], {run.revision for run in trained}
    pinned = next((run for run in all_runs if run.revision in commits), None)
    return CardContext(
        shared=_shared(family, runs, "this family"),
        total=len(all_runs),
        models=_models(family, len(trained)),
        main_is_card=not made_elsewhere(family),
        branches=_branches(family, trained),
        transformers_code=_transformers_code(family, shown),
        mixhub_code=_mixhub_code(family, pinned or shown, commits.get(pinned.revision) if pinned else None),
        revisions=_revisions(family, [facts for facts in runs if facts.run.revision in branches], commits),
        folded=len(all_runs) > _COMPACT,
        pinned=pinned,
        mixture=_mixture_facts(family, all_runs[0]) if family.mixture is not None else None,
        mixtures=_mixtures(family) if family.mixtures is not None else None,
        seeds=_seeds(family, runs),
    )


def revision_context(family: Family, facts: RunFacts) -> RevisionContext:
    """What the card of one revision says. It names no commit: the card is part of the commit."""
    return RevisionContext(
        shared=_shared(family, [facts], "this model"),
        run=facts.run,
        family_link=_family_link(family),
        transformers_code=_transformers_code(family, facts.run),
        mixhub_code=_mixhub_code(family, facts.run),
        mixture=_mixture_facts(family, facts.run),
        lineage=_lineage(facts),
        seeds=_seeds(family, [facts]),
    )


def made_elsewhere(family: Family) -> bool:
    """Whether this is a family of the catalog in the repo of those who published it."""
    return family.name in catalog.names() and catalog.get(family.name).repo_id == family.repo_id


def datasets(family: Family) -> list[str]:
    """The dataset repos of a family: those that its card names, and the one that its corpus is a copy of."""
    named = list(family.card.datasets)
    if family.data.dataset is not None and family.data.dataset not in named:
        named.insert(0, family.data.dataset)
    return named


def _shared(family: Family, runs: Sequence[RunFacts], subject: str) -> Shared:
    card = family.card
    tokenizer = family.tokenizer
    printed = family.published_scores
    training = family.training
    repos = tuple(link(name, f"{HUGGINGFACE}/datasets/{name}") for name in datasets(family))
    return Shared(
        family=family,
        subject=subject,
        datasets=repos,
        datasets_listed=listed(repos),
        links=tuple(link(text, address) for text, address in _links(family).items()),
        limits=tuple(card.limits),
        citation=block(card.citation, "bibtex") if card.citation else None,
        recipe=Recipe(
            hyperparameters=_hyperparameters(family),
            architecture=_architecture(family),
            context_length=family.architecture.max_position_embeddings,
            parameters=family.architecture.parameters,
            vocabulary=tokenizer.vocab_size,
            eos_token=code(tokenizer.eos_token),
            tokenizer=link(tokenizer.repo_id, f"{HUGGINGFACE}/{tokenizer.repo_id}")
            if tokenizer.repo_id
            else code(tokenizer.name),
            precision=training.precision,
            initialisation=code(training.initialisation),
            initialisation_origin=training.origin("initialisation"),
            order=training.order,
            order_origin=training.origin("order"),
        ),
        tasks_listed=listed([Markdown(f"{escape(t.title)} ({code(t.name)})") for t in family.evaluation.tasks]),
        shots=figures.shots(family.evaluation.num_fewshot),
        published_scores=scores.published(family, [facts.run for facts in runs]),
        source=link(printed.source, printed.source) if printed else None,
        measured_scores=scores.measured(family, runs),
        evidence=scores.evidence(family, runs),
        losses=_losses(family, runs),
    )


def _links(family: Family) -> dict[str, str]:
    links = dict(family.card.links)
    arxiv = family.card.arxiv
    if arxiv and not any(arxiv in address for address in links.values()):
        links["Paper"] = f"{HUGGINGFACE}/papers/{arxiv}"
    return links


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


def _family_link(family: Family) -> Markdown:
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
    elif made_elsewhere(family):
        arguments = f'"{family.name}", {run.kind}={run.number}'
    else:
        arguments = f'"{family.repo_id}", revision="{run.revision}"'
    return block(f"import mixhub\n\nmodel, tokenizer = mixhub.load({arguments})", "python")


def _revisions(family: Family, runs: Sequence[RunFacts], commits: Mapping[str, str]) -> Table | None:
    headers = ("Branch", family.revisions.kind.capitalize(), "Commit", "Weights (sha256)", "Steps")
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
            )
        )
    if not rows:
        return None
    table = without_empty_columns(Table(headers, tuple(rows), frozenset({1, 4})), figures.ABSENT)
    return None if len(runs) > _COMPACT and len(table.headers) == 2 else table


def _mixture_facts(family: Family, run: Run) -> MixtureFacts:
    config = {key: value for key, value in family.train_config(run).items() if key != "mixhub"}
    return MixtureFacts(block(to_yaml(config), "yaml"), _shares(family, run.mixture))


def _shares(family: Family, mixture: Mixture) -> Table:
    length = family.training.sequence_length
    shares = mixture.shares
    sequences = sequences_per_domain(list(shares.values()), family.training.tokens, length)
    rows = [
        (code(key.removeprefix(family.data.train_prefix)), figures.percent(share), figures.count(count * length))
        for (key, share), count in zip(shares.items(), sequences, strict=True)
    ]
    return Table(("Domain", "Share", "Tokens, expected"), tuple(rows), frozenset({1, 2}))


def _mixtures(family: Family) -> Table:
    assert family.mixtures is not None
    mixtures = {run.number: run.mixture.domain_weights for run in family.runs()}
    keys = list(dict.fromkeys(key for weights in mixtures.values() for key in weights))
    rows = [(str(index), *(f"{weights.get(key, 0):.12g}" for key in keys)) for index, weights in mixtures.items()]
    headers = ("Index", *(key.removeprefix(family.data.train_prefix) for key in keys))
    return Table(headers, tuple(rows), frozenset(range(len(headers))))


def _hyperparameters(family: Family) -> Table:
    t = family.training
    rows: list[tuple[str, str, tuple[str, ...]]] = [
        ("Batch Size", figures.batch(t.global_batch_size, t.sequence_length), ("global_batch_size", "sequence_length")),
        ("Learning Rate", figures.rate(t.learning_rate), ("learning_rate",)),
        ("Minimum Learning Rate", figures.rate(t.min_learning_rate), ("min_learning_rate",)),
        _schedule(family),
        (
            "Warmup Ratio",
            f"{figures.ratio(t.warmup_steps, t.steps)} ({t.warmup_steps:,} of {t.steps:,} steps, linear)",
            ("warmup_steps", "steps"),
        ),
        (
            "Total Tokens",
            figures.total(t.steps, t.global_batch_size, t.sequence_length),
            ("steps", "global_batch_size", "sequence_length"),
        ),
        (
            "Optimizer",
            f"AdamW, β₁ {figures.rate(t.beta1)}, β₂ {figures.rate(t.beta2)}, ε {figures.rate(t.adam_epsilon)}",
            ("optimizer", "beta1", "beta2", "adam_epsilon"),
        ),
        ("Weight Decay", f"{figures.rate(t.weight_decay)}, on every parameter", ("weight_decay",)),
        (
            "Gradient Clipping",
            "none" if t.gradient_clip is None else f"global norm {figures.rate(t.gradient_clip)}",
            ("gradient_clip",),
        ),
        ("Precision", _PRECISION[t.precision], ("precision",)),
        ("Initialisation", _INITIALISATION[t.initialisation], ("initialisation",)),
        ("Order of Samples", _ORDER[t.order], ("order",)),
    ]
    return Table(
        ("Hyperparameter", "Value", "Origin"),
        tuple((name, value, _origin(family, fields)) for name, value, fields in rows),
    )


def _schedule(family: Family) -> tuple[str, str, tuple[str, ...]]:
    shape, micro_steps = family.training.schedule.capitalize(), family.training.lr_micro_steps
    if micro_steps is None:
        return "Learning Rate Schedule", shape, ("schedule",)
    value = f"{shape} (set per micro-step, {micro_steps:,} a step)"
    return "Learning Rate Schedule", value, ("schedule", "lr_micro_steps")


_PRECISION = {
    "float32": "float32",
    "bfloat16": "bfloat16 autocast; weights and optimizer state in float32",
}
_INITIALISATION = {
    "as_written": "as written: normal, sd √(0.4 / fan-in); MLP down projections sd 1 / √width / layers",
    "torch_default": "torch's default: linear layers uniform within ±1 / √fan-in; embedding normal, sd 1",
}
_ORDER = {
    "iid": "each sample draws its domain from the mixture",
    "original": "that of RegMix's loader",
}


def _origin(family: Family, fields: tuple[str, ...]) -> str:
    """Where a row is from, and which of its fields are from elsewhere than the first."""
    origins = {field: family.training.origin(field) for field in fields}
    worst = max(origins.values(), key=_DOUBT.index)
    if all(origin == worst for origin in origins.values()):
        return worst
    best = min(origins.values(), key=_DOUBT.index)
    others = ", ".join(
        f"{_FIELD_SHOWN.get(field, field)} {origin}" for field, origin in origins.items() if origin != best
    )
    return f"{best}; {others}"


_FIELD_SHOWN = {
    "adam_epsilon": "ε",
    "beta1": "β₁",
    "beta2": "β₂",
    "global_batch_size": "sequences a step",
    "lr_micro_steps": "micro-steps",
    "sequence_length": "sequence length",
    "warmup_steps": "warmup",
}


def _architecture(family: Family) -> Table:
    a = family.architecture
    rows = [
        ("Name", code(a.model_name)),
        ("Type", "Llama-like decoder: RMSNorm, rotary positions, SwiGLU, no biases"),
        ("Parameters", f"{a.parameters:,}"),
        ("Layers", f"{a.num_hidden_layers:,}"),
        ("Hidden Size", f"{a.hidden_size:,}"),
        ("Attention Heads", _heads(a.num_attention_heads, a.key_value_heads)),
        ("MLP Width", f"{a.intermediate_size:,}"),
        ("Context Length", f"{a.max_position_embeddings:,} tokens"),
        ("Vocabulary", f"{a.vocab_size:,} rows, {family.tokenizer.vocab_size:,} in use"),
        ("Embedding and Head", "one matrix" if a.tie_word_embeddings else "two matrices"),
        ("RMSNorm ε", figures.rate(a.rms_norm_eps)),
        ("RoPE Base", figures.rate(a.rope_theta)),
        ("Origin", a.origin),
    ]
    return Table(("Architecture", "Value"), tuple(rows))


def _heads(queries: int, keys: int) -> str:
    return f"{queries:,}" if queries == keys else f"{queries:,}, sharing {keys:,} keys and values"


def _seeds(family: Family, runs: Sequence[RunFacts]) -> SeedFacts:
    rows = []
    for facts in runs:
        init, order = _seed_pair(family, facts)
        if init is None or order is None:
            return SeedFacts(known=False, table=None)
        rows.append((facts.run.number, init, order))
    if family.revisions.kind == "seed" and all(number == init == order for number, init, order in rows):
        return SeedFacts(known=True, table=None)
    if len(rows) > 1 and len({(init, order) for _, init, order in rows}) == 1:
        return SeedFacts(known=True, table=Table(_SEEDS, ((str(rows[0][1]), str(rows[0][2])),), frozenset({0, 1})))
    shown = tuple((str(number), str(init), str(order)) for number, init, order in rows)
    headers = (family.revisions.kind.capitalize(), *_SEEDS)
    return SeedFacts(known=True, table=Table(headers, shown, frozenset({0, 1, 2})))


def _seed_pair(family: Family, facts: RunFacts) -> tuple[int | str | None, int | str | None]:
    """Seeds of weights and order as the lineage has them, else as the recipe will; None where nobody published them."""
    if facts.lineage is not None:
        return facts.lineage.init_seed, facts.lineage.order_seed
    if made_elsewhere(family):
        return None, None
    return facts.run.init_seed, facts.run.order_seed


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
