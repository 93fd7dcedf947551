"""A fault around an export, beside other runs, its recipe, its results or its card, is found and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mixhub.card.facts.withdrawal import Withdrawal, note_withdrawal
from mixhub.card.page.write import write_cards
from mixhub.errors import ExportError, RunError
from mixhub.findings import Finding
from mixhub.hub.check.run import check_run, require_sound
from mixhub.hub.rules.lineage import initial_findings
from mixhub.spec.base import data_sha256, read_yaml, to_yaml
from mixhub.workspace.lineage import UNKNOWN, read_lineage
from mixhub.workspace.paths import Workspace
from tests.adopted import adopted_workspace
from tests.hub.bench import SHARDS, WEIGHTS, Bench
from tests.hub.seen import seen
from tests.refusals import codes, printed_codes, refused

LAST_OF_1, LAST_OF_2 = "tiny seed-1 at step 12", "tiny seed-2 at step 12"


def copy_weights(bench: Bench) -> None:
    """The weights of seed 2, under the lineage of seed 1."""
    shutil.copyfile(bench.export(2) / WEIGHTS, bench.export(1) / WEIGHTS)
    bench.tell_weights(1)


def test_weights_of_another_seed(bench):
    copy_weights(bench)
    assert bench.seen(1) == [f"weights-repeated {LAST_OF_2}"]
    assert bench.seen(2) == [f"weights-repeated {LAST_OF_1}"]


def test_weights_of_another_seed_in_other_shards(bench):
    copy_weights(bench)
    bench.shard(1)
    assert bench.seen(1) == [f"weights-repeated {LAST_OF_2}"]
    assert bench.seen(2) == [f"weights-repeated {LAST_OF_1}"]


def test_weights_of_another_seed_under_their_old_name(bench):
    """The hash in the lineage is that of before, so only what lies there shows it."""
    shutil.copyfile(bench.export(2) / WEIGHTS, bench.export(1) / WEIGHTS)
    assert bench.seen(1) == ["weights-differ", f"weights-repeated {LAST_OF_2}"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_another_seed_that_were_cast(bench, dtype):
    first = load_file(bench.export(1) / WEIGHTS)
    bench.weights(lambda tensors: tensors.update({name: first[name].to(dtype) for name in tensors}), seed=2)
    assert bench.seen(2) == ["dtype-differs dtype", f"weights-repeated {LAST_OF_1}"]
    bench.weights(lambda tensors: tensors.update({name: 1.1 * tensor for name, tensor in tensors.items()}), seed=2)
    assert bench.seen(2) == ["dtype-differs dtype"]


def test_weights_of_another_seed_beside_a_tensor_that_lies_twice(bench):
    first = load_file(bench.export(1) / WEIGHTS)
    bench.weights(lambda tensors: tensors.update(first), seed=2)
    bench.shard(2)
    file = bench.export(2) / SHARDS[0]
    save_file({**load_file(file), "model.norm.weight": first["model.norm.weight"]}, file, {"format": "pt"})
    bench.tell_weights(2)
    assert bench.seen(2) == [
        "index-differs model.norm.weight",
        "warning: index-differs total_size",
        f"weights-repeated {LAST_OF_1}",
    ]


def test_matrices_of_another_seed_of_runs_that_were_adopted(tmp_path):
    """Nobody knows their init_seed."""
    workspace = adopted_workspace(tmp_path, seeds=(1, 2))
    bench = Bench(workspace, workspace.family())
    assert (bench.seen(1), bench.seen(2)) == ([], [])
    theirs = load_file(bench.export(2) / WEIGHTS)
    half = {name: tensor for name, tensor in theirs.items() if ".layers.0." in name}
    bench.weights(lambda tensors: tensors.update(half))
    assert bench.seen(1) == [f"tensors-shared {LAST_OF_2}"]
    assert bench.seen(2) == [f"tensors-shared {LAST_OF_1}"]


def test_seeds_that_load_in_different_dtypes(bench):
    bench.weights(lambda tensors: tensors.update({k: v.to(torch.bfloat16) for k, v in tensors.items()}), seed=2)
    bench.edit("config.json", lambda config: config.update(dtype="bfloat16"), seed=2)
    assert (bench.seen(1), bench.seen(2)) == ([], ["warning: dtype-varies dtype"])
    for seed in (1, 2):
        bench.edit("config.json", lambda config: config.pop("dtype"), seed=seed)
    assert bench.seen(2) == ["warning: dtype-varies dtype"], "where a config states none, the weights do"


def test_weights_of_another_step(bench):
    run = bench.workspace.run_folder(bench.family.run(seed=1))
    shutil.copytree(run.export(12), run.export(5))
    text = (run.export(12) / "lineage.json").read_text()
    (run.export(5) / "lineage.json").write_text(text.replace("12,", "5,", 1))
    assert bench.seen() == ["weights-repeated tiny seed-1 at step 5"]
    assert bench.seen(step=5) == ["lineage-differs tokens", f"weights-repeated {LAST_OF_1}"]


def test_tensors_that_were_copied_from_another_seed(bench):
    theirs = load_file(bench.export(2) / WEIGHTS)
    bench.weights(lambda tensors: tensors.update({n: t for n, t in theirs.items() if n != "lm_head.weight"}))
    [found] = bench.check().findings
    matrices = sum(tensor.ndim > 1 for tensor in theirs.values()) - 1
    assert (found.code, found.about) == ("tensors-shared", LAST_OF_2)
    assert f"{matrices} of its {len(theirs)} tensors" in found.message


@pytest.mark.parametrize("seed_of_both", [UNKNOWN, 1])
def test_tensors_of_a_run_of_which_the_seed_is_unknown_or_the_same(bench, seed_of_both):
    """Training changes all tensors, whatever they started from."""
    theirs = load_file(bench.export(2) / WEIGHTS)
    bench.weights(lambda tensors: tensors.update({n: t for n, t in theirs.items() if n != "lm_head.weight"}))
    for seed in (1, 2):
        bench.edit("lineage.json", lambda lineage: lineage.update(init_seed=seed_of_both), seed)
    assert f"tensors-shared {LAST_OF_2}" in bench.seen()


def test_families_that_share_a_run_may_share_its_weights(bench):
    """A family that differs in nothing that the weights depend on."""
    config = read_yaml(bench.workspace.path("mixhub.yaml"))
    config["families"]["twin"] = {**config["families"]["tiny"], "repo_id": "tester/twin"}
    bench.workspace.path("mixhub.yaml").write_text(to_yaml(config))
    workspace = Workspace.open(bench.workspace.root)
    twin = workspace.family("twin")
    run = twin.run(seed=1)
    target = workspace.run_folder(run).export(12)
    shutil.copytree(bench.export(1), target)
    (target / "train_config.yaml").write_text(to_yaml(twin.train_config(run)))
    lineage = json.loads((target / "lineage.json").read_text())
    lineage |= {"family": "twin", "train_config_sha256": data_sha256(twin.train_config(run))}

    def found(**told: object) -> list[str]:
        (target / "lineage.json").write_text(json.dumps({**lineage, **told}))
        return seen(check_run(workspace, twin, run).findings, "seed-1")

    assert found() == []
    assert found(order_seed=9) == ["seed-wrong order_seed", f"weights-repeated {LAST_OF_1}"]
    assert found(order_seed="unknown") == [f"warning: weights-repeated {LAST_OF_1}"]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_step_0_that_two_runs_share_by_their_seed(bench, seed):
    path = bench.workspace.path("mixhub.yaml")
    config = read_yaml(path)
    config["families"]["tiny"]["training"]["init_seed"] = 7
    path.write_text(to_yaml(config))
    family = Workspace.open(bench.workspace.root).family()
    assert {run.init_seed for run in family.runs()} == {7}
    lasts = [bench.export(number) for number in (1, 2)]
    for number, last in enumerate(lasts, start=1):
        first = shutil.copytree(lasts[0], last.with_name("step-000000")) / "lineage.json"
        told = {"step": 0, "tokens": 0, "init_seed": "unknown", "revision": f"seed-{number}", "number": number}
        first.write_text(json.dumps({**json.loads(first.read_text()), **told}))
    for last in lasts:
        shutil.rmtree(last)
    found = codes(Bench(bench.workspace, family).check(seed, step=0).findings)
    assert "recipe-differs" in found, "the family gives another seed than they were trained with"
    assert not {"weights-repeated", "tensors-shared"} & set(found)


@pytest.mark.parametrize(("other_seed", "is_found"), [(1, False), (2, True), ("unknown", True)])
def test_a_step_0_that_two_runs_share_by_their_lineages(bench, other_seed, is_found):
    """Whatever the family says: two runs that began with one seed began with the same weights."""
    for number in (1, 2):
        first = shutil.copytree(bench.export(1), bench.export(number).with_name("step-000000")) / "lineage.json"
        told = {"step": 0, "tokens": 0, "revision": f"seed-{number}", "number": number}
        told["init_seed"] = 1 if number == 1 else other_seed
        first.write_text(json.dumps({**json.loads(first.read_text()), **told}))
    for number in (1, 2):
        shutil.rmtree(bench.export(number))
    assert ("weights-repeated" in codes(bench.check(1, step=0).findings)) == is_found


def test_an_export_of_another_run(bench):
    shutil.copytree(bench.export(2), bench.export(1), dirs_exist_ok=True)
    found = bench.seen(1)
    first = ["run-wrong", "seed-wrong init_seed", "seed-wrong order_seed", f"weights-repeated {LAST_OF_2}"]
    assert found[:4] == first
    assert {one.partition(" ")[0] for one in found[4:]} == {"recipe-differs"}
    assert "recipe-differs mixhub.seed" in found


def test_another_mixture(bench):
    path = bench.export() / "train_config.yaml"
    path.write_text(path.read_text().replace("train_prose: 0.5", "train_prose: 0.6"))
    assert bench.seen() == ["train-config-differs", "recipe-differs train.train_prose"]


def test_a_recipe_that_differs_in_many_keys(bench):
    (bench.export() / "train_config.yaml").write_text("train: {}\n")
    found = [finding for finding in bench.check().findings if finding.code == "recipe-differs"]
    assert (len(found), found[-1].about) == (6, "")
    assert " more keys of train_config.yaml differ" in found[-1].message


def test_a_train_config_that_cannot_be_read(bench):
    (bench.export() / "train_config.yaml").write_text("train: [\n")
    assert bench.seen() == ["train-config-malformed"]


@pytest.mark.parametrize(("key", "value"), [("step", 11), ("steps", 13), ("tokens", 1)])
def test_a_lineage_that_does_not_fit_its_place(bench, key, value):
    bench.edit("lineage.json", lambda lineage: lineage.update({key: value}))
    assert f"lineage-differs {key}" in bench.seen()
    bench.edit("lineage.json", lambda lineage: lineage.update({key: UNKNOWN}))
    assert bench.seen() == []


def test_tokens_are_those_of_the_steps(bench):
    bench.edit("lineage.json", lambda lineage: lineage.update(tokens=1))
    [found] = bench.check().findings
    assert "tokens = 1, expected 1,536" in found.message


def test_two_seeds_that_began_alike(bench):
    initial = read_lineage(bench.export(2)).initial_weights_sha256
    bench.edit("lineage.json", lambda lineage: lineage.update(initial_weights_sha256=initial))
    assert bench.seen(1) == ["initial-weights-repeated seed-2"]
    assert bench.seen(2) == ["initial-weights-repeated seed-1"]


def test_one_seed_that_began_twice(bench):
    bench.edit("lineage.json", lambda lineage: lineage.update(init_seed=2))
    assert bench.seen(1) == ["seed-wrong init_seed", "initial-weights-differ seed-2"]


@pytest.mark.parametrize("key", ["init_seed", "initial_weights_sha256"])
@pytest.mark.parametrize("is_own", [True, False])
def test_what_is_unknown_of_the_start_is_no_contradiction(bench, key, is_own):
    lineage = read_lineage(bench.export())
    other = lineage.model_copy(update={"init_seed": 2})
    assert codes(initial_findings("seed-1", lineage, {"seed-2": other})) == ["initial-weights-repeated"]
    unknown = (lineage if is_own else other).model_copy(update={key: UNKNOWN})
    pair = (unknown, other) if is_own else (lineage, unknown)
    assert codes(initial_findings("seed-1", pair[0], {"seed-2": pair[1]})) == []


def test_results_of_other_weights(workspace):
    bench = Bench(workspace, workspace.family())
    bench.weights(lambda tensors: tensors["model.norm.weight"].mul_(2))
    assert bench.seen() == ["results-foreign weights"]


@pytest.mark.parametrize(
    ("told", "about"),
    [({"kind": "seed", "number": 2}, "run"), ({"step": 10}, "step"), ({"tokenizer_sha256": "0" * 64}, "tokenizer")],
)
def test_a_cell_of_another_run(workspace, told, about):
    bench = Bench(workspace, workspace.family())
    edit_cell(bench, lambda data: data["mixhub"].update(told))
    assert bench.seen() == [f"results-foreign {about}"]


def test_a_cell_that_does_not_say_whose_it_is(workspace):
    bench = Bench(workspace, workspace.family())
    edit_cell(bench, lambda data: [data["mixhub"].pop(key) for key in ("kind", "number")])
    assert bench.seen() == []


def test_a_cell_that_cannot_be_read(workspace):
    bench = Bench(workspace, workspace.family())
    cell(bench).write_text("{")
    assert bench.seen() == ["results-malformed"]


def cell(bench: Bench) -> Path:
    return min(bench.workspace.results(bench.family.run(seed=1)).glob("*.json"))


def edit_cell(bench: Bench, change: Callable[[dict], object]) -> None:
    data = json.loads(cell(bench).read_text())
    change(data)
    cell(bench).write_text(json.dumps(data))


def test_metrics_of_another_run_and_cut_ones(bench):
    one, two = (bench.workspace.run_folder(bench.family.run(seed=seed)).metrics for seed in (1, 2))
    kept = one.read_text()
    one.write_text(two.read_text())
    assert bench.seen() == ["metrics-repeated seed-2"]
    one.write_text("".join(line for line in kept.splitlines(True) if '"step": 12' not in line))
    assert bench.seen() == ["metrics-differ"]
    one.write_text("x\n")
    assert bench.seen() == ["metrics-malformed"]
    original = two.read_text()
    two.write_text("x\n")
    assert bench.seen() == ["metrics-repeated seed-2", "metrics-malformed"], "compared before they are read"
    two.write_text(original)
    one.write_text("")
    assert bench.seen() == ["metrics-differ"]
    one.write_text(kept)
    assert bench.seen() == []


def test_a_card_that_is_refused(bench):
    bench.workspace.path("revision.md").write_text("## More\n\n```python\nAutoModel.from_pretrained(1)\n```\n")
    assert bench.seen() == ["model-headless AutoModel"]
    [found] = bench.check().findings
    assert (found.line, found.message.startswith("the card of seed-1:")) == (0, True)


def test_a_card_is_looked_at_only_if_nothing_else_is_wrong(bench):
    bench.workspace.path("revision.md").write_text("## More\n\n```python\nAutoModel.from_pretrained(1)\n```\n")
    bench.edit("lineage.json", lambda lineage: lineage.update(tokens=1))
    assert bench.seen() == ["lineage-differs tokens"]


def test_a_license_that_is_not_there(bench):
    path = bench.workspace.path("mixhub.yaml")
    config = read_yaml(path)
    config["families"]["tiny"]["card"].update(license="other", license_name="own", license_link="LICENSE.txt")
    path.write_text(to_yaml(config))
    workspace = Workspace.open(bench.workspace.root)
    assert Bench(workspace, workspace.family()).seen() == ["spec-invalid"]


def test_the_card_that_lies_there_must_be_the_one_that_is_published(bench):
    write_cards(bench.workspace, bench.family)
    assert bench.seen() == []
    card = bench.workspace.revision_card(bench.family.run(seed=1))
    rendered = card.read_bytes()
    bench.workspace.path("revision.md").write_text("## More\n\nwords\n")
    assert bench.seen() == ["warning: card-stale"]
    bench.workspace.path("revision.md").unlink()
    card.write_bytes(rendered.replace(b"seed", b"SEED"))
    assert bench.seen() == ["card-edited"]
    card.write_bytes(rendered.replace(b"\n", b"\r\n"))
    assert bench.seen() == [], "git may change the ends of lines"


def test_withdrawn_weights_are_told(bench):
    weights = read_lineage(bench.export()).weights_sha256
    mark = Withdrawal(family="tiny", revision="seed-1", weights_sha256=weights, why="wrong data", date="2026-11-29")
    note_withdrawal(bench.workspace, mark)
    assert [str(finding) for finding in bench.check().findings] == ["warning: seed-1: was withdrawn: wrong data"]
    assert bench.seen() == ["warning: weights-withdrawn"]
    assert bench.seen(2) == []


def test_no_export(bench):
    with refused("export-missing", RunError, path=bench.workspace.run_folder(bench.family.run(seed=3)).exports):
        bench.check(3)


def test_what_is_not_sound_is_refused_with_all_that_is_wrong():
    warning = Finding("card-stale", "seed-1", "is not fresh", "render it", "warning")
    errors = [Finding("weights-repeated", "seed-1", "a", "one"), Finding("weights-differ", "seed-1", "b", "two")]
    require_sound([warning], "seed-1")
    with refused("release-unsound", ExportError, findings=tuple(errors)) as caught:
        require_sound([warning, *errors], "seed-1")
    assert caught.value.hint == "one"
    lines = caught.value.lines()
    assert printed_codes("\n".join(lines)) == ["weights-repeated", "weights-differ", "release-unsound"]
    assert lines[0] == "seed-1: a  [weights-repeated]"
    with refused("release-unsound", ExportError, findings=(errors[1],)) as caught:
        require_sound([errors[1]], "seed-1")
    assert caught.value.lines() == ["seed-1: b; nothing was sent  [weights-differ]"]
