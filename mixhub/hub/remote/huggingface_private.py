"""The wall to huggingface_hub: what mixhub takes from it that its documentation does not promise.

All names are checked when this module is imported, so that another version is refused with one error instead of
failing, or sending a token, somewhere in a push. The import takes a moment: other modules import this one inside
functions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from mixhub.errors import HubError

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

_RELIED_ON = {
    "huggingface_hub": ("CommitOperationAdd._is_uploaded", "CommitOperationAdd._upload_mode"),
    "huggingface_hub.lfs": ("UploadInfo.sha256", "post_lfs_batch_info"),
    "huggingface_hub.utils": ("build_hf_headers",),
    "huggingface_hub.utils._http": ("_CLIENT_LOCK", "_GLOBAL_CLIENT", "_GLOBAL_CLIENT_FACTORY"),
}
"""By module, the names that must be there: of functions, of classes with their attributes, and of module variables."""


def missing_names() -> list[str]:
    """The names that mixhub relies on and the installed huggingface_hub lacks, sorted."""
    return sorted(f"{module}.{name}" for module, names in _RELIED_ON.items() for name in names if _lacks(module, name))


def _lacks(module: str, name: str) -> bool:
    try:
        value: Any = import_module(module)
        for part in name.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError):
        return True
    return False


def require_names() -> None:
    """Raises HubError with all names that the installed huggingface_hub lacks."""
    if names := missing_names():
        installed = version("huggingface_hub")
        raise HubError(
            f"huggingface_hub {installed}: lacks what mixhub relies on: {', '.join(names)}",
            code="client-unsupported",
            hint="pip install 'huggingface_hub>=1.31,<3'; if it is in that range, report it to mixhub",
            version=installed,
            names=tuple(names),
        )


require_names()

from huggingface_hub import errors  # noqa: E402
from huggingface_hub.lfs import post_lfs_batch_info  # noqa: E402
from huggingface_hub.utils import _http, build_hf_headers  # type: ignore[attr-defined]  # noqa: E402

__all__ = ["build_hf_headers", "mark_present", "missing_names", "requests_watched", "require_names", "set_sha256"]

_lock = threading.Lock()
_blocks = 0
"""How many blocks of `requests_watched` there are now, in all threads."""


def set_sha256(operation: CommitOperationAdd, sha256: str) -> None:
    """Gives an upload the hash of its file, which the client else reads the file for."""
    operation.upload_info.sha256 = bytes.fromhex(sha256)


def mark_present(operations: Sequence[CommitOperationAdd], api: HfApi, repo_id: str) -> set[str]:
    """Looks which uploads a hub has the content of, and has the client leave them out; their paths.

    `preupload_lfs_files` alone looks only where Xet is not used. By Xet it reads every file, and sends again what
    another machine, or a push that was killed, has brought: only what its own cache knows is left out.
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
def requests_watched(watch: Callable[[Any], None], is_local: Callable[[Any], bool]) -> Iterator[None]:
    """Has `watch` look at every request of huggingface_hub before it is sent, for the block, in all threads.

    The session stays the caller's, and so does the factory of those that take its place; they are changed in place,
    and are as before when the last block ends. A documented way would close the session, which other threads may use.

    Args:
        watch: raises where a request must not be sent.
        is_local: whether a request goes to a hub that needs no network, for which HF_HUB_OFFLINE does not count.
    """
    global _blocks
    with _lock:
        _blocks += 1
        _change(watch, is_local)
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                _change_back()


class _Factory:
    """Makes sessions as the caller's factory does, with our hooks."""

    def __init__(self, before: Callable[[], Any], hooked: Callable[[Any], Any]) -> None:
        self.before, self._hooked = before, hooked

    def __call__(self) -> Any:
        return self._hooked(self.before())


class _Watch:
    """Our hook of a session; the last."""

    def __init__(self, watch: Callable[[Any], None]) -> None:
        self._watch = watch

    def __call__(self, request: Any) -> None:
        self._watch(request)


class _Lenient:
    """A hook of a session, which may not refuse a request to a hub that needs no network."""

    def __init__(self, hook: Callable[[Any], Any], is_local: Callable[[Any], bool]) -> None:
        self.hook, self._is_local = hook, is_local

    def __call__(self, request: Any) -> None:
        try:
            self.hook(request)
        except errors.OfflineModeIsEnabled:
            if not self._is_local(request):
                raise


def _change(watch: Callable[[Any], None], is_local: Callable[[Any], bool]) -> None:
    def hooked(session: Any) -> Any:
        hooks = session.event_hooks["request"]
        if not any(isinstance(hook, _Watch) for hook in hooks):
            hooks[:] = [*(_Lenient(hook, is_local) for hook in hooks), _Watch(watch)]
        return session

    with _http._CLIENT_LOCK:  # no session is made meanwhile
        if not isinstance(_http._GLOBAL_CLIENT_FACTORY, _Factory):
            _http._GLOBAL_CLIENT_FACTORY = _Factory(_http._GLOBAL_CLIENT_FACTORY, hooked)
        session = _http._GLOBAL_CLIENT
    if session is not None:
        hooked(session)


def _change_back() -> None:
    with _http._CLIENT_LOCK:
        if isinstance(_http._GLOBAL_CLIENT_FACTORY, _Factory):
            _http._GLOBAL_CLIENT_FACTORY = _http._GLOBAL_CLIENT_FACTORY.before
        session = _http._GLOBAL_CLIENT
    if session is not None:
        hooks = session.event_hooks["request"]
        hooks[:] = [hook.hook if isinstance(hook, _Lenient) else hook for hook in hooks if not isinstance(hook, _Watch)]
