import os
import shutil
import signal
import subprocess
import sys
import time
from textwrap import dedent

import pytest

from mixhub.cli.common import signals
from mixhub.cli.common.deadlines import deadline
from mixhub.cli.common.signals import STATUS, stop_signals
from mixhub.workflow import pack
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import Workspace
from tests.refusals import error_codes, refused
from tests.tiny import tiny_workspace, tiny_workspace_yaml, write_tiny_corpus


@pytest.mark.parametrize("asked", STATUS)
def test_the_first_signal_is_recorded_and_a_later_one_has_its_usual_effect(asked, monkeypatch):
    def own(number, frame):
        heard.append(number)

    heard, before = [], {one: signal.signal(one, own) for one in STATUS}
    try:
        with stop_signals() as request:
            assert not request
            os.kill(os.getpid(), asked)
            assert request.signal == asked
            for other in STATUS:  # as of a launcher that passes on what all its processes got
                os.kill(os.getpid(), other)
            assert (request.signal, heard) == (asked, [])
            monkeypatch.setattr(signals, "REPEATED", 0)
            os.kill(os.getpid(), asked)
            assert heard == [asked]
        assert {one: signal.getsignal(one) for one in STATUS} == dict.fromkeys(STATUS, own)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def test_a_signal_stops_also_without_a_reader_and_one_that_was_ignored():
    script = """
        import os, signal
        from mixhub.cli.common import signals
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.dup2(os.pipe()[1], 2)
        os.closerange(3, 20)
        with signals.stop_signals() as request:
            os.kill(os.getpid(), signal.SIGINT)
            print(request.signal.name, flush=True)
            signals.REPEATED = 0
            os.kill(os.getpid(), signal.SIGINT)
            print("goes on")
    """
    stopped = subprocess.run([sys.executable, "-c", dedent(script)], stdout=subprocess.PIPE, text=True, check=False)
    assert (stopped.returncode, stopped.stdout) == (-signal.SIGINT, "SIGINT\n")


TIMES = {"SLURM_JOB_ID": "7", "SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "4600"}


@pytest.mark.parametrize(
    ("options", "environment", "late"),
    [
        ((None, None), TIMES, None),
        (("90s", None), {}, 1090),
        (("1h30m", "10m"), {}, 1000 + 4800),
        (("2d", "1s"), TIMES, 1000 + 2 * 86400 - 1),
        ((None, "10m"), TIMES, 4000),
        ((None, "59m59s"), TIMES, 1001),
    ],
)
def test_it_is_time_to_stop(options, environment, late, monkeypatch):
    for name in TIMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**environment, "MIXHUB_STARTED": "1000"}.items():
        monkeypatch.setenv(name, value)
    is_late = deadline(*options)
    for now, expected in ((1000, False), ((late or 1e12) - 0.5, False), (late or 1e12, late is not None)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        assert is_late() == expected


@pytest.mark.parametrize(
    ("options", "environment", "code"),
    [
        (("10", None), {}, "option-value"),
        ((None, "0m"), TIMES, "option-value"),
        (("30m1h", None), {}, "option-value"),
        (("-5m", None), {}, "option-value"),
        (("", None), {}, "option-value"),
        (("1.5h", None), {}, "option-value"),
        (("10m", "10m"), {}, "option-value"),
        ((None, "1h"), TIMES, "option-value"),
        ((None, "10m"), {}, "option-missing"),
        ((None, "10m"), {"SLURM_JOB_ID": "7", "PATH": ""}, "option-missing"),
    ],
)
def test_a_time_that_cannot_be_kept_is_refused(options, environment, code, monkeypatch):
    for name in TIMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with refused(code):
        deadline(*options)


def test_a_signal_stops_training_with_a_checkpoint_and_the_same_command_goes_on(mixhub, tmp_path):
    training = {"steps": 100_000, "checkpoint_interval": 100_000, "validation_interval": 100_000}
    (tmp_path / "mixhub.yaml").write_text(tiny_workspace_yaml(training=training))
    write_tiny_corpus(tmp_path / "data" / "words")
    assert mixhub("data", "pack").returncode == 0
    workspace = Workspace.open(tmp_path)
    folder = workspace.run_folder(workspace.family().run(seed=1))
    command = [sys.executable, "-m", "mixhub", "train", "--seed", "1", "--device", "cpu"]
    saved = 0
    for asked, processes in ((signal.SIGUSR2, "1"), (signal.SIGINT, "2")):
        line = [*command, "--num-processes", processes]
        process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not any(line["step"] > saved + 2 for line in read_metrics(folder.metrics)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(asked)
        said, errors = process.communicate(timeout=60)
        assert process.returncode == STATUS[asked], errors
        assert errors.count(f"{asked.name}: stops after this step") == 1
        last = folder.checkpoint_steps()[-1]
        assert last == read_metrics(folder.metrics)[-1]["step"] > saved
        assert said == f"stopped by {asked.name}, saved at step {last}; run the same command to continue\n"
        saved = last
    assert not folder.export_steps()


@pytest.mark.parametrize(("asked", "processes"), [(signal.SIGTERM, "1"), (signal.SIGINT, "2")])
def test_a_signal_stops_a_series_and_the_same_command_goes_on(asked, processes, mixhub, tmp_path):
    workspace = tiny_workspace(tmp_path / "ws", training={"steps": 100, "validation_interval": 100})
    pack(workspace)
    runs = [workspace.run_folder(run) for run in workspace.family().runs()]
    arguments = ("train", "--all", "--device", "cpu", "--num-processes", processes)
    command = [sys.executable, "-m", "mixhub", *arguments]
    process = subprocess.Popen(command, cwd=workspace.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not any(line["step"] > 2 for line in read_metrics(runs[1].metrics)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(asked)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == STATUS[asked], errors
    last = runs[1].checkpoint_steps()[-1]
    assert said.splitlines() == [
        f"seed-1: export in {runs[0].export(100)}",
        f"stopped by {asked.name}, saved seed-2 at step {last}; run the same command to continue",
        "finished: seed-1; left: seed-2, seed-3",
    ]
    assert not runs[2].path.exists()
    done = mixhub(*arguments, cwd=workspace.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *(f"seed-{seed}: export in {folder.export(100)}" for seed, folder in enumerate(runs, start=1)),
        "finished: seed-1, seed-2, seed-3",
        "next: mixhub evaluate --all",
    ]
    resumed = [line.partition(" of ")[0] for line in done.stderr.splitlines() if "resumes" in line]
    assert resumed == [f"seed-2: resumes from step {last}"]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_run_that_fails_does_not_stop_the_others(processes, workspace, mixhub):
    run = workspace.family().run(seed=3)
    state = workspace.run_folder(run).checkpoint(5) / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text("broken")
    done = mixhub("train", "--seeds", "3,1-2", "--device", "cpu", "--num-processes", processes, cwd=workspace.root)
    assert error_codes(done) == ["checkpoint-unreadable", "runs-failed"]
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["seed-1", "seed-2", "finished"]


@pytest.mark.parametrize(
    ("options", "environment", "code"),
    [
        (("--all", "--seed", "1"), {}, "option-conflict"),
        (("--seeds", "1-9"), {}, "unknown-seed"),
        (("--index", "1-2"), {}, "run-kind"),
        (("--all", "--preflight"), {}, "option-conflict"),
        (("--all", "--num-processes", "3"), {}, "batch-indivisible"),
        (("--all",), {"RANK": "0", "WORLD_SIZE": "1"}, "runs-launched"),
        (("--all", "--num-processes", "2"), {"RANK": "0", "WORLD_SIZE": "2"}, "runs-launched"),
    ],
)
def test_a_series_that_cannot_be_is_refused_before_any_run(options, environment, code, workspace, mixhub_here):
    done = mixhub_here("train", *options, cwd=workspace.root, **environment)
    assert (error_codes(done), done.stdout) == ([code], "")
    assert not workspace.run_folder(workspace.family().run(seed=3)).path.exists()


def test_a_run_whose_output_has_no_reader_stops_with_the_same_status(workspace, tmp_path):
    shutil.copytree(workspace.root, tmp_path / "copy")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "mixhub", "train", "--seed", "3", "--device", "cpu", "--time-limit", "1s"]
    stopped = subprocess.run(command, cwd=tmp_path / "copy", stdout=writer, stderr=writer, check=False)
    os.close(writer)
    assert stopped.returncode == 75


@pytest.mark.parametrize(
    ("options", "environment", "code"),
    [
        (("--num-processes", "3"), {}, "batch-indivisible"),
        (("--num-processes", "2"), {"WORLD_SIZE": "2"}, "option-conflict"),
        (("--num-processes", "2"), {"RANK": "0"}, "option-conflict"),
        (("--num-processes", "2"), {"SLURM_STEP_NUM_TASKS": "2"}, "launcher-missing"),
        ((), {"SLURM_STEP_NUM_TASKS": "2"}, "launcher-missing"),
        (("--num-processes", "2", "--time-limit", "10"), {}, "option-value"),
    ],
)
def test_processes_that_cannot_train_together_are_refused_before_any_starts(
    options, environment, code, workspace, mixhub_here
):
    done = mixhub_here("train", "--seed", "3", *options, cwd=workspace.root, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"[{code}]" in done.stderr
    assert not workspace.run_folder(workspace.family().run(seed=3)).path.exists()


def test_the_time_limit_holds_for_all_processes_and_an_error_of_several_is_shown_once(workspace, mixhub, tmp_path):
    shutil.copytree(workspace.root, tmp_path / "copy")
    command = ("train", "--seed", "3", "--device", "cpu", "--num-processes", "2")
    done = mixhub(*command, "--time-limit", "1s", cwd=tmp_path / "copy")
    assert (done.returncode, done.stdout.count("saved at step 1")) == (75, 1), done.stderr
    done = mixhub(*command, "--device", "cuda", cwd=tmp_path / "copy", CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("[device-unavailable]") == 1
    assert "process " not in done.stderr
