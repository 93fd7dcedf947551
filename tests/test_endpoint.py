"""The choice of the hub and its token."""

import pytest

from mixhub.endpoint import HUGGINGFACE, Endpoint, cache_name, choose_hub
from mixhub.errors import UsageError
from tests.refusals import refused

ALL = {"MIXHUB_HUB": "http://env", "HF_ENDPOINT": "http://hf"}


@pytest.mark.parametrize(
    ("option", "environ", "workspace", "value", "source"),
    [
        ("http://option/", ALL, "http://file", "http://option", "--hub"),
        (None, ALL, "http://file", "http://env", "MIXHUB_HUB"),
        (None, {"HF_ENDPOINT": "http://hf"}, "local", "local", "mixhub.yaml"),
        (None, {"HF_ENDPOINT": "http://hf/"}, None, "http://hf", "HF_ENDPOINT"),
        (None, {"MIXHUB_HUB": ""}, None, HUGGINGFACE, "the default"),
    ],
)
def test_the_order(option, environ, workspace, value, source):
    choice = choose_hub(option, environ, workspace)
    assert (choice.value, choice.source) == (value, source)


def test_a_token_goes_to_the_hub_that_it_was_given_for():
    environ = {"MIXHUB_HUB": "http://env", "MIXHUB_TOKEN": "secret", "HF_TOKEN": "other"}
    assert choose_hub(None, environ, None).token == "secret"
    assert choose_hub("http://elsewhere", environ, None).token is False
    assert choose_hub(HUGGINGFACE, environ, None).token is None
    assert choose_hub(None, {"MIXHUB_HUB": f"{HUGGINGFACE}/", "MIXHUB_TOKEN": "secret"}, None).token == "secret"
    assert choose_hub("https://HuggingFace.co/", {}, None).token is None
    assert choose_hub(None, {"MIXHUB_TOKEN": "secret"}, "http://file").token is False
    assert choose_hub(None, {"HF_ENDPOINT": "http://hf", "HF_TOKEN": "other"}, None).token is False


def test_a_token_is_never_shown():
    choice = choose_hub(None, {"MIXHUB_HUB": "http://env", "MIXHUB_TOKEN": "secret"}, None)
    assert "secret" not in repr(choice) + str(choice)
    assert "secret" not in repr(Endpoint("http://env", "secret")) + str(Endpoint("http://env", "secret"))


@pytest.mark.parametrize(
    "value", ["loca", "ftp://x", "http://", "example.com", "http://x?y", "http://x#y", "http://x:y"]
)
def test_what_is_no_hub_is_refused(value):
    with refused("hub-address", UsageError, source="--hub", value=value):
        choose_hub(value, {}, None)


@pytest.mark.parametrize("user", ["me:hunter2", ":hunter2", "hunter2"])
def test_a_user_or_a_password_is_refused_and_not_repeated(user):
    with refused("hub-password", UsageError, source="--hub") as caught:
        choose_hub(f"http://{user}@x", {}, None)
    assert "hunter2" not in str(caught.value) + str(caught.value.to_data())


def test_cache_names_tell_hubs_apart():
    assert cache_name("http://127.0.0.1:8000") == "127.0.0.1-8000"
    assert cache_name("https://hub.example/x") == "hub.example-x"


@pytest.mark.parametrize("token", ["hf_sécret", "hf se cret", " "])
def test_what_can_be_no_token_is_refused_and_not_shown(token):
    environ = {"MIXHUB_HUB": "http://127.0.0.1:1", "MIXHUB_TOKEN": token}
    with refused("token-malformed", UsageError, source="MIXHUB_TOKEN") as caught:
        choose_hub(None, environ, None)
    assert "cret" not in str(caught.value) + str(caught.value.to_data())


def test_white_space_around_a_token_is_dropped():
    environ = {"MIXHUB_HUB": "http://127.0.0.1:1"}
    assert choose_hub(None, environ | {"MIXHUB_TOKEN": " hf_good\n"}, None).token == "hf_good"
