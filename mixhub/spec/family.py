"""A family: one recipe, its runs, its repo, its evaluation suite and the facts of its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import PrivateAttr

from mixhub.errors import ABSENT, Problem, UnknownNameError, UsageError
from mixhub.phrases import ranges
from mixhub.spec.architecture import LLAMA, AnyArchitecture, Architecture, is_other
from mixhub.spec.base import FrozenMap, Spec
from mixhub.spec.mixture import Mixture
from mixhub.spec.parts import (
    CardFacts,
    Data,
    Evaluation,
    PublishedScores,
    Tokenizer,
    Training,
)
from mixhub.spec.revisions import MAIN, Revisions, filled, in_billions, placeholders
from mixhub.spec.values import Label, Name, Origin, RepoIdPattern, repo_id_problem


@dataclass(frozen=True)
class Run:
    """One family × one seed or index: the unit that is trained, evaluated and published as one branch."""

    family: str
    """Name of the family."""
    revision: str
    """Its name in the workspace and in tables, such as `seed-4`."""
    repo_id: str
    """Its repo."""
    branch: str
    """Its branch in this repo, which usually has the name of the revision."""
    kind: Literal["seed", "index"]
    """The kind of `label`."""
    label: Label
    """The seed or the index."""
    seed: int | None
    """The seed of the run; None if it was not published."""
    init_seed: int | None
    """Determines the initial weights."""
    order_seed: int | None
    """Determines the order of samples."""
    mixture: Mixture
    """The training mixture."""


class Family(Spec):
    """One recipe, its runs, its repo, its evaluation suite and the facts of its card."""

    name: Name
    """Its name in mixhub, such as `human-1b`."""
    repo_id: RepoIdPattern
    """Repo of the family on a hub, as `owner/name`; with `{seed}` or `{index}`, each run has a repo of its own."""
    replicates: Name | None = None
    """Built-in family whose recipe, mixture and card this one repeats with its own runs, instead of `extends`."""
    revisions: Revisions
    """The runs of the family and their branches."""
    architecture: AnyArchitecture
    """Shape of the model."""
    tokenizer: Tokenizer
    """How text becomes token ids."""
    data: Data
    """The corpus."""
    mixture: Mixture | None = None
    """Training domains and their relative weights, the same for all runs."""
    mixtures: FrozenMap[int, Mixture] | None = None
    """One mixture per index, instead of `mixture`."""
    validation: Mixture
    """Validation domains; those with a weight above zero are used."""
    training: Training
    """The recipe."""
    evaluation: Evaluation
    """The evaluation suite."""
    card: CardFacts
    """Facts for the card that no run can supply."""
    published_scores: PublishedScores | None = None
    """Scores that somebody published elsewhere."""
    _is_part: bool = PrivateAttr(default=False)

    def _broken_rules(self) -> Iterator[Problem]:
        yield from self._mixture_problems()
        yield from self._branch_problems()
        if self.revisions.kind == "seed" and self.training.seed is not None:
            rule = "must be omitted, because the revisions are seeds"
            yield Problem("training.seed", self.training.seed, rule, code="keys-conflict")
        elif self.revisions.chosen_seeds is not None and self.training.seed is not None:
            rule = "must be null, because revisions.chosen_seeds has the seed of each run"
            yield Problem("training.seed", self.training.seed, rule, code="keys-conflict")
        rows, context = self.architecture.vocab_size, self.architecture.context
        for key, value, what, limit in (
            ("tokenizer.vocab_size", self.tokenizer.vocab_size, "rows of the embedding", rows),
            ("training.sequence_length", self.training.sequence_length, "context length", context),
        ):
            if limit is not None and value > limit:
                rule = f"must be at most the {what} in architecture, {limit}"
                yield Problem(key, value, rule, code="keys-conflict")
        if self.published_scores is not None:
            yield from self._score_problems(self.published_scores)

    def _branch_problems(self) -> Iterator[Problem]:
        """Names of branches that two runs or two stages would share, or that mean two things."""
        revisions, kind = self.revisions, self.revisions.kind
        if names := {*placeholders(self.repo_id)} - {kind}:
            rule = f"must not contain {{{names.pop()}}}, because the runs have {Revisions.plural(kind)}"
            yield Problem("repo_id", self.repo_id, rule, code="pattern-placeholder")
            return
        if revisions.main is not None and self.has_repo_per_run:
            rule = "must be omitted, because each run has a repo of its own; revisions.branch may be main"
            yield Problem("revisions.main", revisions.main, rule, code="keys-conflict")
        is_alone = self.has_repo_per_run or len(revisions.labels) == 1
        if revisions.branch is not None and not is_alone and not placeholders(revisions.branch):
            rule = f"must contain {{{kind}}}, or repo_id must, because there are several runs"
            yield Problem("revisions.branch", revisions.branch, rule, code="pattern-placeholder")
            return
        *earlier, last = revisions.all_stages
        if last.is_shared and not is_alone:
            key = f"revisions.stages.{len(earlier)}.step_pattern" if earlier else "revisions.step_pattern"
            rule = f"must contain {{revision}} or {{{kind}}}, because there are several runs in one repo"
            yield Problem(key, last.step_pattern, rule, code="pattern-placeholder")
        patterns = [stage.step_pattern for stage in revisions.all_stages]
        if len({*patterns}) < len(patterns):
            yield Problem("revisions.stages", patterns, "each step_pattern must be unique", code="value-repeated")
        if not is_alone:
            yield from self._ambiguous_labels()
        for problem in revisions.name_clashes(self.training.steps, is_alone=is_alone):
            yield replace(problem, key=f"revisions.{problem.key}")
        for label in revisions.labels:
            repo_id = filled(self.repo_id, **{kind: label})
            if broken := repo_id_problem(repo_id):
                yield Problem("repo_id", repo_id, broken, code="value-format")
                return

    def _ambiguous_labels(self) -> Iterator[Problem]:
        """Runs whose branch has the name of a step of another run, or of all: of `a-step-1`, and of `a` at step 1."""
        revisions, kind = self.revisions, self.revisions.kind
        branches = {label: revisions.branch_of(label) for label in revisions.labels}
        for stage in revisions.all_stages:
            is_revision = stage.run_key == "revision"
            runs = {self._revision(label) if is_revision else str(label): label for label in branches}
            for label, branch in branches.items():
                match = stage.expression.fullmatch(branch)
                other = runs.get(match[stage.run_key]) if match and stage.run_key else None
                if match and (stage.is_shared or other not in (None, label)):
                    whose = "all runs" if other is None else f"{kind} {other}"
                    rule = f"its branch, {branch}, would also be that of step {match['step']} of {whose}"
                    yield Problem(f"revisions.{revisions.plural(kind)}", label, rule, code="pattern-ambiguous")

    def _mixture_problems(self) -> Iterator[Problem]:
        mixtures = {f"mixtures.{index}": mixture for index, mixture in (self.mixtures or {}).items()}
        if (self.mixture is None) == (self.mixtures is None):
            yield Problem("mixture", ABSENT, "set either mixture, or mixtures with one per index", code="keys-conflict")
            return
        if self.mixture is not None:
            mixtures = {"mixture": self.mixture}
        elif self.revisions.kind != "index":
            yield Problem("mixtures", ABSENT, "requires revisions.indices, one for each mixture", code="keys-conflict")
        else:
            indices = {f"mixtures.{index}" for index in self.revisions.indices}
            for key in sorted(indices - mixtures.keys()):
                yield Problem(key, ABSENT, "is required, because revisions.indices has this index", code="key-missing")
            for key in sorted(mixtures.keys() - indices):
                yield Problem(key, ABSENT, "no such index in revisions.indices", code="reference-unknown")
        data = self.data
        prefixes = [(key, mixture, "train_prefix", data.train_prefix) for key, mixture in mixtures.items()]
        for key, mixture, name, prefix in (
            *prefixes,
            ("validation", self.validation, "valid_prefix", data.valid_prefix),
        ):
            for domain, weight in mixture.domain_weights.items():
                if not domain.startswith(prefix) or domain == prefix:
                    rule = f"a domain key must be {prefix!r} (data.{name}) followed by a domain"
                    yield Problem(f"{key}.{domain}", weight, rule, code="domain-prefix")

    def _score_problems(self, published: PublishedScores) -> Iterator[Problem]:
        tasks = {task.name for task in self.evaluation.tasks}
        revisions = {self._revision(label) for label in self.revisions.labels}
        for part, rows in (("average", published.average), ("scores", published.scores)):
            for revision in sorted(rows.keys() - revisions):
                key = f"published_scores.{part}.{revision}"
                yield Problem(key, ABSENT, "no such revision", code="reference-unknown")
        for revision, row in published.scores.items():
            for task in sorted(row.keys() - tasks):
                key = f"published_scores.scores.{revision}.{task}"
                yield Problem(key, row[task], "no such task in evaluation", code="reference-unknown")

    def _revision(self, label: Label) -> str:
        return filled(self.revisions.pattern, **{self.revisions.kind: label})

    @property
    def has_repo_per_run(self) -> bool:
        """Whether each run has a repo of its own."""
        return bool(placeholders(self.repo_id))

    @property
    def is_part(self) -> bool:
        """Whether it is what one of several repos holds of a family."""
        return self._is_part

    def parts(self) -> list[Family]:
        """Return the family as its repos hold it: itself, or one family of a single run for each repo."""
        if not self.has_repo_per_run:
            return [self]
        return [self.part(run) for run in self.runs()]

    def part(self, run: Run) -> Family:
        """Return the family as the repo of a run holds it."""
        if not self.has_repo_per_run:
            return self
        revisions = self.revisions.model_copy(update={Revisions.plural(run.kind): (run.label,)})
        part = self.model_copy(update={"repo_id": run.repo_id, "revisions": revisions})
        part._is_part = True
        return part

    def runs(self) -> list[Run]:
        """Return all runs, in the order of the seeds or indices."""
        return [self._run(label) for label in self.revisions.labels]

    def run(self, *, seed: Label | None = None, index: int | None = None) -> Run:
        """Return the run of a seed or an index; a family with a single run needs neither.

        Raises:
            UsageError: neither or both are given, or the family has the other kind.
            UnknownNameError: the family has no such seed or index.
        """
        kind, labels = self.revisions.kind, self.revisions.labels
        of_seeds = kind == "seed"
        label, other = (seed, index) if of_seeds else (index, seed)
        if label is None and other is None and len(labels) == 1:
            return self._run(labels[0])
        available = f"{self.name} has {Revisions.plural(kind)} {ranges(labels)}"
        if len(labels) == 1:
            available = f"{self.repo_id} has only {kind} {labels[0]}"
        if label is None or other is not None:
            code, what = "option-missing", f"no {kind} given"
            if other is not None:
                code, what = "run-kind", f"its runs have no {'index' if of_seeds else 'seed'}"
            hint = f"pass one of them: --{kind} N, or {kind}=N in Python"
            raise UsageError(f"{what}: {available}", code=code, hint=hint, option=kind, kind=kind)
        is_word = of_seeds and isinstance(label, str) and not label[:1].isdigit()
        if not is_word and (not isinstance(label, int) or isinstance(label, bool)):
            message = f"{kind} = {label!r}: must be {'a number or a word' if of_seeds else 'an integer'}"
            raise UsageError(message, code="option-value", option=kind, value=label)
        if label not in labels:
            numbers = [known for known in labels if isinstance(known, int)]
            near = str(min(numbers, key=lambda known: abs(known - label))) if isinstance(label, int) and numbers else ""
            raise UnknownNameError(
                "seed" if of_seeds else "index", label, labels, near=near, where=self.name, hint=available
            )
        return self._run(label)

    @property
    def llama(self) -> Architecture:
        """The architecture of a family that mixhub can train; raises UsageError for other models than Llamas."""
        if isinstance(self.architecture, Architecture):
            return self.architecture
        kind = self.architecture.model_type
        message = f"{self.name} cannot be trained here: mixhub trains Llamas described by their sizes, and it is {kind}"
        hint = "train it elsewhere, then take the weights: mixhub adopt DIR"
        raise UsageError(message, code="architecture-untrainable", hint=hint, family=self.name, model_type=kind)

    @property
    def seeds_origin(self) -> Origin:
        """Whether the seeds of the runs are published by the authors of the recipe, or chosen."""
        return self.training.origin("seed")

    @property
    def main_run(self) -> Run | None:
        """The run whose model `main` holds too; None if it holds only the card."""
        return None if self.revisions.main is None else self._run(self.revisions.main)

    @property
    def main_is_run(self) -> bool:
        """Whether `main` is the branch of a run, so that it has the run's card and not the family's."""
        return any(run.branch == MAIN for run in self.runs())

    def _run(self, label: Label) -> Run:
        revisions = self.revisions
        mixture = self.mixtures[label] if self.mixtures is not None else self.mixture  # type: ignore[index]
        assert mixture is not None
        seed = self.training.seed if self.training.seed is not None else revisions.seed_of(label)
        revision, value = self._revision(label), {revisions.kind: label}
        return Run(
            family=self.name,
            revision=revision,
            repo_id=filled(self.repo_id, **value),
            branch=revisions.branch_of(label),
            kind=revisions.kind,
            label=label,
            seed=seed,
            init_seed=seed if self.training.init_seed is None else self.training.init_seed,
            order_seed=seed if self.training.order_seed is None else self.training.order_seed,
            mixture=mixture,
        )

    def place(self, repo_id: str, branch: str) -> str:
        """Return what messages call a branch: its name, with the repo if each run has one of its own."""
        return f"{repo_id}@{branch}" if self.has_repo_per_run or self.is_part else branch

    def branch(self, run: Run, step: int | None = None) -> str:
        """Return the branch of a run, or of an earlier step of its last stage."""
        if step is None or step == self.training.steps:
            return run.branch
        return self.branch_of_step(run, len(self.revisions.all_stages) - 1, step)

    def branch_of_step(self, run: Run | None, stage: int, step: int) -> str:
        """Return the branch of a step of a stage, counted from 0; the run is None if all runs share the stage.

        Of `{tokens}`, it has the usual form of several that may be meant: whole billions, rounded up.
        """
        of_run = {"revision": run.revision, run.kind: run.label} if run is not None else {}
        tokens = in_billions(self.tokens_of_step(stage, step))
        return filled(self.revisions.all_stages[stage].step_pattern, **of_run, step=step, tokens=tokens)

    def tokens_of_step(self, stage: int, step: int) -> int:
        """Return the training tokens of a stage up to a step."""
        return step * (self.revisions.all_stages[stage].tokens_per_step or self.training.tokens_per_step)

    def train_config(self, run: Run) -> dict[str, Any]:
        """Return the content of `train_config.yaml`: RegMix's keys, and ours under `mixhub`."""
        own: dict[str, Any] = {"format": 1, "family": self.name, "revision": run.revision, run.kind: run.label}
        own |= {"init_seed": run.init_seed, "order_seed": run.order_seed}
        if self.replicates is not None:
            own |= {"replicates": self.replicates, "seeds": self.seeds_origin}
        own |= {part: getattr(self, part).to_data() for part in ("architecture", "tokenizer", "data", "training")}
        if self.training.order == "regmix":
            # Their order in YAML, which the keys of `train` do not hold.
            own["domains"] = list(run.mixture.domain_weights)
        return {
            "train": dict(run.mixture.domain_weights),
            "valid": dict(self.validation.domain_weights),
            "model_name": self.architecture.model_name,
            "mixhub": own,
        }


_OWN_PARTS = ("name", "repo_id", "replicates", "mixture", "mixtures", "card", "published_scores")
_ONLY_PUBLISHED = ("errata", "compute", "contact")
_OF_REGMIX_ORDER = ("loader", "validation_order")
_MERGED_PARTS = ("architecture", "tokenizer", "data", "training", "evaluation")


def extend(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a family that extends another: its own keys over those of the base.

    Name, repo, mixture, card, published scores and what it replicates are not inherited. Architecture, tokenizer, data,
    training and evaluation are merged key by key; other parts replace those of the base. A value that the family sets
    does not inherit its origin, and an order other than `regmix` neither loader nor validation order. A tokenizer with
    its own name or size does not inherit the repo_id; it, and a model of another shape, are named after the family
    unless they have a name. A model of another type inherits nothing of the architecture.
    """
    merged = {key: value for key, value in base.items() if key not in _OWN_PARTS}
    for key, value in own.items():
        if key in _MERGED_PARTS and isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            part = {**merged[key], **value}
            if key == "architecture" and _is_another_kind(merged[key], value):
                part = {**value}
            if key == "architecture" and set(value) - {"origin"}:
                part["origin"] = value.get("origin", "chosen")
                part["model_name"] = value.get("model_name", own.get("name", part.get("model_name")))
            if key == "tokenizer" and not {"name", "vocab_size"}.isdisjoint(value):
                part["repo_id"] = value.get("repo_id")
                part["name"] = value.get("name", own.get("name", part.get("name")))
            if key == "training" and isinstance(value.get("origins", {}), Mapping):
                inherited = {k: v for k, v in merged[key].get("origins", {}).items() if k not in value}
                part["origins"] = {**inherited, **value.get("origins", {})}
                if value.get("order", "regmix") not in ("regmix", "original"):
                    part |= {field: value.get(field) for field in _OF_REGMIX_ORDER}
                    for field in _OF_REGMIX_ORDER:  # or checkpoints from before these fields could not resume
                        part["origins"].pop(field, None)
            merged[key] = part
        else:
            merged[key] = value
    if "revisions" not in own and isinstance(merged.get("revisions"), Mapping):
        labels = "seeds_are_labels"  # true of the published runs only
        merged["revisions"] = {key: value for key, value in merged["revisions"].items() if key != labels}
    return merged


def _is_another_kind(base: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether the keys of an architecture have other meanings than those of the base."""
    kind = base.get("model_type", LLAMA)
    return own.get("model_type", kind) != kind or is_other({**base, **own}) != is_other(base)


def replicate(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a family that replicates another: as `extend`, with the mixtures and the card of the base.

    Of the card, what holds only for the published models is left out: errata, the compute, and whom to contact.
    """
    card = {key: value for key, value in base["card"].items() if key not in _ONLY_PUBLISHED}
    card["title"] = f"{card['title']} (replication)"
    card["siblings"] = [base["name"], *card.get("siblings", ())]
    mixtures = {key: base[key] for key in ("mixture", "mixtures") if key in base}
    inherited = {} if {"mixture", "mixtures"} & own.keys() else mixtures
    if isinstance(own_card := own.get("card", {}), Mapping):
        own = {**own, "card": {**card, **own_card}}
    return extend(base, {**inherited, **own})
