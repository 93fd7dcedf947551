"""How `mixhub train` trains one run or several, and what it prints."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixhub.cli.common import console
from mixhub.cli.common.deadlines import STARTED, started
from mixhub.cli.common.signals import STATUS, StopRequest, stop_signals
from mixhub.errors import MixhubError, RunError, UsageError
from mixhub.phrases import listed
from mixhub.training.processes import PARENT, STOPPED, Ended

if TYPE_CHECKING:
    from mixhub.progress import Progress
    from mixhub.spec import Run
    from mixhub.workflow import RunName, RunNames, Trained, TrainOptions
    from mixhub.workspace.paths import Workspace

_MOST_NAMED = 8


class _ProcessesError(RunError):
    """Processes failed."""

    def __init__(self, ended: Ended, count: int) -> None:
        message = "\n".join(text for text, _ in ended.errors) or f"status {ended.status}"
        super().__init__(message, code="processes-failed")
        self.ended, self.count = ended, count


@dataclass
class Series:
    """The runs of one command."""

    workspace: Workspace
    names: RunNames
    named: str
    """The option that names them."""
    runs: Sequence[Run]
    is_late: Callable[[], bool]
    request: StopRequest = field(default_factory=StopRequest)
    ended: list[Trained] = field(default_factory=list)
    """How the runs ended, as far as they did."""
    started: float = field(default_factory=started)
    """When the command started, in seconds since 1970."""

    def start(self, options: TrainOptions, processes: int, *, is_preflight: bool, as_json: bool) -> int:
        """Train the runs, or try one, in this process or in processes of their own; returns the exit status."""
        if is_preflight:
            return self._preflight(options, processes, as_json=as_json)
        if processes > 1 and PARENT not in os.environ:
            return self._train_in_processes(processes)
        return self._train(options)

    def _train(self, options: TrainOptions) -> int:
        """Train the runs in this process, and return the exit status."""
        from mixhub import workflow

        console.log_lines()
        with self._explained(), stop_signals() as self.request:
            trained = workflow.train_each(
                self.workspace,
                options=options,
                progress=console.progress(),
                should_stop=self._should_stop,
                **self.names,
            )
            return self._show(trained)

    def _train_in_processes(self, count: int) -> int:
        """Train the runs, each in several processes of its own, and return the exit status."""
        from mixhub import workflow

        def train_one(run_name: RunName) -> Trained:
            ended = self._processes(count, run_name, console.progress())
            self.request.signal = ended.asked
            if ended.status not in STOPPED:
                raise _ProcessesError(ended, count)
            return workflow.trained_so_far(self.workspace, **run_name)

        with self._explained():
            trained = workflow.train_in_turn(
                self.workspace, train_one, processes=count, should_stop=self._should_stop, **self.names
            )
            try:
                return self._show(trained)
            except _ProcessesError as error:
                _show_error(error)
                return error.ended.status

    def _preflight(self, options: TrainOptions, count: int, *, as_json: bool) -> int:
        """Try the run, which must be the only one, and return the exit status."""
        from mixhub.cli.make.train_plans import run_preflight

        run_name = self._run_name(self._only_run())
        if count == 1 or PARENT in os.environ:
            return run_preflight(self.workspace, options, run_name, as_json=as_json)
        ended = self._processes(count, run_name, console.progress(as_json=as_json))
        _show_error(_ProcessesError(ended, count))
        return STATUS[ended.asked] if ended.asked else ended.status

    def _only_run(self) -> Run:
        """Return the only run; raises UsageError if there are several."""
        run = self.runs[0]
        if len(self.runs) > 1:
            message = f"--preflight tries one run, not {len(self.runs)}: all runs of a family take the same"
            hint = f"pass one of them, such as --{run.kind} {run.label}"
            raise UsageError(message, code="option-conflict", hint=hint, option="--preflight")
        return run

    def _processes(self, count: int, run_name: RunName, progress: Progress) -> Ended:
        """Run this command for one run in several processes."""
        from mixhub import workflow

        run = self.runs[len(self.ended)]
        return workflow.train_in_processes(
            self.workspace,
            count,
            # the last of repeated options counts
            command=[sys.executable, "-m", "mixhub", *sys.argv[1:], f"--{run.kind}={run.label}"],
            environment={STARTED: str(self.started)},
            signals=tuple(STATUS),
            progress=progress,
            **run_name,
        )

    def _run_name(self, run: Run) -> RunName:
        return {"family": self.names.get("family"), run.kind: run.label}  # type: ignore[misc]

    def _should_stop(self) -> bool:
        return bool(self.request) or self.is_late()

    def _show(self, each: Iterator[Trained]) -> int:
        """Print how each run ends, and then what is left to do; returns the exit status."""
        try:
            for one in each:
                self.ended.append(one)
                if one.error is not None:
                    console.say(f"{one.run.revision}: failed at step {one.step}", sys.stderr)
                    _show_error(one.error)
                elif one.export is not None:
                    say_first(f"{one.run.revision}: export in {one.export}")
        except Exception:
            self._summarise()
            raise
        last = self.ended[-1]
        if last.export is None or len(self.ended) < len(self.runs):
            by = " before the time limit" if self.is_late() else ""
            if self.request.signal:
                by = f" by {self.request.signal.name}"
            name = f"{last.run.revision} " if len(self.runs) > 1 else ""
            saved = f", saved {name}at step {last.step}" if last.export is None and last.error is None else ""
            say_first(f"stopped{by}{saved}; run the same command to continue")
            self._summarise()
            return STATUS[self.request.signal or signal.SIGTERM]
        self._summarise()
        say_first(f"mixhub evaluate {self.named}", is_next=True)
        return 0

    def _summarise(self) -> None:
        """Print what was trained and what is left, if there are several runs."""
        groups: dict[str, list[str]] = {"finished": [], "failed": [], "left": []}
        for one in self.ended:
            groups["failed" if one.error else "finished" if one.export else "left"].append(one.run.revision)
        groups["left"] += [run.revision for run in self.runs[len(self.ended) :]]
        if self.ended and len(self.runs) > 1:
            say_first("; ".join(f"{key}: {listed(value, most=_MOST_NAMED)}" for key, value in groups.items() if value))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """If Ctrl-C ends a run at once, print what is saved."""
        from mixhub import workflow

        try:
            yield
        except KeyboardInterrupt:
            run = self.runs[min(len(self.ended), len(self.runs) - 1)]
            step = workflow.trained_so_far(self.workspace, **self._run_name(run)).step
            state = f"the last saved step is {step}" if step else "before the first checkpoint"
            where = f"{run.revision}, " if len(self.runs) > 1 else ""
            again = "continue from there" if step else "start again"
            say_first(f"stopped: {where}{state}; run the same command to {again}")
            self._summarise()
            raise


def say_first(line: str, *, is_next: bool = False) -> None:
    """Print a line in the process that speaks for all of a run; what is saved is so also if nobody reads it."""
    if not is_first_process() or PARENT in os.environ:
        return
    try:
        console.say_next(line) if is_next else console.say(line)
    except BrokenPipeError:  # of a `tee`, which got the signal too; the exit status still counts
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def is_first_process() -> bool:
    """Whether this is the first of the processes of a run."""
    return os.environ.get("RANK", "0") == "0"


def _show_error(error: MixhubError) -> None:
    """Print the error of a run; of processes, what they did not print themselves."""
    if not isinstance(error, _ProcessesError):
        console.show_error(error)
        return
    for text, rank in error.ended.errors:
        if rank is not None:
            console.say(f"process {rank} of {error.count}:", sys.stderr)
        for line in text.splitlines():
            console.say(line, sys.stderr)
