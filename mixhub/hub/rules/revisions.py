"""The meaning of a branch name in a family: a run, one of its steps, and what determines its weights."""

from __future__ import annotations

import re

from mixhub.spec.family import Family, Run


def branch_of(family: Family, run: Run, step: int) -> str:
    """Return the branch of a step; the last step has the branch of the run."""
    if step == family.training.steps:
        return run.revision
    return family.revisions.step_pattern.format(revision=run.revision, step=step)


def step_of(family: Family, name: str) -> tuple[Run, int] | None:
    """Return the run and the step that a branch name means by the family's pattern; None if it means none."""
    pattern = re.escape(family.revisions.step_pattern)
    pattern = pattern.replace(r"\{step\}", r"(?P<step>\d+)").replace(r"\{revision\}", "(?P<revision>.+)")
    match = re.fullmatch(pattern, name)
    run = next((run for run in family.runs() if match and run.revision == match["revision"]), None)
    return (run, int(match["step"])) if match and run else None


def training_of(family: Family, name: str) -> tuple[str, int] | None:
    """Return what determines the weights of a branch, by its name: branches with the same value may share weights.

    The run and the step: the last step has two names, and at step 0 only the seed of the weights matters.
    """
    run = next((run for run in family.runs() if run.revision == name), None)
    training = (run, family.training.steps) if run else step_of(family, name)
    if training is None:
        return None
    run, step = training
    return (f"init_seed {run.init_seed}", 0) if step == 0 and run.init_seed is not None else (run.revision, step)
