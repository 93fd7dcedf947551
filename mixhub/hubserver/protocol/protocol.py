"""The JSON API: users, repos, refs, commits, trees."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mixhub._version import __version__
from mixhub.hubserver.protocol.answers import commit_fields, facts, listing, sibling
from mixhub.hubserver.protocol.commits import CommitReader
from mixhub.hubserver.protocol.exchange import Call, decode_base64, in_thread, is_true, repo_route, respond, route
from mixhub.hubserver.protocol.frontmatter import metadata_problems
from mixhub.hubserver.storage.names import RepoName, check_path, repo_name
from mixhub.hubserver.storage.patterns import SAMPLE_BYTES, is_ignored, is_large
from mixhub.hubserver.storage.refusals import BadRequest, EntryNotFound, NotFound, Refusal, RepoNotFound
from mixhub.hubserver.storage.repo import MAIN, USER, Repo
from mixhub.hubserver.storage.storage import FORMAT


def routes() -> list[Route]:
    """Return the routes of the API."""
    repo = "/api/{kind}/{namespace}/{name}"
    return [
        route("GET", "/api/mixhub", about),
        route("GET", "/api/whoami-v2", whoami, token=True),
        route("POST", "/api/validate-yaml", validate_yaml, token=False),
        route("POST", "/api/repos/create", create_repo),
        route("DELETE", "/api/repos/delete", delete_repo),
        route("GET", "/api/{kind}", list_repos),
        repo_route("GET", repo, info),
        repo_route("GET", f"{repo}/revision/{{rev}}", info),
        repo_route("GET", f"{repo}/refs", refs),
        repo_route("GET", f"{repo}/auth-check", auth_check),
        repo_route("GET", f"{repo}/auth-check/write", auth_check, token=True),
        repo_route("POST", f"{repo}/branch/{{rev}}", create_branch),
        repo_route("DELETE", f"{repo}/branch/{{rev}}", delete_branch),
        repo_route("POST", f"{repo}/tag/{{rev}}", create_tag),
        repo_route("DELETE", f"{repo}/tag/{{rev}}", delete_tag),
        repo_route("POST", f"{repo}/preupload/{{rev}}", preupload),
        Route(f"{repo}/commit/{{rev}}", commit, methods=["POST"]),
        repo_route("GET", f"{repo}/commits/{{rev}}", commits),
        repo_route("GET", f"{repo}/tree/{{rev}}", tree),
        repo_route("GET", f"{repo}/tree/{{rev}}/{{path:path}}", tree),
        repo_route("POST", f"{repo}/paths-info/{{rev}}", paths_info, token=False, form=True),
        repo_route("POST", f"{repo}/super-squash/{{rev}}", super_squash),
    ]


def fallback_routes() -> list[Route]:
    """Return the routes for requests that no other route serves."""
    return [Route("/{rest:path}", unknown, methods=["GET", "POST", "PUT", "DELETE"])]


def about(call: Call) -> object:
    """Identify this hub to mixhub's clients."""
    return {"store_id": call.store.store_id, "version": __version__, "format": FORMAT}


def whoami(call: Call) -> object:
    """Describe the only user, who owns every namespace."""
    namespaces = sorted({name.namespace for name in call.store.names()} - {USER})
    orgs = [{"type": "org", "id": name, "name": name, "fullname": name, "roleInOrg": "admin"} for name in namespaces]
    user = {"type": "user", "id": USER, "name": USER, "fullname": USER, "isPro": False, "canPay": False}
    auth = {"type": "access_token", "accessToken": {"displayName": USER, "role": "write"}}
    return {**user, "orgs": orgs, "auth": auth}


def validate_yaml(call: Call) -> object:
    """Check the metadata of a README; 400 if it has errors."""
    errors, warnings = metadata_problems(call.text("content"))
    answer = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return respond(answer, 400 if errors else 200)


def create_repo(call: Call) -> object:
    """Create a repo. The answer has its URL even if it exists, since `exist_ok` reads it there."""
    name = _repo_in_body(call)
    url = f"{call.base_url}/{name.url_path}"
    try:
        call.store.create(name, private=call.body.get("private") is True or call.body.get("visibility") == "private")
    except Refusal as refusal:
        return respond({"error": refusal.message, "url": url}, refusal.status, refusal.http_headers())
    return {"url": url, "name": name.repo_id, "id": name.repo_id}


def delete_repo(call: Call) -> None:
    """Delete a repo."""
    call.store.delete(_repo_in_body(call))


def list_repos(call: Call) -> object:
    """List models or datasets, filtered by `author` and `search`."""
    query, repo_type = call.request.query_params, call.repo_type  # the type is checked even if the hub is empty
    names = [
        name
        for name in call.store.names()
        if name.repo_type == repo_type
        and query.get("author", name.namespace) == name.namespace
        and query.get("search", "").lower() in name.repo_id.lower()
    ]
    limit = query.get("limit", "")
    names = names[: int(limit)] if limit.isdecimal() else names
    return [summary for name in names if (summary := _summary(call, name))]


def info(call: Call, repo: Repo) -> object:
    """Describe a repo at a revision, with the names of its files; `blobs` adds sizes and hashes."""
    head = repo.resolve(call.part("rev", MAIN))
    answer = facts(repo, head)
    if call.flag("blobs"):
        answer["siblings"] = [sibling(entry) for entry in repo.entries(head) if not entry.is_folder]
    else:
        answer["siblings"] = [{"rfilename": path} for path in repo.paths(head)]
    if call.flag("securityStatus"):
        answer["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
    return answer


def refs(call: Call, repo: Repo) -> object:
    """List branches and tags."""
    answer: dict[str, Any] = {"converts": [], "pullRequests": []}
    for key, kind in (("branches", "branch"), ("tags", "tag")):
        answer[key] = [
            {"name": name, "ref": ref, "targetCommit": commit_id} for name, ref, commit_id in repo.refs(kind)
        ]
    return answer


def auth_check(call: Call, repo: Repo) -> None:
    """Check that the repo exists: everybody may read it, and any token may write."""


def create_branch(call: Call, repo: Repo) -> None:
    """Create a branch at `startingPoint`, or at the head of `main`."""
    for option in ("emptyBranch", "overwrite"):
        if call.body.get(option):
            raise BadRequest(f"this hub does not support {option!r} for a new branch")
    repo.create_ref("branch", call.part("rev"), call.text("startingPoint", MAIN))


def delete_branch(call: Call, repo: Repo) -> None:
    """Delete a branch."""
    repo.delete_ref("branch", call.part("rev"))


def create_tag(call: Call, repo: Repo) -> None:
    """Tag the revision in the path."""
    repo.create_ref("tag", call.text("tag"), call.part("rev"), call.text("message", ""))


def delete_tag(call: Call, repo: Repo) -> None:
    """Delete the tag in the path."""
    repo.delete_ref("tag", call.part("rev"))


def preupload(call: Call, repo: Repo) -> object:
    """Return for each file whether it goes into git or is a large file, whether it is ignored, and its current hash."""
    files, ignore = call.body.get("files"), call.body.get("gitIgnore")
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise BadRequest("'files' must be a list of objects")
    head = repo.resolve(call.part("rev"))
    attributes = repo.read_text(head, ".gitattributes")
    ignore = ignore if isinstance(ignore, str) else repo.read_text(head, ".gitignore")
    answer = []
    for file in files:
        path = check_path(file.get("path"))
        present = None
        with suppress(EntryNotFound):
            entry = repo.entry(head, path)
            present = None if entry.is_folder else entry.sha256 or entry.oid
        mode = "lfs" if _is_large(path, file, attributes) else "regular"
        ignored = is_ignored(path, ignore)
        answer.append({"path": path, "uploadMode": mode, "shouldIgnore": ignored, "oid": present})
    return {"files": answer, "commitOid": str(head.id)}


async def commit(request: Request) -> Response:
    """Commit lines of JSON; contents are stored while they arrive, and the branch moves at the end."""
    call = Call(request)
    if call.flag("create_pr"):
        raise BadRequest("this hub has no pull requests; commit to a branch")
    async with in_thread(call.repo) as repo:
        reader = CommitReader(repo)
        async for block in call.blocks():
            await to_thread.run_sync(reader.feed, block)
        oid = await to_thread.run_sync(reader.commit, call.part("rev"))
    url = f"{call.base_url}/{call.name.url_path}/commit/{oid}"
    return respond({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})


def commits(call: Call, repo: Repo) -> object:
    """List the history of a revision, newest first."""
    answer = [commit_fields(item) for item in repo.history(repo.resolve(call.part("rev")))]
    return respond(answer, headers={"X-Total-Count": str(len(answer))})


def tree(call: Call, repo: Repo) -> object:
    """List a folder; `recursive` lists everything below it, `expand` adds the last commit of each entry."""
    head = repo.resolve(call.part("rev"))
    entries = repo.entries(head, call.part("path").strip("/"), recursive=call.flag("recursive"))
    return listing(repo, head, entries, expand=call.flag("expand"))


def paths_info(call: Call, repo: Repo) -> object:
    """Describe the entries at the paths in the body, without those that do not exist."""
    paths = call.body.get("paths", [])
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise BadRequest("'paths' must be a list of texts")
    entries = []
    head = repo.resolve(call.part("rev"))
    for path in paths:
        with suppress(EntryNotFound):
            entries.append(repo.entry(head, path.strip("/")))
    values = call.body.get("expand", "")  # a list if it comes in a form
    expand = any(is_true(str(value)) for value in (values if isinstance(values, list) else [values]))
    return listing(repo, head, entries, expand=expand)


def super_squash(call: Call, repo: Repo) -> None:
    """Replace the history of a branch by one commit."""
    repo.squash(call.part("rev"), call.text("message", "squash history"))


def unknown(request: Request) -> Response:
    """Refuse requests that no route serves: usually for a repo without a namespace, such as `gpt2`."""
    call = Call(request, token=False)
    parts = [*call.part("rest").split("/"), "", "", ""]
    if "resolve" in parts or "raw" in parts:
        raise RepoNotFound("the repo does not exist on this hub")
    if parts[0] == "api" and parts[1] in ("models", "datasets"):
        exists = False
        with suppress(BadRequest):
            exists = call.store.exists(repo_name(parts[1].removesuffix("s"), f"{parts[2]}/{parts[3]}"))
        if not exists:
            raise RepoNotFound("the repo does not exist on this hub")
    raise NotFound(f"this hub does not support {request.method} {request.url.path}")


def _summary(call: Call, name: RepoName) -> dict[str, Any]:
    """Describe a repo in a listing; empty if it is private and the client has no token."""
    with suppress(NotFound), call.store.repo(name) as repo:  # it may have been deleted meanwhile
        if call.has_token or not repo.is_private:
            return facts(repo, repo.resolve(MAIN))
    return {}


def _repo_in_body(call: Call) -> RepoName:
    namespace = call.body.get("organization") or USER
    return repo_name(call.text("type", "model"), f"{namespace}/{call.text('name')}")


def _is_large(path: str, file: dict[str, Any], attributes: str) -> bool:
    size = file.get("size")
    if not isinstance(size, int):
        raise BadRequest(f"{path!r}: 'size' must be a number")
    sample = decode_base64(file.get("sample") or "", f"the sample of {path!r}")[:SAMPLE_BYTES]
    return is_large(path, size, sample, attributes)
