"""The meaning of a branch name in a family: a run, one of its steps, and what determines its weights."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property

from mixhub.spec.family import Family, Run
from mixhub.spec.revisions import filled, stated_tokens
from mixhub.spec.schedule import learning_rate


@dataclass(frozen=True)
class Meaning:
    """What the name of a branch means."""

    run: Run | None
    """The run; None for a stage that all runs share."""
    stage: int
    """Position of the stage, from 0."""
    step: int
    """Updates since the start of the stage."""
    tokens: str | None = None
    """Tokens seen, as the name states them, such as `21B`."""


class BranchNames:
    """The names of a family's branches, in both directions. The family is that of one repo (see `Family.parts`)."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.runs = {run.branch: run for run in family.runs()}

    @cached_property
    def _patterns(self) -> list[tuple[int, re.Pattern[str], dict[str, Run]]]:
        """Position of each stage, the pattern of its names, and the runs by the text that stands for them."""
        found = []
        for position, stage in enumerate(self.family.revisions.all_stages):
            by_revision = stage.run_key == "revision"
            runs = {run.revision if by_revision else str(run.label): run for run in self.runs.values()}
            if stage.is_shared and len(runs) == 1:
                runs = {"": next(iter(runs.values()))}
            found.append((position, stage.expression, runs))
        return found

    def meaning(self, name: str) -> Meaning | None:
        """Return what a branch means; None if it means nothing in this family."""
        last = len(self.family.revisions.all_stages) - 1
        if name in self.runs:
            return Meaning(self.runs[name], last, self.family.training.steps)
        return self._of_step(name)

    def stated_step(self, name: str) -> int | None:
        """Return the step that a name states; None if it states none."""
        if (of_step := self._of_step(name)) is not None:
            return of_step.step
        last = self.family.training.steps
        return last if name in self.runs and last in self.family.revisions.all_stages[-1].steps else None

    def _of_step(self, name: str) -> Meaning | None:
        for position, pattern, runs in self._patterns:
            if match := pattern.fullmatch(name):
                values = match.groupdict()
                label = next((values[key] for key in ("revision", "seed", "index") if key in values), None)
                run = runs.get(label or "")
                if run is not None or label is None:
                    return Meaning(run, position, int(values["step"]), values.get("tokens"))
        return None

    def training(self, name: str) -> Hashable | None:
        """Return what determines the weights of a branch, by its name; None if it means nothing in this family.

        Branches with the same value may share weights: the last step has two names; at step 0 only the seed of the
        weights matters; updates with a learning rate of 0 change nothing; and a stage begins with the weights with
        which the one before ended.
        """
        meaning = self.meaning(name)
        return None if meaning is None else self._training(meaning.run, meaning.stage, meaning.step)

    def training_of(self, run: Run, step: int) -> Hashable:
        """Return the same as `training` for a step of the last stage of a run."""
        return self._training(run, len(self.family.revisions.all_stages) - 1, step)

    def _training(self, run: Run | None, stage: int, step: int) -> Hashable:
        stages = self.family.revisions.all_stages
        if step == 0 and stage > 0 and stages[stage - 1].steps:
            before = stages[stage - 1]
            return self._training(None if before.is_shared else run, stage - 1, before.steps[-1])
        if run is None:
            return (stage, step)
        if len(stages) == 1:
            step = self._effective(step)
        if step == 0 and stage == 0 and run.init_seed is not None:
            return (f"init_seed {run.init_seed}", 0)
        return (run.revision, stage, step)

    def _effective(self, step: int) -> int:
        """Return 0 for a step before which all learning rates were 0, as in a warmup counted from 0."""
        training = self.family.training
        is_changed = any(learning_rate(one, training) > 0 for one in range(min(step, training.warmup_steps + 1)))
        return step if is_changed else 0

    def expected(self) -> Iterator[tuple[str, Meaning]]:
        """Yield the name and the meaning of each step that should have a branch, beside those of the runs."""
        family = self.family
        stages = family.revisions.all_stages
        for position, stage in enumerate(stages):
            runs = [None] if stage.is_shared and len(self.runs) > 1 else list(self.runs.values())
            for run in runs:
                for step in stage.steps:
                    yield family.branch_of_step(run, position, step), Meaning(run, position, step)

    def pattern(self, meaning: Meaning) -> str:
        """Return the pattern of the branches of its stage, for its run: such as `step{step}-seed-default`."""
        pattern, run = self.family.revisions.all_stages[meaning.stage].step_pattern, meaning.run
        return filled(pattern, **({"revision": run.revision, run.kind: run.label} if run else {}))

    def is_last(self, meaning: Meaning) -> bool:
        """Whether it is the last step of a run."""
        is_end = meaning.stage == len(self.family.revisions.all_stages) - 1
        return is_end and meaning.step == self.family.training.steps

    def contradicts_tokens(self, meaning: Meaning) -> bool:
        """Whether a name states tokens that the step cannot have, however they were rounded."""
        if meaning.tokens is None:
            return False
        stated, unit = stated_tokens(meaning.tokens)
        actual = self.family.tokens_of_step(meaning.stage, meaning.step) / unit
        return not math.floor(actual) <= stated <= math.ceil(actual)
