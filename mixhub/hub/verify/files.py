"""Which files a branch has, and whether the files that should be equal on all branches are."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from mixhub.analysis.published.eval_results import is_eval_result
from mixhub.card.markdown.parse import read_card
from mixhub.errors import MixhubError
from mixhub.findings import Finding, Level
from mixhub.hub.remote.branches import Branch
from mixhub.hub.remote.files import CARD, KEPT_ON_HUB, MAIN, METRICS, is_result_file
from mixhub.hub.rules.config import CONFIG, comparable_config
from mixhub.hub.rules.export import is_pickle
from mixhub.hub.rules.tensors import DTYPE_HINT, loaded_dtype
from mixhub.hub.verify.subject import BranchUnderCheck, Compared
from mixhub.phrases import listed
from mixhub.workspace.export import EXPORT_FILES, TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE

CONFIGS = (CONFIG, "generation_config.json", "tokenizer.json", "tokenizer_config.json")
"""Files that every branch has, with the same content."""
_SHOWN = 3
"""Maximum number of files and keys in a line."""
_BRANCHES_SHOWN = 5
"""Maximum number of branches listed separately for one file."""
_PICKLE = "a pickle, which runs code when it is opened"


def files_missing(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Missing files: all that a branch of ours has; of other branches, those needed to load it."""
    tree = branch.branch.tree
    needed = (*EXPORT_FILES, CARD, *branch.repo.licenses) if branch.is_ours else (CONFIG,)
    if missing := [name for name in needed if name not in tree]:
        message = f"lacks {', '.join(missing)}"
        yield Finding("file-missing", branch.name, message, branch.again, about=missing[0])
    if not branch.is_ours and not any(_is_of_tokenizer(path) for path in tree):
        yield Finding("file-missing", branch.name, "lacks a tokenizer", branch.again, "warning", about="tokenizer")


def _is_of_tokenizer(path: str) -> bool:
    """Whether a file of that name may hold a vocabulary."""
    return path.startswith(("tokenizer", "vocab")) or path.endswith((".model", ".spm", ".tiktoken"))


def files_foreign(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Files that no push sends: a pickle in a folder, or a file added by hand.

    On `main` others may keep files, so only a pickle is reported there, as a warning.
    """
    if not branch.is_ours:
        return
    is_main = branch.name == MAIN
    known = {*EXPORT_FILES, *TOKENIZER_EXTRAS, *KEPT_ON_HUB, WEIGHTS_INDEX_FILE, CARD, METRICS, "LICENSE"}
    known |= {*branch.repo.licenses, *branch.branch.safetensors, *branch.branch.pickles, *_card_links(branch)}
    for path in branch.branch.tree:
        if is_pickle(path) and path not in branch.branch.pickles:
            hint = "delete it; weights are published as safetensors"
            level: Level = "warning" if is_main else "error"
            yield Finding("pickle-found", branch.name, f"{path}: {_PICKLE}", hint, level, about=path)
        elif not (is_main or path in known or is_result_file(path) or is_eval_result(path)):
            message, hint = f"{path}: not part of a release", "delete it if it should not be there; pushes leave it"
            yield Finding("file-foreign", branch.name, message, hint, "warning", about=path)


def pickles_found(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Missing weights, or weights in pickles; in models of others a pickle beside safetensors is a warning."""
    pickles, safetensors = branch.branch.pickles, branch.branch.safetensors
    if pickles:
        alone = "" if safetensors else "; there are no safetensors"
        message = f"{listed(pickles, most=_SHOWN)}: {_PICKLE}{alone}"
        level: Level = "error" if branch.is_ours or not safetensors else "warning"
        yield Finding("pickle-found", branch.name, message, "publish safetensors only", level, about=pickles[0])
    elif not safetensors and branch.branch.other_weights and not branch.is_ours:
        names = listed(branch.branch.other_weights, most=_SHOWN)
        message = f"holds its weights only as {names}, which mixhub does not check"
        hint = "check it with the program that it is made for"
        yield Finding(
            "model-unsupported", branch.name, message, hint, "unchecked", about=branch.branch.other_weights[0]
        )
    elif not safetensors:
        yield Finding("weights-missing", branch.name, "holds no weights", branch.again)


def files_differ(compared: Compared) -> Iterator[Finding]:
    """Configs, tokenizers and licences that are not the same on all branches."""
    models = {name: one.branch for name, one in compared.models.items() if not one.is_alias}
    for path in (*CONFIGS, *TOKENIZER_EXTRAS):
        may_lack = path in TOKENIZER_EXTRAS  # versions of Transformers write different ones; others are reported above
        contents = _contents({name: one for name, one in models.items() if may_lack or path in one.tree}, path)
        yield from _differences(path, contents, "warning" if may_lack else "error")
    branches = {name: one.branch for name, one in compared.branches.items()}
    for path in {path for repo in compared.repos for path in repo.licenses}:
        contents = _contents({name: one for name, one in branches.items() if path in one.tree}, path)
        yield from _differences(path, contents, "error")


def dtypes_vary(compared: Compared) -> Iterator[Finding]:
    """Branches whose models load in different dtypes; reported once."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, one in compared.models.items():
        dtype = None if one.is_alias else loaded_dtype(one.branch.folder, one.tensors)
        if dtype is not None:
            names[dtype].append(name)
    if len(names) > 1:
        groups = [f"{dtype} ({listed(branches, most=_SHOWN)})" for dtype, branches in names.items()]
        message = f"its branches load in different dtypes: {' and '.join(groups)}"
        yield Finding("dtype-varies", compared.repo_id, message, DTYPE_HINT, "warning", about="dtype")


def _differences(path: str, contents: Mapping[str, str], level: Level) -> Iterator[Finding]:
    """Branches where the content of a file is not the most frequent one, or the first of several as frequent."""
    if len(set(contents.values())) < 2:
        return
    [(usual, _)] = Counter(contents.values()).most_common(1)
    differing = [name for name, content in contents.items() if content != usual]
    example = next(name for name, content in contents.items() if content == usual)
    for name in differing[:_BRANCHES_SHOWN]:
        difference = _keys(usual, contents[name]) if name == differing[0] and path.endswith("config.json") else ""
        message = f"{path} differs from that of {example}{difference}"
        if not (contents[name] and usual):
            message = f"{'lacks' if usual else 'has'} {path}, unlike {example}"
        yield Finding("file-differs", name, message, "make the file the same on all branches", level, about=path)
    if len(differing) > _BRANCHES_SHOWN:
        message = f"{path}: also differs on {listed(differing[_BRANCHES_SHOWN:], most=_SHOWN)}"
        yield Finding("file-differs", differing[_BRANCHES_SHOWN], message, level=level, about=path)


def _contents(branches: Mapping[str, Branch], path: str) -> dict[str, str]:
    """Return by branch text that is equal if their files mean the same; empty without the file."""
    contents = {name: one.digest(path) if path in one.tree else "" for name, one in branches.items()}
    if len(set(contents.values())) == 1 or not path.endswith("config.json"):
        return contents
    holders = {contents[name]: one for name, one in branches.items() if path in one.tree}
    texts = {digest: comparable_config(one.folder, path) for digest, one in holders.items()}
    return {name: texts.get(digest) or digest for name, digest in contents.items()}


def _keys(usual: str, differing: str) -> str:
    """Return `: rope_theta = 5.0 instead of 10000.0`, for two JSON objects."""
    try:
        before, after = json.loads(usual), json.loads(differing)
    except ValueError:
        return ""
    keys = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    texts = [f"{key} = {after.get(key, 'absent')!r} instead of {before.get(key, 'absent')!r}" for key in keys]
    return f": {listed(texts, most=_SHOWN)}"


def _card_links(branch: BranchUnderCheck) -> set[str]:
    """Return the files that the card of a branch shows or links to, which are sent with it."""
    try:
        card = read_card(branch.branch.text(CARD) or "")
    except MixhubError:  # the rules of cards report it
        return set()
    return {unquote(link.address.partition("#")[0]).removeprefix("./") for link in card.links}


BRANCH_RULES = (files_missing, files_foreign, pickles_found)
