"""What mixhub takes of huggingface_hub beyond its documentation is there, or is refused by name."""

from importlib.metadata import version

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.utils import _http

from mixhub.errors import HubError
from mixhub.hub.remote import huggingface_private
from mixhub.hub.remote.huggingface_private import RELIED_ON, set_sha256
from mixhub.workspace.vendors import require_names
from tests.refusals import refused


def test_the_installed_version_has_it_all():
    require_names("huggingface_hub>=1", RELIED_ON, HubError, "client-unsupported")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("huggingface_hub.utils._http", "_GLOBAL_CLIENT_FACTORIES"),
        ("huggingface_hub.no_such_module", "x"),
        ("huggingface_hub", "CommitOperationAdd._upload_ways"),
    ],
)
def test_a_version_without_it_is_named_with_what_it_lacks(module, name):
    relied_on = {"huggingface_hub": ("CommitOperationAdd",), module: (name,)}
    names, installed = [f"{module}.{name}"], version("huggingface_hub")
    with refused("client-unsupported", HubError, version=installed, names=names) as caught:
        require_names("huggingface_hub>=1", relied_on, HubError, "client-unsupported")
    assert installed in caught.value.message
    assert names[0] in caught.value.message


def test_each_name_that_is_checked_is_one_that_is_used():
    """The check of a name that is used no more would refuse a version for nothing."""
    with open(huggingface_private.__file__, encoding="utf-8") as file:  # noqa: PTH123
        source = file.read().partition("require_names(")[2]
    for names in RELIED_ON.values():
        for name in names:
            assert name.rpartition(".")[2] in source.partition("__all__")[2], name


def test_a_hash_that_is_given_is_not_computed(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    operation = CommitOperationAdd("weights.safetensors", str(path))
    set_sha256(operation, "ab" * 32)
    assert operation.upload_info.sha256.hex() == "ab" * 32


def test_hooks_of_the_caller_run_in_their_order_and_stay_in_place():
    from huggingface_hub import get_session

    from mixhub.endpoint import Endpoint
    from mixhub.hub.remote.tokens import token_guard

    hooks = get_session().event_hooks["request"]
    before, called = list(hooks), []

    def first(request: object) -> None:
        called.append("first")

    def second(request: object) -> None:
        called.append("second")

    hooks += [first, second]
    try:
        with token_guard(Endpoint("http://127.0.0.1:9", "given")), pytest.raises(Exception, match="refused"):
            get_session().get("http://127.0.0.1:9/x")
        assert called == ["first", "second"]
        assert get_session().event_hooks["request"] == [*before, first, second]
        assert _http._GLOBAL_CLIENT_FACTORY is _http.default_client_factory
    finally:
        hooks[:] = before
