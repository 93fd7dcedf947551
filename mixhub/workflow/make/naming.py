"""Runs, stages and steps, recognised in the names of branches and folders that others chose."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixhub.errors import SpecError
from mixhub.spec.revisions import STEP_PATTERN, Revisions, stated_tokens
from mixhub.spec.values import Label, range_or_list, steps_and_strides

_COUNT = r"(?:global[-_.]?step|steps?|checkpoint|ckpt|iter(?:ation)?)"
_STEP = re.compile(rf"(?<![A-Za-z]){_COUNT}[-_.]?(?P<step>\d+)(?!\d|\.\d|[A-Za-z])", re.IGNORECASE)
_TOKENS = re.compile(r"(?<![A-Za-z])tokens?[-_]?(?P<tokens>\d+(?:\.\d+)?[KMBT]?)(?![A-Za-z0-9])", re.IGNORECASE)
_STAGE = re.compile(r"(?<![A-Za-z])stage[-_]?(\d+)", re.IGNORECASE)
_WORD = re.compile(
    r"(?<![A-Za-z])seed[-_.](?P<label>[A-Za-z][A-Za-z0-9._-]*?)"
    rf"(?=$|/|[-_.]{_COUNT}[-_.]?\{{step\}}|[-_.]tokens?[-_]?\{{tokens\}})",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<!\d)(?<!\d\.)(?:0|[1-9]\d*)(?!\d|\.\d|[A-Za-z])")
"""Neither part of a version such as 1.0, nor a size such as 160m."""
_DATE = re.compile(r"(?:19|20)\d{2}[-_.]?\d{2}[-_.]?\d{2}")
_OTHER = re.compile(rf"(?:{_COUNT}|stage|phase|epoch|version|release|\bv|\brc)[^A-Za-z0-9]*$", re.IGNORECASE)
"""What stands before a number that labels no run."""
_OF_RUN = re.compile(r"seed|index|run|model|ingredient", re.IGNORECASE)

Steps = dict[int, str]
"""Names, by step."""


@dataclass(frozen=True)
class Recognised:
    """What names say of a family."""

    revisions: dict[str, Any]
    """The part of the family."""
    runs: dict[Label, str]
    """The name of the last step of each run that has one."""
    last: int | None
    """The last step; None if no name states it."""
    lacking: dict[str, list[int]] = field(default_factory=dict)
    """Steps that others of the same stage have, by what stands for the run."""
    ignored: list[str] = field(default_factory=list)
    """The names that are not understood."""


@dataclass(frozen=True)
class _Shape:
    """Names that differ only in their label, step and tokens."""

    pattern: str
    names: dict[Label | None, Steps]
    """By label, None without one, and step, -1 without one."""
    tokens: dict[int, str]
    """As names state them, by step."""

    @property
    def kind(self) -> str | None:
        return next((kind for kind in ("seed", "index") if f"{{{kind}}}" in self.pattern), None)

    @property
    def has_steps(self) -> bool:
        return "{step}" in self.pattern

    @property
    def all_names(self) -> set[str]:
        return {name for steps in self.names.values() for name in steps.values()}

    @property
    def steps(self) -> list[int]:
        return sorted({step for steps in self.names.values() for step in steps if step >= 0})

    @property
    def is_named(self) -> bool:
        """Whether a word before the label says that it stands for a run."""
        return bool(_OF_RUN.search(self.pattern.partition(f"{{{self.kind}}}")[0]))

    @property
    def stage(self) -> int:
        match = _STAGE.search(self.pattern)
        return int(match[1]) if match else 0


def recognise(names: Iterable[str], *, label: Label | None = None, of_steps: bool = True) -> Recognised | None:
    """Return what names of branches or folders say of a family; None if they label no runs, and state no steps.

    Numbers of versions, sizes and dates are no labels. Words are, after `seed`, unless numbers are.

    Args:
        names: without `main`.
        label: of the only run, if the names say nothing of runs; None: 1, which only labels it.
        of_steps: whether steps without a label are those of one run.
    """
    names = [name for name in names if not {"{", "}"} & {*name}]
    shapes = _shapes(names)
    labelled = [shape for shape in shapes if shape.kind and (len(shape.names) > 1 or shape.is_named)]
    runs = [shape for shape in labelled if not shape.has_steps]
    stages = _stages([shape for shape in shapes if shape.has_steps and (shape in labelled or not shape.kind)])
    for shape in runs:
        of_runs = [one for one in labelled if one.has_steps and {*one.names} & {*shape.names}]
        is_usual = shape.is_named or len(shape.all_names) >= sum(len(one.all_names) for one in stages)
        if is_usual and (found := _checked(_of_runs(shape, of_runs), names)) is not None:
            return found
    if not stages or (not of_steps and stages[-1].kind is None):
        return None
    return _checked(_of_stages(stages, label), names)


def _shapes(names: Sequence[str]) -> list[_Shape]:
    """Return the shapes of names, those with the most labels first."""
    found: dict[str, _Shape] = {}
    for name in names:
        template, step, tokens = _template(name)
        for pattern, label in ((template, None), *_labels(template)):
            shape = found.setdefault(pattern, _Shape(pattern, defaultdict(dict), {}))
            shape.names[label][step] = name
            if tokens is not None:
                shape.tokens[step] = tokens
    for shape in found.values():
        numbers = {label for label in shape.names if isinstance(label, int)}
        if numbers:
            for word in {*shape.names} - numbers:
                del shape.names[word]
    return sorted(
        found.values(),
        key=lambda shape: (-len(shape.names), "seed{" not in re.sub("[-_.]", "", shape.pattern), -len(shape.all_names)),
    )


def _template(name: str) -> tuple[str, int, str | None]:
    """Return a name with placeholders, its step, -1 without one, and its tokens."""
    step, tokens = -1, None
    if (match := _STEP.search(name)) and str(int(match["step"])) == match["step"]:
        step = int(match["step"])
        name = name[: match.start("step")] + "{step}" + name[match.end("step") :]
        if match := _TOKENS.search(name):
            tokens = match["tokens"]
            name = name[: match.start("tokens")] + "{tokens}" + name[match.end("tokens") :]
    return name, step, tokens


def _labels(template: str) -> Iterator[tuple[str, Label]]:
    """Yield what may label a run in a name, with the pattern around it."""
    for match in _WORD.finditer(template):
        yield template[: match.start("label")] + "{seed}" + template[match.end("label") :], match["label"]
    dates = [match.span() for match in _DATE.finditer(template)]
    for match in _NUMBER.finditer(template):
        before, after = template[: match.start()], template[match.end() :]
        is_of_date = any(start <= match.start() < end for start, end in dates)
        if not is_of_date and not _OTHER.search(before):
            kind = "index" if "index" in before.casefold() else "seed"
            yield f"{before}{{{kind}}}{after}", int(match[0])


def _stages(shapes: Sequence[_Shape]) -> list[_Shape]:
    """Return the shape with the most names of each stage, in the order of the stages."""
    best: dict[int, _Shape] = {}
    for shape in shapes:
        known = best.get(shape.stage)
        if known is None or (len(shape.all_names), shape.kind is not None) > (len(known.all_names), bool(known.kind)):
            best[shape.stage] = shape
    return [best[number] for number in sorted(best)]


def _of_runs(shape: _Shape, of_runs: Sequence[_Shape]) -> tuple[Recognised, set[str]]:
    """Return the family whose runs have branches of their own, and the names that it explains."""
    kind = shape.kind or "seed"
    runs = {label: steps[-1] for label, steps in shape.names.items() if label is not None}
    revisions = _pattern(kind, shape.pattern) | _labelled(kind, runs)
    explained = set(runs.values())
    lacking: dict[str, list[int]] = {}
    if of_runs:
        one = max(of_runs, key=lambda one: len(one.all_names))
        step_pattern = one.pattern.replace(shape.pattern, "{revision}") if "branch" not in revisions else one.pattern
        if step_pattern != STEP_PATTERN:
            revisions["step_pattern"] = step_pattern
        revisions["steps"] = steps_and_strides(one.steps)
        explained |= {name for label, steps in one.names.items() if label in runs for name in steps.values()}
        lacking = _lacking(one, runs)
    return Recognised(revisions, runs, None, lacking), explained


def _of_stages(stages: Sequence[_Shape], label: Label | None) -> tuple[Recognised, set[str]]:
    """Return the family whose names all have a step, and the names that it explains."""
    end = stages[-1]
    last = end.steps[-1]
    runs: dict[Label, str] = {
        known if known is not None else 1 if label is None else label: steps[last]
        for known, steps in end.names.items()
        if last in steps
    }
    labels = [known for known in end.names if known is not None]
    branch = end.pattern.replace("{step}", str(last)).replace("{tokens}", end.tokens.get(last, ""))
    revisions: dict[str, Any] = _labelled(end.kind or "seed", labels or list(runs)) | {"branch": branch}
    if end.kind == "index":
        revisions["pattern"] = "index-{index}"
    if not labels and label is None:
        revisions["seeds_are_labels"] = True
    if len(stages) > 1 or end.tokens:
        revisions["stages"] = [_stage(shape) for shape in stages]
    else:
        revisions |= {"step_pattern": end.pattern, "steps": steps_and_strides(end.steps)}
    explained = {name for shape in stages for name in shape.all_names}
    return Recognised(revisions, runs, last, {**_lacking(end, labels)}), explained


def _stage(shape: _Shape) -> dict[str, Any]:
    stage: dict[str, Any] = {"step_pattern": shape.pattern, "steps": steps_and_strides(shape.steps)}
    tokens = tokens_per_step(shape.tokens)
    return stage if tokens is None else {**stage, "tokens_per_step": tokens}


def tokens_per_step(stated: Mapping[int, str]) -> int | None:
    """Return the tokens per step that names state, the roundest number if their rounding leaves a choice.

    Args:
        stated: tokens by step, such as `{1000: "5B"}`, rounded up or down.
    """
    low, high = 0.0, float("inf")
    for step, text in stated.items():
        count, unit = stated_tokens(text)
        if step > 0:
            low, high = max(low, (count - 1) * unit / step), min(high, (count + 1) * unit / step)
    if not low < high < float("inf"):
        return None
    for power in reversed(range(63)):
        size = 1 << power
        if low < (multiple := (int(low) // size + 1) * size) < high:
            return multiple
    return None


def _labelled(kind: str, labels: Iterable[Label]) -> dict[str, Any]:
    ordered = sorted(labels, key=lambda label: (isinstance(label, str), label))
    return {Revisions.plural("index" if kind == "index" else "seed"): range_or_list(ordered)}


def _pattern(kind: str, shape: str) -> dict[str, Any]:
    """Return the pattern of runs, whose names are folders too, and that of branches if it cannot be the same."""
    if "/" not in shape:
        return {"pattern": shape}
    name = shape.rpartition("/")[2]
    return {"pattern": name if f"{{{kind}}}" in name else f"{kind}-{{{kind}}}", "branch": shape}


def _lacking(shape: _Shape, labels: Iterable[Label]) -> dict[str, list[int]]:
    missing = {str(label): [step for step in shape.steps if step not in shape.names.get(label, {})] for label in labels}
    return {label: steps for label, steps in missing.items() if steps}


def _checked(found: tuple[Recognised, set[str]], names: Sequence[str]) -> Recognised | None:
    """Return what was recognised with the names that it leaves; None if it breaks the rules of revisions."""
    recognised, explained = found
    try:
        Revisions.from_data(recognised.revisions, "revisions")
    except SpecError:  # names that no pattern describes
        return None
    recognised.ignored.extend(name for name in names if name not in explained)
    return recognised
