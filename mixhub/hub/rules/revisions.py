"""What the name of a branch means in a family: a run, a step of it, and what fixes its weights."""

from __future__ import annotations

import re

from mixhub.spec.family import Family, Run


def branch_of(family: Family, run: Run, step: int) -> str:
    """The branch of a step: the run's own for the last."""
    if step == family.training.steps:
        return run.revision
    return family.revisions.step_pattern.format(revision=run.revision, step=step)


def step_of(family: Family, name: str) -> tuple[Run, int] | None:
    """The run and the step that a branch's name means, by the family's pattern; None if it means none."""
    pattern = re.escape(family.revisions.step_pattern)
    pattern = pattern.replace(r"\{step\}", r"(?P<step>\d+)").replace(r"\{revision\}", "(?P<revision>.+)")
    match = re.fullmatch(pattern, name)
    run = next((run for run in family.runs() if match and run.revision == match["revision"]), None)
    return (run, int(match["step"])) if match and run else None


def training_of(family: Family, name: str) -> tuple[str, int] | None:
    """What fixes the weights that a branch should hold, by its name: two with the same value may share them.

    It is the run and the step; the last step has two names, and at step 0 the seed of the weights is all.
    """
    run = next((run for run in family.runs() if run.revision == name), None)
    meant = (run, family.training.steps) if run else step_of(family, name)
    if meant is None:
        return None
    if meant[1] == 0 and meant[0].init_seed is not None:
        return f"init_seed {meant[0].init_seed}", 0
    return meant[0].revision, meant[1]
