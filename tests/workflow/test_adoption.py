"""Adopted models: copied completely or not at all, with unknown facts recorded as unknown."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from mixhub.card.page.write import render_cards
from mixhub.endpoint import HubChoice
from mixhub.errors import ExportError, MixhubError, UsageError, WorkspaceError
from mixhub.hub.check.run import check_run
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.verify.repo import verify
from mixhub.spec.base import parse_yaml, read_yaml, to_yaml
from mixhub.workflow import adopt, push
from mixhub.workspace.lineage import UNKNOWN, read_lineage
from mixhub.workspace.paths import Workspace
from tests.adopted import adopted_workspace, save_model, save_tokenizer
from tests.refusals import error_codes, refused
from tests.tiny import tiny_workspace_yaml


@pytest.fixture
def place(tmp_path):
    """An empty workspace of the tiny family."""
    root = tmp_path / "place"
    root.mkdir()
    (root / "mixhub.yaml").write_text(tiny_workspace_yaml())
    return Workspace.open(root)


@pytest.fixture
def source(tmp_path):
    return save_model(tmp_path / "theirs", 1)


def take(place, source, seed=1, **options):
    return adopt(place, source, seed=seed, **options)


def faults(error):
    """The codes of the findings or problems of an error, or of the error itself."""
    found = error.fields.get("findings") or error.fields.get("problems")
    return [one.code for one in found] if found else [error.code]


def test_other_layouts_beside_the_weights_are_left_out(place, source):
    others = ("adapter_model.safetensors", "consolidated.safetensors", "model.fp16.safetensors")
    for name in others:
        (source / name).write_bytes(b"x")
    assert set(others) <= set(take(place, source).left_out)


def test_what_is_not_known_is_recorded_as_unknown(place, source):
    (source / "training_args.bin").write_bytes(b"x")
    (source / "README.md").write_text("theirs")
    before = sorted((path.name, path.read_bytes()) for path in source.iterdir())
    made = take(place, source)
    assert made.left_out == ("README.md", "training_args.bin")
    assert made.export == place.run_folder(place.family().run(seed=1)).export(12)
    lineage = read_lineage(made.export)
    unknown = {key for key, value in lineage.to_data().items() if value == UNKNOWN}
    assert unknown == {
        "step", "steps", "tokens", "init_seed", "order_seed", "train_config_sha256", "corpus_sha256",
        "initial_weights_sha256", "device", "processes",
    }  # fmt: skip
    mine, theirs = (load_file(folder / "model.safetensors") for folder in (made.export, source))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert sorted((path.name, path.read_bytes()) for path in source.iterdir()) == before
    assert check_run(place, place.family(), place.family().run(seed=1), load=True).findings == ()


def test_every_step_works_for_adopted_runs(tmp_path, mixhub_here):
    workspace = adopted_workspace(tmp_path, seeds=[1, 2])
    family = workspace.family()
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        push(workspace, all=True, hub=endpoint)
        assert verify(endpoint, family.repo_id, family, deep=True).findings == ()
    card = (workspace.card(family)).read_text()
    assert "seed-2" in card
    mine = workspace.revision_card(family.run(seed=1)).read_text()
    assert re.search(r"\| Device +\| unknown", mine)
    assert "Trained elsewhere and adopted: `seed-1`." in mine
    assert "Trained elsewhere and adopted: `seed-1` and `seed-2`." in card
    status = mixhub_here("status", cwd=workspace.root).stdout
    assert re.search(r"^seed-1 +elsewhere +[0-9a-f]{12} +yes .* fresh *$", status, re.MULTILINE)
    assert re.search(r"^seed-1 +local +[0-9a-f]{12} ", status, re.MULTILINE)


def test_the_mixture_that_is_given_is_compared_and_kept(place, source, tmp_path):
    mixture = tmp_path / "m.yaml"
    mixture.write_text("train_prose: 5\ntrain_sums: 3\ntrain_two-part: 2\n")
    export = take(place, source, mixture=mixture).export
    config = read_yaml(export / "train_config.yaml")
    assert config["train"] == {"train_prose": 5, "train_sums": 3, "train_two-part": 2}
    assert config["mixhub"] == {"format": 1, "adopted": True, "family": "tiny", "revision": "seed-1", "seed": 1}
    assert read_lineage(export).train_config_sha256 != UNKNOWN
    assert check_run(place, place.family(), place.family().run(seed=1)).findings == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("train_prose: 5\ntrain_sums: 3\n", "recipe-differs"),
        ("train:\n  train_prose: -1\n", "value-range"),
        ("- 1\n", "value-type"),
    ],
)
def test_another_mixture_is_refused(place, source, tmp_path, text, code):
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(MixhubError) as caught:
        take(place, source, mixture=tmp_path / "m.yaml")
    assert set(faults(caught.value)) == {code}
    assert not place.run_folder(place.family().run(seed=1)).exports.exists() or not list(
        place.run_folder(place.family().run(seed=1)).exports.iterdir()
    )


def test_a_folder_that_states_its_mixture(place, source, tmp_path):
    (source / "train_config.yaml").write_text("train: {train_prose: 1.0}\nmodel_name: tiny\n")
    with refused("adoption-unsound", ExportError) as caught:
        take(place, source)
    assert set(faults(caught.value)) == {"recipe-differs"}
    (tmp_path / "m.yaml").write_text("train_prose: 2.0\n")
    with refused("option-contradicted", UsageError, option="--mixture", path=source / "train_config.yaml"):
        take(place, source, mixture=tmp_path / "m.yaml")


def no_config(source):
    (source / "config.json").unlink()


def pickles_only(source):
    (source / "model.safetensors").rename(source / "pytorch_model.bin")


def no_weights(source):
    (source / "model.safetensors").unlink()


def no_tokenizer(source):
    (source / "tokenizer.json").unlink()


def cut(source):
    (source / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes()[:-8])


def other_model(source):
    shutil.rmtree(source)
    save_model(source, 1, hidden_size=32)


def other_tokens(source):
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "eos_token_id": 2}))


def more_tokens(source):
    path = str(source / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    tokenizer.add_tokens(["zzz"])
    tokenizer.save(path)


@pytest.mark.parametrize(
    ("fault", "code", "named"),
    [
        (no_config, "file-missing", "config.json"),
        (pickles_only, "safetensors-missing", "pytorch_model.bin"),
        (no_weights, "safetensors-missing", "no weights"),
        (no_tokenizer, "file-missing", "tokenizer.json"),
        (cut, "weights-malformed", "model.safetensors"),
        (other_model, "architecture-differs", "hidden_size = 32"),
        (other_tokens, "token-id-differs", "eos_token_id = 2"),
        (more_tokens, "vocabulary-differs", "301"),
    ],
)
def test_a_folder_that_is_no_export_of_the_family(place, source, fault, code, named):
    fault(source)
    with pytest.raises(ExportError) as caught:
        take(place, source)
    assert code in faults(caught.value)
    assert named in caught.value.message
    assert caught.value.hint
    assert "tmp-step" not in caught.value.message
    assert place.exports() == []
    assert not list(place.root.rglob(".tmp-*"))


def described(place: Workspace, hint: str) -> Workspace:
    """The workspace with the lines of a hint in its family; an architecture of another kind replaces its own."""
    lines = parse_yaml(hint.partition("mixhub.yaml:\n")[2], "the hint")
    path = place.path("mixhub.yaml")
    data = read_yaml(path)
    family = data["families"]["tiny"]
    for part, values in lines.items():
        family[part] = values if part == "architecture" else {**family[part], **values}
    path.write_text(to_yaml(data))
    return Workspace.open(place.root)


@pytest.mark.parametrize("kind", ["qwen2", "gpt_neox", "gpt2", "olmo2", "mistral"])
def test_the_lines_for_another_architecture_make_it_fit(place, source, kind):
    config = AutoConfig.for_model(kind, hidden_size=32, num_attention_heads=4, num_hidden_layers=1, vocab_size=300)
    config.bos_token_id = config.eos_token_id = 0
    config.pad_token_id = None
    for name in ("model.safetensors", "config.json", "generation_config.json"):
        (source / name).unlink()
    AutoModelForCausalLM.from_config(config).save_pretrained(source)
    AutoTokenizer.from_pretrained(source).save_pretrained(source)  # for Qwen2 it is another one
    with refused("adoption-unsound", ExportError) as caught:
        take(place, source)
    assert faults(caught.value) == ["architecture-differs"]
    assert (place.exports(), caught.value.fields["findings"][0].about) == ([], "model_type")
    place = described(place, caught.value.hint)
    assert place.family().architecture.model_type == kind
    assert take(place, source).export.is_dir()


def test_the_lines_for_a_llama_that_its_sizes_do_not_describe(place, source):
    config = json.loads((source / "config.json").read_text())
    changed = {**config, "hidden_act": "gelu", "rms_norm_eps": 0.5}
    (source / "config.json").write_text(json.dumps(changed))
    with refused("adoption-unsound", ExportError) as caught:
        take(place, source)
    assert {"architecture-unsupported", "architecture-differs"} == set(faults(caught.value))
    assert take(described(place, caught.value.hint), source).export.is_dir()


@pytest.mark.parametrize(
    "config", ["{", "[]", "{}", '{"model_type": "x"}', '{"model_type": "llama", "hidden_size": "x"}']
)
def test_a_config_that_describes_no_model(place, source, config):
    (source / "generation_config.json").unlink()
    (source / "config.json").write_text(config)
    with pytest.raises(MixhubError) as caught:
        take(place, source)
    assert set(faults(caught.value)) <= {"config-unusable", "model-unsupported", "file-malformed"}
    assert place.exports() == []


@pytest.mark.parametrize("step", ["-3", "true", '"x"'])
def test_an_invalid_step_is_unknown(place, source, step):
    (source / "trainer_state.json").write_text(f'{{"global_step": {step}}}')
    assert take(place, source).lineage.step == UNKNOWN


def test_a_run_that_was_trained_here_is_not_mixed_with_another(workspace, source):
    with refused("run-trained-here", WorkspaceError):
        adopt(workspace, source, seed=1, replace=True)


def test_a_lineage_without_the_recipe_that_it_names(workspace, place, tmp_path):
    export = workspace.export(workspace.family().run(seed=2), 12)
    shutil.copytree(export, tmp_path / "part")
    (tmp_path / "part" / "train_config.yaml").unlink()
    with refused("adoption-unsound", ExportError) as caught:
        take(place, tmp_path / "part", 2)
    assert "train-config-differs" in faults(caught.value)


def test_the_hint_describes_the_model_that_is_there(place, source):
    other_model(source)
    with pytest.raises(ExportError) as caught:
        take(place, source)
    assert caught.value.hint.splitlines()[1:] == ["    architecture: {hidden_size: 32}"]


def test_what_the_hint_says_makes_the_family_fit(place, tmp_path, mixhub_here):
    """Pasted as printed, with numbers that YAML would read as text in Python's format."""
    theirs = save_model(tmp_path / "other", 3, hidden_size=32, rms_norm_eps=1e-6, max_position_embeddings=8)
    settings = theirs / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace('"eos_token": "<|endoftext|>"', '"eos_token": "~"'))
    config = json.loads((theirs / "config.json").read_text())
    ended = PreTrainedTokenizerFast.from_pretrained(theirs).eos_token_id
    for name in ("config.json", "generation_config.json"):
        path = theirs / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": ended}))
    assert config["rms_norm_eps"] == 1e-6
    refused = mixhub_here("adopt", theirs, "--seed", 1, cwd=place.root)
    assert refused.returncode == 2
    lines = refused.stderr.partition("mixhub.yaml:\n")[2].splitlines()
    said = parse_yaml("\n".join(lines), "the hint")
    assert set(said) == {"architecture", "tokenizer", "training"}
    path = place.path("mixhub.yaml")
    data = read_yaml(path)
    family = data["families"]["tiny"]
    for part, values in said.items():
        family[part] = {**family[part], **values}
    path.write_text(to_yaml(data))
    assert mixhub_here("adopt", theirs, "--seed", 1, cwd=place.root).returncode == 0


def test_the_step_of_an_adopted_run_is_corrected(place, source, mixhub_here):
    assert mixhub_here("adopt", source, "--seed", 1, cwd=place.root).returncode == 0
    refused = mixhub_here("adopt", source, "--seed", 1, "--step", 6, cwd=place.root)
    assert error_codes(refused) == ["weights-elsewhere"]
    assert mixhub_here("adopt", source, "--seed", 1, "--step", 6, "--replace", cwd=place.root).returncode == 0
    assert [step for _, _, step, _ in place.exports()] == [6]
    again = mixhub_here("adopt", source, "--seed", 2, cwd=place.root)
    assert "warning: tiny seed-1 has the same weights" in again.stdout


def test_two_families_may_share_an_adopted_run(tmp_path):
    workspace = adopted_workspace(tmp_path, seeds=[1])
    data = read_yaml(workspace.path("mixhub.yaml"))
    data["families"]["other"] = {**data["families"]["tiny"], "repo_id": "tester/other"}
    workspace.path("mixhub.yaml").write_text(to_yaml(data))
    workspace = Workspace.open(workspace.root)
    adopt(workspace, tmp_path / "source-1", seed=1, family="other")
    for name in ("tiny", "other"):
        family = workspace.family(name)
        found = check_run(workspace, family, family.run(seed=1)).findings
        assert [(finding.code, finding.level) for finding in found] == [("weights-repeated", "warning")]


def test_the_tokenizer_may_lie_elsewhere(place, source, tmp_path):
    (tmp_path / "tokenizer").mkdir()
    save_tokenizer(tmp_path / "tokenizer")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (source / name).unlink()
    export = take(place, source, tokenizer=tmp_path / "tokenizer").export
    assert (export / "tokenizer.json").is_file()


def test_the_step_is_that_in_the_folder(place, source):
    (source / "trainer_state.json").write_text('{"global_step": 5}')
    made = take(place, source)
    assert (made.step, made.lineage.step) == (5, 5)
    with refused("option-contradicted", UsageError, option="--step", value=6):
        take(place, source, step=6)
    (source / "trainer_state.json").write_text('{"global_step": 50}')
    with refused("option-value", UsageError, option="--step", value=50):
        take(place, source)


def test_an_export_is_only_replaced_on_request(place, source, tmp_path):
    first = take(place, source).lineage.weights_sha256
    other = save_model(tmp_path / "other", 2)
    with refused("export-exists", WorkspaceError, path=place.exports()[0][3]):
        take(place, other)
    assert read_lineage(place.exports()[0][3]).weights_sha256 == first
    assert take(place, other, replace=True).lineage.weights_sha256 != first


def test_the_same_folder_as_two_seeds_is_found(place, source):
    take(place, source, 1)
    take(place, source, 2)
    found = check_run(place, place.family(), place.family().run(seed=2)).findings
    assert [finding.code for finding in found] == ["weights-repeated"]


def test_an_export_of_mixhub_keeps_its_lineage(workspace, place):
    family = workspace.family()
    export = workspace.export(family.run(seed=2), 12)
    made = take(place, export, 2)
    assert made.lineage == read_lineage(export)
    with refused("adoption-unsound", ExportError) as caught:
        take(place, export, 1)
    assert "run-wrong" in faults(caught.value)


def test_the_command(place, source, mixhub_here):
    done = mixhub_here("adopt", source, "--seed", 1, cwd=place.root)
    assert done.returncode == 0, done.stderr
    assert "unknown: step, steps, tokens" in done.stdout
    wrong = mixhub_here("adopt", source / "nowhere", "--seed", 2, cwd=place.root)
    assert error_codes(wrong) == ["file-missing"]
    assert len(wrong.stderr.splitlines()) == 2


def test_the_card_does_not_give_adopted_runs_the_recipe_of_others(place, source, tmp_path):
    """What a family takes over by `extends` is the recipe of other models, so only its own values are shown."""
    data = read_yaml(place.path("mixhub.yaml"))
    base = data["families"]["tiny"]
    base["training"]["origins"] = dict.fromkeys([*base["training"], "schedule"], "published")
    own = {"extends": "tiny", "repo_id": "me/own", "training": {"learning_rate": 0.123}}
    own |= {key: base[key] for key in ("revisions", "mixture", "card")}
    place.path("mixhub.yaml").write_text(to_yaml({**data, "families": {"tiny": base, "own": own}}))
    place = Workspace.open(place.root)
    family = place.family("own")
    told = render_cards(place, family).family.text
    assert "Cosine" in told, "before there are runs, it is what they will be trained with"
    adopt(place, source, seed=1, family=family)
    card = render_cards(place, family).family.text
    assert "| Learning Rate" in card
    assert "0.123" in card
    assert "Not stated for this family: Batch Size, Minimum Learning Rate, Learning Rate Schedule, Warmup Ratio" in card
    for untold in ("Cosine", "they were trained in", "Expected tokens", "A run takes"):
        assert untold not in card
    base["training"].pop("origins")
    place.path("mixhub.yaml").write_text(to_yaml({**data, "families": {"tiny": base, "own": own}}))
    reopened = Workspace.open(place.root)
    card = render_cards(reopened, reopened.family("own")).family.text
    assert "Not stated for" not in card, "all of it is chosen for it"


def test_the_card_shows_the_special_tokens_of_the_export(place, source):
    for name in ("config.json", "generation_config.json"):
        path = source / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "bos_token_id": 5}))
    fifth = Tokenizer.from_file(str(source / "tokenizer.json")).id_to_token(5)
    path = source / "tokenizer_config.json"
    settings = {**json.loads(path.read_text()), "bos_token": fifth}
    settings.pop("pad_token", None)
    path.write_text(json.dumps(settings))
    take(place, source)
    card = render_cards(place, place.family()).family.text
    assert f"`{fifth}` begins text (bos) and `<|endoftext|>` ends text (eos)." in card


@pytest.mark.parametrize("content", [None, "{"])
def test_a_damaged_export_is_replaced(place, source, content):
    export = take(place, source).export
    (export / "lineage.json").unlink()
    if content:
        (export / "lineage.json").write_text(content)
    take(place, source, replace=True)
    assert not check_run(place, place.family(), place.family().run(seed=1)).findings


def test_a_damaged_export_of_another_seed_does_not_matter(place, source, tmp_path, mixhub_here):
    (take(place, source).export / "lineage.json").write_text("{")
    done = mixhub_here("adopt", save_model(tmp_path / "other", 2), "--seed", 2, cwd=place.root)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text", ["train: {train_prose: .nan}", "train: {train_prose: 1, 5: 1}"])
def test_a_train_config_that_is_no_plain_data(place, source, text):
    (source / "train_config.yaml").write_text(text)
    with refused("data-not-plain", ExportError, path=source / "train_config.yaml"):
        take(place, source)


def test_an_earlier_step_is_called_one(place, source, mixhub_here):
    done = mixhub_here("adopt", source, "--seed", 1, "--step", 5, cwd=place.root)
    assert "this is an earlier step of a run of 12 steps" in done.stdout
    assert "training: {steps: 5}" in done.stdout
