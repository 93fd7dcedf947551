"""The only module that uses undocumented parts of huggingface_hub.

All names are checked at import, so that another version is refused with one error instead of failing, or sending a
token, somewhere in a push. The import takes a moment: other modules import this one inside functions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.errors import HubError
from mixhub.workspace.vendors import require_names

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

RELIED_ON = {
    "huggingface_hub": ("CommitOperationAdd._is_uploaded", "CommitOperationAdd._upload_mode"),
    "huggingface_hub.file_download": ("_create_symlink", "repo_folder_name"),
    "huggingface_hub.lfs": ("UploadInfo.sha256", "post_lfs_batch_info"),
    "huggingface_hub.utils": ("build_hf_headers",),
    "huggingface_hub.utils._http": ("_CLIENT_LOCK", "_GLOBAL_CLIENT", "_GLOBAL_CLIENT_FACTORY"),
}
"""By module, the names that must exist: functions, attributes of classes, and module variables."""

require_names("huggingface_hub>=1.31,<3", RELIED_ON, HubError, "client-unsupported")

from huggingface_hub import constants, errors, file_download  # noqa: E402
from huggingface_hub.lfs import post_lfs_batch_info  # noqa: E402
from huggingface_hub.utils import _http, build_hf_headers  # type: ignore[attr-defined]  # noqa: E402

__all__ = ["build_hf_headers", "link_content", "mark_present", "repo_storage", "requests_watched", "set_sha256"]

_lock = threading.Lock()
_blocks = 0
"""Number of running blocks of `requests_watched`, in all threads."""


def repo_storage(cache_dir: Path | None, repo_id: str) -> Path:
    """Return the folder of a model's repo in the client's cache, which has `blobs/` and `snapshots/`."""
    folder = file_download.repo_folder_name(repo_id=repo_id, repo_type="model")
    return Path(cache_dir or constants.HF_HUB_CACHE) / folder


def link_content(blob: Path, pointer: Path) -> None:
    """Make a file of a snapshot a link to its content, or a copy where there are no links."""
    file_download._create_symlink(str(blob), str(pointer))


def set_sha256(operation: CommitOperationAdd, sha256: str) -> None:
    """Give an upload the hash of its file, so that the client does not read the file for it."""
    operation.upload_info.sha256 = bytes.fromhex(sha256)


def mark_present(operations: Sequence[CommitOperationAdd], api: HfApi, repo_id: str) -> set[str]:
    """Make the client skip uploads whose content the hub has, and return their paths.

    `preupload_lfs_files` looks for them only without Xet. With Xet it reads every file, and sends again what another
    machine or a killed push has sent: it skips only what its own cache knows.
    """
    answers, _, _ = post_lfs_batch_info(
        [one.upload_info for one in operations],
        token=api.token,  # type: ignore[arg-type]  # False: none, where None would send that of huggingface.co
        repo_type="model",
        repo_id=repo_id,
        endpoint=api.endpoint,
    )
    known = {answer["oid"] for answer in answers if not answer.get("actions")}
    present = [one for one in operations if one.upload_info.sha256.hex() in known]
    for one in present:
        one._upload_mode, one._is_uploaded = "lfs", True
    return {one.path_in_repo for one in present}


@contextmanager
def requests_watched(
    watch: Callable[[Any], None], is_local: Callable[[Any], bool], send: Callable[[Callable[[], Any], Any], Any]
) -> Iterator[None]:
    """Call `watch` with every request of huggingface_hub before it is sent, for the block, in all threads.

    Session and factory stay the caller's: they are changed in place, and restored when the last block ends. The
    documented way would close the session, which other threads may use.

    Args:
        watch: raises if a request must not be sent.
        is_local: whether a request goes to a hub that needs no network, so that HF_HUB_OFFLINE does not apply.
        send: gets a function that sends a request once, and the request; returns the answer.
    """
    global _blocks

    def hooked(session: Any) -> Any:
        hooks = session.event_hooks["request"]
        if not any(isinstance(hook, _Hook) for hook in hooks):
            hooks[:] = [_Hook(watch, is_local, original) for original in (*hooks, None)]
            session.send = _Sender(session.send, send)
        return session

    with _lock:
        _blocks += 1
        with _http._CLIENT_LOCK:  # no session is made meanwhile
            if not isinstance(_http._GLOBAL_CLIENT_FACTORY, _Factory):
                _http._GLOBAL_CLIENT_FACTORY = _Factory(_http._GLOBAL_CLIENT_FACTORY, hooked)
            session = _http._GLOBAL_CLIENT
        if session is not None:
            hooked(session)
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                _restore()


class _Factory:
    """Makes sessions with the caller's factory, and adds our hooks."""

    def __init__(self, original: Callable[[], Any], hooked: Callable[[Any], Any]) -> None:
        self.original, self._hooked = original, hooked

    def __call__(self) -> Any:
        return self._hooked(self.original())


class _Hook:
    """A hook of a session: a wrapper of the caller's, which must not refuse requests to a local hub, or the watch."""

    def __init__(self, watch: Callable[[Any], None], is_local: Callable[[Any], bool], original: Any) -> None:
        self._watch, self._is_local, self.original = watch, is_local, original

    def __call__(self, request: Any) -> None:
        try:
            (self.original or self._watch)(request)
        except errors.OfflineModeIsEnabled:
            if not self._is_local(request):
                raise


class _Sender:
    """The `send` of a session, by way of ours. A session that a lost connection closed is replaced by its successor."""

    def __init__(self, original: Callable[..., Any], send: Callable[[Callable[[], Any], Any], Any]) -> None:
        self.original, self._send = original, send

    def __call__(self, request: Any, **options: Any) -> Any:
        return self._send(lambda: self._attempt(request, options), request)

    def _attempt(self, request: Any, options: dict[str, Any]) -> Any:
        is_closed = getattr(getattr(self.original, "__self__", None), "is_closed", False)
        send = _http.get_session().send if is_closed else self.original
        return getattr(send, "original", send)(request, **options)


def _restore() -> None:
    with _http._CLIENT_LOCK:
        if isinstance(_http._GLOBAL_CLIENT_FACTORY, _Factory):
            _http._GLOBAL_CLIENT_FACTORY = _http._GLOBAL_CLIENT_FACTORY.original
        session = _http._GLOBAL_CLIENT
    if session is not None:
        hooks = session.event_hooks["request"]
        originals = [hook.original if isinstance(hook, _Hook) else hook for hook in hooks]
        hooks[:] = [hook for hook in originals if hook is not None]
        session.send = getattr(session.send, "original", session.send)  # type: ignore[method-assign]
