"""The command line: each command parses, calls one function of the workflow, and prints the result."""

from __future__ import annotations

import contextvars
import errno
import io
import itertools
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixhub.errors import MixhubError

_DENIED = (PermissionError, IsADirectoryError, NotADirectoryError)


def main() -> None:
    """Run a command. A MixhubError ends it with a message, a hint and status 2; a bug keeps its traceback."""
    contextvars.copy_context().run(_main)  # options that are noted for hints are those of this command


def _main() -> None:
    _open_closed_streams()
    # OpenMP threads that spin while they wait make small models many times slower on shared cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    _bypass_proxy_on_loopback()
    from mixhub.cli.app import app
    from mixhub.errors import HubError, MixhubError
    from mixhub.files import disk_problem

    warnings.formatwarning = _warning
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may be invalid text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception as error:
        # the disk of a hub is another one
        problem = None if isinstance(error, HubError) else disk_problem(error)
        if problem is not None:
            is_output = problem.filename is None and isinstance(error, OSError)
            said = str(error).splitlines()[0].removesuffix(f": {problem.strerror}")
            place = problem.filename or ("the output" if is_output else said)
            code = "disk-read-only" if problem.errno == errno.EROFS else "disk-full"
            _end(MixhubError(f"{place}: {problem.strerror}", code=code), is_output_full=is_output)
        if isinstance(error, MixhubError):
            _end(error)
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            _end(MixhubError(f"{error.filename!s:.80}…: {error.strerror}", code="path-too-long"))
        if not isinstance(error, _DENIED) or error.filename is None:
            raise
        _end(MixhubError(f"{error.filename}: {error.strerror}", code="access-denied"))
    except KeyboardInterrupt:
        sys.exit(130)


def _open_closed_streams() -> None:
    """Connect closed standard streams with the null device; otherwise the next files opened would take their places."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _bypass_proxy_on_loopback() -> None:
    """Add this machine to NO_PROXY, so that HTTP_PROXY does not apply to the embedded hub."""
    from mixhub.endpoint import LOOPBACK

    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])


def _end(error: MixhubError, *, is_output_full: bool = False) -> None:
    """Print an error and exit with status 2."""
    from mixhub.cli.common.console import show_error
    from mixhub.training.processes import ERRORS

    if ERRORS in os.environ:  # the process that started this one and others prints their errors once
        os.dup2(int(os.environ[ERRORS]), 2)
    as_json = "--json" in itertools.takewhile(lambda argument: argument != "--", sys.argv[1:])
    show_error(error, as_json=as_json and not is_output_full)
    if is_output_full:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the rest of the output does not fail at exit
    sys.exit(2)


def _warning(message: Any, category: type[Warning], *location: Any, **more: Any) -> str:
    """Format a warning as one line, without its location in the code."""
    return f"warning: {' '.join(str(message).split())}\n"
