import os
import signal
import subprocess
import sys
import time

import pytest

from mixhub.cli.common.signals import STATUS, stop_signals
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import Workspace
from tests.tiny import tiny_workspace_yaml, write_tiny_corpus


@pytest.mark.parametrize("asked", STATUS)
def test_the_first_signal_is_recorded_and_the_second_has_its_usual_effect(asked):
    before = {one: signal.getsignal(one) for one in STATUS}
    with stop_signals() as request:
        assert not request
        os.kill(os.getpid(), asked)
        assert request.signal == asked
        assert {one: signal.getsignal(one) for one in STATUS} == before
    assert {one: signal.getsignal(one) for one in STATUS} == before


def test_a_signal_stops_training_with_a_checkpoint_and_the_same_command_goes_on(mixhub, tmp_path):
    training = {"steps": 100_000, "checkpoint_interval": 100_000, "validation_interval": 100_000}
    (tmp_path / "mixhub.yaml").write_text(tiny_workspace_yaml(training=training))
    write_tiny_corpus(tmp_path / "data" / "words")
    assert mixhub("data", "pack").returncode == 0
    workspace = Workspace.open(tmp_path)
    folder = workspace.run_folder(workspace.family().run(seed=1))
    command = [sys.executable, "-m", "mixhub", "train", "--seed", "1", "--device", "cpu"]
    saved = 0
    for asked in (signal.SIGUSR2, signal.SIGINT):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not any(line["step"] > saved + 2 for line in read_metrics(folder.metrics)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(asked)
        said, errors = process.communicate(timeout=60)
        assert process.returncode == STATUS[asked], errors
        last = folder.checkpoint_steps()[-1]
        assert last == read_metrics(folder.metrics)[-1]["step"] > saved
        assert said == f"stopped by {asked.name}, saved at step {last}; run the same command to continue\n"
        saved = last
    assert not folder.export_steps()
