"""The JSON API, as the unchanged client speaks it."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    get_session,
)
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mixhub.hubserver import LOCAL_TOKEN, RunningHub
from mixhub.hubserver.storage.blobs import Blobs
from mixhub.hubserver.storage.storage import Store


def add(path: str, content: bytes = b"text") -> CommitOperationAdd:
    return CommitOperationAdd(path, content)


def commit(api: HfApi, repo: str, operations: Sequence[Any], **options: Any) -> CommitInfo:
    return api.create_commit(repo, operations, commit_message=options.pop("message", "change"), **options)


def send_commit(hub: RunningHub, repo: str, *lines: dict[str, Any], branch: str = "main") -> Any:
    """Sends a commit that the client itself would refuse to send."""
    header = {"key": "header", "value": {"summary": "raw", "description": ""}}
    body = "\n".join(json.dumps(line) for line in [header, *lines])
    return get_session().post(
        f"{hub.url}/api/models/{repo}/commit/{branch}",
        content=body.encode(),
        headers={"Authorization": f"Bearer {LOCAL_TOKEN}", "Content-Type": "application/x-ndjson"},
    )


def put(path: str, content: str = "aGVsbG8=") -> dict[str, Any]:
    return {"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}}


def test_whoami_names_the_user_and_every_namespace(api: HfApi, repo: str) -> None:
    answer = api.whoami()
    assert answer["name"] == "local"
    assert [org["name"] for org in answer["orgs"]] == ["demo"]


@pytest.mark.parametrize("repo_type", ["model", "dataset"])
def test_repo_lives_from_creation_to_deletion(api: HfApi, hub: RunningHub, repo_type: str) -> None:
    url = api.create_repo("demo/one", repo_type=repo_type)
    assert (url.repo_id, url.repo_type, url.endpoint) == ("demo/one", repo_type, hub.url)
    assert api.repo_info("demo/one", repo_type=repo_type).id == "demo/one"
    assert api.list_repo_files("demo/one", repo_type=repo_type) == [".gitattributes"]
    api.delete_repo("demo/one", repo_type=repo_type)
    with pytest.raises(RepositoryNotFoundError):
        api.repo_info("demo/one", repo_type=repo_type)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("demo/one", repo_type=repo_type)


def test_models_and_datasets_have_names_of_their_own(api: HfApi, repo: str) -> None:
    assert not api.repo_exists(repo, repo_type="dataset")
    api.create_repo(repo, repo_type="dataset")
    api.delete_repo(repo)
    assert api.repo_exists(repo, repo_type="dataset")


def test_creating_a_repo_twice_conflicts_unless_it_may_exist(api: HfApi, repo: str) -> None:
    assert api.create_repo(repo, exist_ok=True).repo_id == repo
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo(repo)
    assert caught.value.response.status_code == 409


def test_a_repo_without_namespace_is_the_users(api: HfApi) -> None:
    assert api.create_repo("mine").repo_id == "local/mine"


def test_writing_without_a_token_is_refused_and_reading_is_not(api: HfApi, hub: RunningHub, repo: str) -> None:
    stranger = HfApi(endpoint=hub.url, token=False)
    assert stranger.list_repo_files(repo) == [".gitattributes"]
    for attempt in (
        lambda: stranger.create_repo("demo/other"),
        lambda: stranger.delete_repo(repo),
        lambda: stranger.create_branch(repo, branch="b"),
        lambda: stranger.create_tag(repo, tag="t"),
        lambda: stranger.whoami(),
        lambda: commit(stranger, repo, [add("a.txt")]),
        lambda: stranger.auth_check(repo, write=True),
    ):
        with pytest.raises(Exception, match=r"401|token") as caught:
            attempt()
        assert not isinstance(caught.value, RepositoryNotFoundError)
    assert api.list_repo_files(repo) == [".gitattributes"]


@pytest.mark.parametrize("path", ["agent-harnesses", "spaces", "model", "models/"])
def test_an_empty_hub_lists_models_and_datasets_alone(hub: RunningHub, path: str) -> None:
    """Clients ask an endpoint for more than repos at their start, and a list would crash them."""
    assert get_session().get(f"{hub.url}/api/{path}").status_code == 404
    for kind in ("models", "datasets"):
        assert get_session().get(f"{hub.url}/api/{kind}").json() == []


def test_models_are_listed_and_filtered(api: HfApi, repo: str) -> None:
    api.create_repo("other/large")
    assert [model.id for model in api.list_models()] == ["demo/tiny", "other/large"]
    assert [model.id for model in api.list_models(author="other")] == ["other/large"]
    assert [model.id for model in api.list_models(search="TINY")] == ["demo/tiny"]
    assert list(api.list_datasets()) == []


def test_info_carries_the_card_and_the_files(api: HfApi, repo: str) -> None:
    card = b"---\ntags: [mixture]\nlibrary_name: transformers\ndate: 2024-01-01\n2024-01-02: x\n---\n# Tiny\n"
    made = commit(api, repo, [add("README.md", card), add("model.safetensors", b"\0" * 2000)])
    info = api.model_info(repo, files_metadata=True, securityStatus=True)
    assert info.sha == made.oid
    assert info.tags == ["mixture"]
    assert info.library_name == "transformers"
    assert info.siblings is not None
    files = {file.rfilename: file for file in info.siblings}
    assert files["README.md"].size == len(card)
    assert files["model.safetensors"].size == 2000
    assert files["model.safetensors"].lfs is not None
    assert files["model.safetensors"].lfs.size == 2000
    assert api.model_info(repo, expand=["sha"]).sha == made.oid


def test_a_branch_takes_commits_of_its_own(api: HfApi, repo: str) -> None:
    first = api.list_repo_commits(repo)[-1].commit_id
    api.create_branch(repo, branch="seed-1", revision=first)
    made = commit(api, repo, [add("a.txt")], revision="seed-1", message="seed one")
    branches = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo).branches}
    assert branches == {"main": first, "seed-1": made.oid}
    assert [item.title for item in api.list_repo_commits(repo, revision="seed-1")] == ["seed one", "initial commit"]
    assert api.list_repo_files(repo) == [".gitattributes"]
    assert api.list_repo_files(repo, revision=made.oid) == [".gitattributes", "a.txt"]


@pytest.mark.parametrize("branch", ["stage1/step-3", "a%b", "größe", "v1.0+cuda"])
def test_a_branch_name_is_taken_as_it_is(api: HfApi, repo: str, branch: str) -> None:
    api.create_branch(repo, branch=branch)
    commit(api, repo, [add("dir/a.txt")], revision=branch)
    assert branch in {ref.name for ref in api.list_repo_refs(repo).branches}
    assert api.list_repo_files(repo, revision=branch) == [".gitattributes", "dir/a.txt"]
    assert [item.path for item in api.list_repo_tree(repo, "dir", revision=branch)] == ["dir/a.txt"]
    api.delete_branch(repo, branch=branch)
    with pytest.raises(RevisionNotFoundError):
        api.list_repo_files(repo, revision=branch)


def test_refs_conflict_and_miss_as_on_the_hub(api: HfApi, repo: str) -> None:
    api.create_branch(repo, branch="b")
    api.create_branch(repo, branch="b", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_branch(repo, branch="b")
    with pytest.raises(RevisionNotFoundError):
        api.create_branch(repo, branch="c", revision="nowhere")
    with pytest.raises(RevisionNotFoundError):
        api.delete_branch(repo, branch="nowhere")
    with pytest.raises(HfHubHTTPError, match="403"):
        api.delete_branch(repo, branch="main")
    with pytest.raises(BadRequestError):  # git keeps b as a file, which cannot be a folder as well
        api.create_branch(repo, branch="b/c")
    with pytest.raises(BadRequestError):
        api.create_branch(repo, branch="a" * 40)
    with pytest.raises(BadRequestError):
        api.create_branch(repo, branch="a..b")


@pytest.mark.parametrize("message", [None, "the first release"])
def test_a_tag_stays_where_it_was_set(api: HfApi, repo: str, message: str | None) -> None:
    made = commit(api, repo, [add("a.txt")])
    api.create_tag(repo, tag="v1", tag_message=message)
    api.create_tag(repo, tag="v1", exist_ok=True)
    commit(api, repo, [add("b.txt")])
    assert [(ref.name, ref.target_commit) for ref in api.list_repo_refs(repo).tags] == [("v1", made.oid)]
    assert api.list_repo_files(repo, revision="v1") == [".gitattributes", "a.txt"]
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(repo, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        commit(api, repo, [add("c.txt")], revision="v1")
    api.delete_tag(repo, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(repo, tag="v1")


def test_tree_lists_folders_and_the_last_commit_of_each_entry(api: HfApi, repo: str) -> None:
    first = commit(api, repo, [add("a/b/c.txt"), add("a/d.bin", b"\0" * 100)], message="first")
    second = commit(api, repo, [add("a/b/e.txt")], message="second")
    flat = {item.path: item for item in api.list_repo_tree(repo, expand=True)}
    assert sorted(flat) == [".gitattributes", "a"]
    assert flat["a"].last_commit is not None
    assert flat["a"].last_commit.oid == second.oid
    deep = {item.path: item for item in api.list_repo_tree(repo, recursive=True, expand=True)}
    assert sorted(deep) == [".gitattributes", "a", "a/b", "a/b/c.txt", "a/b/e.txt", "a/d.bin"]
    assert deep["a/b/c.txt"].last_commit is not None
    assert deep["a/b/c.txt"].last_commit.oid == first.oid
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(repo, "nowhere"))


def test_paths_info_leaves_out_what_is_not_there(api: HfApi, repo: str) -> None:
    commit(api, repo, [add("a/b.txt", b"12345"), add("w.bin", b"\0" * 77)])
    found = {item.path: item for item in api.get_paths_info(repo, ["a", "a/b.txt", "w.bin", "nowhere"], expand=True)}
    assert sorted(found) == ["a", "a/b.txt", "w.bin"]
    assert found["a/b.txt"].size == 5
    assert found["w.bin"].lfs is not None
    assert found["w.bin"].lfs.size == 77
    assert api.file_exists(repo, "a/b.txt")
    assert not api.file_exists(repo, "a/c.txt")


def test_a_commit_has_title_and_description(api: HfApi, repo: str) -> None:
    made = commit(api, repo, [add("a.txt")], message="title", commit_description="first line\nsecond line")
    newest = api.list_repo_commits(repo)[0]
    assert (newest.commit_id, newest.title, newest.message) == (made.oid, "title", "first line\nsecond line")
    assert newest.authors == ["local"]
    assert made.commit_url.endswith(f"/{repo}/commit/{made.oid}")


def test_a_commit_deletes_copies_and_adds_at_once(api: HfApi, repo: str) -> None:
    commit(api, repo, [add("a/x.txt"), add("a/y.txt"), add("b.txt"), add("w.bin", b"\0" * 50)])
    changes = [
        add("a/z.txt"),
        CommitOperationDelete("a/"),
        CommitOperationDelete("b.txt"),
        CommitOperationCopy("w.bin", "copied/w.bin"),
        CommitOperationCopy("b.txt", "copied/b.txt"),
    ]
    with pytest.warns(UserWarning, match="delete a folder"):
        commit(api, repo, changes)
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "a/z.txt", "copied/b.txt", "copied/w.bin", "w.bin"]


@pytest.mark.parametrize("path", ["nowhere.txt", "nowhere/"])
def test_deleting_what_is_not_there_is_an_entry_error(api: HfApi, repo: str, path: str) -> None:
    with pytest.raises(EntryNotFoundError):
        commit(api, repo, [CommitOperationDelete(path)])


def test_a_stale_parent_is_refused(api: HfApi, repo: str) -> None:
    parent = api.repo_info(repo).sha
    moved = commit(api, repo, [add("a.txt")], parent_commit=parent)
    with pytest.raises(HfHubHTTPError) as caught:
        commit(api, repo, [add("b.txt")], parent_commit=parent)
    assert caught.value.response.status_code == 412
    assert api.repo_info(repo).sha == moved.oid


def test_of_racing_writers_with_one_parent_exactly_one_wins(api: HfApi, repo: str) -> None:
    parent = api.repo_info(repo).sha

    def attempt(number: int) -> str | None:
        try:
            return commit(api, repo, [add(f"{number}.txt", b"%d" % number)], parent_commit=parent).oid
        except HfHubHTTPError as problem:
            return None if problem.response.status_code == 412 else repr(problem)

    with ThreadPoolExecutor(12) as pool:
        won = [oid for oid in pool.map(attempt, range(12)) if oid]
    assert [api.repo_info(repo).sha] == won
    assert len(api.list_repo_files(repo)) == 2


def test_racing_writers_without_a_parent_all_win(api: HfApi, repo: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: commit(api, repo, [add(f"{number}.txt", b"%d" % number)]), range(8)))
    assert len(api.list_repo_files(repo)) == 9
    assert len(api.list_repo_commits(repo)) == 9


@pytest.mark.parametrize(
    "path",
    [
        *("../up.txt", "a/../../up.txt", "/etc/passwd", "a//b", "a/./b", "a\\b"),
        *(".git/config", "a/.GIT/hooks", ".git./x", "git~1/x"),
        *("", "a\0b", "a\nb", "b" * 300, "\ud800"),
    ],
)
def test_a_path_that_could_do_harm_is_refused(api: HfApi, hub: RunningHub, repo: str, path: str) -> None:
    before = api.repo_info(repo).sha
    answer = send_commit(hub, repo, put(path))
    assert answer.status_code == 400
    assert "path" in answer.json()["error"]
    assert api.repo_info(repo).sha == before


@pytest.mark.parametrize("pair", [("a", "a/b"), ("a/b/c", "a/b"), ("a/b", "a/b/c/d")])
def test_a_path_cannot_be_file_and_folder(api: HfApi, hub: RunningHub, repo: str, pair: tuple[str, str]) -> None:
    assert send_commit(hub, repo, *map(put, pair)).status_code == 400
    assert send_commit(hub, repo, put(pair[0])).status_code == 200
    refused = send_commit(hub, repo, put(pair[1]))
    assert refused.status_code == 400
    assert "file and" in refused.json()["error"]
    deletion = {"key": "deletedFile", "value": {"path": pair[0]}}
    assert send_commit(hub, repo, put(pair[1]), deletion).status_code == 200
    assert api.list_repo_files(repo) == [".gitattributes", pair[1]]


@pytest.mark.parametrize(
    "line",
    [
        {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": "0" * 64, "size": 3}},
        {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": "../../x", "size": 3}},
        {"key": "file", "value": {"path": "a.txt", "content": "not base64!", "encoding": "base64"}},
        {"key": "file", "value": {"path": "a.txt"}},
        {"key": "renamed", "value": {"path": "a.txt"}},
        {"key": "file", "value": "text"},
        {"key": "header", "value": {"summary": ""}},
        {"key": "header", "value": {"summary": "x", "parentCommit": 7}},
    ],
)
def test_a_malformed_commit_is_a_bad_request(hub: RunningHub, repo: str, line: dict[str, Any]) -> None:
    assert send_commit(hub, repo, line).status_code == 400


def test_a_commit_goes_to_branches_that_exist(api: HfApi, hub: RunningHub, repo: str) -> None:
    for revision in ("nowhere", api.repo_info(repo).sha, "refs/pr/1"):
        answer = send_commit(hub, repo, put("a"), branch=quote(str(revision), safe=""))
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RevisionNotFound")
    with pytest.raises(BadRequestError, match="pull requests"):
        commit(api, repo, [add("a.txt")], create_pr=True)


@pytest.mark.parametrize("repo_id", ["demo/.hidden", "demo/a--b", "demo/a..b", "demo/a.git", "api/models", "-x/y"])
def test_a_repo_id_breaking_the_rules_is_refused(hub: RunningHub, repo_id: str) -> None:
    namespace, name = repo_id.split("/")
    answer = get_session().post(
        f"{hub.url}/api/repos/create",
        json={"name": name, "organization": namespace, "type": "model"},
        headers={"Authorization": "Bearer x"},
    )
    assert answer.status_code == 400
    assert repo_id in answer.json()["error"]


@pytest.mark.parametrize(
    "path", ["gpt2", "gpt2/revision/main", "gpt2/tree/main", "no/such", "no/such/tree/main", "a/b/c/d/e"]
)
def test_a_missing_repo_is_said_to_be_missing(hub: RunningHub, path: str) -> None:
    answer = get_session().get(f"{hub.url}/api/models/{path}")
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RepoNotFound")


def test_what_the_hub_does_not_know_is_a_404(api: HfApi, hub: RunningHub, repo: str) -> None:
    for path in ("api/unknown", f"api/models/{repo}/likers", "api/spaces/demo/tiny", "cas/00/v1/chunks/x/y"):
        answer = get_session().get(f"{hub.url}/{path}")
        assert (answer.status_code, answer.headers.get("X-Error-Code")) == (404, None)
        assert answer.headers["X-Request-Id"]
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download("gpt2", "config.json")


def test_squashing_keeps_the_files_and_drops_the_history(api: HfApi, repo: str) -> None:
    commit(api, repo, [add("a.txt")])
    commit(api, repo, [add("b.txt")])
    api.super_squash_history(repo, commit_message="all in one")
    assert [item.title for item in api.list_repo_commits(repo)] == ["all in one"]
    assert api.list_repo_files(repo) == [".gitattributes", "a.txt", "b.txt"]
    with pytest.raises(RevisionNotFoundError):
        api.super_squash_history(repo, branch="nowhere")


def test_auth_check_finds_the_repo(api: HfApi, repo: str) -> None:
    api.auth_check(repo)
    api.auth_check(repo, write=True)
    with pytest.raises(RepositoryNotFoundError):
        api.auth_check("demo/nowhere")


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ("tags: [a, 3]", "tags"),
        ("tags: [a", "not YAML"),
        ("- a\n- b", "mapping"),
        ("date: 2024-13-45", "not YAML"),
        ("model-index: {}", "model-index"),
        ("model-index:\n- name: x\n  results:\n  - task: {type: t}", "dataset.type"),
        ("model-index:\n- name: x\n  results:\n  - task: {type: t}\n    dataset: {type: d, name: d}", "metrics"),
    ],
)
def test_a_card_with_bad_metadata_is_not_committed(api: HfApi, repo: str, metadata: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        commit(api, repo, [add("README.md", f"---\n{metadata}\n---\n# Card\n".encode())])
    assert api.list_repo_files(repo) == [".gitattributes"]


def test_a_card_without_metadata_is_warned_about(api: HfApi, repo: str) -> None:
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        commit(api, repo, [add("README.md", b"# Card\n")])
    assert "README.md" in api.list_repo_files(repo)


def test_ignored_files_are_not_committed(api: HfApi, repo: str) -> None:
    commit(api, repo, [add(".gitignore", b"*.log\nbuild/\n!keep.log\n")])
    commit(api, repo, [add("a.log"), add("build/x.txt"), add("keep.log"), add("a.txt")])
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", ".gitignore", "a.txt", "keep.log"]


def test_an_unchanged_file_makes_no_second_commit(api: HfApi, repo: str) -> None:
    operations = [add("a.txt"), add("w.bin", b"\0" * 5000)]
    first = commit(api, repo, operations)
    again = commit(api, repo, [add("a.txt"), add("w.bin", b"\0" * 5000)])
    assert again.oid == first.oid


def test_the_root_says_what_this_is(hub: RunningHub, repo: str) -> None:
    page = get_session().get(hub.url)
    assert page.headers["Content-Type"].startswith("text/html")
    assert hub.url in page.text
    assert f'"/{repo}"' in page.text
    about = get_session().get(f"{hub.url}/api/mixhub").json()
    assert about["store_id"] == hub.store_id
    assert about["version"]


def test_urls_follow_the_host_by_which_the_client_came(hub: RunningHub) -> None:
    there = hub.url.replace("127.0.0.1", "localhost")
    assert HfApi(endpoint=there, token="x").create_repo("demo/two").startswith(there)


def test_a_private_repo_is_there_for_those_with_a_token(api: HfApi, hub: RunningHub) -> None:
    api.create_repo("demo/secret", private=True)
    api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="demo/secret")
    assert api.model_info("demo/secret").private is True
    stranger = HfApi(endpoint=hub.url, token=False)
    with pytest.raises(RepositoryNotFoundError):
        stranger.model_info("demo/secret")
    with pytest.raises(RepositoryNotFoundError):
        stranger.list_repo_refs("demo/secret")
    assert get_session().get(f"{hub.url}/demo/secret/resolve/main/a.txt").status_code == 404
    assert [model.id for model in stranger.list_models()] == []
    assert [model.id for model in api.list_models()] == ["demo/secret"]
    assert "secret" not in get_session().get(f"{hub.url}/").text


JSON_AS_FORM = {"Authorization": f"Bearer {LOCAL_TOKEN}", "Content-Type": "application/x-www-form-urlencoded"}


def test_json_with_the_content_type_of_a_form_is_json(hub: RunningHub) -> None:
    body = json.dumps({"name": "tiny", "organization": "demo"}).encode()
    session = get_session()
    assert session.post(f"{hub.url}/api/repos/create", content=body, headers=JSON_AS_FORM).status_code == 200
    url = f"{hub.url}/api/models/demo/tiny"
    assert session.post(f"{url}/branch/one", content=b"{}", headers=JSON_AS_FORM).status_code == 200
    (entry,) = session.post(
        f"{url}/paths-info/main", content=b'{"paths": [".gitattributes"]}', headers=JSON_AS_FORM
    ).json()
    assert entry["path"] == ".gitattributes"
    assert session.post(f"{url}/branch/two", content=b"startingPoint=main", headers=JSON_AS_FORM).status_code == 400


@pytest.mark.parametrize("body", [b"", b"true", b"--boundary", b"name=other", b"[]"])
def test_the_body_of_a_deletion_may_be_anything(api: HfApi, hub: RunningHub, repo: str, body: bytes) -> None:
    api.create_branch(repo, branch="one")
    url = f"{hub.url}/api/models/{repo}/branch/one"
    assert get_session().request("DELETE", url, content=body, headers=JSON_AS_FORM).status_code == 200
    assert "one" not in {ref.name for ref in api.list_repo_refs(repo).branches}


@pytest.mark.parametrize(
    ("value", "expanded"), [("1", True), ("yes", True), ("True", True), ("false", False), ("", False)]
)
def test_a_flag_in_a_form_or_in_json(hub: RunningHub, repo: str, value: str, expanded: bool) -> None:
    url = f"{hub.url}/api/models/{repo}/paths-info/main"
    for body in (
        {"data": {"paths": [".gitattributes"], "expand": value}},
        {"json": {"paths": [".gitattributes"], "expand": value}},
    ):
        (entry,) = get_session().post(url, **body).json()
        assert ("lastCommit" in entry) is expanded


def test_a_null_in_metadata_is_missing(hub: RunningHub) -> None:
    result = {
        "task": {"type": None},
        "dataset": {"type": "a", "name": None},
        "metrics": [{"type": "acc", "value": None}],
    }
    card = f"---\n{json.dumps({'license': None, 'model-index': [{'name': None, 'results': [result]}]})}\n---\n"
    answer = get_session().post(f"{hub.url}/api/validate-yaml", json={"content": card})
    assert answer.status_code == 400
    place = "model-index.0.results.0"
    assert [error["message"] for error in answer.json()["errors"]] == [
        '"model-index.0.name": is required',
        f'"{place}.task.type": is required',
        f'"{place}.dataset.name": is required',
        f'"{place}.metrics.0.value": is required',
    ]


def test_opening_and_closing_files_holds_up_no_other_request(hub: RunningHub, repo: str, monkeypatch: Any) -> None:
    """A repo that takes long to open, on a slow disk, is opened in a thread; so are files for uploads."""
    seen = []
    for kind, name in ((Store, "repo"), (Blobs, "incoming")):
        original = getattr(kind, name)

        def recorded(*arguments: Any, original: Any = original) -> Any:
            seen.append(threading.current_thread())
            return original(*arguments)

        monkeypatch.setattr(kind, name, recorded)
    assert send_commit(hub, repo, put("a.txt")).status_code == 200
    assert get_session().put(f"{hub.url}/lfs/{'0' * 64}/1", content=b"x").status_code == 400
    xorbs = f"{hub.url}/cas/{Store.open(hub.root).chunks_id}/v1/xorbs/default/{'0' * 64}"
    assert get_session().post(xorbs, content=b"x", headers=JSON_AS_FORM).status_code == 400
    assert len(seen) >= 3
    assert {thread.name.partition("-")[0] for thread in seen} == {"AnyIO worker thread"}
