"""The recipe as a card shows it: hyperparameters, architecture and seeds, each from exact values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mixhub.card.facts.runs import FamilyFacts
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, code
from mixhub.phrases import plural
from mixhub.spec import catalog
from mixhub.spec.architecture import OtherArchitecture
from mixhub.spec.family import Family
from mixhub.spec.parts import Training
from mixhub.spec.values import Origin
from mixhub.workspace.lineage import UNKNOWN

_DOUBT: tuple[Origin, ...] = ("published", "inferred", "chosen")
_PRECISION = {"float32": "float32", "bfloat16": "bfloat16 autocast; weights and optimizer state in float32"}
_INITIALISATION = {
    "as_written": "as written: normal, sd √(0.4 / fan-in); MLP down projections sd 1 / √(MLP width) / layers",
    "torch_default": "torch's default: linear layers uniform within ±1 / √fan-in; embedding normal, sd 1",
}
_ORDER = {
    "iid": "each sample draws its domain from the mixture",
    "quota": "at any step, each domain is within 1.5 sequences of its share",
}
_DECAY = {None: "on all parameters", "matrices": "on all parameters but the norms"}
_BOUNDARIES = {"reset": "apart: within a sequence, attention stays in its document, and positions restart"}
_FIELD_NAMES = {
    "adam_epsilon": "ε",
    "beta1": "β₁",
    "beta2": "β₂",
    "global_batch_size": "sequences per step",
    "lr_micro_steps": "micro-steps",
    "sequence_length": "sequence length",
    "warmup_steps": "warmup",
}


def hyperparameters(facts: FamilyFacts) -> tuple[Table | None, tuple[str, ...]]:
    """Return the hyperparameters that are stated, None if none is; and the names of those that are not.

    Of a confirmed recipe all are stated, each with its origin.
    """
    rows = _recipe(facts.family)
    if facts.is_confirmed:
        shown = tuple((name, value, _origin(facts.family, fields)) for name, value, *fields in rows)
        return Table(("Hyperparameter", "Value", "Origin"), shown), ()
    # how mixhub initialises and orders says nothing of another trainer
    rows = [row for row in rows if row[2] not in ("initialisation", "order")]
    stated = tuple((name, value) for name, value, *fields in rows if facts.states(*fields))
    absent = tuple(name for name, _, *fields in rows if not facts.states(*fields))
    return Table(("Hyperparameter", "Value"), stated) if stated else None, absent


def recipe_source(family: Family) -> Family | None:
    """Return the shipped family whose authors published the values that have this origin; None if there is none."""
    published = [field for field, origin in family.training.origins.items() if origin == "published"]
    for source in map(catalog.get, catalog.names() if published else ()):
        if all(
            source.training.origin(field) == "published"
            and getattr(source.training, field) == getattr(family.training, field)
            for field in published
        ):
            return source
    return None


def _recipe(family: Family) -> list[tuple[str, ...]]:
    """Return a row for each hyperparameter: its name, its value, and the fields of the recipe that it shows."""
    t = family.training
    batch = ("global_batch_size", "sequence_length")
    schedule = [t.schedule.capitalize(), "schedule"]
    if t.lr_micro_steps is not None:
        schedule = [f"{schedule[0]} (set per micro-step, {t.lr_micro_steps:,} per step)", "schedule", "lr_micro_steps"]
    warmup = f"{figures.ratio(t.warmup_steps, t.steps)} ({t.warmup_steps:,} of {t.steps:,} steps, linear)"
    adam = f"AdamW, β₁ {figures.rate(t.beta1)}, β₂ {figures.rate(t.beta2)}, ε {figures.rate(t.adam_epsilon)}"
    clip = "none" if t.gradient_clip is None else f"global norm {figures.rate(t.gradient_clip)}"
    decay = ["weight_decay", *(["decay"] if t.decay else [])]
    tables = [("Rotary Tables", f"rounded to {t.rope_tables}", "rope_tables")] if t.rope_tables else []
    dtype = t.gradient_reduction
    reduction = [("Gradient Reduction", f"{dtype} between processes", "gradient_reduction")] if dtype else []
    boundaries = (
        [("Documents", _BOUNDARIES[t.document_boundaries], "document_boundaries")] if t.document_boundaries else []
    )
    return [
        ("Batch Size", figures.batch(t.global_batch_size, t.sequence_length), *batch),
        ("Learning Rate", figures.rate(t.learning_rate), "learning_rate"),
        ("Minimum Learning Rate", figures.rate(t.min_learning_rate), "min_learning_rate"),
        ("Learning Rate Schedule", *schedule),
        ("Warmup Ratio", warmup, "warmup_steps", "steps"),
        ("Total Tokens", figures.total(t.steps, t.global_batch_size, t.sequence_length), "steps", *batch),
        ("Optimizer", adam, "optimizer", "beta1", "beta2", "adam_epsilon"),
        ("Weight Decay", f"{figures.rate(t.weight_decay)}, {_DECAY[t.decay]}", *decay),
        ("Gradient Clipping", clip, "gradient_clip"),
        ("Precision", _PRECISION[t.precision], "precision"),
        *tables,
        *reduction,
        ("Initialisation", _INITIALISATION[t.initialisation], "initialisation"),
        ("Order of Samples", *_order(t)),
        *boundaries,
    ]


def _order(training: Training) -> tuple[str, ...]:
    if training.loader is None:
        return _ORDER[training.order], "order"
    loader = training.loader
    sizes = f"micro-batches of {loader.micro_batch_size:,}, chunks of {loader.chunk_sequences:,}"
    return f"RegMix's data loader on {plural(loader.ranks, 'device')} ({sizes})", "order", "loader"


def _origin(family: Family, fields: Sequence[str]) -> str:
    """Return the origin of a row, and of its fields that have a worse one."""
    origins = {field: family.training.origin(field) for field in fields}
    if len(set(origins.values())) == 1:
        return origins[fields[0]]
    best = min(origins.values(), key=_DOUBT.index)
    worse = [f"{_FIELD_NAMES.get(field, field)} {origin}" for field, origin in origins.items() if origin != best]
    return f"{best}; {', '.join(worse)}"


def architecture(facts: FamilyFacts) -> Table:
    """Return the sizes of the model, a row for each that is stated."""
    family, a = facts.family, facts.family.architecture
    if isinstance(a, OtherArchitecture):
        return _of_config(a, facts)
    heads = f"{a.num_attention_heads:,}"
    if a.key_value_heads != a.num_attention_heads:
        heads += f", sharing {a.key_value_heads:,} keys and values"
    rows = [
        ("Name", code(a.model_name)),
        ("Type", "Llama-like decoder: RMSNorm, rotary positions, SwiGLU, no biases"),
        ("Parameters", f"{a.parameters:,}"),
        ("Layers", f"{a.num_hidden_layers:,}"),
        ("Hidden Size", f"{a.hidden_size:,}"),
        ("Attention Heads", heads),
        ("MLP Width", f"{a.intermediate_size:,}"),
        ("Context Length", f"{a.max_position_embeddings:,} tokens"),
        ("Vocabulary", f"{a.vocab_size:,} rows, {family.tokenizer.vocab_size:,} in use"),
        ("Embedding and Head", "one matrix" if a.tie_word_embeddings else "two matrices"),
        ("RMSNorm ε", figures.rate(a.rms_norm_eps)),
        ("RoPE Base", figures.rate(a.rope_theta)),
        ("Origin", a.origin),
    ]
    return Table(("Architecture", "Value"), tuple(rows))


def _of_config(a: OtherArchitecture, facts: FamilyFacts) -> Table:
    stated = a.config.get("architectures")
    kind = code(stated[0] if isinstance(stated, list) and stated else a.model_type)
    used = f"{facts.family.tokenizer.vocab_size:,} in use"
    sizes = {
        "Parameters": f"{facts.parameters:,}" if facts.parameters else None,
        "Layers": f"{a.layers:,}" if a.layers else None,
        "Hidden Size": f"{a.hidden_size:,}" if a.hidden_size else None,
        "Context Length": f"{a.context:,} tokens" if a.context else None,
        "Vocabulary": f"{a.vocab_size:,} rows, {used}" if a.vocab_size else used,
    }
    rows = [(name, value) for name, value in sizes.items() if value is not None]
    shown = (("Name", code(a.model_name)), ("Type", Markdown(f"{kind} of Transformers")), *rows, ("Origin", a.origin))
    return Table(("Architecture", "Value"), shown)


def seeds(facts: FamilyFacts) -> Table | Literal["unknown", "number"]:
    """Return the seeds of the runs: from their lineages, or those that the recipe gives if none is trained.

    Returns:
        "unknown" if they are not published, "number" if each is simply the number of its run; otherwise a table with a
        row for each run, or with one row if all runs share their seeds.
    """
    runs = [one for one in facts.runs if one.lineage is not None] or facts.runs
    sources = [(one.run.label, one.lineage or one.run) for one in runs]
    rows = [(number, source.init_seed, source.order_seed) for number, source in sources]
    pairs = {(init, order) for _, init, order in rows}
    values = {seed for pair in pairs for seed in pair}
    if None in values or values == {UNKNOWN} or (facts.made_elsewhere and not any(one.lineage for one in runs)):
        return "unknown"
    kind = facts.family.revisions.kind
    if kind == "seed" and all(number == init == order for number, init, order in rows):
        return "number"
    headers = ("Seed of the weights", "Seed of the order")
    if len(rows) > 1 and len(pairs) == 1:
        return Table(headers, (tuple(map(str, rows[0][1:])),), frozenset({0, 1}))
    shown = tuple(tuple(map(str, row)) for row in rows)
    return Table((kind.capitalize(), *headers), shown, frozenset({0, 1, 2}))
