"""A new family that describes an existing model, so that its runs can be adopted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict, Unpack

from mixhub.endpoint import LOCAL, HubChoice, checked_hub, choose_hub_of_call
from mixhub.errors import ExportError, MixhubError, UsageError
from mixhub.hub.rules.architecture import architecture_of
from mixhub.hub.rules.config import CONFIG, known_config, names_code, read_config, require_model
from mixhub.hub.rules.tokenizer import TokenizerFacts
from mixhub.progress import SILENT, Progress
from mixhub.spec import Family, Mixture, Task, catalog
from mixhub.spec.architecture import from_config
from mixhub.spec.revisions import Revisions, filled, placeholders
from mixhub.spec.values import License, repo_id_problem
from mixhub.workflow.inputs import read_mixtures
from mixhub.workflow.make.adoption import trainer_steps
from mixhub.workflow.make.setup import require_new_name
from mixhub.workflow.make.sources import Source, of_folder, of_repo, of_repos
from mixhub.workspace.export import TRAIN_CONFIG_FILE
from mixhub.workspace.paths import Workspace

_SEEDS: Mapping[str, Any] = {"seeds": "1-5"}
"""Revisions of a family of which only one model is known."""
_UNKNOWN = "unknown"
_NO_MIXTURE = "The mixture is not known."


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


def init_from_model(
    folder: str | os.PathLike[str],
    model: str | os.PathLike[str],
    *,
    hub: str | HubChoice | None = None,
    progress: Progress = SILENT,
    **options: Unpack[FamilyOptions],
) -> Workspace:
    """Create a workspace with a family that describes a model: its architecture, tokenizer, context and revisions.

    Args:
        folder: the workspace.
        model: a folder in Transformers format, a folder of several, named after their runs, a repo_id, or the pattern
            of several, such as `lab/model-seed{seed}`.
        hub: of the workspace, and of the repo: `local` or an address. None: `local`; for a repo, HF_ENDPOINT or
            huggingface.co.
        progress: reports names that are not understood, steps that are missing, and the commit of custom code.
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
    with _opened(model, hub, progress) as (source, at):
        _require_config(source)
        config: dict[str, Any] = {"family": name, "hub": at}
        if (namespace := options.get("namespace")) is not None:
            config["namespace"] = namespace
        family = _family(name, source, options)
        workspace = Workspace.create(Path(folder), {**config, "families": {name: family}})
        _report_code(source, family["architecture"], progress)
        return workspace


def _require_config(source: Source) -> None:
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
def _opened(
    model: str | os.PathLike[str], hub: str | HubChoice | None, progress: Progress
) -> Iterator[tuple[Source, str]]:
    """Give the model, and the hub of its workspace, for a block."""
    path = Path(model)
    if path.is_dir():
        yield of_folder(path, progress), hub.value if isinstance(hub, HubChoice) else checked_hub(hub or LOCAL, "--hub")
        return
    name = str(model)
    is_pattern = placeholders(name.partition("/")[2]) in (["seed"], ["index"])
    problem = repo_id_problem(filled(name, seed=1, index=1) if is_pattern else name)
    if problem or path.exists():
        message = (
            f"{model}: a file, not a folder"
            if path.exists()
            else f"{model}: no such folder, and not a repo_id, which {problem}"
        )
        raise UsageError(message, code="option-value", option="--from-model", value=name)
    from mixhub.hub.remote.connect import open_hub

    choice = hub if isinstance(hub, HubChoice) else choose_hub_of_call(hub, None)
    with open_hub(choice, None) as endpoint:
        yield (of_repos if is_pattern else of_repo)(endpoint, name, progress), choice.value


def _family(name: str, source: Source, options: FamilyOptions) -> dict[str, Any]:
    """Return plain data of the family; raises as `init_from_model`."""
    base = catalog.get(options.get("base") or "human-1b")
    if not (path := source.folder / "tokenizer.json").is_file():
        hint = "save the tokenizer there: tokenizer.save_pretrained(DIR)"
        raise ExportError(f"{source.folder}: no {path.name}", code="file-missing", hint=hint, path=path)
    architecture = _with_repo_of_code(architecture_of(source.folder), source)
    tokenizer = TokenizerFacts.read(source.folder)
    repo_id = f"{options.get('namespace') or 'local'}/{name}"
    if source.family_repo is not None and source.revisions is not None:
        owner, _, repo_name = source.family_repo.partition("/")
        kept = repo_name if options.get("namespace") is None or placeholders(repo_name) else name
        repo_id = f"{options.get('namespace') or owner}/{kept}"
    tokens = {"name": name, "repo_id": source.repo_id, "vocab_size": tokenizer.size}
    return {
        "extends": base.name,
        "repo_id": repo_id,
        "revisions": dict(source.revisions or _SEEDS),
        "architecture": architecture,
        "tokenizer": tokens | ({"eos_token": tokenizer.eos_token} if tokenizer.eos_token else {}),
        **_mixtures(name, source, options.get("mixture")),
        "training": _training(base, source, from_config(architecture, CONFIG).context),
        **_evaluation(base, options),
        "card": _card(name, source, has_mixture=_mixture_file(source, options.get("mixture")) is not None),
    }


def _with_repo_of_code(architecture: dict[str, Any], source: Source) -> dict[str, Any]:
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


def _report_code(source: Source, architecture: Mapping[str, Any], progress: Progress) -> None:
    """Say how to allow the custom code that a model needs."""
    names = architecture.get("auto_map", {}).values()
    repos = sorted({name.rpartition("--")[0] for name in names if isinstance(name, str)})
    if repos:
        commits = [f"{repo}: {source.commit if repo == source.repo_id else 'COMMIT'}" for repo in repos]
        progress.notice(
            f"it needs the code in {', '.join(repos)}; if you have read it and trust it, add to mixhub.yaml:"
        )
        progress.notice(f"code: {{{', '.join(commits)}}}")


def _revisions(source: Source) -> Revisions:
    return Revisions.from_data(dict(source.revisions or _SEEDS), "revisions")


def _mixture_file(source: Source, mixture: str | os.PathLike[str] | None) -> Path | None:
    beside = source.folder / TRAIN_CONFIG_FILE
    return Path(mixture) if mixture is not None else beside if beside.is_file() else None


def _mixtures(name: str, source: Source, mixture: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Return corpus, mixture and validation; a mixture that is not known has one domain."""
    file = _mixture_file(source, mixture)
    train, valid = read_mixtures(file) if file is not None else (_one_domain("train_"), _one_domain("valid_"))
    has_prefix = all(domain.startswith("train_") for domain in train.domain_weights)
    prefixes = ("train_", "valid_") if has_prefix else ("", "")
    if valid is None:
        valid = Mixture({prefixes[1] + domain.removeprefix(prefixes[0]): 1.0 for domain in train.shares})
    own, indices = dict(train.domain_weights), _revisions(source).indices
    of_runs = {"mixtures": dict.fromkeys(indices, own)} if indices else {"mixture": own}
    data = {"corpus": name, "dataset": None, "train_prefix": prefixes[0], "valid_prefix": prefixes[1]}
    return {"data": data, **of_runs, "validation": dict(valid.domain_weights)}


def _one_domain(prefix: str) -> Mixture:
    return Mixture({f"{prefix}{_UNKNOWN}": 1.0})


def _training(base: Family, source: Source, context: int | None) -> dict[str, Any]:
    """Return what is known of the training: its steps, and that no sequence was longer than the context.

    Steps with branches of their own were made, even if nothing states the last.
    """
    training: dict[str, Any] = {"order": "iid", "initialisation": "as_written"}
    if base.training.seed is not None:
        training["seed"] = None
    if context is not None and context < base.training.sequence_length:
        training["sequence_length"] = context
    made = max(_revisions(source).all_stages[-1].steps, default=0)
    if steps := source.last or trainer_steps(source.folder) or (made if made > base.training.steps else None):
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


def _card(name: str, source: Source, *, has_mixture: bool) -> dict[str, Any]:
    has_one_run = len(_revisions(source).labels) == 1
    card = {
        "title": name if has_one_run else f"{name}: one recipe, several runs",
        "summary": "A language model." if has_one_run else "Language models of one recipe that differ only in the run.",
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
