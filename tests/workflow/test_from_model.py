"""A family written from a model: its architecture, tokenizer, context, revisions and steps, and nothing invented."""

import json
import shutil

import pytest
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

from mixhub import workflow
from mixhub.errors import ExportError, SpecError, UsageError, WorkspaceError
from mixhub.hub.rules.config import UnsupportedModelError
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.spec import Architecture, catalog
from mixhub.spec.architecture import OtherArchitecture
from mixhub.spec.base import read_yaml, to_yaml
from mixhub.workspace.lineage import UNKNOWN
from tests.adopted import save_model
from tests.hub.others import WIDE, edited, saved
from tests.refusals import error_codes, refused
from tests.tiny import tiny_family
from tests.workflow.architectures import save


@pytest.fixture
def neox(tmp_path):
    return save("gpt_neox", tmp_path / "neox")


def test_a_llama_is_described_by_its_sizes(tmp_path):
    model = save_model(tmp_path / "llama", 1)
    family = workflow.init_from_model(tmp_path / "my-fam", model).family()
    assert isinstance(family.architecture, Architecture)
    assert (family.name, family.repo_id) == ("my-fam", "local/my-fam")
    assert (family.tokenizer.vocab_size, family.tokenizer.eos_token) == (300, "<|endoftext|>")
    assert family.training.sequence_length == family.architecture.context == 32
    assert workflow.adopt(tmp_path / "my-fam", model, seed=1).lineage.step == UNKNOWN


def test_another_model_is_described_by_its_config(tmp_path, neox):
    config = json.loads((neox / "config.json").read_text())
    stated = workflow.init_from_model(tmp_path / "ws", neox, name="own").family("own").architecture.config
    assert {key: config[key] for key in stated} == stated
    assert not {"bos_token_id", "dtype", "transformers_version", "use_cache"} & {*stated}


def test_what_is_not_known_is_not_invented(tmp_path, neox):
    workspace = workflow.init_from_model(tmp_path / "own", neox)
    workflow.adopt(workspace, neox, seed=1)
    path = workflow.render_card(workspace)[0]
    card = path.read_text()
    assert "mixture.svg" not in card + " ".join(one.name for one in path.parent.rglob("*"))
    assert "license: unknown" in card
    assert card.count("The mixture is not known.") == 1
    assert "train_unknown" not in card
    for recipe in ("Cosine", "AdamW", "RegMix", "human-1b", "Training takes"):
        assert recipe not in card


def test_what_the_folder_states_is_taken_over(tmp_path, neox):
    (neox / "trainer_state.json").write_text('{"global_step": 20}')
    (neox / "train_config.yaml").write_text("train: {train_a: 3, train_b: 1}\nvalid: {valid_a: 1}\n")
    (neox / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    workspace = workflow.init_from_model(tmp_path / "own", neox)
    family = workspace.family()
    assert (family.training.steps, family.card.license) == (20, "apache-2.0")
    assert (family.mixture.shares, list(family.validation.shares)) == ({"train_a": 0.75, "train_b": 0.25}, ["valid_a"])
    assert family.card.mixture_note is None
    assert workflow.adopt(workspace, neox, seed=1).step == 20
    card = workflow.render_card(workspace)[0].read_text()
    assert "Warmup" in card.partition("Not stated for this family:")[2]


def test_the_suite_and_the_mixture_are_chosen(tmp_path, neox):
    (tmp_path / "mixture.yaml").write_text("web: 2\nbooks: 1\n")
    options = {"mixture": tmp_path / "mixture.yaml", "tasks": ["piqa", "mmlu_anatomy"], "num_fewshot": [0, 5]}
    family = workflow.init_from_model(tmp_path / "own", neox, namespace="me", **options).family()
    assert [(task.name, task.title) for task in family.evaluation.tasks] == [
        ("piqa", "PIQA"), ("mmlu_anatomy", "mmlu_anatomy"),
    ]  # fmt: skip
    assert (family.evaluation.num_fewshot, family.repo_id) == ((0, 5), "me/own")
    assert list(family.validation.shares) == list(family.mixture.shares) == ["web", "books"]
    suite = workflow.init_from_model(tmp_path / "whole", neox).family().evaluation
    assert suite == catalog.get("human-1b").evaluation


def test_a_folder_of_models_named_after_their_runs(tmp_path, neox):
    for number in (1, 2, 3):
        shutil.copytree(neox, tmp_path / "runs" / f"neox-{number}")
    family = workflow.init_from_model(tmp_path / "own", tmp_path / "runs").family()
    assert [run.revision for run in family.runs()] == ["neox-1", "neox-2", "neox-3"]


def test_a_repo_with_a_branch_for_each_run(tmp_path, neox, mixhub_here):
    with serve(tmp_path / "hub") as hub:
        api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
        api.create_repo("lab/neox")
        for branch in ("seed-1", "seed-3"):
            api.create_branch("lab/neox", branch=branch)
            api.upload_folder(repo_id="lab/neox", revision=branch, folder_path=neox)
        made = mixhub_here("init", "own", "--from-model", "lab/neox", "--hub", hub.url, cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        assert "next: mixhub adopt lab/neox --all --workspace own" in made.stdout
        workspace = workflow.open_workspace(tmp_path / "own")
        family = workspace.family()
        assert (family.repo_id, family.tokenizer.repo_id, workspace.config.hub) == ("lab/neox", "lab/neox", hub.url)
        assert family.revisions.labels == (1, 3)
        findings = [one for one in workflow.verify(workspace).findings if one.level == "error"]
        assert {one.code for one in findings} == {"card-missing", "weights-repeated"}, "of this repo, which is true"
        api.create_repo("lab/odd")
        api.upload_file(repo_id="lab/odd", path_in_repo="config.json", path_or_fileobj=b"[1]")
        with refused("config-unusable", ExportError) as caught:
            workflow.init_from_model(tmp_path / "odd", "lab/odd", hub=hub.url)
        assert caught.value.message.startswith("lab/odd: ")
        mine = workflow.init_from_model(tmp_path / "mine", "lab/neox", hub=hub.url, namespace="me").family()
        assert mine.repo_id == "me/mine"


def adapter(folder):
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text("{}")


def adapter_beside_its_config(folder):
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    (folder / "adapter_model.safetensors").write_bytes(b"")
    (folder / "adapter_config.json").write_text("{}")


def gguf(folder):
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    (folder / "model.gguf").write_bytes(b"GGUF")


def quantised(folder):
    edited(folder, quantization_config={"quant_method": "gptq", "bits": 4})


def newer(folder):
    edited(folder, model_type="of-tomorrow", transformers_version="9.0")


def encoder(folder):
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    saved(folder, "BertForMaskedLM", "BertConfig", **WIDE)


@pytest.mark.parametrize(
    ("spoil", "code", "named"),
    [
        (adapter, "model-adapter", "adapter"),
        (adapter_beside_its_config, "model-adapter", "adapter"),
        (gguf, "model-unsupported", "model.gguf"),
        (quantised, "model-unsupported", "quantised (gptq)"),
        (newer, "model-unsupported", "9.0"),
        (encoder, "model-unsupported", "BertForMaskedLM"),
    ],
)
def test_what_is_no_causal_language_model_is_named(tmp_path, neox, mixhub_here, spoil, code, named):
    workspace = workflow.init_from_model(tmp_path / "own", neox)
    spoil(neox)
    with refused(code, UnsupportedModelError) as caught:
        workflow.init_from_model(tmp_path / "other", neox)
    assert named in caught.value.message
    assert not (tmp_path / "other").exists()
    done = mixhub_here("adopt", neox, "--seed", 1, cwd=workspace.root)
    assert (done.returncode, error_codes(done)) == (2, [code])
    assert len(done.stderr.splitlines()) == 2
    assert workspace.exports() == []


def test_what_cannot_be_described(tmp_path, neox):
    workflow.init_from_model(tmp_path / "own", neox)
    with refused("workspace-exists", WorkspaceError):
        workflow.init_from_model(tmp_path / "own", neox)
    for options, code, kind in (
        ({"name": "human-1b"}, "option-value", UsageError),
        ({"name": "two words"}, "spec-invalid", SpecError),
        ({"tasks": ["piqa", "piqa"]}, "spec-invalid", SpecError),
    ):
        with refused(code, kind):
            workflow.init_from_model(tmp_path / "new", neox, **options)
    with refused("option-value", UsageError):
        workflow.init_from_model(tmp_path / "new", tmp_path / "nowhere")
    (neox / "tokenizer.json").unlink()
    with refused("file-missing", ExportError, path=neox / "tokenizer.json"):
        workflow.init_from_model(tmp_path / "new", neox)
    assert not (tmp_path / "new").exists()


def test_two_commands_adopt_a_model(tmp_path, neox, mixhub_here):
    made = mixhub_here("init", "my-fam", "--from-model", neox, "--tasks", "piqa", "--num-fewshot", "0,5", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    command = made.stdout.partition("next: mixhub ")[2].split()
    adopted = mixhub_here(*command, cwd=tmp_path)
    assert adopted.returncode == 0, adopted.stderr
    assert read_yaml(tmp_path / "my-fam" / "mixhub.yaml")["families"]["my-fam"]["evaluation"]["num_fewshot"] == [0, 5]
    wrong = mixhub_here("init", "other", "--tasks", "piqa", cwd=tmp_path)
    assert error_codes(wrong) == ["option-missing"]


def test_a_model_that_changed_is_refused_by_check_and_push(tmp_path, neox):
    """By the config that Transformers makes of what the family states; a key that it does not know is a difference."""
    workspace = workflow.init_from_model(tmp_path / "own", neox)
    workflow.adopt(workspace, neox, seed=1)
    path = workspace.path("mixhub.yaml")
    text = path.read_text()
    for before, after, key in (
        ("hidden_act: gelu", "hidden_act: relu", "hidden_act"),
        ("hidden_act: gelu", "hiden_act: gelu", "hiden_act"),
        ("model_type: gpt_neox", "model_type: gpt_neo_x", "gpt_neo_x"),
        ("num_attention_heads: 4", "num_attention_heads: four", "gpt_neox"),
    ):
        path.write_text(text.replace(before, after))
        [checked] = workflow.check(tmp_path / "own", seed=1)
        [finding] = checked.findings
        assert finding.about == key
        assert finding.code == ("architecture-unusable" if key.startswith("gpt") else "architecture-differs")
        with refused("release-unsound", ExportError):
            workflow.push(tmp_path / "own", seed=1)


def with_head(folder, numbers):
    """Store a head beside the embedding that the config ties it to."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "lm_head.weight": numbers(tensors["transformer.wte.weight"])}, path, {"format": "pt"})


def test_a_stored_head_must_equal_the_embedding_that_it_is_tied_to(tmp_path):
    model = save("gpt2", tmp_path / "gpt2")
    workspace = workflow.init_from_model(tmp_path / "own", model)
    size = sum(tensor.numel() for tensor in load_file(model / "model.safetensors").values())
    with_head(model, lambda embedding: embedding + 1)
    with refused("adoption-unsound", ExportError) as caught:
        workflow.adopt(workspace, model, seed=1)
    assert [(one.code, one.about) for one in caught.value.fields["findings"]] == [("tensors-untied", "lm_head.weight")]
    with_head(model, lambda embedding: embedding.clone())
    workflow.adopt(workspace, model, seed=1)
    assert f"{size:,} parameters" in workflow.render_card(workspace)[0].read_text()


def test_a_llama_with_wider_heads_is_described_by_its_config(tmp_path):
    """Its sizes alone would give another number of parameters."""
    model = save_model(tmp_path / "llama", 1, head_dim=32)
    workspace = workflow.init_from_model(tmp_path / "own", model)
    assert isinstance(workspace.family().architecture, OtherArchitecture)
    workflow.adopt(workspace, model, seed=1)
    size = sum(tensor.numel() for tensor in load_file(model / "model.safetensors").values())
    assert f"{size:,} parameters" in workflow.render_card(workspace)[0].read_text()
    path = workspace.path("mixhub.yaml")
    sizes = {**tiny_family().architecture.to_data(), "num_key_value_heads": 2}
    data = read_yaml(path)
    data["families"]["own"]["architecture"] = sizes
    path.write_text(to_yaml(data))
    assert [one.code for one in workflow.check(tmp_path / "own", seed=1)[0].findings] == ["architecture-unsupported"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "file-missing"),
        ({"hidden_size": "32"}, "config-unusable"),
        ({"model_type": 5}, "config-unusable"),
        ({"model_type": "of-its-own", "auto_map": "own.Config"}, "code-unnamed"),
        ({"model_type": "of-its-own", "auto_map": {"AutoConfig": None}}, "code-unnamed"),
        ("[1]", "config-unusable"),
        ("{", "config-unusable"),
    ],
)
def test_a_config_that_nothing_can_use_is_named(tmp_path, neox, mixhub_here, content, code):
    if isinstance(content, dict):
        edited(neox, **content)
    elif content is None:
        (neox / "config.json").unlink()
    else:
        (neox / "config.json").write_text(content)
    done = mixhub_here("init", "own", "--from-model", neox, cwd=tmp_path)
    assert (done.returncode, error_codes(done)) == (2, [code])
    assert str(neox) in done.stderr
    assert not (tmp_path / "own").exists()


def test_a_file_is_no_model(tmp_path, neox):
    with refused("option-value", UsageError, option="--from-model"):
        workflow.init_from_model(tmp_path / "own", neox / "config.json")


def test_code_that_transformers_has_itself_is_not_described(tmp_path, neox, mixhub_here):
    edited(neox, auto_map={"AutoConfig": "neox.Config", "AutoModelForCausalLM": "neox.Model"})
    done = mixhub_here("init", "own", "--from-model", neox, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "needs the code" not in done.stdout
    workspace = workflow.open_workspace(tmp_path / "own")
    assert "auto_map" not in workspace.family().architecture.config
    done = mixhub_here("adopt", neox, "--seed", 1, cwd=workspace.root)
    assert (done.returncode, error_codes(done)) == (2, ["code-required"])
    config = json.loads((neox / "config.json").read_text())
    del config["auto_map"]
    (neox / "config.json").write_text(json.dumps(config))
    assert workflow.adopt(workspace, neox, seed=1).family.name == "own"


def test_the_card_reads_an_architecture_as_adopt_does(tmp_path, neox):
    """Nested values may be spelled in several ways: infinite numbers, and defaults that are omitted."""
    text = (neox / "config.json").read_text()
    (neox / "config.json").write_text(text.replace("{", '{"limit": Infinity,', 1))
    workspace = workflow.init_from_model(tmp_path / "own", neox)
    path = workspace.path("mixhub.yaml")
    data = read_yaml(path)
    rope = data["families"]["own"]["architecture"]["rope_parameters"]
    data["families"]["own"]["architecture"]["rope_parameters"] = {key: rope[key] for key in rope if key != "rope_type"}
    path.write_text(to_yaml(data))
    workspace = workflow.open_workspace(workspace.root)
    workflow.adopt(workspace, neox, seed=1)
    assert workflow.check(workspace, seed=1)[0].findings == ()
    assert workflow.render_card(workspace)


def test_a_config_that_adopt_cannot_read_is_named_by_its_folder(tmp_path, neox, mixhub_here):
    workspace = workflow.init_from_model(tmp_path / "own", neox)
    shutil.copytree(neox, workspace.root / "model")
    (workspace.root / "model" / "config.json").write_text("[1]")
    done = mixhub_here("adopt", "model", "--seed", 1, cwd=workspace.root)
    assert (done.returncode, error_codes(done)) == (2, ["config-unusable"])
    assert ".tmp-" not in done.stderr
    assert "the the model" not in done.stderr
    assert workspace.exports() == []
