"""The command line: each command parses, calls one function of the workflow, and prints what came of it."""

from __future__ import annotations

import errno
import io
import itertools
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixhub.errors import MixhubError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What a system says when nothing more can be written."""


def main() -> None:
    """Runs a command. A mistake of the user's gets message and hint, and status 2; a bug keeps its traceback."""
    # Threads of OpenMP that wait by spinning make a small model many times slower where cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    _bypass_proxy_on_loopback()
    from mixhub.cli.app import app
    from mixhub.errors import MixhubError

    warnings.formatwarning = _warning
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except MixhubError as error:
        _end(error)
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        if error.filename is None:
            raise
        hint = "make it writable for you" if isinstance(error, PermissionError) else None
        what = f"{error.filename}: {error.strerror}"
        _end(MixhubError(what, code="access-denied", hint=hint, path=error.filename))
    except OSError as error:
        if error.errno not in _FULL:
            raise
        what = f"{error.filename or 'the output'}: {error.strerror}"
        _end(MixhubError(what, code="disk-full", hint="make room, and run it again"), is_output_full=True)
    except KeyboardInterrupt:
        sys.exit(130)


def _bypass_proxy_on_loopback() -> None:
    """Adds this machine to NO_PROXY of this process: HTTP_PROXY else captures the embedded hub."""
    from mixhub.endpoint import LOOPBACK

    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])


def _end(error: MixhubError, *, is_output_full: bool = False) -> None:
    """Shows a mistake of the user's, and ends with status 2."""
    from mixhub.cli.common.console import show_error

    as_json = "--json" in itertools.takewhile(lambda argument: argument != "--", sys.argv[1:])
    show_error(error, as_json=as_json and not is_output_full)
    if is_output_full:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left of the output would fail again at the end
    sys.exit(2)


def _warning(message: Any, category: type[Warning], *place: Any, **more: Any) -> str:
    """What a library warns of, as one line; where in the code is of no use to who types a command."""
    return f"warning: {' '.join(str(message).split())}\n"
