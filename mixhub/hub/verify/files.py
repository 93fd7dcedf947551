"""Which files a branch has, and whether those that should be the same on all branches are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from mixhub.card.markdown.parse import read_card
from mixhub.errors import MixhubError
from mixhub.findings import Finding, Level
from mixhub.hub.remote.branches import Branch
from mixhub.hub.remote.files import CARD, KEPT_ON_HUB, MAIN, METRICS, is_result_file
from mixhub.hub.rules.config import comparable_config
from mixhub.hub.rules.export import is_pickle
from mixhub.hub.verify.subject import BranchUnderCheck, RepoUnderCheck
from mixhub.phrases import listed
from mixhub.workspace.export import EXPORT_FILES, TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE

CONFIGS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
"""Files that each branch has, and that say the same on all."""
_SHOWN = 3
"""Files and keys that a line shows."""
_ODD_SHOWN = 5
"""Branches with a line each for one file."""
_PICKLE = "a pickle, which runs code when it is opened"


def files_missing(branch: BranchUnderCheck) -> Iterator[Finding]:
    """All files that a branch of ours has; of another one, what is needed to load it."""
    tree = branch.branch.tree
    needed = (*EXPORT_FILES, CARD, *branch.repo.licenses) if branch.is_ours else ("config.json",)
    if missing := [name for name in needed if name not in tree]:
        message = f"lacks {', '.join(missing)}"
        yield Finding("file-missing", branch.name, message, _again(branch), about=missing[0])
    if not branch.is_ours and not any(path.startswith(("tokenizer", "vocab")) for path in tree):
        yield Finding("file-missing", branch.name, "lacks a tokenizer", _again(branch), "warning", about="tokenizer")


def files_foreign(branch: BranchUnderCheck) -> Iterator[Finding]:
    """No file that no push sends: a pickle in a folder, or what somebody put there by hand.

    On `main` others may keep files, so a pickle there is a warning.
    """
    if not branch.is_ours:
        return
    if branch.name == MAIN:
        for path in branch.branch.tree:
            if is_pickle(path) and "/" in path:
                hint = "delete it, if it is of this model"
                yield Finding("pickle-found", MAIN, f"{path}: {_PICKLE}", hint, "warning", about=path)
        return
    known = {*EXPORT_FILES, *TOKENIZER_EXTRAS, *KEPT_ON_HUB, WEIGHTS_INDEX_FILE, CARD, METRICS, "LICENSE"}
    known |= {*branch.repo.licenses, *branch.branch.safetensors, *branch.branch.pickles}
    shown = _shown_by_card(branch)
    for path in branch.branch.tree:
        if path in known or is_result_file(path):
            continue
        if is_pickle(path):
            hint = "delete it; weights are published as safetensors"
            yield Finding("pickle-found", branch.name, f"{path}: {_PICKLE}", hint, about=path)
        elif path not in shown:  # what the card shows or links to was sent with it
            message, hint = f"{path}: is no part of a release", "the next push deletes it"
            yield Finding("file-foreign", branch.name, message, hint, "warning", about=path)


def pickles_found(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Weights, and none in pickles; of others' models a pickle beside safetensors is a warning."""
    pickles, safetensors = branch.branch.pickles, branch.branch.safetensors
    if pickles:
        only = "" if safetensors else ", and holds no safetensors"
        message = f"{listed(pickles, most=_SHOWN)}: {_PICKLE}{only}"
        level: Level = "error" if branch.is_ours or not safetensors else "warning"
        yield Finding("pickle-found", branch.name, message, "publish safetensors alone", level, about=pickles[0])
    elif not safetensors:
        yield Finding("weights-missing", branch.name, "holds no weights", _again(branch))


def files_differ(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Configs, tokenizers and licences are the same on all branches."""
    models = [one.branch for one in repo.models if one.name != MAIN]
    for path in (*CONFIGS, *TOKENIZER_EXTRAS):
        may_lack = path in TOKENIZER_EXTRAS  # if a file must be there, its absence is reported already
        several = {one.name: _comparable(one, path) for one in models if may_lack or path in one.tree}
        yield from _unlike(repo, path, several, "warning" if may_lack else "error")  # Transformers writes other ones
    for path in repo.licenses:
        several = {one.name: _comparable(one, path) for one in repo.branches.values() if path in one.tree}
        yield from _unlike(repo, path, several, "error")


def _unlike(repo: RepoUnderCheck, path: str, contents: Mapping[str, str], level: Level) -> Iterator[Finding]:
    """The branches whose content of a file is not the most frequent one."""
    if len(set(contents.values())) < 2:
        return
    [(usual, _)] = Counter(contents.values()).most_common(1)  # the first of several that are as frequent
    odd = [name for name, content in contents.items() if content != usual]
    like = next(name for name, content in contents.items() if content == usual)
    for name in odd[:_ODD_SHOWN]:
        difference = _difference(usual, contents[name]) if name == odd[0] and path.endswith("config.json") else ""
        message = f"{path} is not that of {like}{difference}"
        if not (contents[name] and usual):
            message = f"{'lacks' if usual else 'has'} {path}, unlike {like}"
        hint = "seeds of a family differ in their weights alone"
        yield Finding("file-differs", name, message, hint, level, about=path)
    if len(odd) > _ODD_SHOWN:
        message = f"{path}: nor is that of {listed(odd[_ODD_SHOWN:], most=_SHOWN)}"
        yield Finding("file-differs", odd[_ODD_SHOWN], message, level=level, about=path)


def _comparable(branch: Branch, path: str) -> str:
    """Equal for two branches whose files say the same: the content of a config, else the hash; empty: no file."""
    if path not in branch.tree:
        return ""
    if path.endswith("config.json") and (said := comparable_config(branch.folder, path)) is not None:
        return said
    return branch.tree[path].sha256 or branch.tree[path].oid


def _difference(usual: str, odd: str) -> str:
    """`: rope_theta = 5.0 instead of 10000.0`, of two JSON objects."""
    try:
        before, after = json.loads(usual), json.loads(odd)
    except ValueError:
        return ""
    keys = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    shown = [f"{key} = {after.get(key, 'absent')!r} instead of {before.get(key, 'absent')!r}" for key in keys]
    return f": {listed(shown, most=_SHOWN)}"


def _shown_by_card(branch: BranchUnderCheck) -> set[str]:
    """Files that the card of a branch shows or links to."""
    try:
        card = read_card(branch.branch.text(CARD) or "")
    except MixhubError:  # the rules of cards report it
        return set()
    return {unquote(link.address.partition("#")[0]).removeprefix("./") for link in card.links}


def _again(branch: BranchUnderCheck) -> str:
    return "push it again from its export" if branch.is_ours else "tell who published it"
