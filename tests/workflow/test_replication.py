"""A replication of a shipped family: its recipe with runs and seeds of its own, marked as such wherever it appears."""

import random

import pytest
import yaml

from mixhub import workflow
from mixhub.card.facts.gather import gather_family
from mixhub.card.page.write import render_cards
from mixhub.errors import SpecError, UnknownNameError, UsageError
from mixhub.spec import catalog
from mixhub.spec.base import read_yaml, to_yaml
from mixhub.workspace.lineage import read_lineage
from mixhub.workspace.paths import Workspace
from tests.docs.blocks import blocks
from tests.refusals import broken, codes, refused
from tests.tiny import tiny_data, write_rows, write_tiny_corpus

SEEDS = {1: 1000, 2: 2000, 3: 3000, 4: 4000, 5: 5000}


def replication(tmp_path, family="human-1b", **options):
    return workflow.init(tmp_path / "my", family=family, namespace="me", **options)


def shrunk(workspace):
    """The replication with a model, domains and steps that a test can train."""
    config = read_yaml(workspace.root / "mixhub.yaml")
    tiny = tiny_data()
    own = config["families"]["human-1b-replication"]
    own |= {key: tiny[key] for key in ("architecture", "tokenizer", "evaluation")}
    own["architecture"]["num_key_value_heads"] = None
    own["tokenizer"]["repo_id"] = None
    own |= {"mixture": {"train_the_pile_prose": 0.5, "train_the_pile_sums": 0.3}}
    own |= {"validation": {"valid_the_pile_prose": 1.0}}
    own["training"] = {**tiny["training"], "steps": 2, "lr_micro_steps": None}
    own["training"]["loader"] = {"ranks": 2, "micro_batch_size": 2, "chunk_sequences": 2}
    own["card"] = {"siblings": []}
    (workspace.root / "mixhub.yaml").write_text(to_yaml(config))
    return Workspace.open(workspace.root)


@pytest.mark.parametrize("name", catalog.published())
def test_seeds_that_are_not_published_are_chosen(tmp_path, name):
    workspace = replication(tmp_path, name)
    family, original = workspace.family(), catalog.get(name)
    assert (family.name, family.replicates) == (f"{name}-replication", name)
    assert family.repo_id == f"me/data-mixture-{name}"
    assert [(run.init_seed, run.order_seed) for run in family.runs()] == [
        (1000 * run.label, 1000 * run.label) for run in original.runs()
    ]
    assert [run.mixture for run in family.runs()] == [run.mixture for run in original.runs()]
    assert [run.revision for run in family.runs()] == [run.revision for run in original.runs()]
    for part in ("architecture", "tokenizer", "data", "training", "validation", "evaluation"):
        assert getattr(family, part) == getattr(original, part)
    assert family.seeds_origin == "chosen"


def test_the_seeds_can_be_changed_in_mixhub_yaml(tmp_path):
    workspace = replication(tmp_path)
    path = workspace.root / "mixhub.yaml"
    assert read_yaml(path)["families"]["human-1b-replication"]["revisions"]["chosen_seeds"] == SEEDS
    path.write_text(path.read_text().replace("1: 1000", "1: 77"))
    assert Workspace.open(workspace.root).family().run(seed=1).order_seed == 77


def test_proxies_have_the_published_seed_with_and_without_a_namespace(tmp_path):
    for name in ("proxies-1m", "proxies-1m-test", "proxies-60m"):
        for owner in ("me", None):
            workspace = workflow.init(tmp_path / f"{name}-{owner}", family=name, namespace=owner)
            family = workspace.family()
            assert family.repo_id == f"{owner or 'local'}/data-mixture-{name}"
            assert {run.init_seed for run in family.runs()} == {3406}
            assert family.seeds_origin == "published"


def test_without_a_namespace_it_is_the_published_family(tmp_path):
    family = workflow.init(tmp_path / "x", family="human-1b").family()
    assert family == catalog.get("human-1b")
    assert family.run(seed=2).init_seed is None


def test_a_mixture_of_ones_own_with_the_recipe_of_the_proxies(tmp_path):
    (tmp_path / "m.yaml").write_text("train_the_pile_arxiv: 1\n")
    family = workflow.init(tmp_path / "x", family="proxies-1m", mixture=tmp_path / "m.yaml", name="mine").family()
    assert [run.init_seed for run in family.runs()] == [1, 2, 3, 4, 5]
    assert (family.training.order, family.training.loader, family.training.steps) == ("iid", None, 1001)


def test_a_replication_may_have_another_name(tmp_path):
    family = replication(tmp_path, name="mine").family()
    assert (family.name, family.replicates) == ("mine", "human-1b")
    with refused("option-value", UsageError):
        workflow.init(tmp_path / "y", family="human-1b", namespace="me", name="doremi-1b")


@pytest.mark.parametrize(
    ("old", "new", "key", "code"),
    [
        ("        5: 5000\n", "", "revisions.chosen_seeds.5", "key-missing"),
        ("        5: 5000\n", "        5: 5000\n        6: 1\n", "revisions.chosen_seeds.6", "reference-unknown"),
        ("5: 5000", "5: 4000", "revisions.chosen_seeds", "value-repeated"),
        ("5: 5000", "5: -1", "revisions.chosen_seeds.5", "value-range"),
        ("seeds: 1-5", "seeds: 1-5\n      seeds_are_labels: true", "revisions.seeds_are_labels", "keys-conflict"),
        (
            "replicates: human-1b", "replicates: human-1b\n    extends: human-1b",
            "families.human-1b-replication.extends", "keys-conflict",
        ),
    ],
)  # fmt: skip
def test_seeds_that_break_rules(tmp_path, old, new, key, code):
    path = replication(tmp_path).root / "mixhub.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(SpecError) as caught:
        Workspace.open(path.parent)
    assert broken(caught.value) == {key: code}


def test_only_a_built_in_family_is_replicated(tmp_path):
    path = replication(tmp_path).root / "mixhub.yaml"
    path.write_text(path.read_text().replace("replicates: human-1b", "replicates: humn-1b"))
    with refused("unknown-family", UnknownNameError, name="humn-1b"):
        Workspace.open(path.parent)


def test_a_custom_family_that_extends_a_published_one_keeps_its_numbers_as_seeds(tmp_path):
    own = {"extends": "human-1b", "repo_id": "me/x", "mixture": {"train_the_pile_arxiv": 1}}
    own["card"] = {"title": "X", "summary": "Y.", "license": "mit"}
    workspace = Workspace.create(tmp_path, {"family": "x", "families": {"x": own}})
    assert [run.init_seed for run in workspace.family().runs()] == [1, 2, 3, 4, 5]


def test_what_holds_only_for_the_published_models_is_not_said_of_a_replication(tmp_path):
    workspace = replication(tmp_path)
    family, original = workspace.family(), catalog.get("human-1b")
    assert (family.card.errata, family.card.compute, family.published_scores) == ((), None, None)
    assert family.card.citation == original.card.citation
    assert family.card.siblings == ("human-1b", *original.card.siblings)
    text = render_cards(workspace, family).family.text
    assert "A replication of [sail/data-mixture-human-1b]" in text
    assert "me/data-mixture-human-1b" in text
    head, _, rest = text.partition("### Published scores of the original models")
    assert "46.50" in rest
    assert "46.50" not in head, "they are no scores of these models, in the metadata either"
    assert "model-index" not in text.split("---")[1]
    assert "| 1 |" in " ".join(text.partition("### Seeds")[2].split())


def test_the_card_names_what_differs_from_the_published_recipe(tmp_path):
    workspace = replication(tmp_path)
    path = workspace.root / "mixhub.yaml"
    assert gather_family(workspace, workspace.family()).changed_parts == []
    own = {"training": {"micro_batch_size": 8, "keep_checkpoints": 1}}  # of the machine
    config = read_yaml(path)
    config["families"]["human-1b-replication"] |= own
    path.write_text(to_yaml(config))
    workspace = Workspace.open(workspace.root)
    assert gather_family(workspace, workspace.family()).changed_parts == []
    own["training"] |= {"steps": 2000, "order": "iid", "loader": None}
    config["families"]["human-1b-replication"] |= own | {"data": {"dataset": None}}
    config["families"]["human-1b-replication"]["mixture"] = {"train_the_pile_arxiv": 1}
    path.write_text(to_yaml(config))
    workspace = Workspace.open(workspace.root)
    changed = ["data", "mixture", "training.steps", "training.order", "training.loader"]
    assert gather_family(workspace, workspace.family()).changed_parts == changed
    text = render_cards(workspace, workspace.family()).family.text
    head = text[: text.index("## Loading a model")]
    assert all(f"`{key}`" in head for key in changed)


def test_a_replication_is_trained_checked_and_published(tmp_path):
    workspace = shrunk(replication(tmp_path))
    write_tiny_corpus(workspace.corpus(workspace.family()))
    workflow.pack(workspace)
    trained = workflow.train(workspace, seed=2, options=workflow.TrainOptions(device="cpu"))
    lineage = read_lineage(trained.export)
    assert (lineage.replicates, lineage.seeds) == ("human-1b", "chosen")
    assert (lineage.init_seed, lineage.order_seed, lineage.revision) == (2000, 2000, "seed-2")
    recorded = read_yaml(trained.export / "train_config.yaml")["mixhub"]
    assert (recorded["replicates"], recorded["seeds"]) == ("human-1b", "chosen")
    assert recorded["training"]["order"] == "regmix"
    workflow.render_card(workspace)
    (checked,) = workflow.check(workspace, seed=2)
    assert codes(checked.findings) == []
    workflow.push(workspace, seed=2, hub="local")
    assert set(codes(workflow.verify(workspace, hub="local").findings)) <= {"branch-missing"}


def test_the_small_replication_of_the_docs_is_trained(tmp_path):
    (recipe,) = (block for block in blocks("docs/tutorials/replicate.md") if block.language == "yaml")
    workspace = replication(tmp_path)
    config = read_yaml(workspace.root / "mixhub.yaml")
    config["families"]["human-1b-replication"] |= yaml.safe_load(recipe.text)
    (workspace.root / "mixhub.yaml").write_text(to_yaml(config))
    workspace = Workspace.open(workspace.root)
    family, draws = workspace.family(), random.Random(0)
    words = ["".join(draws.choices("abcdefghijklmnop", k=5)) for _ in range(400)]
    texts = [" ".join(draws.choices(words, k=50)) for _ in range(40)]
    domains = [domain.removeprefix("train_the_pile_") for domain in family.run(seed=1).mixture.domain_weights]
    for file in [*(f"train/{domain}-1.jsonl" for domain in domains), "valid/pile_cc-1.jsonl"]:
        write_rows(workspace.corpus(family) / file, texts)
    workflow.pack(workspace)
    assert workflow.train(workspace, seed=1, options=workflow.TrainOptions(device="cpu")).step == 20
    assert {"architecture", "tokenizer", "data"} < set(gather_family(workspace, family).changed_parts)
