"""A family: one recipe, the runs that it has, its repo, its evaluation suite and the facts of its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mixhub.errors import ABSENT, Problem, UnknownNameError, UsageError
from mixhub.phrases import ranges
from mixhub.spec.base import FrozenMap, Spec
from mixhub.spec.mixture import Mixture
from mixhub.spec.parts import (
    Architecture,
    CardFacts,
    Data,
    Evaluation,
    PublishedScores,
    Revisions,
    Tokenizer,
    Training,
)
from mixhub.spec.values import Name, RepoId


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

    def _broken_rules(self) -> Iterator[Problem]:
        yield from self._mixture_problems()
        if self.revisions.kind == "seed" and self.training.seed is not None:
            rule = "the revisions are seeds, so the recipe has none"
            yield Problem("training.seed", self.training.seed, rule, code="keys-conflict")
        yield from self._fit_problems()
        if self.published_scores is not None:
            yield from self._score_problems(self.published_scores)

    def _mixture_problems(self) -> Iterator[Problem]:
        if (self.mixture is None) == (self.mixtures is None):
            rule = "give either one mixture, or mixtures with one per index"
            yield Problem("mixture", ABSENT, rule, code="keys-conflict")
            return
        if self.mixtures is not None:
            if self.revisions.kind != "index":
                yield Problem("mixtures", ABSENT, "need revisions.indices, one for each mixture", code="keys-conflict")
            for index in sorted(set(self.revisions.indices) - set(self.mixtures)):
                rule = "is required, since revisions.indices has it"
                yield Problem(f"mixtures.{index}", ABSENT, rule, code="key-missing")
            for index in sorted(set(self.mixtures) - set(self.revisions.numbers)):
                rule = "no such index in revisions.indices"
                yield Problem(f"mixtures.{index}", "given", rule, code="reference-unknown")
        named = {"mixture": self.mixture} if self.mixture else {f"mixtures.{i}": m for i, m in self.mixtures.items()}  # type: ignore[union-attr]
        for key, mixture in named.items():
            yield from self._prefix_problems(key, mixture, self.data.train_prefix, "data.train_prefix")
        yield from self._prefix_problems("validation", self.validation, self.data.valid_prefix, "data.valid_prefix")

    @staticmethod
    def _prefix_problems(key: str, mixture: Mixture, prefix: str, source: str) -> Iterator[Problem]:
        for domain, weight in mixture.domain_weights.items():
            if not domain.startswith(prefix) or domain == prefix:
                rule = f"a domain key must be {prefix!r} ({source}) and a domain"
                yield Problem(f"{key}.{domain}", weight, rule, code="domain-prefix")

    def _fit_problems(self) -> Iterator[Problem]:
        if self.tokenizer.vocab_size > self.architecture.vocab_size:
            rule = f"must be at most architecture.vocab_size, {self.architecture.vocab_size}"
            yield Problem("tokenizer.vocab_size", self.tokenizer.vocab_size, rule, code="keys-conflict")
        if self.training.sequence_length > self.architecture.max_position_embeddings:
            rule = f"must be at most architecture.max_position_embeddings, {self.architecture.max_position_embeddings}"
            yield Problem("training.sequence_length", self.training.sequence_length, rule, code="keys-conflict")

    def _score_problems(self, published: PublishedScores) -> Iterator[Problem]:
        known = {task.name for task in self.evaluation.tasks}
        revisions = {revision for revision, _ in self._names()}
        for part in ("average", "scores"):
            for revision in getattr(published, part):
                if revision not in revisions:
                    key = f"published_scores.{part}.{revision}"
                    yield Problem(key, "given", "no such revision", code="reference-unknown")
        for revision, row in published.scores.items():
            for task in sorted(set(row) - known):
                key = f"published_scores.scores.{revision}.{task}"
                yield Problem(key, row[task], "no such task in evaluation", code="reference-unknown")

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
        other: Literal["seed", "index"] = "index" if kind == "seed" else "seed"
        given = {"seed": seed, "index": index}
        for name, value in given.items():
            if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                message = f"{name} = {value!r}: must be a whole number"
                raise UsageError(message, code="option-value", option=name, value=value)
        numbers = f"{Revisions.plural(kind)} {ranges(self.revisions.numbers)}"
        if given[other] is not None:
            raise UsageError(
                f"{self.name} has {Revisions.plural(kind)}, not {Revisions.plural(other)}",
                code="run-kind",
                hint=f"give one of its {Revisions.plural(kind)}: {ranges(self.revisions.numbers)}",
                family=self.name,
                kind=kind,
            )
        number = given[kind]
        if number is None:
            raise UsageError(
                f"which {kind} of {self.name}?",
                code="option-missing",
                hint=f"give it: --{kind} N, or {kind}=N in Python; it has {numbers}",
                option=kind,
                family=self.name,
            )
        for revision, known in self._names():
            if known == number:
                return self._run(revision, number)
        closest = min(self.revisions.numbers, key=lambda known: abs(known - number))
        raise UnknownNameError(
            "seed" if kind == "seed" else "index",
            number,
            self.revisions.numbers,
            near=str(closest),
            where=self.name,
            hint=f"{self.name} has {numbers}",
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
