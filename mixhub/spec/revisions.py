"""Which runs a family has, and the names of their branches and of those of their earlier steps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from mixhub.errors import ABSENT, Problem
from mixhub.spec.base import FrozenList, FrozenMap, Spec
from mixhub.spec.values import Count, Label, Labels, Numbers, PositiveInt, Steps

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""A part of the name of a branch between slashes, and the name of a run, which is that of folders too."""
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
STEP_PATTERN = "{revision}-step-{step}"
MAIN = "main"
"""The branch that is loaded without a revision."""
_NUMBERS = {"step": r"0|[1-9]\d*", "tokens": r"\d+(?:\.\d+)?[KMBTkmbt]?"}
"""What stands for numbers in the name of a branch."""


def branch_problem(name: str) -> str | None:
    """Return the rule that the name of a branch breaks, of those of git and of the Hub; None if it is valid."""
    parts = name.split("/")
    is_plain = all(_PATH.fullmatch(part) and not part.endswith((".", ".lock")) for part in parts)
    if not is_plain or ".." in name or re.fullmatch(r"[0-9a-f]{40}", name) or parts[0] == "refs":
        return "must make valid names of git branches: letters, digits, '.', '_', '-', and '/' between such parts"
    return None


def placeholders(pattern: str) -> list[str]:
    """Return the names in braces, in their order."""
    return re.findall(r"\{(.*?)\}", pattern)


def filled(pattern: str, **values: object) -> str:
    """Return a pattern with values in the place of their placeholders; the others stay."""
    return re.sub(r"\{(.*?)\}", lambda match: str(values.get(match[1], match[0])), pattern)


class Stage(Spec):
    """A part of the training whose steps have branches of their own."""

    step_pattern: str
    """Name of the branch of a step, such as `stage1-step{step}-tokens{tokens}`. Without `{revision}`, `{seed}` or
    `{index}`, all runs share it."""
    steps: Steps = ()
    """Steps that should have a branch, as in `revisions.steps`."""
    tokens_per_step: PositiveInt | None = None
    """Tokens per step, for `{tokens}`. Default: those of the recipe."""

    def _broken_rules(self) -> Iterator[Problem]:
        yield from step_pattern_problems("step_pattern", self.step_pattern)

    @property
    def run_key(self) -> str:
        """The placeholder that stands for the run: `revision`, `seed` or `index`; empty if all runs share it."""
        return next((name for name in placeholders(self.step_pattern) if name in ("revision", "seed", "index")), "")

    @property
    def is_shared(self) -> bool:
        """Whether no name of it says which run it is of."""
        return not self.run_key

    @property
    def expression(self) -> re.Pattern[str]:
        """Matches the names of its branches, with a group for each placeholder."""
        groups = {name: f"(?P<{name}>{_NUMBERS.get(name, '.+')})" for name in placeholders(self.step_pattern)}
        text = re.escape(self.step_pattern).replace(r"\{", "{").replace(r"\}", "}")
        return re.compile(filled(text, **groups))


def step_pattern_problems(key: str, pattern: str) -> Iterator[Problem]:
    """Yield the rules that the pattern of the branches of steps breaks."""
    names = placeholders(pattern)
    others = {*names} - {"revision", "seed", "index", "step", "tokens"}
    of_run = [name for name in names if name in ("revision", "seed", "index")]
    if others or names.count("step") != 1 or names.count("tokens") > 1 or len(of_run) > 1:
        rule = "must contain {step} once, at most one of {revision}, {seed} and {index}, and at most once {tokens}"
        yield Problem(key, pattern, rule, code="pattern-placeholder")
    elif problem := branch_problem(re.sub(r"\{.*?\}", "1", pattern)):
        yield Problem(key, pattern, problem, code="pattern-branch")
    elif re.search(r"\}[0-9]*\{", pattern):
        rule = "must have a letter or one of '._-/' between placeholders; otherwise seed-1 at step 2 is seed-12"
        yield Problem(key, pattern, rule, code="pattern-ambiguous")


class Revisions(Spec):
    """Which runs a family has, and the names of their branches."""

    pattern: str = "seed-{seed}"
    """Name of a run in the workspace and in tables; must contain `{seed}` or `{index}` once. Also the name of its
    branch, unless `branch` is set."""
    seeds: Labels = ()
    """The seeds, if the runs differ only in their seed, as a list or a range such as `1-5`; words such as `default`
    where the publishers use them."""
    indices: Numbers = ()
    """The indices, if each run has its own mixture, as a list or a range."""
    seeds_are_labels: bool | None = None
    """Whether the seeds only number the branches, because those given to the generators were not published."""
    chosen_seeds: FrozenMap[Label, Count] | None = None
    """Seed of the weights and the order of each run, by its number, chosen because the original's are not published.
    Default: the number itself if it is a seed, `training.seed` if it is an index."""
    branch: str | None = None
    """Name of the branch of a run, if it is not that of `pattern`: such as `step143000`, `step69369-seed-{seed}` or,
    where `repo_id` has `{seed}`, `main`."""
    step_pattern: str = STEP_PATTERN
    """Name of the branch of an earlier step of a run. Contains `{step}` and `{revision}`, which is the name of the run,
    or `{seed}` or `{index}`; maybe `{tokens}`, the tokens seen so far, such as `21B`."""
    steps: Steps = ()
    """Earlier steps that should have a branch, as a list of numbers and ranges; `1000-143000:1000` is every 1,000th."""
    stages: FrozenList[Stage] = ()
    """Stages of the training, in their order, if each has names of its own; instead of `step_pattern` and `steps`.
    Steps count from the start of their stage; the last one is that of `training.steps`."""
    main: Label | None = None
    """Seed or index of the run whose model is also on `main`, for users who load without a revision."""
    main_is_merged: bool | None = None
    """Whether `main` holds weights that were merged from those of the runs."""

    def _broken_rules(self) -> Iterator[Problem]:
        if bool(self.seeds) == bool(self.indices):
            yield Problem("", ABSENT, "set either seeds or indices", code="keys-conflict")
        if broken := [*self._pattern_problems()]:
            yield from broken
        else:
            yield from self._word_problems()
        if self.chosen_seeds is not None:
            yield from self._seed_problems(self.chosen_seeds)
        if self.main is not None and self.main not in self.labels:
            rule = f"must be one of revisions.{self.plural(self.kind)}"
            yield Problem("main", self.main, rule, code="reference-unknown")
        for key in ("main", "main_is_merged"):
            if self.branch == MAIN and getattr(self, key):
                rule = "must be omitted, because main is the branch of a run"
                yield Problem(key, getattr(self, key), rule, code="keys-conflict")
        if self.main is not None and self.main_is_merged:
            yield Problem("main_is_merged", True, "must be omitted, because main names a run", code="keys-conflict")

    def _pattern_problems(self) -> Iterator[Problem]:
        kind = self.kind
        if placeholders(self.pattern) != [kind]:
            rule = f"must contain {{{kind}}} once, and no other placeholder"
            yield Problem("pattern", self.pattern, rule, code="pattern-placeholder")
        elif not _PATH.fullmatch(name := filled(self.pattern, **{kind: 1})) or branch_problem(name):
            rule = "must make valid names of folders and branches, without /"
            yield Problem("pattern", self.pattern, rule, code="pattern-branch")
        if self.branch is not None:
            if placeholders(self.branch) not in ([], [kind]):
                rule = f"may contain {{{kind}}} once, and no other placeholder"
                yield Problem("branch", self.branch, rule, code="pattern-placeholder")
            elif problem := branch_problem(filled(self.branch, **{kind: 1})):
                yield Problem("branch", self.branch, problem, code="pattern-branch")
        yield from step_pattern_problems("step_pattern", self.step_pattern)
        if self.stages and (self.step_pattern != STEP_PATTERN or self.steps):
            key = "steps" if self.steps else "step_pattern"
            yield Problem(key, ABSENT, "must be omitted, because each of stages has its own", code="keys-conflict")
        for stage in self.all_stages:
            other = {"seed": "index", "index": "seed"}[kind]
            if other in placeholders(stage.step_pattern):
                rule = f"must not contain {{{other}}}, because the runs have {self.plural(kind)}"
                yield Problem("step_pattern", stage.step_pattern, rule, code="pattern-placeholder")

    def _word_problems(self) -> Iterator[Problem]:
        """Words that make no valid names, or, since file systems and hubs ignore case, those of another."""
        known: dict[str, Label] = {}
        for label in (label for label in self.labels if isinstance(label, str)):
            of_steps = (filled(one.step_pattern, **self._values(label), step=1) for one in self.all_stages)
            for name in (self._values(label)["revision"], self.branch_of(label), *of_steps):
                if branch_problem(filled(str(name), tokens="1B")):
                    rule = f"must not make {name}, which is no valid name of a git branch"
                    yield Problem(self.plural(self.kind), label, rule, code="pattern-branch")
                    break
            if (other := known.setdefault(label.casefold(), label)) != label:
                rule = f"must differ from {other} in more than case, as names of folders and repos do"
                yield Problem(self.plural(self.kind), label, rule, code="value-repeated")

    def _seed_problems(self, chosen: Mapping[Label, int]) -> Iterator[Problem]:
        if self.seeds_are_labels:
            rule = "must be omitted, because chosen_seeds has the seeds"
            yield Problem("seeds_are_labels", self.seeds_are_labels, rule, code="keys-conflict")
        for label in self.labels:
            if label not in chosen:
                yield Problem(f"chosen_seeds.{label}", ABSENT, "is required for this run", code="key-missing")
        for label, seed in chosen.items():
            if label not in self.labels:
                rule = f"no such {self.kind} in revisions.{self.plural(self.kind)}"
                yield Problem(f"chosen_seeds.{label}", seed, rule, code="reference-unknown")
        if self.kind == "seed" and len(set(chosen.values())) != len(chosen):
            rule = "each seed must be unique; otherwise two runs are the same"
            yield Problem("chosen_seeds", dict(chosen), rule, code="value-repeated")

    def name_clashes(self, last_step: int, *, is_alone: bool) -> Iterator[Problem]:
        """Yield the patterns that make a branch of a run with another meaning, or one that git cannot hold.

        Args:
            last_step: the step whose weights the branch of a run has.
            is_alone: whether each run is the only one in its repo.
        """
        key, pattern = ("pattern", self.pattern) if self.branch is None else ("branch", self.branch)
        names = {self.branch_of(label): label for label in self.labels}
        last = self.all_stages[-1]
        rules = {
            "the family's card": [MAIN] if MAIN in names and not is_alone else [],
            "an optimizer state": [state for name in names if (state := f"{name}-optimizer") in names],
            f"another step than {last_step}": self._with_another_step(names, last, last_step),
        }
        for what, found in rules.items():
            if found:
                rule = f"must not make {found[0]}, which is the branch of {what}"
                yield Problem(key, pattern, rule, code="pattern-ambiguous")
        steps = {
            filled(stage.step_pattern, **self._values(label), step=1, tokens="1B"): f"{at}step_pattern"
            for at, stage in zip(self._places(), self.all_stages, strict=True)
            for label in (self.labels if "/" in stage.step_pattern else ())
        }
        branches = {MAIN, *names}
        for name, where in {**dict.fromkeys(names, key), **steps}.items():
            if folders := {name[: at.start()] for at in re.finditer("/", name)} & branches:
                rule = f"must not make {name}, because git cannot hold it beside the branch {min(folders)}"
                yield Problem(where, ABSENT, rule, code="pattern-branch")
                return

    def _with_another_step(self, names: Mapping[str, Label], stage: Stage, last_step: int) -> list[str]:
        """Return the branches of runs that are by their name those of another step of the same run."""
        found, expression = [], stage.expression
        for name, label in names.items():
            match = expression.fullmatch(name)
            if match and int(match["step"]) != last_step:
                is_own = stage.is_shared or match[stage.run_key] == str(self._values(label)[stage.run_key])
                found += [name] if is_own else []
        return found

    def _places(self) -> list[str]:
        return [f"stages.{position}." for position in range(len(self.stages))] or [""]

    def _values(self, label: Label) -> dict[str, object]:
        """Return the values of the placeholders that name a run."""
        return {self.kind: label, "revision": filled(self.pattern, **{self.kind: label})}

    def branch_of(self, label: Label) -> str:
        """Return the branch of a run."""
        return filled(self.pattern if self.branch is None else self.branch, **{self.kind: label})

    @property
    def kind(self) -> Literal["seed", "index"]:
        """What varies over the revisions."""
        return "index" if self.indices else "seed"

    @property
    def labels(self) -> tuple[Label, ...]:
        """The seeds, or the indices."""
        return self.indices or self.seeds

    @property
    def all_stages(self) -> tuple[Stage, ...]:
        """The stages of the training; one if the family names none."""
        # Both were validated, which takes as long as there are steps.
        return self.stages or (Stage.model_construct(step_pattern=self.step_pattern, steps=self.steps),)

    def seed_of(self, label: Label) -> int | None:
        """Return the seed of a run; None if it is not published, a word, or the run has an index and no chosen seed."""
        if self.chosen_seeds is not None:
            return self.chosen_seeds[label]
        return None if self.kind == "index" or self.seeds_are_labels or isinstance(label, str) else label

    @staticmethod
    def plural(kind: str) -> str:
        """`seeds` or `indices`."""
        return "indices" if kind == "index" else "seeds"


def in_billions(tokens: int) -> str:
    """Format tokens for the name of a branch as OLMo-2's do: whole billions, rounded up."""
    return f"{-(-tokens // _UNITS['B'])}B"


def stated_tokens(text: str) -> tuple[int, float]:
    """Return the tokens that the name of a branch states, as a count of the last digit's unit: `4.5B` is 45 times 1e8.

    Raises:
        ValueError: it is not a number with one of the units K, M, B and T.
    """
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?([KMBT]?)", text.upper())
    if match is None:
        raise ValueError(text)
    decimals = match[2] or ""
    return int(match[1] + decimals), _UNITS[match[3]] / 10 ** len(decimals)
