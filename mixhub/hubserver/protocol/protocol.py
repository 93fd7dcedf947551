"""The JSON API: users, repos, refs, commits, trees. What it answers is shaped in `answers`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import parse_qs

import pygit2
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mixhub.hubserver.protocol.answers import commit_fields, entry_fields, facts, json_response, ref_fields, sibling
from mixhub.hubserver.protocol.commits import CommitReader
from mixhub.hubserver.protocol.exchange import (
    base_url,
    blocks_of,
    has_token,
    is_true,
    json_body,
    parse_object,
    raw,
    read_body,
    repo_of,
    require_token,
    store_of,
    text_field,
    writing,
)
from mixhub.hubserver.protocol.frontmatter import problems_of
from mixhub.hubserver.storage.names import RepoName, check_path, repo_name
from mixhub.hubserver.storage.patterns import SAMPLE_BYTES, is_ignored, is_large
from mixhub.hubserver.storage.refusals import BadRequest, EntryNotFound, NotFound, Refusal, RepoNotFound
from mixhub.hubserver.storage.repo import MAIN, USER, Entry, Repo
from mixhub.hubserver.storage.storage import FORMAT


def routes() -> list[Route]:
    """The routes of the API; revisions and paths arrive percent-encoded, as one part each."""
    repo = "/api/{kind:kind}/{namespace}/{name}"
    return [
        Route("/", home),
        Route("/api/mixhub", about),
        Route("/api/whoami-v2", whoami),
        Route("/api/validate-yaml", json_body(validate_yaml, token=False), methods=["POST"]),
        Route("/api/repos/create", json_body(create_repo), methods=["POST"]),
        Route("/api/repos/delete", json_body(delete_repo), methods=["DELETE"]),
        Route("/api/{kind:kind}", list_repos),
        Route(repo, info),
        Route(f"{repo}/revision/{{rev}}", info),
        Route(f"{repo}/refs", refs),
        Route(f"{repo}/auth-check", auth_check),
        Route(f"{repo}/auth-check/write", writing(auth_check)),
        Route(f"{repo}/branch/{{rev}}", json_body(create_branch), methods=["POST"]),
        Route(f"{repo}/branch/{{rev}}", writing(delete_branch), methods=["DELETE"]),
        Route(f"{repo}/tag/{{rev}}", json_body(create_tag), methods=["POST"]),
        Route(f"{repo}/tag/{{rev}}", writing(delete_tag), methods=["DELETE"]),
        Route(f"{repo}/preupload/{{rev}}", json_body(preupload), methods=["POST"]),
        Route(f"{repo}/commit/{{rev}}", commit, methods=["POST"]),
        Route(f"{repo}/commits/{{rev}}", commits),
        Route(f"{repo}/tree/{{rev}}", tree),
        Route(f"{repo}/tree/{{rev}}/{{path:path}}", tree),
        Route(f"{repo}/paths-info/{{rev}}", paths_info, methods=["POST"]),
        Route(f"{repo}/super-squash/{{rev}}", json_body(super_squash), methods=["POST"]),
        Route("/api/{kind:kind}/{rest:path}", unknown, methods=["GET", "POST", "PUT", "DELETE"]),
    ]


def home(request: Request) -> Response:
    """Says in plain text what this is and which repos it has."""
    names = [name for name in store_of(request).names() if _summary(request, name) is not None]
    listed = "".join(f"{base_url(request)}/{name.url_path}\n" for name in names)
    return PlainTextResponse(f"mixhub's embedded Hub: {len(names)} repos. Clients find it by HF_ENDPOINT.\n{listed}")


def about(request: Request) -> Response:
    """By this a client recognises an embedded hub, and which one."""
    return JSONResponse({"store_id": store_of(request).store_id, "version": _version(), "format": FORMAT})


def whoami(request: Request) -> Response:
    """The one user, to whom every namespace belongs."""
    require_token(request)
    namespaces = sorted({name.namespace for name in store_of(request).names()} - {USER})
    orgs = [{"type": "org", "id": name, "name": name, "fullname": name, "roleInOrg": "admin"} for name in namespaces]
    user = {"type": "user", "id": USER, "name": USER, "fullname": USER, "isPro": False, "canPay": False}
    auth = {"type": "access_token", "accessToken": {"displayName": USER, "role": "write"}}
    return JSONResponse({**user, "orgs": orgs, "auth": auth})


def validate_yaml(request: Request, body: dict[str, Any]) -> Response:
    """Checks the metadata of a README; 400 when it has errors."""
    errors, warnings = problems_of(text_field(body, "content"))
    answer = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return JSONResponse(answer, 400 if errors else 200)


def create_repo(request: Request, body: dict[str, Any]) -> Response:
    """Makes a repo. The answer has its URL even when it exists, since `exist_ok` reads it there."""
    name = _named_in(body)
    url = f"{base_url(request)}/{name.url_path}"
    store = store_of(request)
    try:
        store.create(name, private=body.get("private") is True or body.get("visibility") == "private")
    except Refusal as refusal:
        return JSONResponse({"error": refusal.message, "url": url}, refusal.status, refusal.http_headers())
    return JSONResponse({"url": url, "name": name.repo_id, "id": name.repo_id})


def delete_repo(request: Request, body: dict[str, Any]) -> Response:
    """Deletes a repo."""
    store_of(request).delete(_named_in(body))
    return PlainTextResponse("OK")


def list_repos(request: Request) -> Response:
    """All models or datasets, filtered by `author` and `search`."""
    query = request.query_params
    repo_type = request.path_params["kind"].removesuffix("s")
    wanted = [
        name
        for name in store_of(request).names()
        if name.repo_type == repo_type
        and query.get("author", name.namespace) == name.namespace
        and query.get("search", "").lower() in name.repo_id.lower()
    ]
    limit = query.get("limit", "")
    listed = wanted[: int(limit)] if limit.isdecimal() else wanted
    return json_response([answer for name in listed if (answer := _summary(request, name)) is not None])


def info(request: Request) -> Response:
    """A repo at a revision, with the names of its files; `blobs` adds sizes and hashes."""
    with repo_of(request) as repo:
        head = repo.resolve(raw(request, "rev", MAIN))
        answer = facts(repo, head)
        if is_true(request.query_params.get("blobs")):
            files = (entry for entry in repo.entries(head) if not entry.is_folder)
            answer["siblings"] = [sibling(entry) for entry in files]
        else:
            answer["siblings"] = [{"rfilename": path} for path in repo.paths(head)]
        if is_true(request.query_params.get("securityStatus")):
            answer["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
    return json_response(answer)


def refs(request: Request) -> Response:
    """Branches and tags."""
    with repo_of(request) as repo:
        answer: dict[str, Any] = {
            "branches": [ref_fields(ref) for ref in repo.branches()],
            "tags": [ref_fields(ref) for ref in repo.tags()],
            "converts": [],
        }
    if is_true(request.query_params.get("include_prs")):
        answer["pullRequests"] = []
    return JSONResponse(answer)


def auth_check(request: Request) -> Response:
    """Whether the repo is there; whoever asks may use it."""
    with repo_of(request):
        return PlainTextResponse("OK")


def create_branch(request: Request, body: dict[str, Any]) -> Response:
    """Starts a branch at `startingPoint`, else at the head of `main`."""
    for option in ("emptyBranch", "overwrite"):
        if body.get(option):
            raise BadRequest(f"this hub has no option {option!r} for a new branch")
    with repo_of(request) as repo:
        repo.create_branch(raw(request, "rev"), text_field(body, "startingPoint", MAIN))
    return PlainTextResponse("OK")


def delete_branch(request: Request) -> Response:
    """Deletes a branch."""
    with repo_of(request) as repo:
        repo.delete_branch(raw(request, "rev"))
    return PlainTextResponse("OK")


def create_tag(request: Request, body: dict[str, Any]) -> Response:
    """Tags the revision in the path."""
    with repo_of(request) as repo:
        repo.create_tag(text_field(body, "tag"), raw(request, "rev"), text_field(body, "message", ""))
    return PlainTextResponse("OK")


def delete_tag(request: Request) -> Response:
    """Deletes the tag in the path."""
    with repo_of(request) as repo:
        repo.delete_tag(raw(request, "rev"))
    return PlainTextResponse("OK")


def preupload(request: Request, body: dict[str, Any]) -> Response:
    """For each file: whether it goes into git or is sent as a large file, is ignored, and what is there now."""
    files = body.get("files")
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise BadRequest("'files' must be a list of objects")
    with repo_of(request) as repo:
        head = repo.resolve(raw(request, "rev"))
        attributes = repo.read_text(head, ".gitattributes")
        ignore = body.get("gitIgnore")
        ignore = ignore if isinstance(ignore, str) else repo.read_text(head, ".gitignore")
        answer = [_upload_mode(repo, head, file, attributes, ignore) for file in files]
    return JSONResponse({"files": answer, "commitOid": str(head.id)})


async def commit(request: Request) -> Response:
    """Makes a commit from lines of JSON; contents are stored while they arrive, the branch moves at the end."""
    require_token(request)
    if is_true(request.query_params.get("create_pr")):
        raise BadRequest("this hub has no pull requests; commit to a branch")
    with await to_thread.run_sync(_Opened, request) as opened:
        async for block in blocks_of(request):
            await to_thread.run_sync(opened.reader.feed, block)
        oid = await to_thread.run_sync(opened.commit, raw(request, "rev"))
        url = f"{base_url(request)}/{opened.repo.name.url_path}/commit/{oid}"
    return JSONResponse({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})


def commits(request: Request) -> Response:
    """The history of a revision, newest first."""
    with repo_of(request) as repo:
        answer = [commit_fields(item) for item in repo.history(repo.resolve(raw(request, "rev")))]
    return JSONResponse(answer, headers={"X-Total-Count": str(len(answer))})


def tree(request: Request) -> Response:
    """What a folder holds; `recursive` for all below it, `expand` for the last commit of each."""
    query = request.query_params
    with repo_of(request) as repo:
        head = repo.resolve(raw(request, "rev"))
        folder = raw(request, "path").strip("/")
        entries = repo.entries(head, folder, recursive=is_true(query.get("recursive")))
        return JSONResponse(_listed(repo, head, entries, expand=is_true(query.get("expand"))))


async def paths_info(request: Request) -> Response:
    """The entries at the paths in the body, a form or JSON; paths that are not there are left out."""
    body = await read_body(request)
    if "json" in request.headers.get("content-type", ""):
        fields = parse_object(body)
        paths, expand = fields.get("paths", []), bool(fields.get("expand"))
    else:
        form = parse_qs(body.decode("utf-8", "replace"))
        paths, expand = form.get("paths", []), is_true(form.get("expand", [""])[0])
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise BadRequest("'paths' must be a list of texts")
    return await to_thread.run_sync(partial(_paths_info, request, paths, expand=expand))


def super_squash(request: Request, body: dict[str, Any]) -> Response:
    """Replaces the history of a branch by one commit."""
    with repo_of(request) as repo:
        repo.squash(raw(request, "rev"), text_field(body, "message", "squash history"))
    return PlainTextResponse("OK")


def unknown(request: Request) -> Response:
    """What no route answers: a repo that cannot be here, as `gpt2`, which has no namespace, or a missing feature."""
    parts = raw(request, "rest").split("/")
    try:
        name = repo_name(request.path_params["kind"].removesuffix("s"), "/".join(parts[:2]))
        known = store_of(request).exists(name)
    except BadRequest:
        known = False
    if not known:
        raise RepoNotFound("there is no such repo on this hub")
    raise NotFound(f"this hub does not answer {request.method} {request.url.path}")


class _Opened:
    """A repo held open while a commit arrives: opened and closed by different threads."""

    def __init__(self, request: Request) -> None:
        self._context = repo_of(request)
        self.repo = self._context.__enter__()
        self.reader = CommitReader(self.repo)

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(None, None, None)

    def commit(self, branch: str) -> str:
        self.reader.finish()
        return self.repo.commit(branch, self.reader.changes, self.reader.message, parent=self.reader.parent)


def _paths_info(request: Request, paths: list[str], *, expand: bool) -> Response:
    with repo_of(request) as repo:
        head = repo.resolve(raw(request, "rev"))
        found = []
        for path in paths:
            try:
                found.append(repo.entry(head, path.strip("/")))
            except EntryNotFound:
                continue
        return JSONResponse(_listed(repo, head, found, expand=expand))


def _named_in(body: dict[str, Any]) -> RepoName:
    namespace = body.get("organization") or USER
    return repo_name(text_field(body, "type", "model"), f"{namespace}/{text_field(body, 'name')}")


def _summary(request: Request, name: RepoName) -> dict[str, Any] | None:
    try:
        with store_of(request).repo(name) as repo:
            return facts(repo, repo.resolve(MAIN)) if has_token(request) or not repo.is_private else None
    except NotFound:  # deleted meanwhile
        return None


def _listed(repo: Repo, head: pygit2.Commit, entries: Iterable[Entry], *, expand: bool) -> list[dict[str, Any]]:
    found = list(entries)
    last = repo.last_commits(head, [entry.path for entry in found]) if expand else {}
    return [entry_fields(entry, last.get(entry.path)) for entry in found]


def _upload_mode(repo: Repo, head: pygit2.Commit, file: dict[str, Any], attributes: str, ignore: str) -> dict[str, Any]:
    path, size = check_path(file.get("path")), file.get("size")
    if not isinstance(size, int):
        raise BadRequest(f"{path!r}: 'size' must be a number")
    try:
        sample = base64.b64decode(file.get("sample") or "")[:SAMPLE_BYTES]
    except (binascii.Error, ValueError, TypeError):
        raise BadRequest(f"{path!r}: 'sample' is not base64") from None
    large = is_large(path, size, sample, attributes)
    return {
        "path": path,
        "uploadMode": "lfs" if large else "regular",
        "shouldIgnore": is_ignored(path, ignore),
        "oid": _present_oid(repo, head, path),
    }


def _present_oid(repo: Repo, head: pygit2.Commit, path: str) -> str | None:
    try:
        entry = repo.entry(head, path)
    except EntryNotFound:
        return None
    if entry.is_folder:
        return None
    return entry.pointer.sha256 if entry.pointer is not None else entry.oid


def _version() -> str:
    try:
        return version("mixhub")
    except PackageNotFoundError:
        return "unknown"
