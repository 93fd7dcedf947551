"""The recipe as a card shows it: hyperparameters, architecture, mixture and seeds, each from exact values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixhub.card.facts.runs import RunFacts
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, block, code, link, without_empty_columns
from mixhub.endpoint import HUGGINGFACE
from mixhub.spec import catalog
from mixhub.spec.base import to_yaml
from mixhub.spec.family import Family, Run
from mixhub.spec.mixture import Mixture, sequences_per_domain
from mixhub.spec.values import Origin
from mixhub.workspace.lineage import UNKNOWN

_SEEDS = ("Seed of the weights", "Seed of the order")

_TOKENS = ("steps", "global_batch_size", "sequence_length")
"""Fields that give the tokens of a run."""
_DOUBT: tuple[Origin, ...] = ("published", "inferred", "chosen")


@dataclass(frozen=True)
class MixtureFacts:
    """One mixture: as it is written, and what it comes to."""

    yaml: Markdown
    """RegMix's keys of `train_config.yaml`."""
    shares: Table
    """Domain, share and expected tokens; tokens that there are of it and epochs, where that is known."""
    has_tokens: bool
    """Whether it is stated how many tokens a run sees."""
    has_epochs: bool
    """Whether it is known how many tokens there are of each domain."""
    is_single: bool
    """Whether all samples are of one domain."""


@dataclass(frozen=True)
class Recipe:
    """How the runs are trained, and what is trained."""

    hyperparameters: Table | None
    """None where none is stated."""
    not_stated: tuple[str, ...]
    """Hyperparameters of which nothing is known."""
    architecture: Table
    context_length: int
    """Tokens."""
    sequence_length: int
    """Tokens of a sequence in training."""
    parameters: int
    vocabulary: int
    """Ids in use, added tokens included."""
    eos_token: Markdown
    tokenizer: Markdown
    flops_per_token: int
    """Floating-point operations of training, a token."""
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


def made_elsewhere(family: Family) -> bool:
    """Whether this is a family of the catalog in the repo of those who published it."""
    return family.name in catalog.names() and catalog.get(family.name).repo_id == family.repo_id


def is_confirmed(family: Family, runs: Sequence[RunFacts]) -> bool:
    """Whether the recipe of a family may be told as that of its runs.

    Where all runs were trained elsewhere, and nothing recorded of it, only what the family states itself is told: what
    it takes over by `extends` is the recipe of other models.
    """
    known = [facts.lineage for facts in runs if facts.lineage is not None]
    return not known or family.name in catalog.names() or any(lineage.steps != UNKNOWN for lineage in known)


def states_tokens(family: Family) -> bool:
    """Whether a family states itself how many tokens its runs see."""
    return _is_stated(family, _TOKENS)


def recipe(family: Family, *, confirmed: bool = True) -> Recipe:
    """The recipe of a family, and the model that it trains; see `is_confirmed`."""
    tokenizer, training = family.tokenizer, family.training
    hyperparameters, not_stated = _hyperparameters(family, confirmed)
    return Recipe(
        hyperparameters=hyperparameters,
        not_stated=not_stated,
        architecture=_architecture(family),
        context_length=family.architecture.max_position_embeddings,
        sequence_length=training.sequence_length,
        parameters=family.architecture.parameters,
        vocabulary=tokenizer.vocab_size,
        eos_token=code(tokenizer.eos_token),
        tokenizer=link(tokenizer.repo_id, f"{HUGGINGFACE}/{tokenizer.repo_id}")
        if tokenizer.repo_id
        else code(tokenizer.name),
        flops_per_token=_flops_per_token(family),
        precision=training.precision,
        initialisation=code(training.initialisation),
        initialisation_origin=training.origin("initialisation"),
        order=training.order,
        order_origin=training.origin("order"),
    )


def mixture_facts(
    family: Family, run: Run, domain_tokens: Mapping[str, int] | None, *, confirmed: bool = True
) -> MixtureFacts:
    """The mixture of a run.

    Args:
        family: the recipe.
        run: whose mixture it is.
        domain_tokens: training tokens that there are of each domain, without prefix; None where nobody knows.
        confirmed: see `is_confirmed`.
    """
    keys = ("train", "valid", "model_name") if confirmed else ("train",)
    config = {key: value for key, value in family.train_config(run).items() if key in keys}
    has_tokens = confirmed or states_tokens(family)
    shares = _shares(family, run.mixture, domain_tokens or {}, has_tokens)
    return MixtureFacts(
        block(to_yaml(config), "yaml"),
        shares,
        has_tokens,
        has_epochs=has_tokens and bool(domain_tokens),
        is_single=len(run.mixture.shares) == 1,
    )


def _shares(family: Family, mixture: Mixture, domain_tokens: Mapping[str, int], has_tokens: bool) -> Table:
    length = family.training.sequence_length
    shares = mixture.shares
    sequences = sequences_per_domain(list(shares.values()), family.training.tokens, length)
    rows = []
    for (key, share), count in zip(shares.items(), sequences, strict=True):
        domain = key.removeprefix(family.data.train_prefix)
        there = domain_tokens.get(domain)
        rows.append(
            (
                code(domain),
                figures.percent(share),
                figures.count(count * length) if has_tokens else figures.ABSENT,
                figures.ABSENT if there is None else figures.count(there),
                figures.epochs(count * length / there) if there and has_tokens else figures.ABSENT,
            )
        )
    headers = ("Domain", "Share", "Tokens, expected", "Tokens in the shards", "Epochs, expected")
    return without_empty_columns(Table(headers, tuple(rows), frozenset({1, 2, 3, 4})), figures.ABSENT)


def _flops_per_token(family: Family) -> int:
    """Training FLOPs a token: 6 for each parameter but the input embedding's, and 12 × layers × width × context of
    attention (Chowdhery et al. 2022, PaLM, appendix B). A head that shares its matrix with the embedding counts."""
    a = family.architecture
    embedding = 0 if a.tie_word_embeddings else a.vocab_size * a.hidden_size
    attention = 12 * a.num_hidden_layers * a.hidden_size * family.training.sequence_length
    return 6 * (a.parameters - embedding) + attention


def mixtures_table(family: Family) -> Table:
    """The weights of a family with one mixture per index: a line per index."""
    assert family.mixtures is not None
    mixtures = {run.number: run.mixture.domain_weights for run in family.runs()}
    keys = list(dict.fromkeys(key for weights in mixtures.values() for key in weights))
    rows = [(str(index), *(f"{weights.get(key, 0):.12g}" for key in keys)) for index, weights in mixtures.items()]
    headers = ("Index", *(key.removeprefix(family.data.train_prefix) for key in keys))
    return Table(headers, tuple(rows), frozenset(range(len(headers))))


def _hyperparameters(family: Family, confirmed: bool) -> tuple[Table | None, tuple[str, ...]]:
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
            _TOKENS,
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
    if not confirmed:  # how mixhub would begin and draw says nothing of another trainer
        rows = [row for row in rows if row[2][0] not in ("initialisation", "order")]
        stated = tuple((name, value) for name, value, fields in rows if _is_stated(family, fields))
        absent = tuple(name for name, _, fields in rows if not _is_stated(family, fields))
        return Table(("Hyperparameter", "Value"), stated) if stated else None, absent
    told = tuple((name, value, _origin(family, fields)) for name, value, fields in rows)
    return Table(("Hyperparameter", "Value", "Origin"), told), ()


def _is_stated(family: Family, fields: Sequence[str]) -> bool:
    """Whether the family says all of a row itself: what it takes over by `extends` keeps the origin of the other."""
    return all(family.training.origin(field) == "chosen" for field in fields)


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
    "as_written": "as written: normal, sd √(0.4 / fan-in); MLP down projections sd 1 / √(MLP width) / layers",
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


def seeds(family: Family, runs: Sequence[RunFacts]) -> SeedFacts:
    """What fixes the runs, as their lineage has it, else as the recipe will."""
    rows = []
    known = [facts for facts in runs if facts.lineage is not None]
    for facts in known or runs:
        init, order = _seed_pair(family, facts)
        if init is None or order is None:
            return SeedFacts(known=False, table=None)
        rows.append((facts.run.number, init, order))
    if family.revisions.kind == "seed" and all(number == init == order for number, init, order in rows):
        return SeedFacts(known=True, table=None)
    if rows and {seed for _, init, order in rows for seed in (init, order)} == {UNKNOWN}:
        return SeedFacts(known=False, table=None)
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
