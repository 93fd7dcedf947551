"""The recipe as a card shows it: hyperparameters, architecture and seeds, each from exact values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixhub.card.facts.runs import RunFacts
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Table, code
from mixhub.spec import catalog
from mixhub.spec.family import Family
from mixhub.spec.values import Origin
from mixhub.workspace.lineage import UNKNOWN

_SEEDS = ("Seed of the weights", "Seed of the order")

_TOKENS = ("steps", "global_batch_size", "sequence_length")
"""Fields that give the tokens of a run."""
_DOUBT: tuple[Origin, ...] = ("published", "inferred", "chosen")


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


def flops_per_token(family: Family) -> int:
    """Training FLOPs a token: 6 for each parameter but the input embedding's, and 12 × layers × width × context of
    attention (Chowdhery et al. 2022, PaLM, appendix B). A head that shares its matrix with the embedding counts."""
    a = family.architecture
    embedding = 0 if a.tie_word_embeddings else a.vocab_size * a.hidden_size
    attention = 12 * a.num_hidden_layers * a.hidden_size * family.training.sequence_length
    return 6 * (a.parameters - embedding) + attention


def hyperparameters(family: Family, *, confirmed: bool) -> tuple[Table | None, tuple[str, ...]]:
    """The hyperparameters, None where none is stated; and the names of those of which nothing is known.

    Args:
        family: the recipe.
        confirmed: see `is_confirmed`.
    """
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


def architecture(family: Family) -> Table:
    """What the model is, a line for each of its sizes."""
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
