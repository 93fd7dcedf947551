"""The parts of a family: its recipe, its evaluation suite and the facts of its card."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from mixhub.errors import ABSENT, Problem, nearest
from mixhub.spec.base import FrozenList, FrozenMap, Spec, parse_yaml
from mixhub.spec.schedule import tokens_per_step
from mixhub.spec.values import (
    Count,
    Fraction,
    Language,
    License,
    LicenseLink,
    LicenseName,
    Name,
    NonNegativeFloat,
    Numbers,
    Origin,
    Percent,
    PositiveFloat,
    PositiveInt,
    RepoId,
    Tag,
    TaskName,
    UniqueList,
)


def _none_if(default: str) -> AfterValidator:
    """Drop the default, so that writing it does not make another recipe."""
    return AfterValidator(lambda value: None if value == default else value)


class Tokenizer(Spec):
    """The tokenizer that turns text into token ids."""

    name: Name
    """Name of the tokenizer; the token shards are in `data/<corpus>.<tokenizer>/`."""
    repo_id: RepoId | None = None
    """Repo of the tokenizer. Default: train a byte-level BPE on the corpus."""
    vocab_size: PositiveInt
    """Number of token ids in use, including added tokens."""
    eos_token: str = "<|endoftext|>"
    """Token that ends each document; also the beginning-of-text and padding token."""
    text_of_special_tokens: Annotated[Literal["id", "text"] | None, _none_if("id")] = None
    """What the name of a special token in a document becomes: its `id`, as in the original runs, or ordinary `text`."""


class Data(Spec):
    """Where the text is, and the names of its domains."""

    corpus: Name
    """Folder in `data/` that holds `train/<domain>-<n>.jsonl` and `valid/<domain>-<n>.jsonl`."""
    dataset: RepoId | None = None
    """Dataset repo that the corpus is a copy of."""
    train_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]*$")] = "train_"
    """Prefix of training domains in `mixture`: the key is the prefix plus the domain."""
    valid_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]*$")] = "valid_"
    """Prefix of validation domains in `validation`: the key is the prefix plus the domain."""


class Loader(Spec):
    """RegMix's data loader, on which the order `regmix` depends; the machine that trains may have other sizes."""

    ranks: PositiveInt = 8
    """Processes of the loader. Each reads a part of the chunks of every domain; a domain with fewer is not sampled."""
    micro_batch_size: PositiveInt = 4
    """Sequences that a process of the loader takes at once."""
    chunk_sequences: PositiveInt = 256
    """Sequences of a chunk, which never crosses the end of a source file."""
    validation_chunk_sequences: PositiveInt | None = None
    """The same for validation domains, for `validation_order: regmix`. Default: 64."""

    @property
    def validation_chunk(self) -> int:
        """Sequences of a chunk of a validation domain."""
        return self.validation_chunk_sequences or 64


Order = Literal["iid", "quota", "regmix"]
_OLD_ORDERS = {"original": "regmix"}


class Training(Spec):
    """The training recipe."""

    sequence_length: PositiveInt
    """Tokens per sequence; a sample has one token more, because the targets are shifted by one."""
    global_batch_size: PositiveInt
    """Sequences per step, over all devices and micro-steps."""
    micro_batch_size: PositiveInt
    """Sequences per device and micro-step."""
    steps: PositiveInt
    """Number of optimizer updates."""
    optimizer: Literal["adamw"] = "adamw"
    """AdamW with decoupled weight decay (Loshchilov and Hutter 2019)."""
    beta1: Fraction = 0.9
    """Decay rate of AdamW's mean of gradients."""
    beta2: Fraction = 0.95
    """Decay rate of AdamW's mean of squared gradients."""
    adam_epsilon: PositiveFloat = 1e-8
    """Epsilon that AdamW adds to the square root of the second moment."""
    weight_decay: NonNegativeFloat = 0.1
    """Weight decay of the parameters that `decay` names."""
    decay: Annotated[Literal["all", "matrices"] | None, _none_if("all")] = None
    """Which parameters decay. `all`: norms and embeddings too, as in RegMix's runs. `matrices`: all but norms.
    Default: `all`."""
    gradient_clip: PositiveFloat | None = 1.0
    """Maximum global norm of the gradient; `null` turns clipping off."""
    learning_rate: PositiveFloat
    """Peak learning rate, after warmup."""
    min_learning_rate: NonNegativeFloat = 0.0
    """Learning rate at the end of the cosine schedule."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate schedule after warmup."""
    warmup_steps: Count = 0
    """Number of steps of linear warmup from zero."""
    lr_micro_steps: PositiveInt | None = None
    """Micro-steps per step, if the original code set the learning rate per micro-step."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Dtype of autocast; weights and optimizer state stay in float32."""
    rope_tables: Annotated[Literal["float32", "bfloat16"] | None, _none_if("float32")] = None
    """Dtype to which the sines and cosines of the rotary positions are rounded. RegMix's runs had `bfloat16`; exports
    are used with `float32`, as Transformers computes them. Default: `float32`."""
    gradient_reduction: Annotated[Literal["float32", "bfloat16"] | None, _none_if("float32")] = None
    """Dtype in which processes add up their gradients, once per step; each first adds up its micro-steps in `float32`.
    Default: `float32`."""
    initialisation: Literal["as_written", "torch_default"] = "as_written"
    """Distribution of the initial weights. `as_written`: N(0, sqrt(0.4 / fan_in)), MLP down projection
    N(0, 1 / sqrt(intermediate size) / layers). `torch_default`: Linear U(±1 / sqrt(fan_in)), Embedding N(0, 1)."""
    order: Annotated[Order, BeforeValidator(lambda order: _OLD_ORDERS.get(str(order), order))] = "iid"
    """Order of samples. `iid`: each sample draws its domain from the mixture. `quota`: at any step, each domain is
    within 1.5 sequences of its share. `regmix`: the order of RegMix's data loader; `original` is its old name."""
    loader: Annotated[Loader | None, Field(validate_default=True)] = None
    """Sizes of RegMix's data loader, for `order: regmix` alone. Default with that order: those of its 1B runs."""
    document_boundaries: Literal["reset"] | None = None
    """How the documents of a sequence are kept apart. `reset`: after each eos token, positions restart at 0 and
    attention does not reach back. Default: they are not; a sequence is one text, as in RegMix's runs."""
    seed: Count | None = None
    """Seed of every run, for families whose revisions are indices."""
    init_seed: Count | None = None
    """Seed of the initial weights. Default: the seed of the run."""
    order_seed: Count | None = None
    """Seed of the order of samples. Default: the seed of the run."""
    spike_limit: PositiveInt | None = None
    """Loss spikes within 1,000 steps that stop the run: steps whose loss lies more than 7 standard deviations above the
    mean of the 1,000 steps before. Default: spikes are counted, and never stop it."""
    validation_interval: PositiveInt = 1000
    """Steps between validations; the last step is always validated."""
    validation_sequences: PositiveInt = 200
    """Sequences per validation domain; the same ones are used each time."""
    validation_order: Literal["regmix"] | None = None
    """Which sequences those are. `regmix`: those that the first rank of RegMix's data loader reads, for
    `order: regmix` alone; a domain with fewer chunks than ranks is not validated. Default: the first of the domain."""
    checkpoint_interval: PositiveInt = 1000
    """Steps between checkpoints; the last step always has one."""
    keep_checkpoints: PositiveInt = 2
    """How many checkpoints of a run to keep, beside permanent ones; older ones are deleted."""
    permanent_checkpoint_interval: PositiveInt | None = None
    """Steps between checkpoints that are never deleted. Default: none are kept for good."""
    origins: FrozenMap[str, Origin] = Field(default_factory=dict, validate_default=True)
    """Where the value of each field comes from: `published`, `inferred` or `chosen`. Default: `chosen`."""

    @field_validator("loader")
    @classmethod
    def _default_loader(cls, loader: Loader | None, info: ValidationInfo) -> Loader | None:
        return Loader() if loader is None and info.data.get("order") == "regmix" else loader

    def _broken_rules(self) -> Iterator[Problem]:
        if self.global_batch_size % self.micro_batch_size:
            rule = f"must be a multiple of micro_batch_size, {self.micro_batch_size}"
            yield Problem("global_batch_size", self.global_batch_size, rule, code="keys-conflict")
        if self.loader is not None and self.order != "regmix":
            yield Problem("loader", self.loader.to_data(), "requires order: regmix", code="keys-conflict")
        elif self.loader is not None and self.global_batch_size % (self.loader.ranks * self.loader.micro_batch_size):
            rule = f"must be a multiple of loader.ranks × loader.micro_batch_size, {self.loader.ranks} × "
            rule += f"{self.loader.micro_batch_size}"
            yield Problem("global_batch_size", self.global_batch_size, rule, code="keys-conflict")
        if self.validation_order is not None and self.order != "regmix":
            yield Problem("validation_order", self.validation_order, "requires order: regmix", code="keys-conflict")
        for key, limit in (("min_learning_rate", "learning_rate"), ("warmup_steps", "steps")):
            if getattr(self, key) > getattr(self, limit):
                rule = f"must be at most {limit}, {getattr(self, limit)}"
                yield Problem(key, getattr(self, key), rule, code="keys-conflict")
        fields = type(self).model_fields.keys() - {"origins"}
        for name in sorted(self.origins.keys() - fields):
            rule = f"training has no such key; nearest: {nearest(name, fields)}"
            yield Problem(f"origins.{name}", self.origins[name], rule, code="key-unknown")

    @property
    def tokens_per_step(self) -> int:
        """Number of training tokens of an update."""
        return tokens_per_step(self.global_batch_size, self.sequence_length)

    @property
    def tokens(self) -> int:
        """Number of training tokens of a run."""
        return self.steps * self.tokens_per_step

    def origin(self, field: str) -> Origin:
        """Return where the value of a field comes from."""
        return self.origins.get(field, "chosen")


class Task(Spec):
    """One task of the evaluation suite."""

    name: TaskName
    """Name of the task in lm-eval."""
    title: str
    """Title of the task in tables and plots."""
    documents: PositiveInt | None = None
    """Number of documents in the evaluated split, if known."""
    chance: Percent | None = None
    """Score of guessing, in percent, for multiple-choice tasks."""
    config: str | None = None
    """Path of a custom task's YAML file, relative to the workspace. Default: the task of lm-eval."""

    @classmethod
    def of_text(cls, first: str, text: str) -> dict[str, str]:
        """Return the task of that name, with its title if it is in the shipped suite."""
        from importlib import resources

        file = resources.files("mixhub.spec").joinpath("catalog", "human-1b.yaml")
        tasks = parse_yaml(file.read_text(encoding="utf-8"), file.name)["evaluation"]["tasks"]
        return {first: text, "title": next((task["title"] for task in tasks if task["name"] == text), text)}

    def _broken_rules(self) -> Iterator[Problem]:
        if self.config is not None and (self.config.startswith("/") or ".." in self.config.split("/")):
            rule = "must be a path inside the workspace"
            yield Problem("config", self.config, rule, code="path-outside")


class Evaluation(Spec):
    """The evaluation suite. A score is the mean over shot counts of `acc_norm`, or else `acc`, in percent."""

    tasks: Annotated[FrozenList[Task], Field(min_length=1)]
    """The tasks, in the order in which tables show them."""
    num_fewshot: Annotated[Numbers, Field(min_length=1)]
    """Shot counts, the numbers of examples in the prompt, as a list or a range such as `0-5`."""
    fewshot_seed: Count = 1234
    """Seed for drawing the examples; all runs see the same prompts."""

    def _broken_rules(self) -> Iterator[Problem]:
        titles = [" ".join(task.title.split()) for task in self.tasks]
        for key, values in (("tasks", [task.name for task in self.tasks]), ("tasks.title", titles)):
            if len(set(values)) != len(values):
                yield Problem(key, values, "each value must be unique", code="value-repeated")
        if "Average" in titles:
            yield Problem("tasks.title", "Average", "is reserved for the column of the average", code="title-reserved")


class CardFacts(Spec):
    """Facts for the card that no run can supply."""

    title: str
    """Heading of the card."""
    summary: str
    """A paragraph that describes the family."""
    purpose: str | None = None
    """Intended use."""
    license: License
    """Licence of the weights: one of the Hub's identifiers, or `other`."""
    license_name: LicenseName | None = None
    """Name of the licence, if `license` is `other`."""
    license_link: LicenseLink | None = None
    """Text of the licence, if `license` is `other`: an address, or a file next to `mixhub.yaml` such as LICENSE."""
    data_license: str | None = None
    """What is known about the licence of the data."""
    base_model: RepoId | None = None
    """Repo of the model that training started from. Default: random weights."""
    language: FrozenList[Language] = ()
    """Languages: ISO 639 codes, BCP 47 tags, `code` or `multilingual`."""
    datasets: FrozenList[RepoId] = ()
    """Dataset repos of the training data."""
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{4,5}$")] | None = None
    """arXiv identifier of the paper."""
    tags: UniqueList[Tag] = ()
    """Additional tags for the metadata of the card."""
    links: FrozenMap[str, str] = Field(default_factory=dict, validate_default=True)
    """Additional links: text and address."""
    limits: FrozenList[str] = ()
    """Known limitations, one sentence each."""
    citation: str | None = None
    """How to cite the family, in BibTeX."""
    mixture_note: str | None = None
    """A note about the mixture, for example that it is not confirmed."""
    compute: str | None = None
    """Machines, time and energy used by runs that were trained elsewhere."""
    errata: FrozenList[str] = ()
    """Corrections of earlier statements, one sentence each."""
    contact: str | None = None
    """Whom to contact, and how."""
    siblings: FrozenList[Name] = ()
    """Other families, in the workspace or the catalog, to compare with."""
    plots: bool = True
    """Whether the card shows plots."""

    def _broken_rules(self) -> Iterator[Problem]:
        for key in ("license_name", "license_link"):
            value = getattr(self, key)
            if self.license == "other" and value is None:
                yield Problem(key, ABSENT, "is required if license is other", code="key-missing")
            if self.license != "other" and value is not None:
                yield Problem(key, value, "is allowed only with license: other", code="keys-conflict")

    @property
    def license_file(self) -> str | None:
        """Name of the licence file; None if the licence has an address or an identifier of the Hub."""
        return None if self.license_link is None or ":" in self.license_link else self.license_link


class PublishedScores(Spec):
    """Scores as others published them: shown with their source, never averaged with our own."""

    source: str
    """Address of the published table."""
    rule: str
    """How the authors define a score."""
    scores: FrozenMap[str, FrozenMap[str, Percent]]
    """Scores in percent, by revision and task."""
    average: FrozenMap[str, Percent] = Field(default_factory=dict, validate_default=True)
    """Published averages in percent, by revision."""
