"""Trackers of Accelerate, such as TensorBoard, which get the lines of `metrics.jsonl` too."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from mixhub.errors import RunError
from mixhub.files import read_json, write_json
from mixhub.phrases import listed
from mixhub.spec import Family, Run
from mixhub.workspace.paths import RunFolder

_LOG = logging.getLogger("mixhub.training")

Line = Mapping[str, Any]
"""A line of `metrics.jsonl`."""
Position = tuple[int, bool]
"""Step of a line, and whether it is that of its validation, which follows that of the step."""
_START: Position = (-1, False)


def require_trackers(names: Sequence[str]) -> None:
    """Raise RunError if the package of a tracker is missing; Accelerate would log nothing, silently."""
    if not names:
        return
    from accelerate.tracking import get_available_trackers

    available = {str(one) for one in get_available_trackers()}
    if missing := tuple(name for name in names if name not in available):
        packages = " ".join(name.replace("_", "-") for name in missing)
        message = f"--tracker {listed(missing)}: not installed"
        raise RunError(message, code="tracker-missing", hint=f"pip install {packages}", trackers=missing)


@dataclass(frozen=True)
class _TrackedRun:
    """What a tracker is to show, and where."""

    family: str
    revision: str
    folder: Path
    """Of its own files."""
    id: str
    """Of its run: that of the run to continue, or a random one."""
    is_known: bool
    """Whether it has a run to continue."""
    first: int
    """Updates so far."""


def _wandb(tracked: _TrackedRun) -> dict[str, Any]:
    mode = os.environ.get("WANDB_MODE", "offline")
    return {"name": tracked.revision, "id": tracked.id, "resume": "allow", "dir": str(tracked.folder), "mode": mode}


def _tensorboard(tracked: _TrackedRun) -> dict[str, Any]:
    # TensorBoard then hides what it has of these steps from before.
    return {"purge_step": tracked.first + 1 if tracked.first else 0} if tracked.is_known else {}


def _trackio(tracked: _TrackedRun) -> dict[str, Any]:
    return {"name": tracked.revision, "resume": "allow" if tracked.is_known else "never"}


def _mlflow(tracked: _TrackedRun) -> dict[str, Any]:
    if "MLFLOW_TRACKING_URI" not in os.environ:
        import_module("mlflow").set_tracking_uri(f"sqlite:///{tracked.folder.absolute() / 'mlflow.db'}")
    artifacts = (tracked.folder.absolute() / "artifacts").as_uri()
    return {"run_name": tracked.revision, "run_id": tracked.id if tracked.is_known else None, "logging_dir": artifacts}


def _aim(tracked: _TrackedRun) -> dict[str, Any]:
    return {"experiment": tracked.family, "run_hash": tracked.id if tracked.is_known else None}


def _comet_ml(tracked: _TrackedRun) -> dict[str, Any]:
    config = import_module("comet_ml").ExperimentConfig(name=tracked.revision, offline_directory=str(tracked.folder))
    # Its own default, which is online, counts if its variable is set.
    online = None if "COMET_START_ONLINE" in os.environ else False
    return {"experiment_key": tracked.id, "online": online, "experiment_config": config}


def _clearml(tracked: _TrackedRun) -> dict[str, Any]:
    if "CLEARML_OFFLINE_MODE" not in os.environ:
        import_module("clearml").Task.set_offline(offline_mode=True)
    names = {"project_name": tracked.family, "task_name": tracked.revision}
    return {**names, "continue_last_task": tracked.id if tracked.is_known else False, "auto_connect_frameworks": False}


def _dvclive(tracked: _TrackedRun) -> dict[str, Any]:
    dvcyaml = str(tracked.folder / "dvc.yaml")
    return {"dir": str(tracked.folder), "resume": tracked.is_known, "save_dvc_exp": False, "dvcyaml": dvcyaml}


def _swanlab(tracked: _TrackedRun) -> dict[str, Any]:
    mode = os.environ.get("SWANLAB_MODE", "offline")
    names = {"experiment_name": tracked.revision, "id": tracked.id, "resume": "allow"}
    return {**names, "logdir": str(tracked.folder), "mode": mode}


_OPTIONS: dict[str, Callable[[_TrackedRun], dict[str, Any]]] = {
    "aim": _aim,
    "clearml": _clearml,
    "comet_ml": _comet_ml,
    "dvclive": _dvclive,
    "mlflow": _mlflow,
    "swanlab": _swanlab,
    "tensorboard": _tensorboard,
    "trackio": _trackio,
    "wandb": _wandb,
}
"""Arguments of each tracker of Accelerate. Their files are in the run's folder and they send nothing, unless their own
environment variables say otherwise."""
_ONE_RECIPE = ("mlflow", "tensorboard")
"""They refuse another recipe for a run, or show it as another run. Others may have lost it in a kill."""
_IDS: dict[str, Callable[[Any], str]] = {
    "aim": lambda run: str(run.hash),
    "clearml": lambda task: str(task.id),
    "mlflow": lambda run: str(run.info.run_id),
}
"""The id of a tracker's run where the tracker chooses it."""


class _Tracker:
    """One tracker, and the position up to which it has the lines."""

    def __init__(self, name: str, tracked: _TrackedRun, last: Position) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        tracked.folder.mkdir(parents=True, exist_ok=True)
        kind, options = LOGGER_TYPE_TO_CLASS[name], _OPTIONS[name](tracked)
        if name == "tensorboard":
            self._tracker = kind(tracked.folder.name, tracked.folder.parent, **options)
        elif kind.requires_logging_directory:
            self._tracker = kind(f"{tracked.family}/{tracked.revision}", str(tracked.folder), **options)
        else:
            self._tracker = kind(tracked.family, **options)
        self._tracker.start()
        self.name, self.id = name, _IDS[name](self._tracker.tracker) if name in _IDS else tracked.id
        self._last = last if tracked.is_known else _START
        if tracked.is_known and name == "tensorboard":
            self._last = (tracked.first, True) if tracked.first else _START
        elif name == "trackio":  # it may have lost what it was given just before a kill
            self._last = (self._tracker.tracker._next_step - 1, True)

    def configure(self, recipe: Mapping[str, Any]) -> None:
        """Store the recipe of a run."""
        self._tracker.store_init_configuration(dict(_leaves(recipe)))

    def log(self, line: Line) -> None:
        """Log a line, unless the tracker has it already."""
        if (position := _position(line)) > self._last:
            self._last = position
            self._tracker.log(dict(_figures(line)), step=line["step"])

    def finish(self) -> None:
        """Close the tracker."""
        self._tracker.finish()


class Trackers:
    """The trackers of a run. A run does not end because one of them fails: that one then gets no more lines."""

    def __init__(self, trackers: Sequence[_Tracker]) -> None:
        self._open = list(trackers)

    def log(self, line: Line) -> None:
        """Log a line of the metrics."""
        for tracker in tuple(self._open):
            self._try(tracker, lambda one: one.log(line))

    def close(self) -> None:
        """Close all trackers."""
        for tracker in tuple(self._open):
            self._try(tracker, _Tracker.finish)

    def _try(self, tracker: _Tracker, act: Callable[[_Tracker], None]) -> None:
        try:
            act(tracker)
        except Exception as error:  # whatever the tracker raises
            self._open.remove(tracker)
            _LOG.warning("%s failed, and gets no more metrics: %s: %s", tracker.name, type(error).__name__, error)


@contextmanager
def tracking(
    names: Sequence[str], family: Family, run: Run, folder: RunFolder, *, lines: Sequence[Line], last: Line | None
) -> Iterator[Trackers]:
    """Open trackers, continuing their runs, and close them on every exit.

    A tracker that is new to the run gets all lines so far.

    Args:
        names: of the trackers.
        family: the recipe, which a tracker stores.
        run: the seed or index; the tracker's run has the name of its revision, in a project with that of the family.
        folder: the run's folder.
        lines: of the metrics so far.
        last: the last line before the run was stopped, which may be that of a later step.

    Raises:
        RunError: a tracker cannot be started.
    """
    known: dict[str, str] = read_json(folder.trackers, RunError)["runs"] if folder.trackers.is_file() else {}
    trackers: list[_Tracker] = []
    first = lines[-1]["step"] if lines else 0
    try:
        for name in dict.fromkeys(names):
            own = known.get(name, secrets.token_hex(16))
            tracked = _TrackedRun(run.family, run.revision, folder.tracker(name), own, name in known, first)
            tracker = _started(name, tracked, _START if last is None else _position(last), family.train_config(run))
            trackers.append(tracker)
            known[name] = tracker.id
            write_json(folder.trackers, {"format": 1, "runs": known})
        opened = Trackers(trackers)
        for line in lines if trackers else ():
            opened.log(line)
        yield opened
    finally:
        Trackers(trackers).close()


def _started(name: str, tracked: _TrackedRun, last: Position, recipe: Mapping[str, Any]) -> _Tracker:
    try:
        tracker = _Tracker(name, tracked, last)
        if not tracked.is_known or name not in _ONE_RECIPE:
            tracker.configure(recipe)
    except Exception as error:  # whatever the tracker raises
        message = f"--tracker {name}: cannot be started: {type(error).__name__}: {' '.join(str(error).split())}"
        raise RunError(message, code="tracker-failed", tracker=name) from error
    return tracker


def _position(line: Line) -> Position:
    return line["step"], "validation" in line


def _figures(line: Line) -> Iterator[tuple[str, float]]:
    """Yield the figures of a line, those of domains as `domains/<key>` and `validation/<key>`."""
    for key, value in line.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}/{name}", loss) for name, loss in value.items())
        elif key != "step":
            yield key, int(value) if isinstance(value, bool) else value


def _leaves(data: object, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a recipe, `mixhub.training.steps` for one; trackers take no lists and no None."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif data is not None:
        yield key, data if isinstance(data, bool | int | float | str) else json.dumps(data)
