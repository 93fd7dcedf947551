"""A token goes to the hub that it was given for, and is written nowhere."""

from collections.abc import Callable

from mixhub.hubserver import serve
from tests.adopted import adopted_workspace
from tests.hub.wires import wire

SAVED, GIVEN = "hf_saved_for_huggingface", "given_for_one_hub"


def heard(by: bytearray) -> Callable[[bytes], bool]:
    """Keeps all that passes."""

    def passes(data: bytes) -> bool:
        by.extend(data)
        return True

    return passes


def test_tokens_go_where_they_were_given_for_and_stay_nowhere(tmp_path, mixhub):
    workspace = adopted_workspace(tmp_path, seeds=[1])
    first, second = bytearray(), bytearray()
    said = ""
    with (
        serve(tmp_path / "staging") as staging,
        serve(tmp_path / "public") as public,
        wire(staging.url, heard(first)) as one,
        wire(public.url, heard(second)) as two,
    ):
        environ = {"HF_TOKEN": SAVED, "MIXHUB_HUB": one, "MIXHUB_TOKEN": GIVEN, "HF_DEBUG": "1"}
        for command in (
            ("push", "--all"),
            ("verify",),
            ("push", "--all", "--from", one, "--hub", two),
            ("generate", "--seed", 1, "the", "--hub", two, "--tokens", 2),
            ("push", "--seed", 1, "--hub", "http://127.0.0.1:9"),
        ):
            done = mixhub(*command, cwd=workspace.root, **environ)
            said += done.stdout + done.stderr
            assert done.returncode == (2 if "http://127.0.0.1:9" in command else 0), done.stderr
    assert GIVEN.encode() in first
    for token in (SAVED, GIVEN):
        assert token not in said
        assert token.encode() not in second
        assert not [
            path
            for path in tmp_path.rglob("*")
            if path.is_file() and not path.is_symlink() and token.encode() in path.read_bytes()
        ]
    assert SAVED.encode() not in first
