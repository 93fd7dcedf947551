"""Whether a repo on a hub is what its family says: every branch there, whole, of its own seed, and told truly.

It works on repos that mixhub did not make: what they do not tell is not asked for.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mixhub.card.check.check import check_card
from mixhub.card.facts.facts import RunFacts
from mixhub.card.facts.withdrawal import is_rendered, withdrawal_of
from mixhub.card.markdown.parse import read_card
from mixhub.card.page.context import family_context, revision_context
from mixhub.card.page.metadata import family_metadata, revision_metadata
from mixhub.endpoint import Endpoint
from mixhub.errors import HubError, MixhubError
from mixhub.findings import Finding, Level
from mixhub.hub.check.check import (
    began_apart,
    identity_findings,
    initial_findings,
    loading_findings,
    seeds_findings,
    shared_findings,
    step_of,
    tokenizer_findings,
    tokens_problem,
    training_of,
)
from mixhub.hub.remote.branches import Branch, fetch, read_branches, tensors_of
from mixhub.hub.remote.client import branch_heads
from mixhub.hub.remote.files import CARD, KEPT_ON_HUB, MAIN, METRICS, RESULTS, RemoteFile, is_model_file, is_result_file
from mixhub.hub.rules.export import (
    TOKENIZER_EXTRAS,
    dtype_findings,
    index_findings,
    is_pickle,
    listed,
    read_tokenizer,
    shape_findings,
    stored_findings,
    tensor_bytes,
    token_findings,
)
from mixhub.hub.rules.model_config import architecture_findings, code_findings, comparable_config, known_config
from mixhub.hub.rules.weights import Fingerprint, Tensor, are_same_tensors, fingerprints, scan, shared_tensors
from mixhub.progress import SILENT, Progress
from mixhub.spec.base import data_sha256, read_yaml
from mixhub.spec.family import Family, Run
from mixhub.workspace.cells import read_cells
from mixhub.workspace.export import EXPORT_FILES, WEIGHTS_INDEX_FILE
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage, combined_sha256, file_sha256
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.recipe_diff import recipe_changes

_ALIKE = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
_SHOWN = 5


@dataclass(frozen=True)
class Verified:
    """A branch, and what was found of it."""

    name: str
    commit: str | None
    """None of a branch that is not there."""
    is_expected: bool
    weights: str | None
    """Names its weights; None where it holds none."""
    files: int
    size: int
    """Bytes."""
    tells_lineage: bool


@dataclass(frozen=True)
class Verification:
    """What a look at a whole repo came to."""

    repo_id: str
    branches: tuple[Verified, ...]
    findings: tuple[Finding, ...]


def verify(
    endpoint: Endpoint,
    repo_id: str,
    family: Family | None = None,
    *,
    only: Sequence[str] | None = None,
    local: Mapping[str, str] | None = None,
    deep: bool = False,
    progress: Progress = SILENT,
) -> Verification:
    """Reads all branches of a repo that hold models, and `main`, and says what is wrong.

    Args:
        endpoint: the hub.
        repo_id: the repo.
        family: what it should hold; None: whatever it holds, checked against itself alone.
        only: these branches alone; they are still compared with each other.
        local: the weights that a workspace has, as `weights_sha256` by revision: other ones on the hub are stale.
        deep: download the weights too: hash them, look at every number, load and generate.
        progress: is told of each branch that is read.

    Raises:
        RepoNotFoundError, HubUnreachableError: the hub has no such repo, or does not answer.
    """
    heads = branch_heads(endpoint, repo_id)
    runs = {run.revision: run for run in family.runs()} if family else {}
    expected = [name for name in runs if only is None or name in only]
    if only is not None:
        heads = {name: commit for name, commit in heads.items() if name in only}
    with progress.start("branches", len(heads), "branch") as bar:
        branches = {branch.name: branch for branch in read_branches(endpoint, repo_id, heads, bar)}
    look = _Look(endpoint, repo_id, family, runs, branches)
    look.presence(expected)
    look.stale(local or {})
    look.main()
    for branch in look.models:
        look.branch(branch)
    look.repeated()
    look.alike()
    look.initial_weights()
    look.cards()
    if deep:
        look.deep(progress)
    missing = [Verified(name, None, True, None, 0, 0, False) for name in expected if name not in branches]
    shown = [look.verified(branch, branch.name in expected) for branch in branches.values()]
    return Verification(repo_id, (*shown, *missing), tuple(look.told()))


class _Look:
    """Gathers findings of one repo."""

    def __init__(
        self,
        endpoint: Endpoint,
        repo_id: str,
        family: Family | None,
        runs: Mapping[str, Run],
        branches: Mapping[str, Branch],
    ) -> None:
        self.endpoint, self.repo_id, self.family, self.runs, self.all = endpoint, repo_id, family, runs, branches
        self.found: list[Finding] = []
        self.lineages: dict[str, Lineage] = {}
        self.facts: dict[str, RunFacts] = {}
        self._pushed = [name for name in runs if name in branches]
        self.models = [branch for branch in branches.values() if branch.is_model]

    def add(self, code: str, where: str, message: str, hint: str = "", level: Level = "error") -> None:
        self.found.append(Finding(code, where, message, hint, level))

    def told(self) -> Iterator[Finding]:
        """What was found, without the places where it was downloaded to."""
        folders = [f"{branch.folder}/" for branch in self.all.values()]
        for finding in self.found:
            message = finding.message
            for folder in folders:
                message = message.replace(folder, "")
            yield replace(finding, message=message)

    def verified(self, branch: Branch, is_expected: bool) -> Verified:
        return Verified(
            branch.name,
            branch.commit,
            is_expected,
            branch.weights_sha256 or branch.weights,
            len(branch.tree),
            branch.size,
            branch.name in self.lineages,
        )

    def presence(self, expected: Sequence[str]) -> None:
        for name in expected:
            if name not in self.all:
                hint = "push it: mixhub push --all; or, if it will never be, leave it out of revisions in mixhub.yaml"
                self.add("branch-missing", name, f"{self.repo_id} has no such branch", hint)
            elif not self.all[name].is_model:
                self.add("model-missing", name, "holds no model", "push it again: mixhub push --all")
        if self.family is None:
            return
        for branch in self.models:
            if branch.name != MAIN and branch.name not in self.runs and self._step(branch.name) is None:
                message = f"is no revision of {self.family.name}"
                self.add("branch-unknown", branch.name, message, "rename it, or add it to the family", "warning")

    def stale(self, local: Mapping[str, str]) -> None:
        """Branches that hold other weights than the workspace has now."""
        for name, weights in local.items():
            held = self.all[name].weights_sha256 if name in self.all else None
            if held is not None and held != weights:
                message = f"is stale: it holds weights {held[:12]}, and the workspace has {weights[:12]}"
                self.add("branch-stale", name, message, "push it: mixhub push --all", "warning")

    def main(self) -> None:
        """Whether `main` holds the model that the family says, and no other."""
        if self.family is None or MAIN not in self.all:
            return
        main, run = self.all[MAIN], self.family.main_run
        if self._any_ours() and (missing := [name for name in self._licenses() if name not in main.tree]):
            self.add("file-missing", MAIN, f"lacks {', '.join(missing)}", "push it again: mixhub push --all")
        if run is None:
            if main.is_model and self._any_ours():
                hint = "push again: mixhub push --all" if LINEAGE_FILE in main.tree else "delete its files there"
                message = f"holds a model, and {self.family.name} does not say whose"
                self.add(
                    "main-model-unknown", MAIN, message, f"name it: revisions.main in mixhub.yaml; or {hint}", "warning"
                )
            return
        branch = self.all.get(run.revision)
        if branch is None or not branch.is_model:
            if main.is_model:
                message = f"holds a model, and {run.revision}, whose it should be, is not there"
                self.add("main-model-unknown", MAIN, message, "push it: mixhub push --all")
            return
        held, meant = ({path: file for path, file in one.tree.items() if is_model_file(path)} for one in (main, branch))
        odd = [path for path in sorted({*held, *meant}) if not _same_file(held.get(path), meant.get(path))]
        why = withdrawal_of(branch.text(CARD) or "")
        if why is not None and main.weights == branch.weights:
            message = f"holds the model of {run.revision}, which was withdrawn: {why}"
            self.add(
                "weights-withdrawn", MAIN, message, "name another in revisions.main of mixhub.yaml, or none; then push"
            )
        elif odd:
            message = f"{listed(odd)}: not as on {run.revision}, whose model it holds by the family"
            if not held:
                message = f"holds no model, and by the family that of {run.revision}"
            self.add("main-differs", MAIN, message, "push the card again, or promote all: mixhub push")

    def branch(self, branch: Branch) -> None:
        """What is wrong with one branch by itself, and beside its run."""
        self._files(branch)
        try:
            lineage = branch.lineage()
        except MixhubError as error:
            self.add("lineage-malformed", branch.name, error.message)
            lineage = None
        if lineage is not None:
            self.lineages[branch.name] = lineage
            self._lineage(branch, lineage)
        if self._is_ours(branch):
            try:
                read_metrics(branch.folder / METRICS)
            except MixhubError as error:
                self.add("metrics-malformed", branch.name, error.message, "push it again from where it was trained")
        self._weights(branch)
        found = [*code_findings(branch.name, branch.folder)]
        if all(name in branch.tree for name in _ALIKE):
            found += token_findings(branch.name, branch.folder)
        self.found += found if self._is_ours(branch) else [replace(one, level="warning") for one in found]

    def repeated(self) -> None:
        """Weights that two branches share: what `main` holds may be one of the others."""
        self._tell_repeated({branch.name: branch.weights for branch in self.models})

    def _tell_repeated(self, weights: Mapping[str, str | None]) -> None:
        """Says of each branch which other has its weights: which of the two is wrong is not known from that.

        Args:
            weights: what names the weights, by branch.
        """
        by_weights: dict[str, list[str]] = defaultdict(list)
        for name, known in weights.items():
            if known is not None and name != MAIN:
                by_weights[known].append(name)
        for names in by_weights.values():
            for name in names:
                others = [one for one in names if self._meant(one) != self._meant(name)]
                if not others:
                    continue
                other = next((one for one in others if self._meant(one) is not None), others[0])
                if self.family is not None and self._meant(name) is None:
                    message = f"is no revision of {self.family.name}, and holds the weights of {other}"
                    self.add("weights-repeated", name, message, "delete it if it is not meant", "warning")
                elif self.family is None or self._meant(other) is not None:
                    hint = "find out which of the two is right, and push the other again from its export"
                    self.add("weights-repeated", name, f"has the same weights as {other}", hint)

    def _meant(self, name: str) -> object:
        """What fixes the weights that a branch's name means (see `training_of`). Without a family, the name."""
        if self.family is None:
            return name
        return training_of(self.family, name)

    def alike(self) -> None:
        """Files that should be the same on all revisions, and on which of them they are not."""
        group = [branch for branch in self.models if branch.name != MAIN]
        for path in (*_ALIKE, *TOKENIZER_EXTRAS, *self._licenses()):
            several = self.all.values() if path in self._licenses() else group
            may_lack = path in TOKENIZER_EXTRAS  # where a file must be there, its absence is told already
            contents = {one.name: _comparable(one, path) for one in several if may_lack or path in one.tree}
            if len(set(contents.values())) < 2:
                continue
            usual, count = Counter(contents.values()).most_common(1)[0]
            odd = [name for name, content in contents.items() if content != usual]
            if count == 1 and len(contents) == 2:
                odd = odd[-1:]
            said = _difference(usual, contents[odd[0]]) if path.endswith("config.json") else ""
            like = next(name for name, content in contents.items() if content == usual)
            level: Level = "warning" if may_lack else "error"  # versions of Transformers write other ones
            for name in odd[:_SHOWN]:
                message = f"{path} is not that of {like}{said if name == odd[0] else ''}"
                if path not in self.all[name].tree or path not in self.all[like].tree:
                    message = f"{'lacks' if path in self.all[like].tree else 'has'} {path}, unlike {like}"
                self.add("file-differs", name, message, "seeds of a family differ in their weights alone", level)
            if len(odd) > _SHOWN:
                self.add("file-differs", odd[_SHOWN], f"{path}: nor is that of {listed(odd[_SHOWN:])}", "", level)

    def initial_weights(self) -> None:
        """Step-0 weights beside their seeds; a pair is told once."""
        names = [name for name in self.lineages if self.family is None or name in self.runs]
        for number, name in enumerate(names):
            before = {other: self.lineages[other] for other in names[:number]}
            self.found += initial_findings(name, self.lineages[name], before)

    def cards(self) -> None:
        """Cards that are refused, or whose figures are not those of the results beside them."""
        for branch in (*self.models, *(b for b in self.all.values() if b.name == MAIN and b not in self.models)):
            text = branch.text(CARD)
            if text is None:
                if self._is_ours(branch) or (self.family is not None and branch.name == MAIN):
                    self.add("card-missing", branch.name, "has no card", "push it again")
                continue
            if self._is_ours(branch) or self._has_ours():
                for finding in check_card(text, folder=None, source=CARD):
                    self.add(finding.kind, branch.name, str(finding), finding.hint)
                self._card_figures(branch, text)
            if (why := withdrawal_of(text)) is not None:
                self.add("weights-withdrawn", branch.name, f"was withdrawn: {why}", "", "warning")
        self._commits_on_main()

    def deep(self, progress: Progress) -> None:
        """Downloads the weights; reads every byte, and loads what is whole."""
        wrong = {finding.where for finding in self.found if finding.level == "error"}
        prints: dict[str, Mapping[str, Fingerprint]] = {}
        same: dict[str, str] = {}
        with progress.start("weights", len(self.models), "branch") as bar:
            for branch in self.models:
                folder = fetch(self.endpoint, self.repo_id, branch.commit, list(branch.tree))
                found = list(self._read_weights(branch, folder))
                if not found and branch.name not in wrong:
                    found = list(loading_findings(branch.name, folder))
                self.found += found
                prints[branch.name] = own = fingerprints(folder)
                alike = (name for name, other in prints.items() if are_same_tensors(own, other))
                same[branch.name] = next(alike, branch.name)
                bar.advance(note=branch.name)
        told = {finding.where for finding in self.found if finding.code == "weights-repeated"}
        self._tell_repeated({name: known for name, known in same.items() if name not in told})
        self._partly_repeated(
            prints, {name for name in prints if name in told or list(same.values()).count(same[name]) > 1}
        )

    def _partly_repeated(self, prints: Mapping[str, Mapping[str, Fingerprint]], told: set[str]) -> None:
        """Tensors that two runs share which began with other weights; a pair is told once."""
        names = [name for name in prints if name in self.lineages and name not in told and name != MAIN]
        for number, name in enumerate(names):
            for other in names[:number]:
                if began_apart(self.lineages[name], self.lineages[other]):
                    shared = shared_tensors(prints[name], prints[other])
                    self.found += shared_findings(name, shared, len(prints[name]), other)

    def _read_weights(self, branch: Branch, folder: Path) -> Iterator[Finding]:
        hint, hashes = "push it again from its export", {}
        for path in branch.safetensors:
            try:
                scanned = scan(folder / path)
            except MixhubError as error:
                yield Finding(error.code, branch.name, error.message.replace(f"{folder}/", ""), hint)
                continue
            told = branch.tree[path].sha256
            if told is not None and scanned.sha256 != told:
                message = f"{path} came down as {scanned.sha256}, and the hub says {told}"
                yield Finding("download-differs", branch.name, message, "download it again; if it stays, push it again")
            if scanned.not_finite:
                shown = [f"{name} ({count:,})" for name, count in scanned.not_finite.items()]
                message = f"NaN or infinite numbers in {len(shown)} tensors: {listed(shown)}"
                yield Finding("weights-not-finite", branch.name, message, "withdraw it: mixhub withdraw")
            hashes[path] = scanned.sha256
        lineage = self.lineages.get(branch.name)
        own = combined_sha256(hashes.items()) if set(hashes) == set(branch.safetensors) else None
        if lineage and own and branch.weights_sha256 is None and own != lineage.weights_sha256:
            message = f"its weights are {own}, but its lineage says {lineage.weights_sha256}"
            yield Finding("weights-differ", branch.name, message, hint)

    def _files(self, branch: Branch) -> None:
        ours = self._is_ours(branch)
        again = "push it again from its export" if ours else "tell who published it"
        if ours:
            if missing := [name for name in (*EXPORT_FILES, CARD, *self._licenses()) if name not in branch.tree]:
                self.add("file-missing", branch.name, f"lacks {', '.join(missing)}", again)
        else:
            if missing := [name for name in ("config.json",) if name not in branch.tree]:
                self.add("file-missing", branch.name, f"lacks {', '.join(missing)}", again)
            if not any(path.startswith(("tokenizer", "vocab")) for path in branch.tree):
                self.add("file-missing", branch.name, "lacks a tokenizer", again, "warning")
        if ours and branch.name != MAIN:
            self._extra_files(branch)
        elif ours:  # others may keep files there
            for path in (path for path in branch.tree if is_pickle(path) and "/" in path):
                message = f"{path}: a pickle, which runs code when it is opened"
                self.add("pickle-found", MAIN, message, "delete it, if it is of this model", "warning")
        if branch.pickles:
            only = "" if branch.safetensors else ", and holds no safetensors"
            message = f"{listed(branch.pickles)}: a pickle, which runs code when it is opened{only}"
            level: Level = "error" if ours or not branch.safetensors else "warning"
            self.add("pickle-found", branch.name, message, "publish safetensors alone", level)
        if not (branch.safetensors or branch.pickles):
            self.add("weights-missing", branch.name, "holds no weights", again)

    def _extra_files(self, branch: Branch) -> None:
        """Files that no push sends: a pickle in a folder, or what somebody put there by hand."""
        known = {*EXPORT_FILES, *TOKENIZER_EXTRAS, *KEPT_ON_HUB, WEIGHTS_INDEX_FILE, CARD, METRICS, "LICENSE"}
        known |= {*self._licenses()}
        shown = self._shown_by_card(branch)
        for path in branch.tree:
            if path in known or path in branch.safetensors or is_result_file(path) or path in branch.pickles:
                continue
            if is_pickle(path):
                message = f"{path}: a pickle, which runs code when it is opened"
                self.add("pickle-found", branch.name, message, "delete it; weights are published as safetensors")
            elif path not in shown:  # what the card shows or links to was sent with it
                self.add(
                    "file-foreign",
                    branch.name,
                    f"{path}: is no part of a release",
                    "the next push deletes it",
                    "warning",
                )

    def _shown_by_card(self, branch: Branch) -> set[str]:
        """Files that the card of a branch shows or links to."""
        try:
            card = read_card(branch.text(CARD) or "")
        except MixhubError:  # `check_card` says so
            return set()
        return {unquote(link.address.partition("#")[0]).removeprefix("./") for link in card.links}

    def _weights(self, branch: Branch) -> None:
        """Index, shards and shapes, from the first bytes of each file."""
        if not branch.safetensors:
            return
        again = "push it again from its export"
        try:
            named = branch.named_weights
        except MixhubError as error:
            self.add(error.code, branch.name, error.message, again)
            return
        missing = [path for path in named if path not in branch.tree]
        extra = [path for path in branch.safetensors if path not in named]
        for code, said, paths in (
            ("shard-missing", "lacks", missing),
            ("shard-foreign", "has, beside its weights,", extra),
        ):
            if paths:
                self.add(code, branch.name, f"{said} {listed(paths)}", again)
        shards: dict[str, dict[str, Tensor]] = {}
        for path in (path for path in named if path in branch.tree):
            try:
                shards[path] = tensors_of(self.endpoint, self.repo_id, branch, path)
            except HubError as error:
                self.add(error.code, branch.name, f"{path} cannot be read: {error.message}", again)
            except MixhubError as error:
                self.add(error.code, branch.name, error.message, again)
        if missing or extra or set(shards) != set(named):
            return
        if WEIGHTS_INDEX_FILE in branch.tree:
            data = branch.json(WEIGHTS_INDEX_FILE)
            metadata = data.get("metadata") if isinstance(data, Mapping) else None
            total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
            size = sum(tensor_bytes(tensor) for tensors in shards.values() for tensor in tensors.values())
            self.found += index_findings(branch.name, branch.index(), total, shards, size)
        tensors = {name: tensor for own in shards.values() for name, tensor in own.items()}
        if self._is_ours(branch):
            self.found += dtype_findings(branch.name, tensors)
            self.found += stored_findings(branch.name, branch.folder, tensors)
            if branch.weights_sha256 is None:
                message = "its weights are no large files, so that the hub tells no hash of them"
                self.add("weights-hash-missing", branch.name, message, "push it again from its export")
        if "config.json" in branch.tree:
            self.found += shape_findings(branch.name, branch.folder, tensors, strict=self._is_ours(branch))

    def _lineage(self, branch: Branch, lineage: Lineage) -> None:
        actual = branch.weights_sha256
        if actual is not None and actual != lineage.weights_sha256:
            message = f"its weights are {actual}, but its lineage says {lineage.weights_sha256}"
            self.add("weights-differ", branch.name, message, "push it again from its export")
        tokenizer = branch.folder / "tokenizer.json"
        if tokenizer.is_file() and lineage.tokenizer_sha256 not in (UNKNOWN, file_sha256(tokenizer)):
            self.add("tokenizer-differs", branch.name, "tokenizer.json is not the tokenizer that its lineage names")
        run = self._run(branch.name)
        config = branch.folder / "train_config.yaml"
        if config.is_file() and lineage.train_config_sha256 != UNKNOWN:
            try:
                same = data_sha256(read_yaml(config)) == lineage.train_config_sha256
            except MixhubError as error:
                self.add("train-config-malformed", branch.name, error.message)
                return
            if not same:
                self.add("train-config-differs", branch.name, "train_config.yaml is not the one that its lineage names")
        if run is None or self.family is None:
            return
        self.found += identity_findings(branch.name, run, lineage)
        self.found += seeds_findings(branch.name, run, lineage)
        step = self._step(branch.name)
        asked = step[1] if step else self.family.training.steps
        if lineage.step not in (UNKNOWN, asked):
            self.add(
                "lineage-differs", branch.name, f"its lineage says step {lineage.step}, and {asked} is expected here"
            )
        if config.is_file():
            try:
                changed = list(recipe_changes(self.family, run, config, HubError).values())
            except MixhubError as error:
                changed = error.message.splitlines()
            for line in changed[:_SHOWN]:
                self.add("recipe-differs", branch.name, line, "was the family changed since?")
        if (said := tokens_problem(self.family, lineage)) is not None:
            self.add("lineage-differs", branch.name, said)
        if lineage.steps not in (UNKNOWN, self.family.training.steps):
            message = f"its lineage says steps = {lineage.steps}, and the family has {self.family.training.steps}"
            self.add("lineage-differs", branch.name, message)
        self.found += architecture_findings(branch.name, self.family.architecture, known_config(branch.folder))
        if (known := read_tokenizer(branch.folder)) is not None:
            self.found += tokenizer_findings(branch.name, self.family.tokenizer, known.size, known.eos_token)

    def _card_figures(self, branch: Branch, text: str) -> None:
        """The figures of the model-index, beside those that the results on the branches give."""
        if self.family is None:
            return
        try:
            if branch.name == MAIN:
                facts = [self._facts(name) for name in self.runs if name in self.lineages]
                known = [one for one in facts if one is not None and one.cells]
                complete = len(known) == len([one for one in facts if one is not None])
                if not known or not complete:
                    return
                data = family_metadata(family_context(self.family, runs=known))
            else:
                own = self._facts(branch.name)
                if own is None:
                    return
                data = revision_metadata(revision_context(self.family, own))
        except MixhubError as error:
            self.add(error.code, branch.name, error.message)
            return
        asked = _figures(data.to_dict())  # type: ignore[no-untyped-call]
        told = _figures(_metadata(text))
        for what, value in asked.items():
            if what not in told:
                self.add(
                    "card-score-missing",
                    branch.name,
                    f"its card does not say {what}: {value}",
                    "mixhub card render, and push",
                )
            elif told[what] != value:
                message = f"{what}: the card says {told[what]}, the results give {value}"
                self.add("card-score-differs", branch.name, message, "mixhub card render, and push")
        if untold := [what for what in told if what not in asked]:
            message = f"its card has figures of which no results lie on the branches: {listed(untold)}"
            self.add(
                "card-score-unsupported", branch.name, message, "push it again from where it was evaluated", "warning"
            )

    def _commits_on_main(self) -> None:
        """Commits that the family's card names, which are those of the branches."""
        text = self.all[MAIN].text(CARD) if MAIN in self.all else None
        if text is None or self.family is None or not self._has_ours():
            return
        rows = re.findall(r"^\|\s*`([^`]+)`\s*\|.*?`([0-9a-f]{40})`", text, re.MULTILINE)
        named = {name: commit for name, commit in rows if name in self.runs}
        for name in self._pushed if named else ():
            commit, told = self.all[name].commit, named.get(name)
            if told is None and name in self.lineages:
                message = f"its card does not name the commit of {name}, {commit[:12]}"
            elif told is not None and told != commit:
                message = f"its card names commit {told[:12]} for {name}, which is at {commit[:12]}"
            else:
                continue
            self.add("card-commit-differs", MAIN, message, "push the card again: mixhub push --all")

    def _facts(self, name: str) -> RunFacts | None:
        """What a branch tells of its run: lineage and cells; None where it is no run's, or of other weights."""
        if name not in self.runs or name not in self.lineages:
            return None
        if name not in self.facts:
            try:
                cells = tuple(read_cells(self.all[name].folder / RESULTS))
            except MixhubError as error:
                self.add("results-malformed", name, error.message, "evaluate it, and push")
                cells = ()
            lineage = self.lineages[name]
            if foreign := [cell for cell in cells if cell.weights_sha256 != lineage.weights_sha256]:
                message = f"{foreign[0].path.name} was evaluated with weights {foreign[0].weights_sha256[:12]}"
                self.add(
                    "results-foreign",
                    name,
                    f"{message}, and it has {lineage.weights_sha256[:12]}",
                    "evaluate it, and push",
                )
                cells = ()
            self.facts[name] = RunFacts(self.runs[name], lineage, cells=cells)
        return self.facts[name]

    def _run(self, name: str) -> Run | None:
        step = self._step(name)
        return self.runs.get(name) or (step[0] if step else None)

    def _step(self, name: str) -> tuple[Run, int] | None:
        return step_of(self.family, name) if self.family else None

    def _is_ours(self, branch: Branch) -> bool:
        """Whether mixhub pushed it, so that it has all that a branch of ours has.

        Its lineage says so; where that is what it lacks, those of the other runs of the family do.
        """
        if LINEAGE_FILE in branch.tree:
            return True
        return self._run(branch.name) is not None and self._any_ours()

    def _any_ours(self) -> bool:
        """Whether mixhub pushed the branch of any run: a lineage tells, or else its card.

        The card on `main` tells nothing: it may be rendered for models that others published.
        """
        runs = [self.all[name] for name in self._pushed]
        return any(LINEAGE_FILE in run.tree or is_rendered(run.text(CARD) or "") for run in runs)

    def _licenses(self) -> list[str]:
        """The file of the licence, where the family has one of its own."""
        name = self.family.card.license_file if self.family else None
        return [name] if name else []

    def _has_ours(self) -> bool:
        return bool(self.lineages)


def _same_file(one: RemoteFile | None, other: RemoteFile | None) -> bool:
    """Whether two files on one hub have the same content."""
    return one is not None and other is not None and (one.sha256, one.oid) == (other.sha256, other.oid)


def _comparable(branch: Branch, path: str) -> str:
    """What two branches share where a file says the same: of a config what it says, else the hash; empty: no file."""
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
    return f": {listed(shown)}"


def _metadata(text: str) -> Mapping[str, Any]:
    try:
        return read_card(text).metadata
    except MixhubError:  # `check_card` says so
        return {}


def _figures(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Figures of a model-index by what they are; nothing where it has not the shape of one."""
    found: dict[str, float] = {}
    try:
        for model in metadata.get("model-index") or ():
            for result in model["results"]:
                for metric in result["metrics"]:
                    arguments = {k: v for k, v in (metric.get("args") or {}).items() if k in ("seed", "index", "seeds")}
                    shown = ", ".join(f"{key} {value}" for key, value in arguments.items())
                    found[f"{result['dataset']['name']} {metric['type']} ({shown})"] = metric["value"]
    except (KeyError, TypeError, AttributeError):  # `check_card` says so
        return {}
    return found
