"""A family: one recipe, the runs that it has, its repo, its evaluation suite and the facts of its card."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from mixhub.errors import ABSENT, Problem, UnknownNameError, UsageError, nearest
from mixhub.spec.base import FrozenList, FrozenMap, Spec, problems_error
from mixhub.spec.identifiers import (
    OTHER,
    language_problem,
    license_link_problem,
    license_name_problem,
    license_problem,
    tag_problem,
)
from mixhub.spec.mixture import Mixture
from mixhub.spec.schedule import tokens_per_step

Origin = Literal["published", "inferred", "chosen"]
"""Where a value is from: its authors say so, it follows from what they say, or whoever wrote the family chose it."""

PositiveInt = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)]


def repo_id_problem(repo_id: str) -> str | None:
    """What is wrong with a repo_id, by the rules of the Hub; None when nothing is."""
    parts = repo_id.split("/")
    if len(parts) != 2 or not all(re.fullmatch(r"[A-Za-z0-9._-]+", part) for part in parts):
        return "must be <namespace>/<name>, each of letters, digits, '.', '_' and '-'"
    if len(repo_id) > 96:
        return "must have at most 96 characters"
    if any(part[0] in ".-" or part[-1] in ".-" for part in parts) or "--" in repo_id or ".." in repo_id:
        return "must not hold '--' or '..', nor begin or end a part with '.' or '-'"
    return "must not end in .git" if repo_id.endswith(".git") else None


def _ruled(problem: Callable[[str], str | None]) -> AfterValidator:
    """Refuses text in which `problem` finds one."""

    def checked(text: str) -> str:
        if rule := problem(text):
            raise PydanticCustomError("rule", "{rule}", {"rule": rule})
        return text

    return AfterValidator(checked)


RepoId = Annotated[str, _ruled(repo_id_problem)]

_MOST_NUMBERS = 10_000


def _expand_range(value: object) -> object:
    if not isinstance(value, str) or not (match := re.fullmatch(r"\s*(\d{1,9})\s*-\s*(\d{1,9})\s*", value)):
        return value
    first, last = int(match[1]), int(match[2])
    if last < first:
        raise PydanticCustomError("range", "{rule}", {"rule": f"is empty; write {last}-{first}"})
    if last - first >= _MOST_NUMBERS:
        raise PydanticCustomError("range", "{rule}", {"rule": f"must hold at most {_MOST_NUMBERS:,} numbers"})
    return tuple(range(first, last + 1))


def _compact_range(values: tuple[int, ...]) -> str | list[int]:
    if len(values) > 2 and values == tuple(range(values[0], values[-1] + 1)):
        return f"{values[0]}-{values[-1]}"
    return list(values)


Numbers = Annotated[
    FrozenList[Count], BeforeValidator(_expand_range), PlainSerializer(_compact_range, return_type=str | list[int])
]
"""A list of numbers, or a range as `1-64`."""


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

    @model_validator(mode="after")
    def _check(self) -> Revisions:
        problems = []
        if bool(self.seeds) == bool(self.indices):
            problems.append(Problem("", ABSENT, "give either seeds or indices"))
        placeholder = f"{{{self.kind}}}"
        if re.findall(r"\{[^}]*\}", self.pattern) != [placeholder]:
            problems.append(Problem("pattern", self.pattern, f"must hold {placeholder} once, and no other placeholder"))
        if sorted(re.findall(r"\{[^}]*\}", self.step_pattern)) != ["{revision}", "{step}"]:
            problems.append(Problem("step_pattern", self.step_pattern, "must hold {revision} and {step} once each"))
        elif not re.search(r"\{revision\}[^{}]*[A-Za-z._-]\{step\}", self.step_pattern):
            rule = "must have a letter or one of '._-' between {revision} and {step}, or seed-1 at step 2 is seed-12"
            problems.append(Problem("step_pattern", self.step_pattern, rule))
        for key in ("pattern", "step_pattern"):
            text = re.sub(r"\{(revision|seed|index|step)\}", "1", getattr(self, key))
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) or ".." in text or text.endswith((".lock", ".")):
                problems.append(
                    Problem(key, getattr(self, key), "must make names that git takes for branches, without /")
                )
        for key in ("seeds", "indices"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                problems.append(Problem(key, list(values), "each must stand once"))
        if self.main is not None and self.main not in self.numbers:
            plural = _plural(self.kind)
            problems.append(Problem("main", self.main, f"must be one of revisions.{plural}"))
        if problems:
            raise problems_error(problems)
        return self

    @property
    def kind(self) -> Literal["seed", "index"]:
        """What varies over the revisions."""
        return "index" if self.indices else "seed"

    @property
    def numbers(self) -> tuple[int, ...]:
        """The seeds, or the indices."""
        return self.indices or self.seeds


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

    @model_validator(mode="after")
    def _check(self) -> Architecture:
        problems = []
        if self.hidden_size % self.num_attention_heads:
            problems.append(
                Problem("hidden_size", self.hidden_size, f"must be a multiple of {self.num_attention_heads} heads")
            )
        elif self.hidden_size // self.num_attention_heads % 2:
            problems.append(Problem("hidden_size", self.hidden_size, "must give heads of even size (rotary embedding)"))
        if self.num_attention_heads % self.key_value_heads:
            rule = f"must divide the {self.num_attention_heads} query heads"
            problems.append(Problem("num_key_value_heads", self.num_key_value_heads, rule))
        if problems:
            raise problems_error(problems)
        return self

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

    @model_validator(mode="after")
    def _check(self) -> Training:
        problems = []
        if self.global_batch_size % self.micro_batch_size:
            rule = f"must be a multiple of micro_batch_size, {self.micro_batch_size}"
            problems.append(Problem("global_batch_size", self.global_batch_size, rule))
        if self.min_learning_rate > self.learning_rate:
            rule = f"must be at most learning_rate, {self.learning_rate}"
            problems.append(Problem("min_learning_rate", self.min_learning_rate, rule))
        if self.warmup_steps > self.steps:
            problems.append(Problem("warmup_steps", self.warmup_steps, f"must be at most steps, {self.steps}"))
        fields = [name for name in type(self).model_fields if name != "origins"]
        for name, origin in self.origins.items():
            if name not in fields:
                near = nearest(name, fields)
                problems.append(Problem(f"origins.{name}", origin, f"no field of training; nearest: {near}"))
        if problems:
            raise problems_error(problems)
        return self

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

    @model_validator(mode="after")
    def _check(self) -> Task:
        if self.config is not None and (self.config.startswith("/") or ".." in self.config.split("/")):
            raise problems_error([Problem("config", self.config, "must be a path below the workspace")])
        return self


class Evaluation(Spec):
    """The evaluation suite: a score is the mean over shot counts of `acc_norm`, else `acc`, in percent."""

    tasks: Annotated[FrozenList[Task], Field(min_length=1)]
    """In the order of the results table."""
    num_fewshot: Annotated[Numbers, Field(min_length=1)]
    """Shot counts."""
    fewshot_seed: Count = 1234
    """Seed of the choice of shots; the same for every run, so that all see the same prompts."""

    @model_validator(mode="after")
    def _check(self) -> Evaluation:
        problems = []
        given: dict[str, list[Any]] = {
            "tasks": [task.name for task in self.tasks],
            "tasks.title": [" ".join(task.title.split()) for task in self.tasks],
            "num_fewshot": list(self.num_fewshot),
        }
        for key, values in given.items():
            if len(set(values)) != len(values):
                problems.append(Problem(key, values, "each must stand once"))
        if "Average" in given["tasks.title"]:
            problems.append(Problem("tasks.title", "Average", "is the column of the average"))
        if problems:
            raise problems_error(problems)
        return self


class CardFacts(Spec):
    """What the card says that no run can tell."""

    title: str
    """Heading of the card."""
    summary: str
    """What the family is, a paragraph."""
    purpose: str | None = None
    """What it is for."""
    license: Annotated[str, _ruled(license_problem)]
    """Licence identifier of the weights, as the Hub knows it; `other` for those that it does not know."""
    license_name: Annotated[str, _ruled(license_name_problem)] | None = None
    """Name of a licence that is `other`."""
    license_link: Annotated[str, _ruled(license_link_problem)] | None = None
    """Where that stands: an address, or a file beside `mixhub.yaml`, as LICENSE, which each branch gets."""
    data_license: str | None = None
    """What is known of the licence of the data."""
    base_model: RepoId | None = None
    """Repo of the model that training went on from; absent: it began anew."""
    language: FrozenList[Annotated[str, _ruled(language_problem)]] = ()
    """ISO 639 codes or BCP 47 tags, or `code`, or `multilingual`."""
    datasets: FrozenList[RepoId] = ()
    """Dataset repos."""
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{4,5}$")] | None = None
    """arXiv identifier of the paper."""
    tags: FrozenList[Annotated[str, _ruled(tag_problem)]] = ()
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

    @model_validator(mode="after")
    def _check(self) -> CardFacts:
        problems = []
        for key in ("license_name", "license_link"):
            value = getattr(self, key)
            if self.license == OTHER and value is None:
                problems.append(Problem(key, ABSENT, "is required, since license is other"))
            if self.license != OTHER and value is not None:
                problems.append(Problem(key, value, f"goes with license: {OTHER}"))
        if len(set(self.tags)) != len(self.tags):
            problems.append(Problem("tags", list(self.tags), "each must stand once"))
        for position, tag in enumerate(self.tags):
            if tag.startswith("arxiv:"):
                problems.append(Problem(f"tags.{position}", tag, "comes from card.arxiv: write the identifier there"))
        if problems:
            raise problems_error(problems)
        return self

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


@dataclass(frozen=True)
class Run:
    """One family × one seed or index: what is trained, evaluated and published as one branch."""

    family: str
    """Name of the family."""
    revision: str
    """Its branch, as `seed-4`."""
    kind: Literal["seed", "index"]
    """What `number` is."""
    number: int
    """The seed or the index."""
    seed: int | None
    """Fixes the run; None where it was not published."""
    init_seed: int | None
    """Fixes the initial weights."""
    order_seed: int | None
    """Fixes the order of samples."""
    mixture: Mixture
    """What it is trained on."""


class Family(Spec):
    """One recipe, its runs, its repo, its evaluation suite and the facts of its card."""

    name: Name
    """What mixhub calls it, as `human-1b`."""
    repo_id: RepoId
    """Its repo on a hub."""
    revisions: Revisions
    """Its runs and their branches."""
    architecture: Architecture
    """The model."""
    tokenizer: Tokenizer
    """Text to token ids."""
    data: Data
    """The corpus."""
    mixture: Mixture | None = None
    """Training domains and their weights, one mixture for all runs."""
    mixtures: FrozenMap[int, Mixture] | None = None
    """One mixture per index."""
    validation: Mixture
    """Validation domains; each sampled domain is validated, weights above zero only say which."""
    training: Training
    """The recipe."""
    evaluation: Evaluation
    """The suite."""
    card: CardFacts
    """What the card says that no run can tell."""
    published_scores: PublishedScores | None = None
    """Figures from elsewhere."""

    @model_validator(mode="after")
    def _check(self) -> Family:
        problems = [*self._mixture_problems(), *self._seed_problems(), *self._fit_problems()]
        if problems:
            raise problems_error(problems)
        return self

    def _mixture_problems(self) -> Iterator[Problem]:
        if (self.mixture is None) == (self.mixtures is None):
            yield Problem("mixture", ABSENT, "give either one mixture, or mixtures with one per index")
            return
        if self.mixtures is not None:
            if self.revisions.kind != "index":
                yield Problem("mixtures", ABSENT, "need revisions.indices, one for each mixture")
            for index in sorted(set(self.revisions.indices) - set(self.mixtures)):
                yield Problem(f"mixtures.{index}", ABSENT, "is required, since revisions.indices has it")
            for index in sorted(set(self.mixtures) - set(self.revisions.numbers)):
                yield Problem(f"mixtures.{index}", "given", "no such index in revisions.indices")
        named = {"mixture": self.mixture} if self.mixture else {f"mixtures.{i}": m for i, m in self.mixtures.items()}  # type: ignore[union-attr]
        for key, mixture in named.items():
            yield from self._prefix_problems(key, mixture, self.data.train_prefix, "data.train_prefix")
        yield from self._prefix_problems("validation", self.validation, self.data.valid_prefix, "data.valid_prefix")

    @staticmethod
    def _prefix_problems(key: str, mixture: Mixture, prefix: str, source: str) -> Iterator[Problem]:
        for domain, weight in mixture.domain_weights.items():
            if not domain.startswith(prefix) or domain == prefix:
                yield Problem(f"{key}.{domain}", weight, f"a domain key must be {prefix!r} ({source}) and a domain")

    def _seed_problems(self) -> Iterator[Problem]:
        if self.revisions.kind == "seed" and self.training.seed is not None:
            yield Problem("training.seed", self.training.seed, "the revisions are seeds, so the recipe has none")

    def _fit_problems(self) -> Iterator[Problem]:
        if self.tokenizer.vocab_size > self.architecture.vocab_size:
            rule = f"must be at most architecture.vocab_size, {self.architecture.vocab_size}"
            yield Problem("tokenizer.vocab_size", self.tokenizer.vocab_size, rule)
        if self.training.sequence_length > self.architecture.max_position_embeddings:
            rule = f"must be at most architecture.max_position_embeddings, {self.architecture.max_position_embeddings}"
            yield Problem("training.sequence_length", self.training.sequence_length, rule)
        known = {task.name for task in self.evaluation.tasks}
        revisions = {run for run, _ in self._names()}
        for revision in self.published_scores.average if self.published_scores else ():
            if revision not in revisions:
                yield Problem(f"published_scores.average.{revision}", "given", "no such revision")
        for revision, row in (self.published_scores.scores if self.published_scores else {}).items():
            if revision not in revisions:
                yield Problem(f"published_scores.scores.{revision}", "given", "no such revision")
            for task in sorted(set(row) - known):
                yield Problem(f"published_scores.scores.{revision}.{task}", row[task], "no such task in evaluation")

    def _names(self) -> Iterator[tuple[str, int]]:
        for number in self.revisions.numbers:
            yield self.revisions.pattern.format(**{self.revisions.kind: number}), number

    def runs(self) -> list[Run]:
        """All runs, in the order of the seeds or indices."""
        return [self._run(revision, number) for revision, number in self._names()]

    def run(self, *, seed: int | None = None, index: int | None = None) -> Run:
        """The run of a seed or an index.

        Raises:
            UsageError: neither or both are given, or the family has the other kind.
            UnknownNameError: the family has no such seed or index.
        """
        kind = self.revisions.kind
        given = {"seed": seed, "index": index}
        for name, value in given.items():
            if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                raise UsageError(f"{name} = {value!r}: must be a whole number")
        other = "index" if kind == "seed" else "seed"
        if given[other] is not None:
            raise UsageError(
                f"{self.name} has {_plural(kind)}, not {_plural(other)}",
                hint=f"give one of its {_plural(kind)}: {self._shown_numbers()}",
            )
        number = given[kind]
        if number is None:
            raise UsageError(
                f"which {kind} of {self.name}?",
                hint=f"give it: --{kind} N, or {kind}=N in Python; it has {_plural(kind)} {self._shown_numbers()}",
            )
        for revision, known in self._names():
            if known == number:
                return self._run(revision, number)
        closest = min(self.revisions.numbers, key=lambda known: abs(known - number))
        raise UnknownNameError(
            kind,
            number,
            self.revisions.numbers,
            near=str(closest),
            where=self.name,
            hint=f"{self.name} has {_plural(kind)} {self._shown_numbers()}",
        )

    @property
    def main_run(self) -> Run | None:
        """The run whose model `main` holds too; None where it holds the card alone."""
        return next((run for run in self.runs() if run.number == self.revisions.main), None)

    def _run(self, revision: str, number: int) -> Run:
        mixture = self.mixtures[number] if self.mixtures is not None else self.mixture
        assert mixture is not None
        seed = number if self.revisions.kind == "seed" else self.training.seed
        return Run(
            family=self.name,
            revision=revision,
            kind=self.revisions.kind,
            number=number,
            seed=seed,
            init_seed=seed if self.training.init_seed is None else self.training.init_seed,
            order_seed=seed if self.training.order_seed is None else self.training.order_seed,
            mixture=mixture,
        )

    def revision(self, *, seed: int | None = None, index: int | None = None, step: int | None = None) -> str:
        """Branch name of a run, or of an earlier step of it."""
        revision = self.run(seed=seed, index=index).revision
        return revision if step is None else self.revisions.step_pattern.format(revision=revision, step=step)

    def _shown_numbers(self) -> str:
        compact = _compact_range(self.revisions.numbers)
        return compact if isinstance(compact, str) else ", ".join(map(str, compact))

    def train_config(self, run: Run) -> dict[str, Any]:
        """The content of `train_config.yaml`: RegMix's keys, and ours under `mixhub`."""
        own: dict[str, Any] = {"format": 1, "family": self.name, "revision": run.revision, run.kind: run.number}
        own |= {"init_seed": run.init_seed, "order_seed": run.order_seed}
        own |= {part: getattr(self, part).to_data() for part in ("architecture", "tokenizer", "data", "training")}
        return {
            "train": dict(run.mixture.domain_weights),
            "valid": dict(self.validation.domain_weights),
            "model_name": self.architecture.model_name,
            "mixhub": own,
        }


_OWN_PARTS = ("name", "repo_id", "mixture", "mixtures", "card", "published_scores")
_MERGED_PARTS = ("architecture", "tokenizer", "data", "training", "evaluation")


def extend(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data of a family that `extends` another: what it says itself, over the recipe of the other.

    Name, repo, mixture, card and published scores are never inherited. Architecture, tokenizer, data, training and
    evaluation are merged key by key; other parts are taken whole. What the family sets itself loses the origin that it
    had in the base. A tokenizer of another name or size is another tokenizer: the repo_id of the base goes. It, and a
    model of another shape, are called like the family, unless that says another name.
    """
    merged = {key: value for key, value in base.items() if key not in _OWN_PARTS}
    for key, value in own.items():
        if key in _MERGED_PARTS and isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            part = {**merged[key], **value}
            if key == "architecture" and set(value) - {"origin"}:
                part["origin"] = value.get("origin", "chosen")
                part["model_name"] = value.get("model_name", own.get("name", part.get("model_name")))
            if key == "tokenizer" and not {"name", "vocab_size"}.isdisjoint(value):
                part["repo_id"] = value.get("repo_id")
                part["name"] = value.get("name", own.get("name", part.get("name")))
            if key == "training" and isinstance(value.get("origins", {}), Mapping):
                inherited = {k: v for k, v in merged[key].get("origins", {}).items() if k not in value}
                part["origins"] = {**inherited, **value.get("origins", {})}
            merged[key] = part
        else:
            merged[key] = value
    return merged


def _plural(kind: str) -> str:
    return "indices" if kind == "index" else f"{kind}s"
