"""Whether a run may be published: its export, and how it stands beside the family, the other runs and its results.

Nothing here makes a request, so it runs where weights are made.
"""

from __future__ import annotations

import filecmp
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from mixhub.card.check.check import check_card
from mixhub.card.facts.facts import gather_step
from mixhub.card.facts.withdrawal import withdrawals
from mixhub.card.page.receipts import is_as_rendered, noted_cards
from mixhub.card.page.write import revision_card
from mixhub.errors import ExportError, MixhubError
from mixhub.findings import Finding, Level, errors
from mixhub.hub.check.receipts import FileState, file_states, known_check, read_receipt, write_receipt
from mixhub.hub.rules.export import ExportCheck, check_export, listed
from mixhub.hub.rules.model_config import architecture_findings, unlike_architecture
from mixhub.hub.rules.weights import Fingerprint, are_same_tensors, fingerprints, shared_tensors
from mixhub.progress import SILENT, Progress
from mixhub.spec.base import data_sha256, read_yaml, to_yaml
from mixhub.spec.family import Family, Run, Tokenizer
from mixhub.spec.schedule import tokens_per_step
from mixhub.workspace.cells import Cell, read_cells
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage, read_lineage
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import Workspace
from mixhub.workspace.recipe_diff import recipe_changes

_PROMPT = "The"
_NEW_TOKENS = 8
_LOADING_HINT = "load it in Python to see more: AutoModelForCausalLM.from_pretrained(...)"
_SHOWN = 5
"""Differences of one kind that are told."""


@dataclass(frozen=True)
class RunCheck:
    """What a check of a run came to."""

    run: Run
    step: int
    branch: str
    """Where it goes: the run's branch, or that of an earlier step."""
    export: Path
    content: ExportCheck
    """The folder by itself."""
    states: Mapping[str, FileState]
    """Its files as they were before they were read: what `content` says holds for no others."""
    findings: tuple[Finding, ...]
    """All that was found, in the folder and around it."""
    was_known: bool
    """Whether the folder is as it was when it was read to its last byte before, so that it was not read again."""
    loaded: bool
    """Whether it was loaded and wrote text, now or before."""


def check_run(
    workspace: Workspace,
    family: Family,
    run: Run,
    *,
    step: int | None = None,
    load: bool = False,
    progress: Progress = SILENT,
) -> RunCheck:
    """Checks the export of a run; one without fault gets a receipt, which a push trusts.

    Args:
        workspace: where it lies, beside those that it is compared with.
        family: the family.
        run: the run.
        step: an earlier step; absent: the last.
        load: load it, too, and let it write some words.
        progress: is told of each file of weights that is read.

    Raises:
        RunError: there is no export of that step.
    """
    step = family.training.steps if step is None else step
    export = workspace.export(run, step)
    branch = branch_of(family, run, step)
    lineage = _lineage(export)
    states = file_states(export)
    content = known_check(workspace, export, lineage.weights_sha256) if lineage else None
    was_known = content is not None
    if content is None:
        content = check_export(export, branch, progress)
    if moved := sorted(set(states) ^ set(file_states(export))):
        raise ExportError(
            f"{export / moved[0]}: came or went while it was checked",
            code="export-changed",
            hint="check again",
            path=export,
        )
    receipt = read_receipt(workspace, content.weights_sha256) if was_known and content.weights_sha256 else None
    loaded, fault = (receipt.loaded, receipt.fault) if receipt is not None else (False, None)
    found = [*content.findings]
    if load and not loaded:
        wrong = next(loading_findings(branch, export), None)
        loaded, fault = wrong is None, wrong.message if wrong else None
    if fault is not None:  # also where it was loaded before, and is as it was then
        found.append(Finding("load-failed", branch, fault, _LOADING_HINT))
    if lineage is not None:
        found += _lineage_findings(family, run, step, branch, lineage, export)
        found += _other_findings(workspace, family, run, step, branch, lineage, content)
        found += _metrics_findings(workspace, family, run, step, branch, lineage)
    found += _recipe_findings(family, run, branch, export, content)
    found += _result_findings(workspace, family, run, step, branch, lineage)
    if not errors(found):
        found += _card_findings(workspace, family, run, step, branch)
    found += _withdrawn_findings(workspace, family, branch, content)
    if not errors(content.findings):
        around = len(errors(found))
        if receipt is None or (receipt.loaded, receipt.fault, receipt.errors) != (loaded, fault, around):
            try:
                write_receipt(workspace, content, states, loaded=loaded, fault=fault, errors=around)
            except PermissionError as error:  # as on a compute node that may only read
                message = (
                    f"the receipt of this check cannot be written ({error.filename}), so a push will read it again"
                )
                found.append(Finding("receipt-unwritable", branch, message, level="warning"))
    return RunCheck(run, step, branch, export, content, states, tuple(found), was_known, loaded)


def branch_of(family: Family, run: Run, step: int) -> str:
    """The branch of a step: the run's own for the last."""
    if step == family.training.steps:
        return run.revision
    return family.revisions.step_pattern.format(revision=run.revision, step=step)


def step_of(family: Family, name: str) -> tuple[Run, int] | None:
    """The run and the step that a branch's name means, by the family's pattern; None where it means none."""
    pattern = re.escape(family.revisions.step_pattern)
    pattern = pattern.replace(r"\{step\}", r"(?P<step>\d+)").replace(r"\{revision\}", "(?P<revision>.+)")
    match = re.fullmatch(pattern, name)
    run = next((run for run in family.runs() if match and run.revision == match["revision"]), None)
    return (run, int(match["step"])) if match and run else None


def training_of(family: Family, name: str) -> tuple[str, int] | None:
    """What fixes the weights that a branch should hold, by its name: two for which it is the same may share them.

    It is the run and the step; the last step has two names, and at step 0 the seed of the weights is all.
    """
    run = next((run for run in family.runs() if run.revision == name), None)
    meant = (run, family.training.steps) if run else step_of(family, name)
    if meant is None:
        return None
    if meant[1] == 0 and meant[0].init_seed is not None:
        return f"init_seed {meant[0].init_seed}", 0
    return meant[0].revision, meant[1]


def began_apart(own: Lineage, other: Lineage) -> bool:
    """Whether two trainings are known to have begun with other weights, so that no matrix of theirs is alike."""
    seeds = (own.init_seed, other.init_seed)
    return UNKNOWN not in seeds and seeds[0] != seeds[1]


def shared_findings(where: str, shared: Sequence[str], tensors: int, other: str) -> Iterator[Finding]:
    """Matrices that a model has from another one."""
    if shared:
        message = f"{len(shared)} of its {tensors} tensors are those of {other}: {listed(shared)}"
        hint = "they were copied from the one to the other, or the two did not begin as their lineage says"
        yield Finding("tensors-shared", where, message, hint)


def tokens_problem(family: Family, lineage: Lineage) -> str | None:
    """What is wrong with the number of tokens that a lineage names; None where it is right, or not known."""
    if UNKNOWN in (lineage.tokens, lineage.step, lineage.steps):
        return None
    asked = int(lineage.step) * tokens_per_step(family.training.global_batch_size, family.training.sequence_length)
    if lineage.tokens == asked:
        return None
    return f"{LINEAGE_FILE} says {lineage.tokens:,} tokens, and {lineage.step:,} steps take {asked:,}"


def loading_findings(where: str, folder: Path) -> Iterator[Finding]:
    """Loads a folder with Transformers and lets the model write a few tokens."""
    import torch

    from mixhub.hub.remote.load import open_folder

    hint = _LOADING_HINT
    try:
        model, tokenizer = open_folder(folder, where)
        ids = tokenizer(_PROMPT, return_tensors="pt").input_ids  # (1, T)
        with torch.inference_mode():
            finite = bool(torch.isfinite(model(input_ids=ids).logits).all())
            options = {"max_new_tokens": _NEW_TOKENS, "min_new_tokens": _NEW_TOKENS, "do_sample": False}
            written: torch.Tensor = cast("Any", model).generate(ids, **options)  # (1, T + new)
    except MixhubError as error:
        yield Finding("load-failed", where, error.message, error.hint or hint)
    except Exception as error:  # whatever the model's own code raises
        said = (str(error).strip().splitlines() or [""])[0]
        yield Finding("load-failed", where, f"cannot write text: {type(error).__name__}: {said}", hint)
    else:
        if not finite:
            yield Finding("logits-not-finite", where, "gives logits that are NaN or infinite", "do not publish it")
        elif written.shape[1] != ids.shape[1] + _NEW_TOKENS:
            yield Finding(
                "load-failed", where, f"wrote {written.shape[1] - ids.shape[1]} tokens of {_NEW_TOKENS}", hint
            )


def seeds_findings(where: str, run: Run, lineage: Lineage) -> Iterator[Finding]:
    """Seeds of a lineage that are not the run's; what is unknown on either side is no contradiction."""
    for key, asked in (("init_seed", run.init_seed), ("order_seed", run.order_seed)):
        trained = getattr(lineage, key)
        if asked is not None and trained not in (UNKNOWN, asked):
            message = f"was trained with {key} = {trained}, and {run.family} says {asked} for {run.revision}"
            yield Finding("seed-wrong", where, message, "these are the weights of another run")


def identity_findings(where: str, run: Run, lineage: Lineage) -> Iterator[Finding]:
    """Whether a lineage is that of the run."""
    given = (lineage.family, lineage.revision, lineage.kind, lineage.number)
    if given != (run.family, run.revision, run.kind, run.number):
        message = (
            f"{LINEAGE_FILE} says that it is {lineage.kind} {lineage.number} of {lineage.family} ({lineage.revision}), "
            f"not {run.kind} {run.number} of {run.family} ({run.revision})"
        )
        yield Finding("run-wrong", where, message, "these are the weights of another run: put them where they belong")


def description(family: Family, content: ExportCheck) -> str:
    """Lines of `mixhub.yaml` that would make the family's model and tokenizer those of a folder; none where it fits."""
    parts = []
    if changed := unlike_architecture(family.architecture, content.config):
        parts.append(("architecture", changed))
    tokens = {"vocab_size": content.vocab_size, "eos_token": content.eos_token}
    tokens = {key: value for key, value in tokens.items() if value not in (None, getattr(family.tokenizer, key))}
    if tokens:
        parts.append(("tokenizer", tokens))
    length = content.config.get("max_position_embeddings")
    if isinstance(length, int) and length < family.training.sequence_length:
        parts.append(("training", {"sequence_length": length}))
    return "\n".join(f"    {part}: {_flow(values)}" for part, values in parts)


def _flow(values: Mapping[str, Any]) -> str:
    """One line of YAML."""
    return "{" + ", ".join(to_yaml({key: value}).strip() for key, value in values.items()) + "}"


def tokenizer_findings(where: str, tokenizer: Tokenizer, size: int | None, eos_token: str | None) -> Iterator[Finding]:
    """Whether a tokenizer has as many ids, and ends text with the token, that the family says.

    Args:
        where: the revision.
        tokenizer: the family's.
        size: ids that there are; None where they are not known.
        eos_token: the token that there is; None where it is not known.
    """
    hint = "take the tokenizer that it was trained with, or describe it in the family: tokenizer: "
    if size is not None and size != tokenizer.vocab_size:
        message = f"tokenizer.json has {size} ids, and the family says tokenizer.vocab_size = {tokenizer.vocab_size}"
        yield Finding("vocabulary-differs", where, message, f"{hint}{{vocab_size: {size}}}")
    if eos_token is not None and eos_token != tokenizer.eos_token:
        message = f"its tokenizer's eos_token is {eos_token!r}, and the family says {tokenizer.eos_token!r}"
        yield Finding("vocabulary-differs", where, message, f"{hint}{{eos_token: {json.dumps(eos_token)}}}")


def initial_findings(where: str, own: Lineage, others: Mapping[str, Lineage]) -> Iterator[Finding]:
    """Initial weights and their seeds, compared with other runs: the one is the same exactly where the other is.

    Args:
        where: the revision.
        own: its lineage.
        others: lineages of other runs of the same architecture, by revision.
    """
    known = (own.init_seed, own.initial_weights_sha256)
    for revision, other in others.items():
        if UNKNOWN in (*known, other.init_seed, other.initial_weights_sha256):
            continue
        alike = own.initial_weights_sha256 == other.initial_weights_sha256
        if alike and own.init_seed != other.init_seed:
            message = (
                f"began with the same weights as {revision} ({own.initial_weights_sha256[:12]}), though init_seed is "
                f"{own.init_seed} here and {other.init_seed} there"
            )
            yield Finding("initial-weights-repeated", where, message, "one of the two was trained with the wrong seed")
        elif not alike and own.init_seed == other.init_seed:
            message = f"began with other weights than {revision}, though init_seed is {own.init_seed} in both"
            yield Finding(
                "initial-weights-differ", where, message, "one of the two was not initialised as its lineage says"
            )


def _lineage(export: Path) -> Lineage | None:
    try:
        return read_lineage(export)
    except MixhubError:  # `check_export` says so
        return None


def _lineage_findings(
    family: Family, run: Run, step: int, where: str, lineage: Lineage, export: Path
) -> Iterator[Finding]:
    yield from identity_findings(where, run, lineage)
    yield from seeds_findings(where, run, lineage)
    hint = "make the export again, or adopt the folder anew with --step"
    for key, asked in (("step", step), ("steps", family.training.steps)):
        if getattr(lineage, key) not in (UNKNOWN, asked):
            message = f"{LINEAGE_FILE} says {key} = {getattr(lineage, key)}, and it lies at {asked}"
            yield Finding("lineage-differs", where, message, hint)
    if (said := tokens_problem(family, lineage)) is not None:
        yield Finding("lineage-differs", where, said, hint)
    if lineage.train_config_sha256 != UNKNOWN and (export / "train_config.yaml").is_file():
        try:
            actual = data_sha256(read_yaml(export / "train_config.yaml", ExportError))
        except MixhubError:  # said where the recipe is compared
            return
        if actual != lineage.train_config_sha256:
            message = f"train_config.yaml was changed since the export: {LINEAGE_FILE} names another hash"
            yield Finding("train-config-differs", where, message, "make the export again")


def _metrics_findings(
    workspace: Workspace, family: Family, run: Run, step: int, where: str, lineage: Lineage
) -> Iterator[Finding]:
    """Whether the metrics that are published with the last step are those of this run; what mixhub did not train,
    or trained elsewhere, has none."""
    path = workspace.run_folder(run).metrics
    if step != family.training.steps or lineage.steps == UNKNOWN or not path.is_file():
        return
    try:
        last = max((line["step"] for line in read_metrics(path)), default=0)
    except MixhubError as error:
        yield Finding("metrics-malformed", where, error.message, error.hint or "")
        return
    if last != step:
        message = f"{path.name} ends at step {last}, and the run at {step}"
        yield Finding("metrics-differ", where, message, "restore it from where the run was trained")
    for other in family.runs():
        beside = workspace.run_folder(other).metrics
        if other.revision != run.revision and beside.is_file() and filecmp.cmp(path, beside, shallow=False):
            message = f"{path.name} is that of {other.revision}, to the byte"
            yield Finding("metrics-repeated", where, message, "one was copied over the other: restore it")


def _recipe_findings(family: Family, run: Run, where: str, export: Path, content: ExportCheck) -> Iterator[Finding]:
    trained_with = export / "train_config.yaml"
    if trained_with.is_file():
        hint = f"restore the family, or train {run.revision} anew: mixhub train --{run.kind} {run.number}"
        try:
            changed = list(recipe_changes(family, run, trained_with).values())
        except MixhubError as error:
            yield Finding("train-config-malformed", where, error.message, error.hint or "")
            changed = []
        for line in changed[:_SHOWN]:
            yield Finding("recipe-differs", where, line.removeprefix(f"{export}/"), hint)
        if len(changed) > _SHOWN:
            yield Finding(
                "recipe-differs", where, f"and {len(changed) - _SHOWN} more keys of train_config.yaml differ", hint
            )
    yield from architecture_findings(where, family.architecture, content.config)
    yield from tokenizer_findings(where, family.tokenizer, content.vocab_size, content.eos_token)


def _other_findings(
    workspace: Workspace, family: Family, run: Run, step: int, where: str, lineage: Lineage, content: ExportCheck
) -> Iterator[Finding]:
    """Weights that another export of the workspace has too, and initial weights that do not go with their seeds."""
    others: dict[str, Lineage] = {}
    export = workspace.export(run, step)
    for name, revision, other_step, path in workspace.exports():
        if (name, revision, other_step) == (family.name, run.revision, step):
            continue
        other = _lineage(path)
        if other is None:
            continue
        if name == family.name:
            others.setdefault(revision, other)
        there = f"{name} {revision} at step {other_step}"
        beside = family.revisions.step_pattern.format(revision=revision, step=other_step)
        is_meant = name == family.name and training_of(family, where) == training_of(family, beside)
        if not _has_same_weights(lineage, content, other, export, path):
            if began_apart(lineage, other):
                shared = shared_tensors(_fingerprints(export), _fingerprints(path))
                yield from shared_findings(where, shared, len(_fingerprints(export)), there)
        elif not (_is_same_training(lineage, other) or is_meant):
            hint = "one of the two was copied over the other: find out which, and export or adopt it again"
            level: Level = "warning" if _may_be_same_training(lineage, other) else "error"
            yield Finding("weights-repeated", where, f"has the same weights as {there}", hint, level)
    yield from initial_findings(where, lineage, {name: other for name, other in others.items() if name != run.revision})


def _has_same_weights(own: Lineage, content: ExportCheck, other: Lineage, export: Path, path: Path) -> bool:
    """By hash; and by the tensors themselves, which may lie in other shards, or be cast."""
    if other.weights_sha256 in (own.weights_sha256, content.weights_sha256):
        return True
    return are_same_tensors(_fingerprints(export), _fingerprints(path))


def _fingerprints(export: Path) -> Mapping[str, Fingerprint]:
    """`fingerprints`, once for a folder as it is: of 64 runs each is compared with all others."""
    return _kept_fingerprints(export, tuple(sorted(file_states(export).items())))


@lru_cache(maxsize=4096)
def _kept_fingerprints(export: Path, _states: tuple[tuple[str, FileState], ...]) -> Mapping[str, Fingerprint]:
    return fingerprints(export)


def _is_same_training(own: Lineage, other: Lineage) -> bool:
    """Whether two families share a run: what fixes the weights is known of both, and is the same. At step 0 the seed of
    the weights does."""
    keys = ("step", "steps", "init_seed", "order_seed", "corpus_sha256", "initial_weights_sha256")
    fixed = [(getattr(own, key), getattr(other, key)) for key in keys]
    if own.step == other.step == 0 and own.init_seed == other.init_seed != UNKNOWN:
        return True
    return own.family != other.family and all(mine == theirs != UNKNOWN for mine, theirs in fixed)


def _may_be_same_training(own: Lineage, other: Lineage) -> bool:
    """Whether two families may share an adopted run: it is that of one number in both, and nothing contradicts it."""
    keys = ("step", "steps", "init_seed", "order_seed", "corpus_sha256", "initial_weights_sha256")
    pairs = [(getattr(own, key), getattr(other, key)) for key in keys]
    alike = all(mine == theirs or UNKNOWN in (mine, theirs) for mine, theirs in pairs)
    return own.family != other.family and (own.kind, own.number) == (other.kind, other.number) and alike


def _result_findings(
    workspace: Workspace, family: Family, run: Run, step: int, where: str, lineage: Lineage | None
) -> Iterator[Finding]:
    if step != family.training.steps:  # results are those of the last step
        return
    try:
        cells = read_cells(workspace.results(run))
    except MixhubError as error:
        yield Finding("results-malformed", where, error.message, error.hint or "")
        return
    foreign = [cell for cell in cells if lineage is None or cell.weights_sha256 != lineage.weights_sha256]
    if foreign:
        cell = foreign[0]
        more = f", as were {len(foreign) - 1} more" if len(foreign) > 1 else ""
        message = (
            f"{cell.path.name} was evaluated with weights {cell.weights_sha256[:12]}{more}, and the export has "
            f"{lineage.weights_sha256[:12] if lineage else 'none that are known'}"
        )
        yield Finding("results-foreign", where, message, f"evaluate it: mixhub evaluate --{run.kind} {run.number}")
    for cell in cells:
        if cell not in foreign and (said := cell_problem(cell, run, lineage)) is not None:
            hint = f"delete it, and evaluate it: mixhub evaluate --{run.kind} {run.number}"
            yield Finding("results-foreign", where, f"{cell.path.name} {said}", hint)
            return


def cell_problem(cell: Cell, run: Run, lineage: Lineage | None) -> str | None:
    """What of a cell is not as its run is, though it has its weights; None where nothing is."""
    made = cell.provenance
    if (made.kind, made.number) not in ((None, None), (run.kind, run.number)):
        return f"was evaluated as {made.kind} {made.number}"
    if lineage is None:
        return None
    for what, told, asked in (
        ("step", made.step, lineage.step),
        ("tokenizer", made.tokenizer_sha256, lineage.tokenizer_sha256),
    ):
        if UNKNOWN not in (told, asked) and told != asked:
            return f"was evaluated with {what} {str(told)[:12]}, and the export has {str(asked)[:12]}"
    return None


def _card_findings(workspace: Workspace, family: Family, run: Run, step: int, where: str) -> Iterator[Finding]:
    try:
        workspace.license(family)
        card = revision_card(workspace, family, gather_step(workspace, family, run, step))
    except MixhubError as error:
        yield Finding(error.code, where, error.message, error.hint or "")
        return
    for finding in check_card(card, source=f"the card of {where}"):
        yield Finding(finding.kind, where, str(finding), finding.hint)
    if step == family.training.steps:
        yield from _rendered_findings(workspace, workspace.revision_card(run), card, where)


def _rendered_findings(workspace: Workspace, path: Path, card: str, where: str) -> Iterator[Finding]:
    """Whether the card that lies there is the one that would be published; one that was never rendered is no fault."""
    if not path.is_file() or path.read_bytes().replace(b"\r\n", b"\n") == card.encode():
        return
    shown = path.relative_to(workspace.root)
    try:
        is_edited = not is_as_rendered(workspace, path, noted_cards(workspace))
    except MixhubError as error:
        yield Finding(error.code, where, error.message, error.hint or "")
        return
    if is_edited:
        message = f"{shown} was edited by hand since it was rendered, and does not say what would be published"
        yield Finding(
            "card-edited", where, message, "see what would go: mixhub card diff; then mixhub card render --force"
        )
        return
    message = f"{shown} is not fresh; what is pushed is rendered anew"
    yield Finding("card-stale", where, message, "see what changes: mixhub card diff", "warning")


def _withdrawn_findings(workspace: Workspace, family: Family, where: str, content: ExportCheck) -> Iterator[Finding]:
    for mark in withdrawals(workspace, family):
        if (mark.revision, mark.weights_sha256) == (where, content.weights_sha256):
            yield Finding("weights-withdrawn", where, f"was withdrawn: {mark.why}", level="warning")


def require_sound(findings: Sequence[Finding], what: str, so: str = "nothing was sent") -> None:
    """Raises ExportError, with a line for each finding, when anything is wrong.

    Args:
        findings: what was found.
        what: of what, for the summary.
        so: what became of it.
    """
    if wrong := errors(findings):
        lines = [str(finding) for finding in wrong]
        summary = f"{what}: not fit to be published, {len(wrong)} found; {so}"
        raise ExportError(
            "\n".join([*lines, summary]) if len(lines) > 1 else f"{lines[0]}; {so}",
            code="release-unsound",
            hint=next((finding.hint for finding in wrong if finding.hint), None),
            findings=tuple(wrong),
        )
