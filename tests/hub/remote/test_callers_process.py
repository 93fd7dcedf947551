"""What belongs to the caller's process is as before when a call of the library ends; other threads notice nothing."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import transformers
from huggingface_hub import close_session, constants, get_session, set_client_factory
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import _http, are_progress_bars_disabled

import mixhub
from mixhub.endpoint import Endpoint, HubChoice
from mixhub.errors import ExportError, HubError, HubUnreachableError, RevisionNotFoundError
from mixhub.hub.publish.branch_plans import plan_run
from mixhub.hub.publish.plan import PushOptions
from mixhub.hub.publish.push import push_plan
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.remote.tokens import token_guard
from mixhub.hubserver import serve
from tests.hub.wires import heard, wire
from tests.made import copied
from tests.refusals import refused


def state() -> dict[str, Any]:
    """What others in the process may rely on."""
    session = get_session()
    loggers = {"": logging.root, **logging.root.manager.loggerDict}
    return {
        "factory": _http._GLOBAL_CLIENT_FACTORY,
        "session": (id(session), session.is_closed),
        "hooks": {kind: list(hooks) for kind, hooks in session.event_hooks.items()},
        "environment": dict(os.environ),
        "constants": {name: value for name, value in vars(constants).items() if name.isupper()},
        "bars": (dict(sys.modules["huggingface_hub.utils.tqdm"].progress_bar_states), are_progress_bars_disabled()),
        "bars of transformers": transformers.utils.logging.is_progress_bar_enabled(),
        "verbosity of transformers": transformers.utils.logging.get_verbosity(),
        "loggers": {
            name: (logger.level, list(logger.handlers), logger.propagate, logger.disabled)
            for name, logger in loggers.items()
            if isinstance(logger, logging.Logger)
        },
        "warnings": list(warnings.filters),
        "folder": os.getcwd(),  # noqa: PTH109 - the text, as others see it
    }


@contextmanager
def unchanged() -> Iterator[None]:
    """Fails when the block leaves anything of the process other than it was; new loggers are none of the old ones."""
    before = state()
    yield
    after = state()
    after["loggers"] = {name: after["loggers"].get(name) for name in before["loggers"]}
    changed = {name: (before[name], after[name]) for name in before if after[name] != before[name]}
    changed |= {
        f"logger {name!r}": (was, after["loggers"][name])
        for name, was in before["loggers"].items()
        if after["loggers"][name] != was
    }
    assert not changed


@pytest.fixture
def workspace(made, tmp_path):
    return copied(made, tmp_path)


def test_public_calls_leave_the_process_as_it_was(workspace, tmp_path):
    state()  # a session, and what is imported with it
    with serve(tmp_path / "public") as public:
        for call in (
            lambda: mixhub.check(workspace, all=True),
            lambda: mixhub.push(workspace, all=True, options=PushOptions(samples=True, tag="v1")),
            lambda: mixhub.verify(workspace, deep=True),
            lambda: mixhub.load("tiny", seed=1, workspace=workspace.root, verify=True),
            lambda: mixhub.promote(workspace, "local", hub=public.url, all=True),
            lambda: mixhub.load("tiny", seed=2, workspace=workspace.root, hub=public.url, token="given"),
            lambda: mixhub.withdraw(workspace, "bad", seed=2),
            lambda: mixhub.generate(workspace, "the", seed=1),
        ):
            with unchanged():
                assert call()


def test_errors_leave_the_process_as_it_was(workspace):
    state()
    family = workspace.family()
    with unchanged(), pytest.raises(HubUnreachableError):
        mixhub.load("human-1b", seed=1, hub="http://127.0.0.1:9")
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        push_plan(plan_run(workspace, family, family.run(seed=1), endpoint), workspace, endpoint)
        with unchanged(), pytest.raises(RevisionNotFoundError):
            mixhub.load("tiny", seed=2, workspace=workspace.root)
        with unchanged(), pytest.raises(ExportError):
            mixhub.load("tiny", revision="main", workspace=workspace.root)
        other = Endpoint(endpoint.url, False, endpoint.cache_dir)
        plan = plan_run(workspace, family, family.run(seed=2), endpoint)
        with unchanged(), pytest.raises(HubError):
            push_plan(plan, workspace, other)
        with unchanged(), pytest.raises(KeyboardInterrupt), token_guard(endpoint):
            raise KeyboardInterrupt


def test_the_session_and_factory_of_the_caller_are_used_and_kept(workspace):
    """A caller may have a factory of its own, as behind a proxy that wants a certificate."""
    asked: list[str] = []
    seen: set[tuple[int, bool]] = set()

    def watch(request: Any) -> None:
        asked.append(str(request.url))
        seen.add((id(get_session()), bool(constants.HF_HUB_OFFLINE)))

    def factory() -> Any:
        session = _http.default_client_factory()
        session.event_hooks["request"].append(watch)
        return session

    set_client_factory(factory)
    try:
        session = get_session()
        with unchanged(), open_hub(HubChoice("local", "the test"), workspace) as endpoint:
            plan = plan_run(workspace, workspace.family(), workspace.family().run(seed=1), endpoint)
            push_plan(plan, workspace, endpoint)
        assert len(asked) > 5
        assert seen == {(id(session), False)}
        assert _http._GLOBAL_CLIENT_FACTORY is factory
    finally:
        set_client_factory(_http.default_client_factory)


@pytest.mark.parametrize("when", ["made before", "made in the block", "made after it was closed"])
def test_every_session_of_a_block_looks_at_tokens(tmp_path, when):
    heard_there = bytearray()
    if when == "made in the block":
        close_session()
    else:
        get_session()
    with serve(tmp_path / "hub") as hub, wire(hub.url, heard(heard_there)) as elsewhere:
        headers = {"authorization": "Bearer given"}
        with token_guard(Endpoint(hub.url, "given")):
            if when == "made after it was closed":
                get_session()
                close_session()
            with refused("token-misdirected", HubError, endpoint=hub.url, host=elsewhere):
                get_session().get(f"{elsewhere}/x", headers=headers)
            with token_guard(Endpoint(hub.url, "given")):
                get_session().get(f"{hub.url}/x", headers=headers)
            with refused("token-misdirected"):
                get_session().get(f"{elsewhere}/x", headers=headers)
        assert get_session().event_hooks["request"] == [_http.hf_request_event_hook]
        assert _http._GLOBAL_CLIENT_FACTORY is _http.default_client_factory
        assert not heard_there
        get_session().get(f"{elsewhere}/x", headers=headers)
        assert b"given" in heard_there


def test_a_factory_that_somebody_sets_meanwhile_stays(tmp_path):
    def factory() -> Any:
        return _http.default_client_factory()

    try:
        with serve(tmp_path / "hub") as hub:
            with token_guard(Endpoint(hub.url, "given")):
                set_client_factory(factory)
                with token_guard(Endpoint(hub.url, "given")), refused("token-misdirected"):
                    get_session().get("http://127.0.0.1:9/", headers={"authorization": "Bearer given"})
            assert _http._GLOBAL_CLIENT_FACTORY is factory
            assert get_session().event_hooks["request"] == [_http.hf_request_event_hook]
    finally:
        set_client_factory(_http.default_client_factory)


def test_other_threads_stay_offline_while_the_embedded_hub_is_asked(workspace, tmp_path, monkeypatch):
    heard_there = bytearray()
    refusals: list[type[Exception]] = []

    def ask_elsewhere(url: str) -> None:
        try:
            get_session().get(url)
        except OfflineModeIsEnabled as error:
            refusals.append(type(error))

    with serve(tmp_path / "hub") as hub, wire(hub.url, heard(heard_there)) as elsewhere:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with open_hub(HubChoice("local", "the test"), workspace) as endpoint, token_guard(endpoint):
            assert get_session().get(f"{endpoint.url}/api/mixhub").status_code == 200
            thread = threading.Thread(target=ask_elsewhere, args=(f"{elsewhere}/api/mixhub",))
            thread.start()
            thread.join()
            assert constants.HF_HUB_OFFLINE
        with pytest.raises(OfflineModeIsEnabled):
            get_session().get(f"{endpoint.url}/api/mixhub")
    assert refusals == [OfflineModeIsEnabled]
    assert not heard_there


@pytest.mark.parametrize(
    ("environ", "is_refused"),
    [
        ({"HTTP_PROXY": "http://127.0.0.1:9"}, True),
        ({"ALL_PROXY": "http://127.0.0.1:9"}, True),
        ({"HTTPS_PROXY": "http://127.0.0.1:9"}, False),
        ({"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "localhost, 127.0.0.1"}, False),
    ],
)
def test_a_proxy_before_the_embedded_hub_is_named_and_the_environment_left_alone(
    workspace, monkeypatch, environ, is_refused
):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    expected = refused("hub-behind-proxy", HubUnreachableError) if is_refused else nullcontext()
    with expected, open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        assert endpoint.url.startswith("http://127.0.0.1:")
    assert dict(os.environ) == before


IMPORTS = """
import logging, os, pkgutil, sys, warnings
from importlib import import_module
environment, filters = dict(os.environ), list(warnings.filters)

import datasets, huggingface_hub, transformers
from huggingface_hub import constants, get_session
from huggingface_hub.utils import _http, are_progress_bars_disabled

session = get_session()
hooks = list(session.event_hooks["request"])
by_vendors = {name: value for name, value in os.environ.items() if environment.get(name) != value}
loggers = {name: one.level for name, one in logging.root.manager.loggerDict.items() if isinstance(one, logging.Logger)}
handlers, filters = list(logging.root.handlers), list(warnings.filters)
bars = are_progress_bars_disabled(), transformers.utils.logging.is_progress_bar_enabled()

import mixhub
names = [one.name for one in pkgutil.walk_packages(mixhub.__path__, "mixhub.") if not one.name.endswith("__main__")]
assert len(names) > 150
for name in names:
    import_module(name)
assert dict(os.environ) == environment | by_vendors, {k: v for k, v in os.environ.items() if environment.get(k) != v}
assert _http._GLOBAL_CLIENT_FACTORY is _http.default_client_factory
assert get_session() is session
assert session.event_hooks["request"] == hooks
assert {name: logging.getLogger(name).level for name in loggers} == loggers
assert logging.root.handlers == handlers
assert not logging.getLogger("mixhub").handlers
assert bars == (are_progress_bars_disabled(), transformers.utils.logging.is_progress_bar_enabled())
print(len([one for one in warnings.filters if one not in filters and "mixhub" in str(one)]))
"""


def test_importing_every_module_changes_nothing():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr
