"""A real Slurm of two nodes, on loopback, for the length of a test."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("munged", "slurmctld", "slurmd", "salloc", "sbatch", "srun", "scancel", "scontrol", "squeue", "sinfo")
MISSING = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]


class Cluster:
    """Two nodes, `n1` and `n2`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._nodes = folder, dict[str, subprocess.Popen[bytes]]()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "MIXHUB_"))}
        self.environment = {
            **kept,
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "SLURM_CONF": str(folder / "slurm.conf"),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, *command: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program of Slurm, whatever its status."""
        words = [str(word) for word in command]
        return subprocess.run(
            words, cwd=cwd, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )

    def submit(self, *arguments: object, cwd: Path) -> str:
        """Submit a batch script; returns the number of the job."""
        done = self.run("sbatch", "--parsable", "--time=20", *arguments, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def job(self, job: str) -> dict[str, str]:
        """What Slurm knows of a job, by key."""
        shown = self.run("scontrol", "--oneliner", "show", "job", job).stdout
        return dict(re.findall(r"(\w+)=(\S+)", shown.splitlines()[0] if shown else ""))

    def wait(self, job: str, **expected: str) -> None:
        """Wait until a job has these values."""

        def is_so() -> bool:
            known = self.job(job)
            if known["JobState"] in ("FAILED", "CANCELLED") and expected.get("JobState") != known["JobState"]:
                raise AssertionError(f"{known}\n{Path(known['StdOut']).read_text()}\n{self.logs()}")
            return expected.items() <= known.items()

        until(is_so, lambda: f"{self.job(job)}\n{self.logs()}")

    def start_node(self, name: str) -> None:
        self._nodes[name] = self._start("slurmd", "-D", "-N", name)

    def kill_node(self, name: str) -> None:
        """Kill everything that runs on a node, as when it loses power."""
        self._nodes[name].kill()
        self._nodes[name].wait()
        marks = {f"SLURMD_NODENAME={name}", f"SLURM_CONF={self._folder / 'slurm.conf'}"}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if marks <= set((process / "environ").read_text(errors="replace").split("\0")):
                    parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                    is_step = "slurmstepd" in Path(f"/proc/{parent}/cmdline").read_text()
                    for number in (process.name, *([parent] if is_step else ())):
                        os.kill(int(number), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it has ended, or is somebody else's

    def logs(self) -> str:
        """The ends of Slurm's logs."""
        return "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in sorted(self._folder.glob("*.log")))

    def start(self, stack: ExitStack) -> None:
        """Start all daemons; the stack stops them."""
        (self._folder / "munge.key").write_bytes(os.urandom(1024))
        (self._folder / "munge.key").chmod(0o400)
        (self._folder / "state").mkdir()
        text = (Path(__file__).parent / "slurm.conf").read_text()
        names = {"DIR": str(self._folder), "HOST": socket.gethostname().split(".")[0], "USER": getpass.getuser()}
        with ExitStack() as reserved:
            for number in range(3):
                port = reserved.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
                names[f"PORT{number}"] = str(port)
        for name, value in names.items():
            text = text.replace(f"@{name}@", value)
        (self._folder / "slurm.conf").write_text(text)
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        munge = [f"--{option}={self._folder / file}" for option, file in files.items()]
        daemons = [self._start("munged", "--foreground", "--force", *munge)]
        stack.callback(self._stop, daemons)
        until((self._folder / "munge.socket").exists, self.logs)
        daemons.append(self._start("slurmctld", "-D"))
        for name in ("n1", "n2"):
            self.start_node(name)
        idle = ["idle", "idle"]
        until(lambda: self.run("sinfo", "-hN", "-o", "%T").stdout.split() == idle, self.logs)

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{command[0]}-out.log").open("ab") as log:
            return subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _stop(self, daemons: list[subprocess.Popen[bytes]]) -> None:
        self.run("scancel", "--full", "--user", getpass.getuser())
        deadline = time.monotonic() + 30
        while self.run("squeue", "--noheader").stdout.strip() and time.monotonic() < deadline:
            time.sleep(0.2)
        for daemon in (*self._nodes.values(), *reversed(daemons)):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a Slurm; stop it, with all that it runs, at the end."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, ExitStack() as stack:
        cluster = Cluster(Path(folder))
        cluster.start(stack)
        yield cluster


def until(condition: Callable[[], bool], explain: Callable[[], str], seconds: float = 240) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.2)
