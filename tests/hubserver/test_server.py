"""Starting and stopping: ports, several processes over one root, signals and kills."""

from __future__ import annotations

import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import CommitOperationAdd, HfApi

import mixhub.hubserver
from mixhub.errors import UsageError, WorkspaceError
from mixhub.hubserver import LOCAL_TOKEN, Store, serve
from tests.refusals import refused

SERVE = """
import sys
from pathlib import Path
from mixhub.hubserver import run_forever
run_forever(Path(sys.argv[1]), on_ready=lambda hub: print(hub.url, hub.beside, flush=True))
print("stopped", flush=True)
"""


@contextmanager
def served(root: Path, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], HfApi]]:
    """A hub in a process of its own, killed at the end if it still runs."""
    command = [sys.executable, "-c", SERVE, str(root)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, HfApi(endpoint=process.stdout.readline().split()[0], token=LOCAL_TOKEN)
        finally:
            process.kill()


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def add(path: str, data: bytes = b"text") -> CommitOperationAdd:
    return CommitOperationAdd(path, data)


def test_the_port_stays_and_so_does_the_store(tmp_path: Path) -> None:
    with serve(tmp_path / "hub") as first:
        pass
    with serve(tmp_path / "hub") as again:
        assert again == first
        with serve(tmp_path / "hub") as beside:
            assert beside.url != first.url
            assert beside.store_id == first.store_id
    with serve(tmp_path / "hub") as again:
        assert again == first
    with serve(tmp_path / "other") as other:
        assert other.store_id != first.store_id


def test_a_stranger_on_the_port_is_evaded(tmp_path: Path) -> None:
    with serve(tmp_path) as first:
        pass
    with socket.create_server(("127.0.0.1", port_of(first.url))), serve(tmp_path) as second:
        assert second.url != first.url
    assert Store.open(tmp_path).port == port_of(first.url)


def test_a_port_in_use_is_a_usage_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with refused("port-in-use", UsageError, host="127.0.0.1", port=port), serve(tmp_path, port=port):
            pass
    with serve(tmp_path, port=port) as hub:
        assert port_of(hub.url) == port


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", None), ("127.0.0.1", 99999)])
def test_an_impossible_address_is_a_usage_error(tmp_path: Path, host: str, port: int | None) -> None:
    with refused("host-unusable", UsageError, host=host), serve(tmp_path, host, port):
        pass


@pytest.mark.parametrize(
    ("identity", "code"),
    [
        ({"format": 2, "store_id": "00" * 8, "port": 1}, "storage-newer"),
        ({"format": 1, "store_id": "../x", "port": 1}, "storage-damaged"),
        ({"format": 1, "store_id": "00" * 8, "port": "x"}, "storage-damaged"),
        ({"format": 1, "store_id": "00" * 8, "port": 65536}, "storage-damaged"),
        ([], "storage-damaged"),
    ],
)
def test_a_root_that_cannot_be_read_is_refused(tmp_path: Path, identity: object, code: str) -> None:
    (tmp_path / "store.json").write_text(json.dumps(identity))
    with refused(code, WorkspaceError, path=tmp_path / "store.json") as caught, serve(tmp_path):
        pass
    assert caught.value.hint
    assert json.loads((tmp_path / "store.json").read_text()) == identity


def test_a_root_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    root = tmp_path / "file" / "hub"
    with refused("storage-unwritable", WorkspaceError, path=root), serve(root):
        pass


def test_stopping_does_not_wait_for_clients(tmp_path: Path) -> None:
    before = threading.active_count()
    with serve(tmp_path) as hub:
        api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
        api.whoami()  # the client keeps its connection open
        idle = socket.create_connection(("127.0.0.1", port_of(hub.url)))
        started = time.monotonic()
    idle.close()
    assert time.monotonic() - started < 3
    assert threading.active_count() <= before + 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(hub.url)))


def test_a_client_that_goes_away_is_no_error_of_the_hub(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As a killed push does, in the midst of a body: the log of a hub is for what somebody must look at."""
    head = "POST /api/repos/create HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\nContent-Length: 100\r\n\r\n{"
    with serve(tmp_path) as hub:
        with socket.create_connection(("127.0.0.1", port_of(hub.url))) as client:
            client.sendall(head.encode())
        assert HfApi(endpoint=hub.url, token=LOCAL_TOKEN).whoami()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_two_processes_over_one_root_see_each_other(tmp_path: Path, child_environment: dict[str, str]) -> None:
    with serve(tmp_path / "hub") as hub, served(tmp_path / "hub", child_environment) as (_, there):
        here = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
        assert there.endpoint != here.endpoint
        here.create_repo("demo/tiny")
        parent = there.repo_info("demo/tiny").sha
        data = np.random.default_rng(2).bytes(100_000)
        made = there.create_commit("demo/tiny", [add("a.bin", data)], commit_message="there", parent_commit=parent)
        assert here.repo_info("demo/tiny").sha == made.oid
        assert Path(here.hf_hub_download("demo/tiny", "a.bin", cache_dir=tmp_path / "cache")).read_bytes() == data
        won = race([here, there] * 4, parent=made.oid)
        assert won == [here.repo_info("demo/tiny").sha] == [there.repo_info("demo/tiny").sha]


def race(writers: list[HfApi], parent: str) -> list[str]:
    """Commits from all at once on one parent; returns the commits that were made."""
    won: list[str] = []

    def write(number: int, api: HfApi) -> None:
        try:
            done = api.create_commit(
                "demo/tiny", [add(f"{number}.txt", b"%d" % number)], commit_message="race", parent_commit=parent
            )
        except Exception as problem:
            if "412" not in str(problem):
                won.append(repr(problem))
        else:
            won.append(done.oid)

    threads = [threading.Thread(target=write, args=item) for item in enumerate(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


UPLOAD = """
import sys
import numpy as np
from huggingface_hub import CommitOperationAdd, HfApi
data = np.random.default_rng(3).bytes(48_000_000)
HfApi().create_commit("demo/tiny", [CommitOperationAdd("w.bin", data)], commit_message="large")
"""


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_DISABLE_XET": "1"}], ids=["xet", "lfs"])
def test_a_server_killed_during_an_upload_leaves_the_old_commit(
    tmp_path: Path, child_environment: dict[str, str], environment: dict[str, str]
) -> None:
    root = tmp_path / "hub"
    with served(root, child_environment) as (server, api):
        api.create_repo("demo/tiny")
        before = api.create_commit("demo/tiny", [add("a.txt")], commit_message="before").oid
        client_environment = {**child_environment, **environment, "HF_ENDPOINT": api.endpoint}
        with subprocess.Popen(
            [sys.executable, "-c", UPLOAD], env=client_environment, stderr=subprocess.DEVNULL
        ) as client:
            wait_for(lambda: any((root / "uploads").glob("*")))
            server.kill()
            client.kill()
    with serve(root) as hub:
        api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
        assert api.repo_info("demo/tiny").sha == before
        api.create_commit("demo/tiny", [add("b.bin", b"\0after")], commit_message="after")
        assert sorted(api.list_repo_files("demo/tiny")) == [".gitattributes", "a.txt", "b.bin"]


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_old_leftovers_of_uploads_are_swept_and_young_ones_are_not(tmp_path: Path) -> None:
    import os

    store = Store.open(tmp_path)
    store.uploads.mkdir()
    for name, age in (("old", 48 * 3600), ("young", 60)):
        (store.uploads / name).write_bytes(b"x")
        os.utime(store.uploads / name, (time.time() - age,) * 2)
    with serve(tmp_path):
        assert [path.name for path in store.uploads.iterdir()] == ["young"]


def serve_alone(command: list[str], environment: dict[str, str]) -> str:
    """What the only server of a storage says of others."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        beside = server.stdout.readline().split()[1]
        server.terminate()
    return beside


def test_a_second_server_of_a_storage_names_the_first(tmp_path: Path, child_environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", SERVE, str(tmp_path / "hub")]
    with (
        served(tmp_path / "hub", child_environment) as (_, first),
        subprocess.Popen(command, env=child_environment, stdout=subprocess.PIPE, text=True) as second,
    ):
        assert second.stdout is not None
        url, beside = second.stdout.readline().split()
        first.create_repo("demo/tiny")
        assert HfApi(endpoint=url, token=LOCAL_TOKEN).repo_exists("demo/tiny"), "they share it"
        second.terminate()
    assert (beside, url) == (first.endpoint, url)
    assert url != beside
    assert serve_alone(command, child_environment) == "None"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_run_forever_in_good_order(
    tmp_path: Path, child_environment: dict[str, str], number: signal.Signals
) -> None:
    with served(tmp_path / "hub", child_environment) as (server, api):
        api.create_repo("demo/tiny")
        server.send_signal(number)
        assert server.stdout is not None
        assert server.stdout.read() == "stopped\n"
        assert server.wait() == 0


def test_the_package_is_imported_without_its_vendors(child: Callable[..., str]) -> None:
    code = "import sys, mixhub.hubserver; print([m for m in ('starlette', 'pygit2', 'uvicorn') if m in sys.modules])"
    assert child(code).strip() == "[]"
    for name in dir(mixhub.hubserver):
        assert getattr(mixhub.hubserver, name) is not None
    assert {"RunningHub", "Store", "import_folder", "run_forever", "serve"} < set(dir(mixhub.hubserver))
    with pytest.raises(AttributeError):
        _ = mixhub.hubserver.nothing
