"""A fault on the hub is found and named; a release without one passes in silence."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download
from safetensors.torch import load_file, save_file

import mixhub
from mixhub.endpoint import Endpoint, HubChoice
from mixhub.errors import ExportError, RepoNotFoundError
from mixhub.findings import errors
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.verify.receipts import note_verification, read_verified
from mixhub.hub.verify.verify import verify
from mixhub.spec.family import Family
from mixhub.workspace.lineage import combined_sha256, file_sha256
from mixhub.workspace.paths import Workspace
from tests.made import copied, publish

MODEL, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass
class Release:
    """A family on a hub, to break."""

    workspace: Workspace
    family: Family
    endpoint: Endpoint
    folder: Path

    @property
    def api(self) -> HfApi:
        return HfApi(endpoint=self.endpoint.url, token=self.endpoint.token)

    def verify(self, **options):
        return verify(self.endpoint, self.family.repo_id, self.family, **options)

    def said(self, branch: str, **options) -> dict[str, str]:
        """What is found of a branch, by kind."""
        found: dict[str, str] = {}
        for finding in self.verify(**options).findings:
            if finding.where == branch:
                found[finding.kind] = f"{found.get(finding.kind, '')}{finding.message}\n"
        return found

    def put(self, branch: str, files: dict[str, bytes | Path | None], repo_id: str | None = None) -> str:
        operations = [
            CommitOperationDelete(path) if content is None else CommitOperationAdd(path, content)
            for path, content in files.items()
        ]
        made = self.api.create_commit(
            repo_id or self.family.repo_id, operations, revision=branch, commit_message="a fault"
        )
        return made.oid

    def get(self, branch: str, path: str) -> Path:
        found = hf_hub_download(
            self.family.repo_id,
            path,
            revision=branch,
            endpoint=self.endpoint.url,
            token=self.endpoint.token,
            cache_dir=self.folder / "cache",
        )
        return Path(found)

    def edit(self, branch: str, path: str, change: Callable[[dict], object]) -> None:
        data = json.loads(self.get(branch, path).read_text())
        change(data)
        self.put(branch, {path: json.dumps(data).encode()})

    def weights(self, branch: str, change: Callable[[dict], object]) -> None:
        """Changes the weights of a branch, and the hash in its lineage and results."""
        tensors = load_file(self.get(branch, MODEL))
        change(tensors)
        save_file(tensors, self.folder / MODEL, {"format": "pt"})
        self.put(branch, {MODEL: self.folder / MODEL})
        self.tell(branch, [(MODEL, file_sha256(self.folder / MODEL))])

    def tell(self, branch: str, hashes: list[tuple[str, str]]) -> None:
        digest = combined_sha256(hashes)
        self.edit(branch, "lineage.json", lambda lineage: lineage.update(weights_sha256=digest))
        cell = "results/tiny_choice.0shot.json"
        self.edit(branch, cell, lambda result: result["mixhub"].update(weights_sha256=digest))

    def shard(self, branch: str) -> dict:
        tensors = load_file(self.get(branch, MODEL))
        names = sorted(tensors)
        files = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
        for file, own in files.items():
            save_file({name: tensors[name] for name in own}, self.folder / file, {"format": "pt"})
        total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        weight_map = {name: file for file, own in files.items() for name in own}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        shards = {file: self.folder / file for file in files}
        self.put(branch, {MODEL: None, INDEX: json.dumps(index).encode(), **shards})
        self.tell(branch, [(file, file_sha256(self.folder / file)) for file in files])
        return index


@pytest.fixture(scope="module")
def released(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose family has two seeds, both published."""
    workspace = copied(made, tmp_path_factory.mktemp("released"))
    config = workspace.path("mixhub.yaml")
    config.write_text(config.read_text().replace("seeds: 1-3", "seeds: 1-2"))
    workspace = Workspace.open(workspace.root)
    assert len(workspace.family().runs()) == 2
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        publish(workspace, endpoint)
    return workspace.root


@pytest.fixture
def release(released: Path, tmp_path: Path):
    workspace = copied(released, tmp_path)
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        yield Release(workspace, workspace.family(), endpoint, tmp_path)


def test_a_release_without_fault_passes(release):
    found = release.verify(deep=True)
    assert found.findings == ()
    assert [(branch.name, branch.is_expected) for branch in found.branches] == [
        ("main", False), ("seed-1", True), ("seed-2", True)
    ]  # fmt: skip
    assert len({branch.weights for branch in found.branches}) == 3


def test_shards_and_earlier_steps_pass(release):
    release.shard("seed-1")
    commit = release.api.list_repo_commits(release.family.repo_id)[-1].commit_id
    release.api.create_branch(release.family.repo_id, branch="seed-2-step-5", revision=commit)
    names = release.api.list_repo_files(release.family.repo_id, revision="seed-2")
    files = {name: release.get("seed-2", name) for name in names if name != ".gitattributes" and "results" not in name}
    release.put("seed-2-step-5", files)
    tensors = {name: tensor * 0.5 for name, tensor in load_file(files[MODEL]).items()}
    save_file(tensors, release.folder / MODEL, {"format": "pt"})
    digest = combined_sha256([(MODEL, file_sha256(release.folder / MODEL))])
    release.put("seed-2-step-5", {MODEL: release.folder / MODEL})
    release.edit(
        "seed-2-step-5", "lineage.json", lambda lineage: lineage.update(weights_sha256=digest, step=5, tokens=640)
    )
    found = [finding for finding in release.verify().findings if finding.where != "main"]
    assert found == [], "the card of main names the commits of before"


def no_branch(release):
    release.api.delete_branch(release.family.repo_id, branch="seed-2")


def no_config(release):
    release.put("seed-2", {"config.json": None})


def no_weights(release):
    release.put("seed-2", {MODEL: None})


def no_shard(release):
    release.shard("seed-2")
    release.put("seed-2", {"model-00002-of-00002.safetensors": None})


def another_shard(release):
    release.shard("seed-2")
    release.put("seed-2", {"model-00003.safetensors": release.folder / "model-00001-of-00002.safetensors"})


def wrong_index(release):
    index = release.shard("seed-2")
    del index["weight_map"]["model.norm.weight"]
    release.put("seed-2", {INDEX: json.dumps(index).encode()})


def pickled(release):
    release.put("seed-2", {"pytorch_model.bin": b"x"})


def looks_like_a_state(release):
    """The branch of a run is never taken for one of resumable states, which hold no model."""
    release.put("seed-2", {"config.json": None, "step-12/optimizer.pt": b"x"})


def pickled_results(release):
    release.put("seed-2", {"results/evil.pkl": b"x", "weights.PT": b"x"})


def code_among_results(release):
    release.put("seed-2", {"results/run.py": b"x"})


def own_code(release):
    asked = {"AutoModelForCausalLM": "a/b--model.Own"}
    release.edit("seed-2", "config.json", lambda config: config.update(auto_map=asked))


def old_rope(release):
    rope = {"rope_type": "linear", "factor": 8.0}
    release.edit("seed-2", "config.json", lambda config: config.update(rope_scaling=rope))


def other_steps(release):
    release.edit("seed-2", "lineage.json", lambda lineage: lineage.update(steps=99999))


def tokens_beside(release):
    release.put("seed-2", {"special_tokens_map.json": b'{"eos_token": "a"}'})


def endless_number(release):
    text = release.get("seed-2", "config.json").read_text()
    release.put("seed-2", {"config.json": text.replace("320", "9" * 5000).encode()})


def panicking_tokenizer(release):
    normalizer = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    release.edit("seed-2", "tokenizer.json", lambda tokenizer: tokenizer.update(normalizer=normalizer))


def many_layers(release):
    release.edit("seed-2", "config.json", lambda config: config.update(num_hidden_layers=300_000))


def whole_numbers(release):
    change = {"model.norm.weight": torch.ones(16, dtype=torch.int64)}
    release.weights("seed-2", lambda tensors: tensors.update(change))


def end_cut_off(release):
    """The header is whole, and the lineage tells of what is there."""
    content = release.get("seed-2", MODEL).read_bytes()[:-500]
    (release.folder / MODEL).write_bytes(content)
    release.put("seed-2", {MODEL: release.folder / MODEL})
    release.tell("seed-2", [(MODEL, file_sha256(release.folder / MODEL))])


def tensor_in_two_shards(release):
    release.shard("seed-2")
    first, second = (release.folder / f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
    save_file(load_file(first) | load_file(second), first, {"format": "pt"})
    release.put("seed-2", {first.name: first})


def cut_short(release):
    release.put("seed-2", {MODEL: release.get("seed-2", MODEL).read_bytes()[:50]})


def other_weights(release):
    release.put("seed-2", {MODEL: release.get("seed-1", MODEL)})


def other_vocabulary(release):
    release.edit("seed-2", "config.json", lambda config: config.update(vocab_size=310))


def other_rope(release):
    release.edit("seed-2", "config.json", lambda config: config.update(rms_norm_eps=0.5))


def other_generation(release):
    release.edit("seed-2", "generation_config.json", lambda config: config.update(temperature=0.5))


def other_tokens(release):
    release.edit("seed-2", "config.json", lambda config: config.update(eos_token_id=5))


def other_tokenizer(release):
    release.put("seed-2", {"tokenizer.json": release.get("seed-2", "tokenizer.json").read_bytes() + b"\n"})


def more_tokens(release):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    one = {"id": 300, "content": "zzz", **flags}
    release.edit("seed-2", "tokenizer.json", lambda tokenizer: tokenizer["added_tokens"].append(one))


def other_run(release):
    release.edit("seed-2", "lineage.json", lambda lineage: lineage.update(number=1, revision="seed-1", init_seed=1))


def other_step(release):
    release.edit("seed-2", "lineage.json", lambda lineage: lineage.update(step=11))


def other_recipe(release):
    text = release.get("seed-2", "train_config.yaml").read_text()
    release.put("seed-2", {"train_config.yaml": text.replace("train_prose: 0.5", "train_prose: 0.4").encode()})


def same_start(release):
    first = json.loads(release.get("seed-1", "lineage.json").read_text())["initial_weights_sha256"]
    release.edit("seed-2", "lineage.json", lambda lineage: lineage.update(initial_weights_sha256=first))


def no_card(release):
    release.put("seed-2", {"README.md": None})


def broken_card(release):
    text = release.get("seed-2", "README.md").read_text()
    release.put("seed-2", {"README.md": text.replace("license: mit", "license: nonsense").encode()})


def false_card(release):
    text = release.get("seed-2", "README.md").read_text()
    release.put("seed-2", {"README.md": re.sub(r"value: \d+\.\d+", "value: 99.0", text).encode()})


def other_results(release):
    cell = "results/tiny_choice.0shot.json"
    release.edit("seed-2", cell, lambda result: result["mixhub"].update(weights_sha256="0" * 64))


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (no_branch, "branch", "tester/tiny has no such branch"),
        (no_config, "files", "lacks config.json"),
        (no_weights, "files", "holds no weights"),
        (no_shard, "index", "lacks model-00002-of-00002.safetensors"),
        (another_shard, "index", "has, beside its weights, model-00003.safetensors"),
        (wrong_index, "index", "does not name tensors of the shards: model.norm.weight"),
        (pickled, "pickle", "pytorch_model.bin: a pickle, which runs code when it is opened"),
        (cut_short, "weights", "model.safetensors"),
        (end_cut_off, "weights", "and its header says"),
        (looks_like_a_state, "files", "lacks config.json"),
        (looks_like_a_state, "pickle", "step-12/optimizer.pt: a pickle"),
        (pickled_results, "pickle", "results/evil.pkl: a pickle"),
        (pickled_results, "pickle", "weights.PT: a pickle"),
        (code_among_results, "files", "results/run.py: is no part of a release"),
        (own_code, "files", "auto_map in config.json names code that would run when it is loaded"),
        (old_rope, "recipe", "rope_type = 'linear' in config.json, and a family's architecture has 'default'"),
        (other_steps, "lineage", "its lineage says steps = 99999, and the family has 12"),
        (tokens_beside, "tokenizer", "its tokenizer's eos_token is 'a', and the family says '<|endoftext|>'"),
        (tokens_beside, "alike", "has special_tokens_map.json, unlike seed-1"),
        (endless_number, "shapes", "describes no model that Transformers can make"),
        (panicking_tokenizer, "tokenizer", "no tokenizer that can be opened"),
        (many_layers, "shapes", "num_hidden_layers = 300000 in config.json, and the weights have 21 tensors"),
        (whole_numbers, "weights", "1 tensors are no plain floats"),
        (tensor_in_two_shards, "index", "goes with shards of which several hold: "),
        (other_weights, "repeated", "has the same weights as seed-1"),
        (other_weights, "lineage", "but its lineage says"),
        (other_vocabulary, "shapes", "has shape [320, 16], and config.json asks for [310, 16]"),
        (other_vocabulary, "alike", "config.json is not that of seed-1: vocab_size = 310 instead of 320"),
        (other_rope, "recipe", "rms_norm_eps = 0.5 in config.json, and the family says 1e-05"),
        (other_generation, "alike", "generation_config.json is not that of seed-1: temperature = 0.5"),
        (other_tokens, "tokenizer", "eos_token_id = 5 in config.json, and the tokenizer's is 0"),
        (other_tokenizer, "tokenizer", "is not the tokenizer that its lineage names"),
        (other_tokenizer, "alike", "tokenizer.json is not that of seed-1"),
        (more_tokens, "tokenizer", "has 301 ids, and the family says tokenizer.vocab_size = 300"),
        (other_run, "lineage", "says that it is seed 1 of tiny (seed-1), not seed 2 of tiny (seed-2)"),
        (other_run, "lineage", "was trained with init_seed = 1, and tiny says 2 for seed-2"),
        (other_step, "lineage", "its lineage says step 11, and 12 is expected here"),
        (other_recipe, "recipe", "train.train_prose = 0.4, but tiny now says 0.5"),
        (other_recipe, "lineage", "train_config.yaml is not the one that its lineage names"),
        (same_start, "initial weights", "began with the same weights as seed-1"),
        (no_card, "card", "has no card"),
        (broken_card, "card", "nonsense"),
        (false_card, "card", "the card says 99.0, the results give"),
        (other_results, "results", "tiny_choice.0shot.json was evaluated with weights 000000000000"),
    ],
)
def test_a_fault_is_found(release, fault, kind, said):
    fault(release)
    assert said in release.said("seed-2")[kind]


def test_a_fault_of_one_seed_is_not_one_of_the_other(release):
    for fault in (other_run, pickled, cut_short, other_recipe, broken_card):
        fault(release)
    assert release.said("seed-1") == {}


def test_a_branch_of_no_run_is_a_warning(release):
    commit = release.api.list_repo_refs(release.family.repo_id).branches[-1].target_commit
    release.api.create_branch(release.family.repo_id, branch="sed-2", revision=commit)
    found = [finding for finding in release.verify().findings if finding.where == "sed-2"]
    assert {(finding.kind, finding.level) for finding in found} >= {("branch", "warning")}


def test_a_branch_with_other_weights_than_the_workspace_is_stale(release):
    weights = {"seed-1": "0" * 64, "seed-3": "0" * 64}
    (found,) = release.verify(local=weights).findings
    assert (found.where, found.level) == ("seed-1", "warning")
    assert re.fullmatch(r"is stale: it holds weights [0-9a-f]{12}, and the workspace has 000000000000", found.message)


def test_what_main_holds_may_be_one_of_the_seeds(release):
    names = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", MODEL)
    release.put("main", {name: release.get("seed-2", name) for name in names})
    assert errors(release.verify().findings) == []


def test_a_card_of_main_that_names_another_commit(release):
    moved = release.put("seed-1", {"metrics.jsonl": b'{"step": 1, "loss": 1.0}\n'})
    assert re.search(
        rf"its card names commit [0-9a-f]{{12}} for seed-1, which is at {moved[:12]}", release.said("main")["card"]
    )


def test_a_card_of_main_that_tells_other_figures(release):
    text = release.get("main", "README.md").read_text()
    release.put("main", {"README.md": re.sub(r"value: \d+\.\d+", "value: 99.0", text, count=1).encode()})
    assert "the card says 99.0, the results give" in release.said("main")["card"]


def test_numbers_that_are_none_are_found_where_weights_are_read(release):
    release.weights("seed-2", lambda tensors: tensors["model.norm.weight"].fill_(float("nan")))
    assert "weights" not in release.said("seed-2")
    assert (
        "NaN or infinite numbers in 1 tensors: model.norm.weight (16)" in release.said("seed-2", deep=True)["weights"]
    )


def test_a_model_that_does_not_load(release):
    release.edit("seed-2", "config.json", lambda config: config.update(hidden_act="no_such_function"))
    assert "no_such_function" in release.said("seed-2")["shapes"]


def test_a_repo_of_somebody_else(release):
    """Steps as branches, `main` a copy of the last, no lineage, a pickle beside the safetensors."""
    repo, card = "others/pythia-like", b"---\nlicense: mit\n---\n\n# Theirs\n"
    release.api.create_repo(repo)
    names = ("config.json", "tokenizer.json", "tokenizer_config.json")
    base = {name: release.get("seed-1", name) for name in names}
    tensors = load_file(release.get("seed-1", MODEL))
    for step in (1, 10, 100):
        save_file({name: t * step for name, t in tensors.items()}, release.folder / f"{step}.safetensors")
        release.api.create_branch(repo, branch=f"step{step}", revision="main")
        release.put(f"step{step}", {**base, MODEL: release.folder / f"{step}.safetensors"}, repo)
    release.put(
        "main",
        {**base, MODEL: release.folder / "100.safetensors", "README.md": card},
        repo,
    )
    found = verify(release.endpoint, repo, deep=True)
    assert [str(finding) for finding in found.findings] == []
    assert [branch.name for branch in found.branches] == ["main", "step1", "step10", "step100"]
    release.put("step10", {MODEL: release.folder / "100.safetensors", "pytorch_model.bin": b"x"}, repo)
    assert [str(finding) for finding in verify(release.endpoint, repo).findings] == [
        "warning: step10: pytorch_model.bin: a pickle, which runs code when it is opened",
        "step10: has the same weights as step100",
        "step100: has the same weights as step10",
    ]


def test_a_branch_that_lacks_its_lineage_is_still_one_of_ours(release):
    names = ("lineage.json", "train_config.yaml", "generation_config.json")
    release.put("seed-2", dict.fromkeys(names))
    assert "lacks generation_config.json, train_config.yaml, lineage.json" in release.said("seed-2")["files"]


def test_files_that_no_push_sends(release):
    release.put("seed-2", {"secrets.env": b"x", "deep/evil.pkl": b"x", "figure.png": b"x"})
    text = release.get("seed-2", "README.md").read_text()
    release.put("seed-2", {"README.md": f"{text}\n![a figure](figure.png)\n".encode()})
    said = release.said("seed-2")
    assert said["files"] == "secrets.env: is no part of a release\n"
    assert said["pickle"] == "deep/evil.pkl: a pickle, which runs code when it is opened\n"


def test_metadata_without_tags(release):
    text = release.get("seed-2", "README.md").read_text()
    release.put("seed-2", {"README.md": re.sub(r"^tags:\n(- .*\n)+", "tags:\n", text, flags=re.MULTILINE).encode()})
    release.said("seed-2")


def test_a_train_config_that_cannot_be_read_of_an_adopted_run(release):
    release.edit("seed-2", "lineage.json", lambda lineage: lineage.update(train_config_sha256="unknown"))
    release.put("seed-2", {"train_config.yaml": b"train: [\n"})
    assert "train_config.yaml" in release.said("seed-2")["recipe"]
    assert set(release.said("seed-1")) == set()


def test_weights_of_another_seed_in_other_shards(release):
    first = load_file(release.get("seed-1", MODEL))
    release.weights("seed-2", lambda tensors: tensors.update(first))
    release.shard("seed-2")
    assert "repeated" not in release.said("seed-2")
    assert release.said("seed-2", deep=True)["repeated"] == "has the same weights as seed-1\n"
    assert release.said("seed-1", deep=True)["repeated"] == "has the same weights as seed-2\n"


def test_other_names_of_a_revision(release):
    """Its last step, which is the same weights, and a branch of no run: neither makes the revision wrong."""
    commit = next(
        b.target_commit for b in release.api.list_repo_refs(release.family.repo_id).branches if b.name == "seed-2"
    )
    release.api.create_branch(release.family.repo_id, branch="seed-2-step-12", revision=commit)
    assert release.verify().findings == ()
    release.api.create_branch(release.family.repo_id, branch="final", revision=commit)
    found = release.verify().findings
    assert {(finding.where, finding.level) for finding in found} >= {("final", "warning")}
    assert "holds the weights of seed-2" in " ".join(finding.message for finding in found if finding.where == "final")
    assert not [finding for finding in found if finding.where != "final"]


def test_two_seeds_with_the_same_weights_are_both_in_doubt(release):
    other_weights(release)
    commit = next(
        b.target_commit for b in release.api.list_repo_refs(release.family.repo_id).branches if b.name == "seed-2"
    )
    release.api.create_branch(release.family.repo_id, branch="alias", revision=commit)
    assert release.said("seed-2")["repeated"] == "has the same weights as seed-1\n"
    assert "has the same weights as seed-2" in release.said("seed-1")["repeated"]


def test_a_seed_that_the_card_of_main_does_not_name(release):
    text = release.get("main", "README.md").read_text()
    rows = [line for line in text.splitlines(keepends=True) if not re.match(r"\|\s*`seed-2`", line)]
    release.put("main", {"README.md": "".join(rows).encode()})
    assert "its card does not name the commit of seed-2" in release.said("main")["card"]


def test_figures_of_which_no_results_lie_there(release):
    release.put("seed-2", {"results/tiny_choice.0shot.json": None})
    assert "its card has figures of which no results lie on the branches" in release.said("seed-2")["card"]


def test_a_broken_cell_is_told_once_and_without_the_cache(release):
    release.put("seed-2", {"results/tiny_choice.0shot.json": b"{"})
    found = release.verify().findings
    assert [finding.where for finding in found if finding.kind == "results"] == ["seed-2"]
    assert not any("snapshots" in finding.message for finding in found)


def test_metrics_that_are_none(release):
    release.put("seed-2", {"metrics.jsonl": b"nonsense\n"})
    assert "metrics.jsonl" in release.said("seed-2")["files"]


def test_what_is_noted_is_what_passed(release):
    def noted() -> set[str]:
        return set(read_verified(release.workspace, "hub", release.family.repo_id))

    note_verification(release.workspace, "hub", release.verify(), deep=False)
    assert noted() == {"main", "seed-1", "seed-2"}
    pickled(release)
    note_verification(release.workspace, "hub", release.verify(only=["seed-2"]), deep=False)
    assert noted() == {"main", "seed-1"}


def test_no_repo(release):
    with pytest.raises(RepoNotFoundError):
        verify(release.endpoint, "nobody/nothing")


def test_the_command_says_it_all_and_exits_by_it(release, mixhub_here):
    root = release.workspace.root
    well = mixhub_here("verify", "--deep", cwd=root)
    assert (well.returncode, well.stdout.splitlines()[-1]) == (0, "tester/tiny: 3 branches, nothing found")
    pickled(release)
    badly = mixhub_here("verify", cwd=root)
    assert badly.returncode == 1
    assert "seed-2: pytorch_model.bin: a pickle" in badly.stdout
    told = json.loads(mixhub_here("verify", "--json", "tester/tiny", "--hub", release.endpoint.url, cwd=root).stdout)
    assert [finding["kind"] for finding in told["findings"]] == ["pickle", "card"]
    shutil.rmtree(root / "results")  # what lies in the workspace is not asked
    again = mixhub_here("verify", cwd=root)
    assert again.stdout.splitlines()[1:] == badly.stdout.splitlines()[1:], "but for the address of the hub"


def test_weights_of_another_dtype_are_no_fault(release):
    """Two revisions may be saved in different dtypes; who compares their scores is told elsewhere."""
    release.weights("seed-2", lambda tensors: tensors.update({k: v.to(torch.bfloat16) for k, v in tensors.items()}))
    said = release.said("seed-2", deep=True)
    assert said == {"weights": "dtype = float32 in config.json, and the weights are bfloat16\n"}, "it is loaded in that"
    release.edit("seed-2", "config.json", lambda config: config.update(dtype="bfloat16"))
    assert release.said("seed-2", deep=True) == {}


def test_a_repo_without_any_lineage_is_still_ours_by_its_cards(release):
    """Else it could be promoted, whatever weights lie on its branches."""
    for name in ("seed-1", "seed-2"):
        release.put(name, {"lineage.json": None})
    for name in ("seed-1", "seed-2"):
        assert "lacks lineage.json" in release.said(name)["files"]


def test_pickles_in_folders_of_main_are_told(release):
    """Others may keep files there, so it stops nothing."""
    release.put("main", {"model.safetensors": release.get("seed-1", MODEL), "lineage.json": b"{}"})
    release.put("main", {"x/pytorch_model.bin": b"x"})
    assert "x/pytorch_model.bin: a pickle, which runs code when it is opened\n" in release.said("main")["pickle"]


def test_configs_that_say_the_same_in_old_and_new_words(release):
    """Transformers 4 wrote `rope_theta` at the top, and left out what follows from the rest."""

    def as_before(config):
        for key in ("rope_parameters", "head_dim"):
            config.pop(key)
        config.update(rope_theta=10000.0, rope_scaling=None, torch_dtype=config.pop("dtype"))

    release.edit("seed-2", "config.json", as_before)
    assert release.said("seed-2", deep=True) == {}


def test_weights_of_another_seed_that_were_cast(release):
    first = load_file(release.get("seed-1", MODEL))
    release.weights("seed-2", lambda tensors: tensors.update({k: v.to(torch.float64) for k, v in first.items()}))
    assert "repeated" not in release.said("seed-2")
    assert release.said("seed-2", deep=True)["repeated"] == "has the same weights as seed-1\n"


def test_code_of_a_repo_is_not_run(release):
    """Transformers would ask whoever sits there, and take a piped `y` for an answer."""
    code = release.folder / "ran"
    module = (
        f"open({str(code)!r}, 'w')\nfrom transformers import LlamaConfig\nclass Own(LlamaConfig): model_type = 'own'\n"
    )
    asked = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}
    release.edit("seed-2", "config.json", lambda config: config.update(auto_map=asked, model_type="own"))
    release.put("seed-2", {"own.py": module.encode()})
    assert "describes no model that Transformers can make" in release.said("seed-2", deep=True)["shapes"]
    with pytest.raises(ExportError, match="cannot be opened"):
        mixhub.load("tiny", seed=2, workspace=release.workspace.root)
    assert not code.exists()


def test_a_card_on_main_makes_no_repo_ours(release):
    """It may be rendered for models that others published, as those of the catalogue are."""
    for name in ("seed-1", "seed-2"):
        release.put(name, {"lineage.json": None, "train_config.yaml": None, "README.md": None})
    assert "Rendered by mixhub" in release.get("main", "README.md").read_text()
    assert not any("lineage.json" in finding.message for finding in release.verify().findings)


def test_a_train_config_that_is_no_plain_data(release):
    text = release.get("seed-2", "train_config.yaml").read_text()
    release.put("seed-2", {"train_config.yaml": text.replace("train_prose: 0.5", "train_prose: .nan").encode()})
    assert "holds what is no plain data" in release.said("seed-2")["recipe"]


def test_files_beside_a_tokenizer_that_one_seed_lacks_are_a_warning(release):
    """Other versions of Transformers write them; what they change in the tokenizer is compared by itself."""
    release.put("seed-2", {"added_tokens.json": b"{}"})
    [found] = [finding for finding in release.verify().findings if finding.where == "seed-2"]
    assert (found.level, found.message) == ("warning", "has added_tokens.json, unlike seed-1")


def test_tensors_of_another_seed_and_junk_that_the_card_only_mentions(release):
    theirs = load_file(release.get("seed-2", MODEL))
    release.weights(
        "seed-1", lambda tensors: tensors.update({n: t for n, t in theirs.items() if n != "lm_head.weight"})
    )
    assert "tensors are those of seed-1" in release.said("seed-2", deep=True)["repeated"]
    release.put("seed-2", {"tiny": b"x", "results/evil.json": b"{}"})
    said = release.said("seed-2")["files"]
    assert "tiny: is no part of a release" in said
    assert "results/evil.json: is no part of a release" in said


def test_lineages_whose_tokens_are_not_those_of_the_steps(release):
    release.edit("seed-1", "lineage.json", lambda lineage: lineage.update(tokens=1))
    assert "says 1 tokens, and 12 steps take 1,536" in release.said("seed-1")["lineage"]


def test_weights_of_which_the_hub_tells_no_hash(release):
    """As git puts them there without a rule for large files."""
    operation = CommitOperationAdd(MODEL, release.get("seed-2", MODEL).read_bytes())
    operation._upload_mode = "regular"
    release.api.create_commit(release.family.repo_id, [operation], commit_message="x", revision="seed-1")
    assert "its weights are no large files" in release.said("seed-1").get("weights", "")
    assert "but its lineage says" in release.said("seed-1", deep=True)["lineage"]
