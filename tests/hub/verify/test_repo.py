"""A fault on the hub is found and named; a release without one passes in silence."""

import json
import re
import shutil
import subprocess
import sys
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
from mixhub.hub.remote.branches import read_branch
from mixhub.hub.remote.client import branch_heads
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.rules import plain
from mixhub.hub.verify.receipts import note_verification
from mixhub.hub.verify.repo import verify
from mixhub.spec.family import Family
from mixhub.workspace.lineage import combined_sha256, file_sha256
from mixhub.workspace.paths import Workspace
from tests.hub.seen import seen
from tests.made import copied, publish
from tests.refusals import codes

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

    def seen(self, branch: str, **options) -> list[str]:
        """What is found of a branch, as `tests.hub.seen` gives it."""
        return seen(self.verify(**options).findings, branch)

    def codes(self, branch: str, **options) -> list[str]:
        """The codes of what is found of a branch."""
        return codes(finding for finding in self.verify(**options).findings if finding.where == branch)

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


def test_a_usual_release_is_verified_without_importing_transformers(release):
    """Nor torch, which takes seconds: what Transformers makes of it is known."""
    code = f"""
import sys, mixhub
found = mixhub.verify({str(release.workspace.root)!r}, hub={release.endpoint.url!r})
assert not found.findings and len(found.branches) == 3, found.findings
print(sorted({{"torch", "transformers"}} & {{*sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ("[]" if plain._is_tested_version() else "['torch', 'transformers']")


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


def no_index(release):
    release.shard("seed-2")
    release.put("seed-2", {INDEX: None})


def single_beside_index(release):
    """Transformers opens the single file; here it is another model's."""
    release.shard("seed-2")
    save_file({"a": torch.zeros(1)}, release.folder / MODEL, {"format": "pt"})
    release.put("seed-2", {MODEL: release.folder / MODEL})


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
    release.put("seed-2", {"README.md": text.replace("license: mit", "license: Nonsense").encode()})


def false_card(release):
    text = release.get("seed-2", "README.md").read_text()
    release.put("seed-2", {"README.md": re.sub(r"value: \d+\.\d+", "value: 99.0", text).encode()})


def other_results(release):
    cell = "results/tiny_choice.0shot.json"
    release.edit("seed-2", cell, lambda result: result["mixhub"].update(weights_sha256="0" * 64))


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (no_branch, ["branch-missing"]),
        (no_config, ["file-missing config.json"]),
        (no_weights, ["weights-missing"]),
        (no_shard, ["weights-differ", "shard-missing model-00002-of-00002.safetensors"]),
        (another_shard, ["weights-differ", "shard-foreign model-00003.safetensors"]),
        (no_index, [f"index-missing {INDEX}"]),
        (
            single_beside_index,
            [
                "weights-differ",
                f"weights-ambiguous {MODEL}",
                "tensor-missing lm_head.weight",
                "tensor-foreign a",
            ],
        ),
        (wrong_index, ["index-differs model.norm.weight"]),
        (pickled, ["pickle-found pytorch_model.bin"]),
        (cut_short, ["weights-differ", "weights-malformed model.safetensors"]),
        (end_cut_off, ["weights-malformed model.safetensors"]),
        (looks_like_a_state, ["file-missing config.json", "pickle-found step-12/optimizer.pt"]),
        (pickled_results, ["pickle-found results/evil.pkl", "pickle-found weights.PT"]),
        (code_among_results, ["warning: file-foreign results/run.py"]),
        (own_code, ["code-required config.json", "file-differs config.json"]),
        (
            old_rope,
            ["architecture-unsupported rope_type", "architecture-unsupported factor", "file-differs config.json"],
        ),
        (other_steps, ["lineage-differs steps"]),
        (
            tokens_beside,
            [
                "vocabulary-differs eos_token",
                "token-id-differs config.json:eos_token_id",
                "token-id-differs generation_config.json:eos_token_id",
                "warning: file-differs special_tokens_map.json",
            ],
        ),
        (endless_number, ["config-unusable config.json", "file-differs config.json"]),
        (panicking_tokenizer, ["tokenizer-differs", "tokenizer-unusable", "file-differs tokenizer.json"]),
        (
            many_layers,
            ["architecture-differs num_hidden_layers", "shape-differs config.json", "file-differs config.json"],
        ),
        (whole_numbers, ["weights-wrong-dtype model.norm.weight"]),
        (
            tensor_in_two_shards,
            [
                "weights-differ",
                "index-differs model.layers.0.self_attn.q_proj.weight",
                "warning: index-differs total_size",
            ],
        ),
        (other_weights, ["weights-differ", "weights-repeated seed-1"]),
        (
            other_vocabulary,
            [
                "architecture-differs vocab_size",
                "shape-differs lm_head.weight",
                "shape-differs model.embed_tokens.weight",
                "file-differs config.json",
            ],
        ),
        (other_rope, ["architecture-differs rms_norm_eps", "file-differs config.json"]),
        (other_generation, ["file-differs generation_config.json"]),
        (other_tokens, ["token-id-differs config.json:eos_token_id", "file-differs config.json"]),
        (other_tokenizer, ["tokenizer-differs", "file-differs tokenizer.json"]),
        (more_tokens, ["tokenizer-differs", "vocabulary-differs vocab_size", "file-differs tokenizer.json"]),
        (other_run, ["run-wrong", "seed-wrong init_seed", "initial-weights-differ seed-1"]),
        (other_step, ["lineage-differs step", "lineage-differs tokens", "results-foreign step"]),
        (other_recipe, ["train-config-differs", "recipe-differs train.train_prose"]),
        (same_start, ["initial-weights-repeated seed-1"]),
        (no_card, ["file-missing README.md", "card-missing"]),
        (broken_card, ["metadata-invalid license"]),
        (
            false_card,
            [
                "model-index-differs Choice seed 2",
                "model-index-differs Average of 1 task seed 2",
                "card-score-differs Choice acc (seed 2)",
                "card-score-differs Average of 1 task accuracy (seed 2)",
            ],
        ),
        (other_results, ["results-foreign weights", "warning: card-score-unsupported Choice acc (seed 2)"]),
    ],
)
def test_a_fault_is_found(release, fault, found):
    fault(release)
    assert release.seen("seed-2") == found


def messages(release, branch: str, code: str) -> str:
    return "\n".join(one.message for one in release.verify().findings if (one.where, one.code) == (branch, code))


def test_what_differs_between_two_configs_is_named(release):
    other_vocabulary(release)
    said = messages(release, "seed-2", "file-differs")
    assert said.endswith("config.json differs from that of seed-1: vocab_size = 310 instead of 320")
    release.edit("seed-2", "config.json", lambda config: config.update(vocab_size=320, a=1, b=2, c=3, d=4))
    said = messages(release, "seed-2", "file-differs")
    assert said.endswith(": a = 1 instead of 'absent', b = 2 instead of 'absent', c = 3 instead of 'absent' and 1 more")


def test_a_fault_of_one_seed_is_not_one_of_the_other(release):
    for fault in (other_run, pickled, cut_short, other_recipe, broken_card):
        fault(release)
    assert release.seen("seed-1") == []


def test_a_branch_of_no_run_is_a_warning(release):
    commit = release.api.list_repo_refs(release.family.repo_id).branches[-1].target_commit
    release.api.create_branch(release.family.repo_id, branch="sed-2", revision=commit)
    assert release.seen("sed-2")[0] == "warning: branch-unknown"


def test_a_branch_with_other_weights_than_the_workspace_is_stale(release):
    weights = {"seed-1": "0" * 64, "seed-3": "0" * 64}
    found = release.verify(local=weights).findings
    assert (len(found), seen(found, "seed-1")) == (1, ["warning: branch-stale"])


def test_what_main_holds_may_be_one_of_the_seeds(release):
    names = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", MODEL)
    release.put("main", {name: release.get("seed-2", name) for name in names})
    assert errors(release.verify().findings) == []


def test_a_card_of_main_that_names_another_commit(release):
    moved = release.put("seed-1", {"metrics.jsonl": b'{"step": 1, "loss": 1.0}\n'})
    [found] = [finding for finding in release.verify().findings if finding.where == "main"]
    assert (found.code, found.about, moved[:12] in found.message) == ("card-commit-differs", "seed-1", True)
    assert found.level == "warning", "both commits hold the same model"
    release.put("seed-1", {MODEL: release.get("seed-2", MODEL)})
    assert "card-commit-differs seed-1" in release.seen("main")


def test_a_history_that_its_owner_squashed_is_a_warning(release):
    release.api.super_squash_history(release.family.repo_id, branch="seed-1")
    [found] = release.verify().findings
    assert (found.code, found.about, found.level) == ("card-commit-differs", "seed-1", "warning")


def test_a_card_of_main_that_tells_other_figures(release):
    text = release.get("main", "README.md").read_text()
    release.put("main", {"README.md": re.sub(r"value: \d+\.\d+", "value: 99.0", text, count=1).encode()})
    assert "card-score-differs" in release.codes("main")


def test_numbers_that_are_none_are_found_where_weights_are_read(release):
    release.weights("seed-2", lambda tensors: tensors["model.norm.weight"].fill_(float("nan")))
    assert release.seen("seed-2") == []
    assert release.seen("seed-2", deep=True) == ["weights-not-finite model.norm.weight"]


def test_a_model_that_does_not_load(release):
    release.edit("seed-2", "config.json", lambda config: config.update(hidden_act="no_such_function"))
    assert "config-unusable config.json" in release.seen("seed-2")


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
    assert found.findings == ()
    assert [branch.name for branch in found.branches] == ["main", "step1", "step10", "step100"]
    release.put("step10", {MODEL: release.folder / "100.safetensors", "pytorch_model.bin": b"x"}, repo)
    found = verify(release.endpoint, repo).findings
    assert seen(found, "step10") == ["warning: pickle-found pytorch_model.bin", "weights-repeated step100"]
    assert seen(found, "step100") == ["weights-repeated step10"]
    assert len(found) == 3


def test_a_tokenizer_of_somebody_else_that_transformers_rebuilds(release):
    """It gives other ids, so it is an error there too; what a config states is a warning."""
    repo = "others/rebuilt"
    release.api.create_repo(repo)
    tokenizer = json.loads(release.get("seed-1", "tokenizer.json").read_text())
    plain = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}
    tokenizer["pre_tokenizer"] = plain
    settings = json.loads(release.get("seed-1", "tokenizer_config.json").read_text())
    config = json.loads(release.get("seed-1", "config.json").read_text()) | {"pad_token_id": 7}
    release.put(
        "main",
        {
            MODEL: release.get("seed-1", MODEL),
            "config.json": json.dumps(config).encode(),
            "tokenizer.json": json.dumps(tokenizer).encode(),
            "tokenizer_config.json": json.dumps(
                {**settings, "tokenizer_class": "GPT2Tokenizer", "pad_token": "<|endoftext|>"}
            ).encode(),
        },
        repo,
    )
    found = verify(release.endpoint, repo).findings
    assert seen(found, "main") == ["tokenizer-rebuilt ids", "warning: token-id-differs config.json:pad_token_id"]
    with pytest.warns(UserWarning, match="tokenizer.json as GPT2Tokenizer"):
        mixhub.load(repo, hub=release.endpoint.url)


def test_matrices_of_another_step_in_a_repo_of_somebody_else(release):
    """Without a lineage; the edges of a matrix alone prove nothing."""
    repo = "others/copied"
    release.api.create_repo(repo)
    names = ("config.json", "tokenizer.json", "tokenizer_config.json")
    base = {name: release.get("seed-1", name) for name in names}
    first = load_file(release.get("seed-1", MODEL))
    matrix, alike = "model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight"
    for step, scale in (("step1", 1.0), ("step2", 2.0)):
        tensors = {name: tensor * scale for name, tensor in first.items()}
        tensors[matrix] = first[matrix]
        tensors[alike] = first[alike].clone()
        tensors[alike][150] *= scale
        save_file(tensors, release.folder / MODEL, {"format": "pt"})
        release.api.create_branch(repo, branch=step, revision="main")
        release.put(step, {**base, MODEL: release.folder / MODEL}, repo)
    assert verify(release.endpoint, repo).findings == ()
    [found] = verify(release.endpoint, repo, deep=True).findings
    assert (found.code, found.level, {found.where, found.about}) == ("tensors-shared", "error", {"step1", "step2"})
    assert matrix in found.message
    assert alike not in found.message


def test_a_branch_that_lacks_its_lineage_is_still_one_of_ours(release):
    names = ("lineage.json", "train_config.yaml", "generation_config.json")
    release.put("seed-2", dict.fromkeys(names))
    [found] = [one for one in release.verify().findings if one.code == "file-missing"]
    assert (found.where, found.about) == ("seed-2", "generation_config.json")
    assert "generation_config.json, train_config.yaml, lineage.json" in found.message


def test_files_that_no_push_sends(release):
    release.put("seed-2", {"secrets.env": b"x", "deep/evil.pkl": b"x", "figure.png": b"x"})
    text = release.get("seed-2", "README.md").read_text()
    release.put("seed-2", {"README.md": f"{text}\n![a figure](figure.png)\n".encode()})
    assert release.seen("seed-2") == ["pickle-found deep/evil.pkl", "warning: file-foreign secrets.env"]


def test_metadata_without_tags(release):
    text = release.get("seed-2", "README.md").read_text()
    release.put("seed-2", {"README.md": re.sub(r"^tags:\n(- .*\n)+", "tags:\n", text, flags=re.MULTILINE).encode()})
    assert release.seen("seed-2") == []


def test_a_train_config_that_cannot_be_read_of_an_adopted_run(release):
    release.edit("seed-2", "lineage.json", lambda lineage: lineage.update(train_config_sha256="unknown"))
    release.put("seed-2", {"train_config.yaml": b"train: [\n"})
    assert release.seen("seed-2") == ["train-config-malformed"]
    assert release.seen("seed-1") == []


def test_weights_of_another_seed_in_other_shards(release):
    first = load_file(release.get("seed-1", MODEL))
    release.weights("seed-2", lambda tensors: tensors.update(first))
    release.shard("seed-2")
    assert "weights-repeated" not in release.codes("seed-2")
    deep = release.verify(deep=True).findings
    assert "weights-repeated seed-1" in seen(deep, "seed-2")
    assert "weights-repeated seed-2" in seen(deep, "seed-1")


def test_other_names_of_a_revision(release):
    """Its last step, which is the same weights, and a branch of no run: neither makes the revision wrong."""
    commit = next(
        b.target_commit for b in release.api.list_repo_refs(release.family.repo_id).branches if b.name == "seed-2"
    )
    release.api.create_branch(release.family.repo_id, branch="seed-2-step-12", revision=commit)
    assert release.verify().findings == ()
    release.api.create_branch(release.family.repo_id, branch="final", revision=commit)
    found = release.verify().findings
    assert seen(found, "final") == ["warning: branch-unknown", "warning: weights-repeated seed-2"]
    assert {finding.where for finding in found} == {"final"}


def test_two_seeds_with_the_same_weights_are_both_in_doubt(release):
    other_weights(release)
    commit = next(
        b.target_commit for b in release.api.list_repo_refs(release.family.repo_id).branches if b.name == "seed-2"
    )
    release.api.create_branch(release.family.repo_id, branch="alias", revision=commit)
    found = release.verify().findings
    assert "weights-repeated seed-1" in seen(found, "seed-2")
    assert "weights-repeated seed-2" in seen(found, "seed-1")


def test_a_seed_that_the_card_of_main_does_not_name(release):
    text = release.get("main", "README.md").read_text()
    rows = [line for line in text.splitlines(keepends=True) if not re.match(r"\|\s*`seed-2`", line)]
    release.put("main", {"README.md": "".join(rows).encode()})
    assert "card-commit-differs seed-2" in release.seen("main")


def test_figures_of_which_no_results_lie_there(release):
    release.put("seed-2", {"results/tiny_choice.0shot.json": None})
    assert release.seen("seed-2") == ["warning: card-score-unsupported Choice acc (seed 2)"]


def test_a_broken_cell_is_told_once_and_without_the_cache(release):
    release.put("seed-2", {"results/tiny_choice.0shot.json": b"{"})
    found = release.verify().findings
    assert [finding.where for finding in found if finding.code == "results-malformed"] == ["seed-2"]
    assert not any("snapshots" in finding.message for finding in found)


def test_metrics_that_are_none(release):
    release.put("seed-2", {"metrics.jsonl": b"nonsense\n"})
    assert release.seen("seed-2") == ["metrics-malformed"]


def test_what_is_noted_is_what_passed(release):
    def noted() -> set[str]:
        noted = json.loads(release.workspace.verify_receipts.read_text())["branches"]
        return set(noted["hub"][release.family.repo_id])

    note_verification(release.workspace, "hub", release.verify(), deep=False)
    assert noted() == {"main", "seed-1", "seed-2"}
    pickled(release)
    note_verification(release.workspace, "hub", release.verify(), deep=False)
    assert noted() == {"main", "seed-1"}


def test_no_repo(release):
    with pytest.raises(RepoNotFoundError):
        verify(release.endpoint, "nobody/nothing")


def test_the_command_says_it_all_and_exits_by_it(release, mixhub_here):
    root = release.workspace.root
    well = mixhub_here("verify", "--deep", cwd=root)
    assert (well.returncode, well.stdout.splitlines()[-1]) == (0, "tester/tiny: 3 branches, no findings")
    pickled(release)
    badly = mixhub_here("verify", cwd=root)
    assert badly.returncode == 1
    assert "seed-2: pytorch_model.bin: " in badly.stdout
    told = json.loads(mixhub_here("verify", "--json", "tester/tiny", "--hub", release.endpoint.url, cwd=root).stdout)
    assert [finding["code"] for finding in told["findings"]] == ["pickle-found", "card-commit-differs"]
    shutil.rmtree(root / "results")  # what lies in the workspace is not asked
    again = mixhub_here("verify", cwd=root)
    assert again.stdout.splitlines()[1:] == badly.stdout.splitlines()[1:], "but for the address of the hub"


def test_weights_of_another_dtype_are_no_fault(release):
    """Two revisions may be saved in different dtypes; who compares their scores is told elsewhere."""
    release.weights("seed-2", lambda tensors: tensors.update({k: v.to(torch.bfloat16) for k, v in tensors.items()}))
    assert release.seen("seed-2", deep=True) == ["dtype-differs dtype"], "it is loaded in that"
    release.edit("seed-2", "config.json", lambda config: config.update(dtype="bfloat16"))
    assert release.seen("seed-2", deep=True) == []
    assert release.seen(release.family.repo_id) == ["warning: dtype-varies dtype"]


def test_a_repo_without_any_lineage_is_still_ours_by_its_cards(release):
    """Else it could be promoted, whatever weights lie on its branches."""
    for name in ("seed-1", "seed-2"):
        release.put(name, {"lineage.json": None})
    for name in ("seed-1", "seed-2"):
        assert "file-missing lineage.json" in release.seen(name)


def test_pickles_in_folders_of_main_are_told(release):
    """Others may keep files there, so it stops nothing."""
    release.put("main", {"model.safetensors": release.get("seed-1", MODEL), "lineage.json": b"{}"})
    release.put("main", {"x/pytorch_model.bin": b"x"})
    assert "warning: pickle-found x/pytorch_model.bin" in release.seen("main")


def test_configs_that_say_the_same_in_old_and_new_words(release):
    """Transformers 4 wrote `rope_theta` at the top, and left out what follows from the rest."""

    def as_before(config):
        for key in ("rope_parameters", "head_dim"):
            config.pop(key)
        config.update(rope_theta=10000.0, rope_scaling=None, torch_dtype=config.pop("dtype"))

    release.edit("seed-2", "config.json", as_before)
    assert release.seen("seed-2", deep=True) == []


def test_weights_of_another_seed_that_were_cast(release):
    first = load_file(release.get("seed-1", MODEL))
    release.weights("seed-2", lambda tensors: tensors.update({k: v.to(torch.float64) for k, v in first.items()}))
    assert "weights-repeated" not in release.codes("seed-2")
    assert "weights-repeated seed-1" in release.seen("seed-2", deep=True)


def test_code_of_a_repo_is_not_run(release):
    """Transformers would ask whoever sits there, and take a piped `y` for an answer."""
    code = release.folder / "ran"
    module = (
        f"open({str(code)!r}, 'w')\nfrom transformers import LlamaConfig\nclass Own(LlamaConfig): model_type = 'own'\n"
    )
    asked = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}
    release.edit("seed-2", "config.json", lambda config: config.update(auto_map=asked, model_type="own"))
    release.put("seed-2", {"own.py": module.encode()})
    assert {"unchecked: model-unsupported config.json", "code-required config.json"} <= {
        *release.seen("seed-2", deep=True)
    }
    with pytest.raises(ExportError):
        mixhub.load("tiny", seed=2, workspace=release.workspace.root)
    assert not code.exists()


def test_a_card_on_main_makes_no_repo_ours(release):
    """It may be rendered for models that others published, as those of the catalogue are."""
    for name in ("seed-1", "seed-2"):
        release.put(name, {"lineage.json": None, "train_config.yaml": None, "README.md": None})
    assert "Rendered by mixhub" in release.get("main", "README.md").read_text()
    assert not any("lineage.json" in finding.about for finding in release.verify().findings)


def test_a_train_config_that_is_no_plain_data(release):
    text = release.get("seed-2", "train_config.yaml").read_text()
    release.put("seed-2", {"train_config.yaml": text.replace("train_prose: 0.5", "train_prose: .nan").encode()})
    assert "train-config-malformed" in release.seen("seed-2")


def test_files_beside_a_tokenizer_that_one_seed_lacks_are_a_warning(release):
    """Other versions of Transformers write them; what they change in the tokenizer is compared by itself."""
    release.put("seed-2", {"added_tokens.json": b"{}"})
    assert release.seen("seed-2") == ["warning: file-differs added_tokens.json"]


def test_tensors_of_another_seed_and_junk_that_the_card_only_mentions(release):
    theirs = load_file(release.get("seed-2", MODEL))
    release.weights(
        "seed-1", lambda tensors: tensors.update({n: t for n, t in theirs.items() if n != "lm_head.weight"})
    )
    assert "tensors-shared seed-1" in release.seen("seed-2", deep=True)
    release.put("seed-2", {"tiny": b"x", "results/evil.json": b"{}"})
    found = release.seen("seed-2")
    assert {"warning: file-foreign tiny", "warning: file-foreign results/evil.json"} <= set(found)


def test_lineages_whose_tokens_are_not_those_of_the_steps(release):
    release.edit("seed-1", "lineage.json", lambda lineage: lineage.update(tokens=1))
    assert release.seen("seed-1") == ["lineage-differs tokens"]


def test_weights_of_which_the_hub_tells_no_hash(release):
    """As git puts them there without a rule for large files."""
    operation = CommitOperationAdd(MODEL, release.get("seed-2", MODEL).read_bytes())
    operation._upload_mode = "regular"
    release.api.create_commit(release.family.repo_id, [operation], commit_message="x", revision="seed-1")
    assert "weights-hash-missing" in release.seen("seed-1")
    assert "weights-differ" in release.seen("seed-1", deep=True)


def test_a_copy_that_is_damaged_in_the_cache_is_no_fault_of_the_repo(release):
    assert release.seen("seed-2", deep=True) == []
    repo_id = release.family.repo_id
    folder = read_branch(release.endpoint, repo_id, "seed-2", branch_heads(release.endpoint, repo_id)["seed-2"]).folder
    weights = (folder / "model.safetensors").resolve()
    whole = weights.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), b"{" * len(whole)):
        weights.write_bytes(damaged)
        [found] = [one for one in release.verify(deep=True).findings if one.where == "seed-2"]
        assert (found.code, found.about) == ("download-differs", "model.safetensors")
        assert str(weights) in found.hint
    weights.unlink()
    assert release.seen("seed-2", deep=True) == []


def test_deep_verification_downloads_only_what_transformers_opens(release):
    api, export = release.api, release.workspace.export(release.family.run(seed=1), 12)
    api.create_repo("others/one")
    api.upload_folder(repo_id="others/one", folder_path=export, ignore_patterns=["lineage.json"])
    release.put("main", {"consolidated.safetensors": export / "model.safetensors", "m.gguf": b"\0"}, "others/one")
    verified = verify(release.endpoint, "others/one", deep=True)
    folder = read_branch(release.endpoint, "others/one", "main", str(verified.branches[0].commit)).folder
    assert verified.branches[0].name == "main"
    assert {path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".gguf")} == {"model.safetensors"}
