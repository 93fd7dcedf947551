"""More mixtures in a workspace: families added to its mixhub.yaml."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from mixhub.errors import SpecError, UsageError, WorkspaceError
from mixhub.files import locked, write_text
from mixhub.spec import Family, Mixture
from mixhub.spec.base import parse_yaml, to_yaml
from mixhub.workflow.inputs import WorkspaceLike, find_family, open_workspace, read_mixtures
from mixhub.workflow.make.setup import mixture_prefixes
from mixhub.workspace.paths import CONFIG_FILE, Workspace


def add(
    workspace: WorkspaceLike,
    name: str,
    mixture: str | os.PathLike[str],
    *,
    extends: str | None = None,
    each: bool = False,
) -> list[Family]:
    """Add a mixture to a workspace, as a new family in its mixhub.yaml; comments and other lines of the file stay.

    Args:
        workspace: the workspace.
        name: name of the new family.
        mixture: a file with the mixture, as for `init`; or a folder of such files, which makes a family with an index
            for each file: the number in its name, or from 1.
        extends: family whose recipe the new one has; None: the workspace's.
        each: of a folder, make a family of each file, named `<name>-<file>`.

    Returns:
        The new families. A `Workspace` that was open does not have them: open its folder again.

    Raises:
        UsageError: a name is taken, there are no mixtures in the folder, or `each` comes without a folder.
        UnknownNameError: there is no family to extend.
        SpecError: a mixture breaks rules.
        WorkspaceError: the file cannot be edited.
    """
    workspace, path = Workspace.open(open_workspace(workspace).root), Path(mixture)  # the file may be newer
    base = find_family(workspace, extends)
    if each and not path.is_dir():
        message = f"--each needs a folder of mixtures, but {path} is not a folder"
        raise UsageError(message, code="option-conflict", hint="omit --each, or pass a folder", path=path)
    files = _files(path)
    if path.is_dir() and not each:
        added = {name: _family_of_indices(workspace, name, base, files)}
    else:
        names = [name if path.is_file() else f"{name}-{file.stem}" for file in files]
        added = {one: _family(workspace, one, base, file) for one, file in zip(names, files, strict=True)}
    for one in added:
        if one in workspace.family_names():
            hint = "choose another name; mixhub families lists those that exist"
            raise UsageError(f"{one!r}: there is a family of this name", code="option-value", hint=hint, name=one)
    with locked(workspace.lock("config"), f"{CONFIG_FILE} is being edited", timeout=10):
        workspace = _write(workspace, added)
    return [workspace.family(one) for one in added]


def _files(path: Path) -> list[Path]:
    """Return a file itself, or the YAML files of a folder, sorted."""
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and not file.name.startswith(".")]
    if not files:
        message, hint = f"{path}: no *.yaml file", "pass a mixture, or a folder of mixtures"
        raise UsageError(message, code="mixtures-missing", hint=hint, path=path)
    return sorted(files)


def _indices(files: list[Path]) -> dict[int, Path]:
    """Return the files by the number in their names, as in `n12.yaml`; from 1 if the names have no number each."""
    matches = [re.fullmatch(r"\D*(\d+)", file.stem) for file in files]
    numbers = {int(match[1]): file for match, file in zip(matches, files, strict=True) if match}
    return dict(sorted(numbers.items())) if len(numbers) == len(files) else dict(enumerate(files, start=1))


def _family(workspace: Workspace, name: str, base: Family, file: Path) -> dict[str, Any]:
    """Return plain data of a family of one mixture."""
    train, valid = read_mixtures(file)
    own = _repo(workspace, name, base, "seed") | _own_parts(workspace, name, base, list(train.shares), valid)
    if base.revisions.indices:
        own["revisions"] = {"pattern": "seed-{seed}", "seeds": "1-5"}
        own["training"] = {**own.get("training", {}), "seed": None}
    return {**own, "mixture": dict(train.domain_weights)}


def _family_of_indices(workspace: Workspace, name: str, base: Family, files: list[Path]) -> dict[str, Any]:
    """Return plain data of a family with one mixture for each index."""
    mixtures = {index: read_mixtures(file) for index, file in _indices(files).items()}
    domains = list(dict.fromkeys(domain for train, _ in mixtures.values() for domain in train.shares))
    valid = next((valid for _, valid in mixtures.values() if valid is not None), None)
    own = _repo(workspace, name, base, "index") | _own_parts(workspace, name, base, domains, valid)
    own["revisions"] = {"pattern": "index-{index}", "indices": _range(mixtures)}
    if base.training.seed is None:
        own["training"] = {**own.get("training", {}), "seed": 1, "init_seed": None, "order_seed": None}
    own["mixtures"] = {index: dict(train.domain_weights) for index, (train, _) in mixtures.items()}
    return own


def _range(numbers: Iterable[int]) -> str | list[int]:
    """Return numbers as a spec has them: `1-64` if none is missing, else a list."""
    numbers = sorted(numbers)
    is_whole = len(numbers) == numbers[-1] - numbers[0] + 1
    return f"{numbers[0]}-{numbers[-1]}" if is_whole else numbers


def _own_parts(
    workspace: Workspace, name: str, base: Family, domains: Sequence[str], valid: Mixture | None
) -> dict[str, Any]:
    """Return what a family with another mixture than its base has of its own."""
    own: dict[str, Any] = {}
    prefixes = mixture_prefixes(domains, base)
    if prefixes != (base.data.train_prefix, base.data.valid_prefix):
        own["data"] = {"corpus": name, "dataset": None, "train_prefix": prefixes[0], "valid_prefix": prefixes[1]}
        own["validation"] = {prefixes[1] + domain.removeprefix(prefixes[0]): 1.0 for domain in domains}
    if valid is not None:
        own["validation"] = dict(valid.domain_weights)
    if _is_shipped(workspace, base):  # a new family reads the order that is independent of the number of files
        own["training"] = {"order": "iid", "initialisation": "as_written"}
    own["card"] = {
        "title": f"{name}: the recipe of {base.name} with another data mixture",
        "summary": f"Language models with the recipe of {base.name}, trained on another data mixture.",
        "license": base.card.license,
        "language": list(base.card.language),
    }
    return own


def _repo(workspace: Workspace, name: str, base: Family, kind: str) -> dict[str, Any]:
    """Return what a family extends, and its repo; if each run of the base has a repo, so has each run of the family."""
    owner, repo = base.repo_id.split("/")
    owner = workspace.config.namespace or ("local" if _is_shipped(workspace, base) else owner)
    repo = repo.replace(base.name, name) if base.name in repo else name
    if base.has_repo_per_run:
        repo = f"{name}-{kind}{{{kind}}}"
    return {"extends": base.name, "repo_id": f"{owner}/{repo}"}


def _is_shipped(workspace: Workspace, family: Family) -> bool:
    return family.name not in workspace.config.families


def _write(workspace: Workspace, added: Mapping[str, Any]) -> Workspace:
    """Add families to mixhub.yaml, unless the result would break rules."""
    path = workspace.root / CONFIG_FILE
    content = path.read_bytes().decode("utf-8")
    text = content.replace("\r\n", "\n")
    edited = _with_families(text, added)
    before, after = parse_yaml(text, str(path)), None
    with suppress(SpecError):  # of what the file becomes, which is not the fault of the file
        after = None if edited is None else parse_yaml(edited, str(path))
    if edited is None or after != {**before, "families": {**(before.get("families") or {}), **added}}:
        hint = "write families: as a block, with each family on lines of its own"
        raise WorkspaceError(
            f"{path}: cannot be edited as it is written", code="config-not-edited", hint=hint, path=path
        )
    Workspace.validated(workspace.root, after)
    write_text(path, edited if text == content else edited.replace("\n", "\r\n"))
    return Workspace.open(workspace.root)


def _with_families(text: str, added: Mapping[str, Any]) -> str | None:
    """Return the text of a mixhub.yaml with more families after those that it has; None if they are no block."""
    block = to_yaml(added)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)  # it was opened
    families = next((value for key, value in root.value if key.value == "families"), None)
    if families is None:
        return f"{text.rstrip()}\nfamilies:\n{_indented(block, 2)}"
    if not isinstance(families, yaml.MappingNode) or families.flow_style or not families.value:
        return None
    lines, column = text.splitlines(keepends=True), families.start_mark.column
    end = families.end_mark.line if families.end_mark.column == 0 else len(lines)
    while end and (not lines[end - 1].strip() or _is_comment_of_what_follows(lines[end - 1], column)):
        end -= 1
    last = lines[end - 1] if lines[end - 1].endswith("\n") else lines[end - 1] + "\n"
    return "".join([*lines[: end - 1], last, _indented(block, column), *lines[end:]])


def _is_comment_of_what_follows(line: str, column: int) -> bool:
    return line.lstrip().startswith("#") and len(line) - len(line.lstrip()) < column


def _indented(block: str, column: int) -> str:
    return "".join(f"{' ' * column}{line}" if line.strip() else line for line in block.splitlines(keepends=True))
