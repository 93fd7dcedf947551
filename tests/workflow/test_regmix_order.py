"""The recipe of human-1b, shrunk, trained in the order of RegMix's loader on text in its 17 domains."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mixhub import workflow
from mixhub.spec import catalog
from mixhub.workspace.lineage import weights_sha256
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import Workspace
from tests.notices import Notices
from tests.tiny import WORDS, tiny_data, write_rows

DOMAINS = [key.removeprefix("train_the_pile_") for key in catalog.get("human-1b").runs()[0].mixture.domain_weights]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace of a family, another micro-batch of the machine, and the same twice; its tokens are packed."""
    tiny, draws = tiny_data(), random.Random(5)
    mixture = dict(catalog.get("human-1b").runs()[0].mixture.domain_weights)
    base = {
        "extends": "human-1b",
        "repo_id": "tester/small",
        "revisions": {"pattern": "seed-{seed}", "seeds": [3406]},
        "architecture": {**tiny["architecture"], "num_key_value_heads": None},
        "tokenizer": {**tiny["tokenizer"], "repo_id": None},
        "data": {"corpus": "pile"},
        "mixture": mixture,
        "training": {
            "sequence_length": 16,
            "global_batch_size": 64,
            "micro_batch_size": 16,
            "steps": 6,
            "checkpoint_interval": 2,
            "warmup_steps": 1,
            "lr_micro_steps": None,
            "precision": "float32",
            "loader": {"chunk_sequences": 2},
        },
        "card": tiny["card"],
    }
    other = {"extends": "small", **{key: base[key] for key in ("repo_id", "mixture", "card")}}
    other["training"] = {"micro_batch_size": 4}
    same = {"extends": "small", **{key: base[key] for key in ("repo_id", "mixture", "card")}}
    families = {"small": base, "narrow": other, "spread": same, "killed": same}
    workspace = Workspace.create(tmp_path_factory.mktemp("pile") / "ws", {"family": "small", "families": families})
    corpus = workspace.corpus(workspace.family())
    for domain in DOMAINS:
        for number in (1, 2, 10):
            documents = 1 if domain == "europarl" else 12
            texts = [" ".join(draws.choices(WORDS, k=30)) for _ in range(documents)]
            write_rows(corpus / "train" / f"{domain}-{number}.jsonl", texts)
    write_rows(corpus / "valid" / "pile_cc-1.jsonl", [" ".join(draws.choices(WORDS, k=300))])
    workflow.pack(workspace)
    return workspace


def losses(workspace, family):
    folder = workspace.run_folder(workspace.family(family).run(seed=3406))
    return [line["loss"] for line in read_metrics(folder.metrics) if "loss" in line]


def test_it_trains_and_says_what_is_not_read(workspace):
    notices = Notices()
    workflow.train(workspace, seed=3406, options=workflow.TrainOptions(device="cpu"), progress=notices)
    assert len(losses(workspace, "small")) == 6
    skipped, lost, _ = notices.lines[-3:]
    assert "train_the_pile_europarl" in skipped
    assert "never read" in lost


def test_the_micro_batch_of_the_machine_changes_no_loss(workspace):
    workflow.train(workspace, seed=3406, family="small", options=workflow.TrainOptions(device="cpu"))
    workflow.train(workspace, seed=3406, family="narrow", options=workflow.TrainOptions(device="cpu"))
    assert losses(workspace, "narrow") == pytest.approx(losses(workspace, "small"), rel=1e-5)


def command(family):
    return ["-m", "mixhub", "train", "--seed", "3406", "--family", family, "--device", "cpu"]


ROOT = Path(__file__).parents[2]
ALONE = {**os.environ, "OMP_NUM_THREADS": "1"}


def test_two_processes_train_it_to_the_same_loss(workspace):
    workflow.train(workspace, seed=3406, family="small", options=workflow.TrainOptions(device="cpu"))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([sys.executable, *launcher, *command("spread")], cwd=workspace.root, env=ALONE, check=False)
    assert done.returncode == 0
    assert losses(workspace, "spread") == pytest.approx(losses(workspace, "small"), rel=1e-5)


def test_a_kill_in_the_middle_changes_nothing(workspace):
    workflow.train(workspace, seed=3406, family="small", options=workflow.TrainOptions(device="cpu"))
    folder = workspace.run_folder(workspace.family("killed").run(seed=3406))
    script = f"""
from mixhub import workflow
from tests.training.child import Killer

on_cpu = workflow.TrainOptions(device="cpu")
workflow.train({str(workspace.root)!r}, seed=3406, family="killed", options=on_cpu, progress=Killer(5))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=ALONE, check=False)
    assert done.returncode == -signal.SIGKILL
    assert folder.checkpoint_steps()[0] == 2  # the next one may not be finished
    assert not folder.export_steps()
    workflow.train(workspace, seed=3406, family="killed", options=workflow.TrainOptions(device="cpu"))
    assert losses(workspace, "killed") == losses(workspace, "small")
    weights = [
        weights_sha256(workspace.run_folder(workspace.family(family).run(seed=3406)).export(6))
        for family in ("small", "killed")
    ]
    assert weights[0] == weights[1]


def test_what_a_step_read_is_known(workspace):
    read = workflow.seen_documents(workspace, step=2, seed=3406).documents
    assert {document.domain for document in read} <= {*DOMAINS} - {"europarl"}
    assert sum(document.tokens for document in read) == 64 * 17
