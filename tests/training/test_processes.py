"""Processes that are started and ended together, here with small programs in place of the trainer."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from mixhub.cli.common.signals import STATUS
from mixhub.errors import RunError
from mixhub.training import processes
from mixhub.training.processes import Ended, run_processes, world_size
from tests.refusals import refused

ROOT = Path(__file__).parents[2]
SIGNALS = tuple(STATUS)
STOPPABLE = """
    import os, sys, time
    from pathlib import Path
    from mixhub.cli.common.signals import STATUS, stop_signals
    time.sleep(float(sys.argv[2]))
    with stop_signals() as request:
        (Path(sys.argv[1]) / f"{os.environ['RANK']}-{os.getpid()}").touch()
        while not request:
            time.sleep(0.01)
    (Path(sys.argv[1]) / f"stopped-{os.environ['RANK']}").touch()
    sys.exit(STATUS[request.signal])
"""


def program(text: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)]


def run(text: str, count: int, *arguments: object) -> Ended:
    return run_processes(program(text, *arguments), count, signals=SIGNALS)


def started(folder: Path, count: int) -> list[int]:
    """The numbers of the stoppable processes, once all are ready."""
    for _ in range(3000):
        ready = [path for path in folder.iterdir() if not path.name.startswith("stopped")]
        if len(ready) == count:
            return [int(path.name.partition("-")[2]) for path in ready]
        time.sleep(0.01)
    raise AssertionError(f"{len(ready)} processes started, not {count}")


def gone(number: int) -> bool:
    for _ in range(1500):
        try:
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def test_they_connect_and_only_the_first_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    text = """
        import os, socket, sys
        rank, port = int(os.environ["RANK"]), int(os.environ["MASTER_PORT"])
        print("output of", rank, flush=True)
        print("errors of", rank, file=sys.stderr, flush=True)
        if rank == 0:
            with socket.create_server((os.environ["MASTER_ADDR"], port)) as server:
                heard = set()
                while len(heard) < 2:
                    with server.accept()[0] as other:
                        heard.add(other.recv(100))
            assert heard == {b"1 1 3 3", b"2 2 3 3"}, heard
        else:
            names = "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"
            while True:
                try:
                    with socket.create_connection((os.environ["MASTER_ADDR"], port)) as first:
                        first.send(" ".join(os.environ[name] for name in names).encode())
                    break
                except ConnectionRefusedError:
                    pass
    """
    assert run(text, 3) == Ended(0)
    assert capfd.readouterr() == ("output of 0\n", "errors of 0\n")


FAILING = """
    import os, signal, sys, time
    rank, failing = os.environ["RANK"], sys.argv[1].split(",")
    if rank in failing:
        if rank != failing[0]:
            time.sleep(0.3)
        if sys.argv[2] == "command":
            os.dup2(int(os.environ["MIXHUB_ERRORS"]), 2)
            sys.exit(print("error of", *sys.argv[3:] or [rank], file=sys.stderr) or 2)
        print("traceback of", rank, file=sys.stderr)
        sys.exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("failing", "how", "expected"),
    [
        ("1", "command", Ended(2, errors=(("error of 1\n", 1),))),
        ("0", "command", Ended(2, errors=(("error of 0\n", 0),))),
        ("1", "bug", Ended(1, errors=(("traceback of 1\n", 1),))),
        ("0", "bug", Ended(1)),
        ("1,0,2", "command all", Ended(2, errors=(("error of all\n", None),))),
        ("2,1", "command", Ended(2, errors=(("error of 1\n", 1), ("error of 2\n", 2)))),
    ],
)
def test_one_that_fails_ends_the_others_and_each_error_is_kept_once(failing: str, how: str, expected: Ended) -> None:
    assert run(FAILING, 3, failing, *how.split()) == expected


def test_the_error_of_the_process_that_ended_first_counts_not_of_those_that_lost_it(tmp_path: Path) -> None:
    text = """
        import os, signal, sys, time
        from pathlib import Path
        rank, written = os.environ["RANK"], Path(sys.argv[1])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.dup2(int(os.environ["MIXHUB_ERRORS"]), 2)
        if rank == "1":
            print("own", file=sys.stderr, flush=True)
            written.touch()
            time.sleep(600)  # is ended while it exits
        while not written.exists():
            time.sleep(0.01)
        sys.exit(print("another process ended  [connection-lost]", file=sys.stderr) or 2)
    """
    assert run(text, 3, tmp_path / "written") == Ended(2, errors=(("own\n", 1),))


def test_a_killed_process_counts_not_those_that_lost_it() -> None:
    text = """
        import os, signal, sys, time
        if os.environ["RANK"] == "0":
            os.dup2(int(os.environ["MIXHUB_ERRORS"]), 2)
            sys.exit(print("another process ended  [connection-lost]", file=sys.stderr) or 2)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with refused("process-killed", RunError, rank=1, signal="SIGKILL"):
        run(text, 2)


def test_if_all_lost_the_connection_one_of_them_says_so() -> None:
    text = """
        import os, sys
        os.dup2(int(os.environ["MIXHUB_ERRORS"]), 2)
        sys.exit(print("another process ended  [connection-lost]", file=sys.stderr) or 2)
    """
    ended = run(text, 2)
    assert (ended.status, [text for text, _ in ended.errors]) == (2, ["another process ended  [connection-lost]\n"])


def test_what_does_not_end_after_another_failed_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_GRACE", 0.2)
    text = """
        import os, signal, sys, time
        if os.environ["RANK"] == "1":
            sys.exit(2)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    """
    assert run(text, 2) == Ended(2)


def test_one_that_is_killed_is_named() -> None:
    text = """
        import os, signal, time
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        time.sleep(600)
    """
    with refused("process-killed", RunError, rank=1, signal="SIGKILL"):
        run(text, 2)


def test_nothing_is_left_if_not_all_can_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, children = processes._start, []

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        if len(children) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        children.append(plain(*arguments))  # type: ignore[arg-type]
        return children[-1]

    monkeypatch.setattr(processes, "_start", start)
    with pytest.raises(BlockingIOError):
        run("import time; time.sleep(600)", 3)
    assert [child.returncode for child in children] == [-signal.SIGKILL] * 2


@pytest.mark.parametrize("asked", STATUS)
def test_a_signal_is_passed_on_also_to_what_is_only_starting(asked: signal.Signals, tmp_path: Path) -> None:
    before = {one: signal.getsignal(one) for one in SIGNALS}
    timer = threading.Timer(0.2, os.kill, (os.getpid(), asked))
    timer.start()
    assert run(STOPPABLE, 2, tmp_path, 0.6) == Ended(STATUS[asked], asked)
    timer.join()
    assert {path.name for path in tmp_path.glob("stopped-*")} == {"stopped-0", "stopped-1"}
    assert {one: signal.getsignal(one) for one in SIGNALS} == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_signal_during_the_last_step_does_not_make_a_finished_run_unfinished(tmp_path: Path) -> None:
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert run(STOPPABLE.replace("sys.exit(STATUS[request.signal])", ""), 2, tmp_path, 0) == Ended(0, signal.SIGTERM)
    timer.join()


OWNER = """
    import signal, sys
    from mixhub.cli.common.signals import STATUS
    from mixhub.training import processes
    processes.REPEATED = 0.2
    sys.exit(processes.run_processes(sys.argv[1:], 2, signals=tuple(STATUS)).status)
"""


def owner(text: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(program(OWNER, *program(text, *arguments)), cwd=ROOT, start_new_session=True)


def test_when_their_owner_is_killed_they_stop_in_good_order(tmp_path: Path) -> None:
    with owner(STOPPABLE, tmp_path, 0) as parent:
        children = started(tmp_path, 2)
        parent.kill()
    assert all(map(gone, children))
    assert {path.name for path in tmp_path.glob("stopped-*")} == {"stopped-0", "stopped-1"}


def test_one_that_hangs_does_not_outlive_its_owner(tmp_path: Path) -> None:
    text = STOPPABLE.replace("with stop", "import mixhub.cli.common.signals as s; s._ORPHAN_GRACE = 0.2\n    with stop")
    with owner(text.replace("while not request", "while True"), tmp_path, 0) as parent:
        children = started(tmp_path, 2)
        parent.kill()
    assert all(map(gone, children))


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_kills_all(asked: signal.Signals, tmp_path: Path) -> None:
    with owner(STOPPABLE.replace("while not request", "while True"), tmp_path, 0) as parent:
        children = started(tmp_path, 2)
        parent.send_signal(asked)
        parent.send_signal(asked)  # at once: the same request
        time.sleep(0.5)
        assert parent.poll() is None
        parent.send_signal(asked)
        assert parent.wait(60) == -asked
    assert all(map(gone, children))


def test_what_srun_starts_must_know_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in processes.LAUNCHER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert world_size() == 1
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "16")
    with refused("launcher-missing", RunError, tasks="16"):
        world_size()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert world_size() == 1
    monkeypatch.setenv("WORLD_SIZE", "16")
    monkeypatch.setenv("RANK", "3")
    with refused("launch-incomplete", RunError, missing=("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")):
        world_size()
    for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    assert world_size() == 16
