"""A new family that describes an existing model, so that its runs can be adopted."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from mixhub.endpoint import LOCAL, Endpoint, HubChoice, checked_hub, choose_hub_of_call
from mixhub.errors import ExportError, MixhubError, SpecError, UsageError
from mixhub.hub.remote.client import natural
from mixhub.hub.rules.architecture import architecture_of
from mixhub.hub.rules.config import CONFIG, known_config, names_code, read_config, require_model
from mixhub.hub.rules.tokenizer import TokenizerFacts
from mixhub.spec import Family, Mixture, Task, catalog
from mixhub.spec.architecture import from_config
from mixhub.spec.revisions import Revisions
from mixhub.spec.values import License, range_or_list, repo_id_problem
from mixhub.workflow.inputs import read_mixtures
from mixhub.workflow.make.adoption import trainer_steps
from mixhub.workflow.make.setup import require_new_name
from mixhub.workspace.export import TRAIN_CONFIG_FILE
from mixhub.workspace.paths import Workspace

_STEPS = re.compile(r"(?:step|checkpoint|ckpt|iter|\bv)[^A-Za-z0-9]*$", re.IGNORECASE)
"""What stands before a number of steps, or a version, in the name of a branch or folder."""
_SEEDS: Mapping[str, Any] = {"pattern": "seed-{seed}", "seeds": "1-5"}
"""Revisions of a family of which only one model is known."""
_UNKNOWN = "unknown"
_NO_MIXTURE = "The mixture is not known: unknown stands for all text that the models were trained on."


class FamilyOptions(TypedDict, total=False):
    """What the new family takes from elsewhere than the model."""

    name: str | None
    """Its name. Default: that of the folder of the workspace."""
    mixture: str | os.PathLike[str] | None
    """File with the mixture. Default: `train_config.yaml` beside the model, otherwise unknown."""
    base: str
    """Family whose evaluation suite it takes over. Default: `human-1b`."""
    tasks: Sequence[str] | None
    """Tasks of its suite. Default: all of the base."""
    num_fewshot: Sequence[int] | None
    """Shot counts of its suite. Default: those of the base."""
    namespace: str | None
    """Owner of the repo to push to. Default: `local`; for a repo with a branch for each run, that repo."""


@dataclass(frozen=True)
class _Source:
    """A model, and the others of its family."""

    folder: Path
    """Holds config and tokenizer of one model."""
    revisions: Mapping[str, Any] | None
    """Pattern and numbers in the names of branches or folders; None if they number nothing."""
    repo_id: str | None = None
    """The repo; None for folders."""

    @property
    def where(self) -> str:
        """The model, for messages: the folder of a repo is in a cache that nobody looks into."""
        return self.repo_id or str(self.folder)


def init_from_model(
    folder: str | os.PathLike[str],
    model: str | os.PathLike[str],
    *,
    hub: str | HubChoice | None = None,
    **options: Unpack[FamilyOptions],
) -> Workspace:
    """Create a workspace with a family that describes a model: its architecture, tokenizer, context and revisions.

    Args:
        folder: the workspace.
        model: a folder in Transformers format, a folder of several, named after their runs, or a repo_id.
        hub: of the workspace, and of the repo: `local` or an address. None: `local`; for a repo, HF_ENDPOINT or
            huggingface.co.
        **options: see `FamilyOptions`.

    Raises:
        UnsupportedModelError: it is another thing than a causal language model, or this machine cannot open it.
        ExportError: config or tokenizer are missing or malformed.
        UsageError: there is no such folder, and it is not a repo_id; or the name is that of a built-in family.
        RepoNotFoundError, HubUnreachableError: the hub has no such repo, or does not answer.
        SpecError: name, mixture or tasks break rules.
        WorkspaceError: the folder is already a workspace, or cannot be written.
    """
    name = options.get("name") or Path(folder).resolve().name
    require_new_name(name)
    with _opened(model, hub) as (source, at):
        _require_config(source)
        config: dict[str, Any] = {"family": name, "hub": at}
        if (namespace := options.get("namespace")) is not None:
            config["namespace"] = namespace
        return Workspace.create(Path(folder), {**config, "families": {name: _family(name, source, options)}})


def _require_config(source: _Source) -> None:
    """Raise ExportError unless Transformers can make a config of what a model has, or custom code may."""
    folder = source.folder
    if names_code(folder):
        return
    try:
        require_model(folder)
        if not (folder / CONFIG).is_file():
            hint = "pass the folder that model.save_pretrained(...) wrote, or one that holds several of them"
            raise ExportError(f"{folder}: no {CONFIG}", code="file-missing", hint=hint, path=folder / CONFIG)
        if not known_config(folder):
            read_config(folder)
    except ExportError as error:
        message = error.message.removeprefix(f"{folder}: ")
        raise type(error)(f"{source.where}: {message}", code=error.code, hint=error.hint, **error.fields) from None


@contextmanager
def _opened(model: str | os.PathLike[str], hub: str | HubChoice | None) -> Iterator[tuple[_Source, str]]:
    """Give the model, and the hub of its workspace, for a block."""
    path = Path(model)
    if path.is_dir():
        yield _of_folder(path), hub.value if isinstance(hub, HubChoice) else checked_hub(hub or LOCAL, "--hub")
        return
    problem = repo_id_problem(str(model))
    if problem or path.exists():
        message = (
            f"{model}: a file, not a folder"
            if path.exists()
            else f"{model}: no such folder, and not a repo_id, which {problem}"
        )
        raise UsageError(message, code="option-value", option="--from-model", value=str(model))
    from mixhub.hub.remote.connect import open_hub

    choice = hub if isinstance(hub, HubChoice) else choose_hub_of_call(hub, None)
    with open_hub(choice, None) as endpoint:
        yield _of_repo(endpoint, str(model)), choice.value


def _of_folder(path: Path) -> _Source:
    models = {one.name: one for one in path.iterdir() if (one / CONFIG).is_file()}
    if (path / CONFIG).is_file() or not models:
        return _Source(path, None)
    revisions, first = revisions_in(sorted(models, key=natural))
    return _Source(models[first], revisions)


def _of_repo(endpoint: Endpoint, repo_id: str) -> _Source:
    from mixhub.hub.remote.branches import read_branch
    from mixhub.hub.remote.client import branch_heads

    heads = branch_heads(endpoint, repo_id)
    revisions, first = revisions_in(list(heads))
    if revisions is None:
        first = "main" if "main" in heads else first
    return _Source(read_branch(endpoint, repo_id, first, heads[first]).folder, revisions, repo_id)


def revisions_in(names: Sequence[str]) -> tuple[dict[str, Any] | None, str]:
    """Return the revisions that most names number, None if they number none, and the name of the first of them.

    A number of steps does not count. Without revisions, it is the name of the last model.
    """
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for name in names:
        for number in re.finditer(r"\d+", name):
            before, after = name[: number.start()], name[number.end() :]
            if not _STEPS.search(before) and str(int(number[0])) == number[0] and not {"{", "}"} & {*name}:
                kind = "index" if "index" in before.casefold() else "seed"
                found[f"{before}{{{kind}}}{after}"][int(number[0])] = name
    usual = sorted(found, key=lambda pattern: (-len(found[pattern]), "seed{" not in re.sub("[-_.]", "", pattern)))
    for pattern in usual:
        numbers = found[pattern]
        key = "indices" if "{index}" in pattern else "seeds"
        is_named = re.search(r"seed|index|run|model", pattern.partition("{")[0], re.IGNORECASE)
        if len(numbers) > 1 or is_named:
            revisions = {"pattern": pattern, key: range_or_list(sorted(numbers))}
            try:
                Revisions.from_data(revisions, "revisions")
            except SpecError:  # names that no pattern describes
                continue
            return revisions, numbers[min(numbers)]
    return None, names[-1]


def _family(name: str, source: _Source, options: FamilyOptions) -> dict[str, Any]:
    """Return plain data of the family; raises as `init_from_model`."""
    base = catalog.get(options.get("base") or "human-1b")
    if not (path := source.folder / "tokenizer.json").is_file():
        hint = "save the tokenizer there: tokenizer.save_pretrained(DIR)"
        raise ExportError(f"{source.folder}: no {path.name}", code="file-missing", hint=hint, path=path)
    architecture = _with_repo_of_code(architecture_of(source.folder), source)
    tokenizer = TokenizerFacts.read(source.folder)
    own_repo = source.repo_id if source.revisions is not None and options.get("namespace") is None else None
    tokens = {"name": name, "repo_id": source.repo_id, "vocab_size": tokenizer.size}
    return {
        "extends": base.name,
        "repo_id": own_repo or f"{options.get('namespace') or 'local'}/{name}",
        "revisions": dict(source.revisions or _SEEDS),
        "architecture": architecture,
        "tokenizer": tokens | ({"eos_token": tokenizer.eos_token} if tokenizer.eos_token else {}),
        **_mixtures(name, source, options.get("mixture")),
        "training": _training(base, source.folder, from_config(architecture, CONFIG).context),
        **_evaluation(base, options),
        "card": _card(name, source, has_mixture=_mixture_file(source, options.get("mixture")) is not None),
    }


def _with_repo_of_code(architecture: dict[str, Any], source: _Source) -> dict[str, Any]:
    """Return an architecture that names the repo of its custom code, if it has any.

    Raises:
        UsageError: the code lies in a folder, where nothing pins it, or `auto_map` names no classes.
    """
    if not names_code(source.folder):
        return architecture
    modules = architecture["auto_map"]
    if not isinstance(modules, Mapping):
        message = f"{source.where}: auto_map = {modules!r} in {CONFIG}: must map the kinds of classes to their names"
        raise UsageError(message, code="code-unnamed", hint="ask the publisher")
    if source.repo_id is None and any("--" not in str(name) for name in modules.values()):
        message = f"{source.folder}: {CONFIG} names the code beside it, and code runs only from a repo, at a commit"
        hint = "push the folder to a repo, and pass that: --from-model REPO"
        raise UsageError(message, code="code-unnamed", hint=hint)
    named = {
        key: f"{source.repo_id}--{name}" if isinstance(name, str) and "--" not in name else name
        for key, name in modules.items()
    }
    return {**architecture, "auto_map": named}


def _mixture_file(source: _Source, mixture: str | os.PathLike[str] | None) -> Path | None:
    beside = source.folder / TRAIN_CONFIG_FILE
    return Path(mixture) if mixture is not None else beside if beside.is_file() else None


def _mixtures(name: str, source: _Source, mixture: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Return corpus, mixture and validation; a mixture that is not known has one domain."""
    file = _mixture_file(source, mixture)
    train, valid = read_mixtures(file) if file is not None else (_one_domain("train_"), _one_domain("valid_"))
    has_prefix = all(domain.startswith("train_") for domain in train.domain_weights)
    prefixes = ("train_", "valid_") if has_prefix else ("", "")
    if valid is None:
        valid = Mixture({prefixes[1] + domain.removeprefix(prefixes[0]): 1.0 for domain in train.shares})
    own, revisions = dict(train.domain_weights), source.revisions or _SEEDS
    numbers = Revisions.from_data(dict(revisions), "revisions")
    of_runs = {"mixtures": dict.fromkeys(numbers.indices, own)} if numbers.indices else {"mixture": own}
    data = {"corpus": name, "dataset": None, "train_prefix": prefixes[0], "valid_prefix": prefixes[1]}
    return {"data": data, **of_runs, "validation": dict(valid.domain_weights)}


def _one_domain(prefix: str) -> Mixture:
    return Mixture({f"{prefix}{_UNKNOWN}": 1.0})


def _training(base: Family, folder: Path, context: int | None) -> dict[str, Any]:
    """Return what is known of the training: its steps, and that no sequence was longer than the context."""
    training: dict[str, Any] = {"order": "iid", "initialisation": "as_written"}
    if base.training.seed is not None:
        training["seed"] = None
    if context is not None and context < base.training.sequence_length:
        training["sequence_length"] = context
    if steps := trainer_steps(folder):
        training["steps"] = steps
        if steps < base.training.warmup_steps:  # which the base has, and nobody knows here
            training |= {"warmup_steps": 0, "origins": {"warmup_steps": "inferred"}}
    return training


def _evaluation(base: Family, options: FamilyOptions) -> dict[str, Any]:
    tasks, shots = options.get("tasks"), options.get("num_fewshot")
    known = {task.name: task.to_data() for task in base.evaluation.tasks}
    chosen = [known.get(task) or Task.of_text("name", task) for task in tasks] if tasks else None
    suite = {"tasks": chosen, "num_fewshot": list(shots) if shots else None}
    own = {key: value for key, value in suite.items() if value is not None}
    return {"evaluation": own} if own else {}


def _card(name: str, source: _Source, *, has_mixture: bool) -> dict[str, Any]:
    card = {
        "title": f"{name}: one recipe, several runs",
        "summary": "Language models of one recipe that differ only in the run.",
        "license": _license(source.folder),
    }
    return card if has_mixture else {**card, "mixture_note": _NO_MIXTURE}


def _license(folder: Path) -> str:
    """Return the licence in the card beside a model; `unknown` if there is none."""
    from pydantic import TypeAdapter, ValidationError

    from mixhub.card.markdown.parse import read_card

    try:
        stated = read_card((folder / "README.md").read_text(encoding="utf-8")).metadata.get("license")
        checked: str = TypeAdapter(License).validate_python(stated, strict=True)
    except (OSError, ValueError, MixhubError, ValidationError):
        return _UNKNOWN
    return _UNKNOWN if checked == "other" else checked  # which needs a name and a text
