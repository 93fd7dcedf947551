"""Pages for people: the repos of the hub, and the card, branches and files of one."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import chain
from urllib.parse import quote

from markdown_it import MarkdownIt
from starlette.responses import HTMLResponse
from starlette.routing import Route

from mixhub.files import natural
from mixhub.hubserver.protocol.exchange import Call, repo_route, route
from mixhub.hubserver.protocol.frontmatter import without_metadata
from mixhub.hubserver.storage.refusals import NotFound
from mixhub.hubserver.storage.repo import MAIN, Repo

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>{base}
<style>body {{ font: 16px sans-serif; max-width: 60em; margin: 2em auto; }} td, th {{ padding: 0 1em 0 0; }}
img {{ max-width: 100%; }}</style></head>
<body>{body}</body></html>
"""
_HEADERS = {"Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'"}
"""Cards are by anybody: no scripts, and nothing from elsewhere."""


def routes() -> list[Route]:
    """Return the routes of the pages, which must come after all others that have two or three parts."""
    paths = ("/{namespace}/{name}", "/{namespace}/{name}/tree/{rev}")
    return [
        route("GET", "/", home),
        *(route("GET", f"/datasets{path}", dataset_page) for path in paths),
        *(repo_route("GET", path, page) for path in paths),
    ]


def home(call: Call) -> object:
    """List the repos."""
    names = []
    for name in call.store.names():
        try:
            with call.store.repo(name) as repo:
                if call.has_token or not repo.is_private:
                    names.append(name)
        except NotFound:  # deleted meanwhile
            continue
    links = _links(
        (name.url_path, f"/{name.url_path}") for name in sorted(names, key=lambda name: natural(name.url_path))
    )
    body = f"<h1>mixhub's embedded Hub</h1><p>{len(names)} repos. To use it, set HF_ENDPOINT={call.base_url}</p>{links}"
    return _html("mixhub's embedded Hub", body)


def page(call: Call, repo: Repo) -> object:
    """Show the card of a revision, the branches and tags of its repo, and its files."""
    revision = call.part("rev", MAIN)
    head, root = repo.resolve(revision), f"/{repo.name.url_path}"
    files = f"{root}/resolve/{quote(revision, safe='')}/"
    card = MarkdownIt("commonmark", {"html": False}).enable("table")
    refs = [sorted((name for name, _, _ in repo.refs(kind)), key=natural) for kind in ("branch", "tag")]
    named = _links((name, f"{root}/tree/{quote(name, safe='')}") for name in chain(*refs))
    title = escape(f"{repo.name.repo_id} @ {revision}")
    text = card.render(without_metadata(repo.read_text(head, "README.md")))
    content = _links((path, files + quote(path)) for path in repo.paths(head))
    body = f"<h1>{title}</h1><p>commit {head.id}</p>{named}<hr>{text}<hr><h2>Files</h2>{content}"
    return _html(title, body, f'<base href="{files}">')


def dataset_page(call: Call) -> object:
    """Show the page of a dataset."""
    call.request.path_params["kind"] = "datasets"  # which the API has in its paths
    with call.repo() as repo:
        return page(call, repo)


def _html(title: str, body: str, base: str = "") -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=title, body=body, base=base), headers=_HEADERS)


def _links(items: Iterable[tuple[str, str]]) -> str:
    rows = (f'<li><a href="{escape(url)}">{escape(text)}</a></li>' for text, url in items)
    return f"<ul>{''.join(rows)}</ul>"
