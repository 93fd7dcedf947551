"""Waiting for a busy hub: which requests are sent again, how long to wait before, and when to give up."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds to wait in all for a hub that fails and does not say for how long."""
PATIENCE_LOCKED = 120.0
"""As `PATIENCE`, for another commit of the same repo: a hub makes one at a time."""
PATIENCE_NAMED = 600.0
"""As `PATIENCE`, for the seconds that the hub names; the limits of huggingface.co are per five minutes."""
_LONGEST = 8.0
"""Seconds between two requests, unless the hub names others."""
_FAILING = (500, 502, 503, 504)
_BROKEN = ("ReadError", "WriteError", "RemoteProtocolError")
"""Errors of the HTTP client below huggingface_hub for a connection that was lost."""

sleep = time.sleep


def send_patiently(attempt: Callable[[], Any], request: Any) -> Any:
    """Send a request of huggingface_hub, and send it again for as long as the hub is busy or fails; return the answer.

    A commit is sent again only if the hub did nothing; `commit_files` looks what became of the others. Uploads of
    files, whose content cannot be sent twice from here, are left to huggingface_hub.

    Raises:
        HfHubHTTPError: the hub is still busy; huggingface_hub does not catch it to wait again.
        ConnectionError: the connection is still lost.
    """
    if not _is_repeatable(request):
        return attempt()
    is_commit = request.method == "POST" and "/commit/" in request.url.path
    waited, pauses = 0.0, _pauses()
    while True:
        response, lost = None, None
        try:
            response = attempt()
        except Exception as error:
            if is_commit or not is_lost(error):
                raise
            lost = error
        if response is not None and not _is_passing(response, is_commit):
            return response
        named = None if response is None else seconds_named(response)
        pause = next(pauses) if named is None else max(1.0, named)
        patience = PATIENCE_NAMED if named is not None else PATIENCE
        if response is not None and response.status_code == 409:
            patience = max(patience, PATIENCE_LOCKED)
        if waited + pause > patience:
            _give_up(response, lost)
        if response is not None:
            response.close()
        what = f"status {response.status_code}" if response is not None else type(lost).__name__
        wait(pause, f"{request.url.scheme}://{request.url.netloc.decode()}", what)
        waited += pause


def wait(seconds: float, hub: str, reason: str) -> None:
    """Wait, and say so."""
    _LOG.warning("%s: %s; trying again in %d s", hub, reason, round(seconds))
    sleep(seconds)


def repeat(call: Callable[[], T], is_passing: Callable[[Exception], bool], hub: str) -> T:
    """Return what a call returns; call it again after errors that may pass, waiting for `PATIENCE` in all."""
    pauses = _bounded_pauses()
    while True:
        try:
            return call()
        except Exception as error:
            if not is_passing(error) or (pause := next(pauses, None)) is None:
                raise
            wait(pause, hub, getattr(error, "message", type(error).__name__))


def _bounded_pauses() -> Iterator[float]:
    """Yield seconds to wait before each further try, `PATIENCE` in all."""
    waited = 0.0
    for pause in _pauses():
        waited += pause
        if waited > PATIENCE:
            return
        yield pause


def seconds_named(response: Any) -> int | None:
    """Return the seconds to wait that an answer names, by `RateLimit` or `Retry-After`; None if it names none."""
    used_up = re.findall(r"r=0\s*;\s*t=(\d+)", response.headers.get("ratelimit", ""))
    if used_up and response.status_code == 429:
        return max(map(int, used_up))
    after = response.headers.get("retry-after", "").strip()
    if after.isdigit():
        return int(after)
    try:
        return max(0, round((parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds()))
    except (TypeError, ValueError):  # no such header, no date, or one without a time zone
        return None


def is_lost(error: BaseException) -> bool:
    """Whether the connection was lost while a request was sent or answered."""
    return type(error).__name__ in _BROKEN


def _pauses() -> Iterator[float]:
    pause = 1.0
    while True:
        yield pause
        pause = min(_LONGEST, 2 * pause)


def _is_repeatable(request: Any) -> bool:
    """Whether the content of a request is in memory."""
    try:
        request.content  # noqa: B018  # raises for a file
    except Exception:
        return False
    return True


def _is_passing(response: Any, is_commit: bool) -> bool:
    """Whether the same request may succeed later."""
    if response.status_code == 409:  # also for what exists already
        response.read()
        return is_commit or "in progress" in response.text
    return response.status_code == 429 or (response.status_code in _FAILING and not is_commit)


def _give_up(response: Any, lost: Exception | None) -> None:
    from huggingface_hub import hf_raise_for_status

    if response is None:
        raise ConnectionError(str(lost)) from lost
    response.read()
    hf_raise_for_status(response)
