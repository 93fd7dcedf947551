"""The parts of a family: its runs, its recipe, its evaluation suite and the facts of its card."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from mixhub.errors import ABSENT, Problem, nearest
from mixhub.spec.base import FrozenList, FrozenMap, Spec
from mixhub.spec.identifiers import (
    OTHER,
    language_problem,
    license_link_problem,
    license_name_problem,
    license_problem,
    tag_problem,
)
from mixhub.spec.schedule import tokens_per_step
from mixhub.spec.values import (
    Count,
    Fraction,
    Name,
    NonNegativeFloat,
    Numbers,
    Origin,
    Percent,
    PositiveFloat,
    PositiveInt,
    RepoId,
    ruled,
)


class Revisions(Spec):
    """Which runs a family has, and how their branches are named."""

    pattern: str = "seed-{seed}"
    """Branch of a run; holds `{seed}` or `{index}` once."""
    seeds: Numbers = ()
    """The seeds, when it is the seed that varies."""
    indices: Numbers = ()
    """The indices, when each run has a mixture of its own."""
    step_pattern: str = "{revision}-step-{step}"
    """Branch of an earlier step of a run."""
    main: Count | None = None
    """The seed or index whose model `main` holds too, for those who load without a revision; absent: none."""

    def _broken_rules(self) -> Iterator[Problem]:
        if bool(self.seeds) == bool(self.indices):
            yield Problem("", ABSENT, "give either seeds or indices", code="keys-conflict")
        placeholder = f"{{{self.kind}}}"
        if re.findall(r"\{[^}]*\}", self.pattern) != [placeholder]:
            rule = f"must hold {placeholder} once, and no other placeholder"
            yield Problem("pattern", self.pattern, rule, code="pattern-placeholder")
        if sorted(re.findall(r"\{[^}]*\}", self.step_pattern)) != ["{revision}", "{step}"]:
            rule = "must hold {revision} and {step} once each"
            yield Problem("step_pattern", self.step_pattern, rule, code="pattern-placeholder")
        elif not re.search(r"\{revision\}[^{}]*[A-Za-z._-]\{step\}", self.step_pattern):
            rule = "must have a letter or one of '._-' between {revision} and {step}, or seed-1 at step 2 is seed-12"
            yield Problem("step_pattern", self.step_pattern, rule, code="pattern-ambiguous")
        for key in ("pattern", "step_pattern"):
            text = re.sub(r"\{(revision|seed|index|step)\}", "1", getattr(self, key))
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) or ".." in text or text.endswith((".lock", ".")):
                rule = "must make names that git takes for branches, without /"
                yield Problem(key, getattr(self, key), rule, code="pattern-branch")
        for key in ("seeds", "indices"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                yield Problem(key, list(values), "each must stand once", code="value-repeated")
        if self.main is not None and self.main not in self.numbers:
            rule = f"must be one of revisions.{self.plural(self.kind)}"
            yield Problem("main", self.main, rule, code="reference-unknown")

    @property
    def kind(self) -> Literal["seed", "index"]:
        """What varies over the revisions."""
        return "index" if self.indices else "seed"

    @property
    def numbers(self) -> tuple[int, ...]:
        """The seeds, or the indices."""
        return self.indices or self.seeds

    @staticmethod
    def plural(kind: str) -> str:
        """`seeds` or `indices`."""
        return "indices" if kind == "index" else "seeds"


class Architecture(Spec):
    """A Llama-like decoder; keys are those of `LlamaConfig`."""

    model_name: Name
    """What RegMix's `train_config.yaml` calls it, as `tinyllama_1_1b`."""
    model_type: Literal["llama"] = "llama"
    """Transformers' model type."""
    hidden_size: PositiveInt
    """Width of the residual stream."""
    intermediate_size: PositiveInt
    """Width of the SwiGLU MLP."""
    num_hidden_layers: PositiveInt
    """Blocks."""
    num_attention_heads: PositiveInt
    """Query heads."""
    num_key_value_heads: PositiveInt | None = None
    """Key and value heads; absent: as many as query heads."""
    max_position_embeddings: PositiveInt
    """Context length, tokens."""
    vocab_size: PositiveInt
    """Rows of the embedding, padding included."""
    rms_norm_eps: PositiveFloat = 1e-5
    """Added to the mean square in RMSNorm."""
    rope_theta: PositiveFloat = 10000.0
    """Base of the rotary position embedding."""
    tie_word_embeddings: bool = False
    """Whether head and embedding are one matrix."""
    origin: Origin = "chosen"
    """Where the architecture is from."""

    def _broken_rules(self) -> Iterator[Problem]:
        if self.hidden_size % self.num_attention_heads:
            rule = f"must be a multiple of {self.num_attention_heads} heads"
            yield Problem("hidden_size", self.hidden_size, rule, code="heads-mismatch")
        elif self.hidden_size // self.num_attention_heads % 2:
            rule = "must give heads of even size (rotary embedding)"
            yield Problem("hidden_size", self.hidden_size, rule, code="heads-mismatch")
        if self.num_attention_heads % self.key_value_heads:
            rule = f"must divide the {self.num_attention_heads} query heads"
            yield Problem("num_key_value_heads", self.num_key_value_heads, rule, code="heads-mismatch")

    @property
    def key_value_heads(self) -> int:
        """Key and value heads."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def config(self) -> dict[str, Any]:
        """What a `config.json` says of it, by key: no name and no origin, and the key and value heads as a number."""
        data = {**self.to_data(), "num_key_value_heads": self.key_value_heads}
        return {key: value for key, value in data.items() if key not in ("model_name", "origin")}

    @property
    def parameters(self) -> int:
        """Trainable parameters, embedding and head included."""
        head_size = self.hidden_size // self.num_attention_heads
        attention = 2 * self.hidden_size**2 + 2 * self.hidden_size * head_size * self.key_value_heads
        block = attention + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return self.num_hidden_layers * block + embeddings + self.hidden_size


class Tokenizer(Spec):
    """The tokenizer that makes text into token ids."""

    name: Name
    """Names the folder of token shards, `data/<corpus>.<tokenizer>/`."""
    repo_id: RepoId | None = None
    """Repo that holds it; absent: a byte-level BPE is trained on the corpus."""
    vocab_size: PositiveInt
    """Ids in use, added tokens included."""
    eos_token: str = "<|endoftext|>"
    """Ends each document; it is also the bos and the padding token."""


class Data(Spec):
    """Where the text is, and how its domains are named."""

    corpus: Name
    """Folder below `data/`, with `train/<domain>-<n>.jsonl` and `valid/<domain>-<n>.jsonl`."""
    dataset: RepoId | None = None
    """Dataset repo that the corpus is a copy of."""
    train_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]*$")] = "train_"
    """A training domain key is this prefix and the domain."""
    valid_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]*$")] = "valid_"
    """A validation domain key is this prefix and the domain."""


class Training(Spec):
    """The training recipe."""

    sequence_length: PositiveInt
    """Tokens per sequence (a block); a sample has one more, since targets are shifted by one."""
    global_batch_size: PositiveInt
    """Sequences per step, over all devices and micro-steps."""
    micro_batch_size: PositiveInt
    """Sequences per device and micro-step."""
    steps: PositiveInt
    """Optimizer updates."""
    optimizer: Literal["adamw"] = "adamw"
    """Loshchilov and Hutter 2019, decoupled weight decay."""
    beta1: Fraction = 0.9
    """AdamW: decay of the mean of gradients."""
    beta2: Fraction = 0.95
    """AdamW: decay of the mean of squared gradients."""
    adam_epsilon: PositiveFloat = 1e-8
    """AdamW: added to the root of the second moment."""
    weight_decay: NonNegativeFloat = 0.1
    """On every parameter, norms and embeddings too."""
    gradient_clip: PositiveFloat | None = 1.0
    """Largest global norm of the gradient; absent: not clipped."""
    learning_rate: PositiveFloat
    """Peak rate, after warmup."""
    min_learning_rate: NonNegativeFloat = 0.0
    """Rate at the end of the cosine."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Shape of the rate after warmup."""
    warmup_steps: Count = 0
    """Steps of linear warmup from zero."""
    lr_micro_steps: PositiveInt | None = None
    """Micro-steps per step where the rate was set per micro-step (see `schedule.learning_rate`)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Autocast dtype; weights and optimizer state stay float32."""
    initialisation: Literal["as_written", "torch_default"] = "as_written"
    """`as_written`: N(0, sqrt(0.4 / fan_in)), MLP down projection N(0, 1 / sqrt(intermediate size) / layers).
    `torch_default`: Linear U(±1 / sqrt(fan_in)), Embedding N(0, 1)."""
    order: Literal["iid", "original"] = "iid"
    """`iid`: each sample draws its domain from the mixture. `original`: the order of RegMix's loader."""
    seed: Count | None = None
    """Seed of every run of a family whose revisions are indices; families over seeds leave it out."""
    init_seed: Count | None = None
    """Seed of the initial weights; absent: the run's seed."""
    order_seed: Count | None = None
    """Seed of the order of samples; absent: the run's seed."""
    validation_interval: PositiveInt = 1000
    """Steps between validations; one more follows the last step."""
    validation_sequences: PositiveInt = 200
    """Sequences of each validation domain, the same ones each time."""
    checkpoint_interval: PositiveInt = 1000
    """Steps between checkpoints; one more follows the last step."""
    keep_checkpoints: PositiveInt = 2
    """Checkpoints of a run that are kept, the newest."""
    origins: FrozenMap[str, Origin] = Field(default_factory=dict, validate_default=True)
    """Where each field is from; fields that are not named here are `chosen`."""

    def _broken_rules(self) -> Iterator[Problem]:
        if self.global_batch_size % self.micro_batch_size:
            rule = f"must be a multiple of micro_batch_size, {self.micro_batch_size}"
            yield Problem("global_batch_size", self.global_batch_size, rule, code="keys-conflict")
        if self.min_learning_rate > self.learning_rate:
            rule = f"must be at most learning_rate, {self.learning_rate}"
            yield Problem("min_learning_rate", self.min_learning_rate, rule, code="keys-conflict")
        if self.warmup_steps > self.steps:
            rule = f"must be at most steps, {self.steps}"
            yield Problem("warmup_steps", self.warmup_steps, rule, code="keys-conflict")
        fields = [name for name in type(self).model_fields if name != "origins"]
        for name, origin in self.origins.items():
            if name not in fields:
                near = nearest(name, fields)
                rule = f"no field of training; nearest: {near}"
                yield Problem(f"origins.{name}", origin, rule, code="key-unknown")

    @property
    def tokens(self) -> int:
        """Training tokens of a run."""
        return self.steps * tokens_per_step(self.global_batch_size, self.sequence_length)

    def origin(self, field: str) -> Origin:
        """Where the value of `field` is from."""
        return self.origins.get(field, "chosen")


class Task(Spec):
    """One task of the evaluation suite."""

    name: Name
    """lm-eval's name of the task."""
    title: str
    """Its column in the results table."""
    documents: PositiveInt | None = None
    """Documents of the evaluated split, where known."""
    chance: Percent | None = None
    """What choosing an answer at random scores, percent, where the answers are choices."""
    config: str | None = None
    """A task YAML of one's own, relative to the workspace; absent: lm-eval's."""

    def _broken_rules(self) -> Iterator[Problem]:
        if self.config is not None and (self.config.startswith("/") or ".." in self.config.split("/")):
            rule = "must be a path below the workspace"
            yield Problem("config", self.config, rule, code="path-outside")


class Evaluation(Spec):
    """The evaluation suite: a score is the mean over shot counts of `acc_norm`, else `acc`, in percent."""

    tasks: Annotated[FrozenList[Task], Field(min_length=1)]
    """In the order of the results table."""
    num_fewshot: Annotated[Numbers, Field(min_length=1)]
    """Shot counts."""
    fewshot_seed: Count = 1234
    """Seed of the choice of shots; the same for every run, so that all see the same prompts."""

    def _broken_rules(self) -> Iterator[Problem]:
        given: dict[str, list[Any]] = {
            "tasks": [task.name for task in self.tasks],
            "tasks.title": [" ".join(task.title.split()) for task in self.tasks],
            "num_fewshot": list(self.num_fewshot),
        }
        for key, values in given.items():
            if len(set(values)) != len(values):
                yield Problem(key, values, "each must stand once", code="value-repeated")
        if "Average" in given["tasks.title"]:
            rule = "is the column of the average"
            yield Problem("tasks.title", "Average", rule, code="title-reserved")


class CardFacts(Spec):
    """What the card says that no run can tell."""

    title: str
    """Heading of the card."""
    summary: str
    """What the family is, a paragraph."""
    purpose: str | None = None
    """What it is for."""
    license: Annotated[str, ruled(license_problem)]
    """Licence identifier of the weights, as the Hub knows it; `other` for those that it does not know."""
    license_name: Annotated[str, ruled(license_name_problem)] | None = None
    """Name of a licence that is `other`."""
    license_link: Annotated[str, ruled(license_link_problem)] | None = None
    """Where that stands: an address, or a file beside `mixhub.yaml`, as LICENSE, which each branch gets."""
    data_license: str | None = None
    """What is known of the licence of the data."""
    base_model: RepoId | None = None
    """Repo of the model that training went on from; absent: it began anew."""
    language: FrozenList[Annotated[str, ruled(language_problem)]] = ()
    """ISO 639 codes or BCP 47 tags, or `code`, or `multilingual`."""
    datasets: FrozenList[RepoId] = ()
    """Dataset repos."""
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{4,5}$")] | None = None
    """arXiv identifier of the paper."""
    tags: FrozenList[Annotated[str, ruled(tag_problem)]] = ()
    """Further tags of the card's metadata."""
    links: FrozenMap[str, str] = Field(default_factory=dict, validate_default=True)
    """Further links: text and address."""
    limits: FrozenList[str] = ()
    """Known limits, a sentence each."""
    citation: str | None = None
    """BibTeX."""
    mixture_note: str | None = None
    """What a reader of the mixture must know beside it, as that it was not confirmed."""
    compute: str | None = None
    """What is known of the machines, the time and the energy of runs that were made elsewhere."""
    errata: FrozenList[str] = ()
    """What was said wrongly before, and what is right, a sentence each."""
    contact: str | None = None
    """Whom to ask."""
    siblings: FrozenList[Name] = ()
    """Families that are shown beside this one: of the workspace, or of the catalog."""
    plots: bool = True
    """Whether the card shows plots."""

    def _broken_rules(self) -> Iterator[Problem]:
        for key in ("license_name", "license_link"):
            value = getattr(self, key)
            if self.license == OTHER and value is None:
                yield Problem(key, ABSENT, "is required, since license is other", code="key-missing")
            if self.license != OTHER and value is not None:
                yield Problem(key, value, f"goes with license: {OTHER}", code="keys-conflict")
        if len(set(self.tags)) != len(self.tags):
            yield Problem("tags", list(self.tags), "each must stand once", code="value-repeated")
        for position, tag in enumerate(self.tags):
            if tag.startswith("arxiv:"):
                rule = "comes from card.arxiv: write the identifier there"
                yield Problem(f"tags.{position}", tag, rule, code="tag-reserved")

    @property
    def license_file(self) -> str | None:
        """Name of the file that holds the licence; None where an address says it, or the Hub knows the licence."""
        return None if self.license_link is None or ":" in self.license_link else self.license_link


class PublishedScores(Spec):
    """Scores as somebody printed them: shown and labelled, never averaged with cells of our own."""

    source: str
    """Address of the table."""
    rule: str
    """What its authors say that a score is."""
    scores: FrozenMap[str, FrozenMap[str, Percent]]
    """Percent, by revision and task name."""
    average: FrozenMap[str, Percent] = Field(default_factory=dict, validate_default=True)
    """Percent, by revision, as printed."""
