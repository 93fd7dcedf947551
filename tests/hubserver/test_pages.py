"""The pages for people: every link that they show is answered, and a card runs nothing."""

from __future__ import annotations

import re
from html import unescape

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, get_session

from mixhub.hubserver import RunningHub

CARD = """---
license: mit
---
# A card

| a | b |
|---|---|
| 1 | [a file](data/x.txt) |

<script>alert(1)</script>
"""


def links(hub: RunningHub, page: str) -> dict[str, str]:
    return {unescape(text): unescape(url) for url, text in re.findall(r'<a href="([^"]*)">([^<]*)</a>', page)}


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_every_link_of_the_pages_is_answered(api: HfApi, hub: RunningHub, kind: str) -> None:
    api.create_repo("demo/tiny", repo_type=kind)
    files = {"README.md": CARD.encode(), "data/x.txt": b"x", "data/a b#?.txt": b"y"}
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    api.create_commit("demo/tiny", operations, commit_message="one", repo_type=kind)
    api.create_branch("demo/tiny", branch="step/1", repo_type=kind)
    session = get_session()
    home = session.get(hub.url)
    assert home.headers["content-type"].startswith("text/html")
    (url,) = links(hub, home.text).values()
    page = session.get(f"{hub.url}{url}")
    assert (page.status_code, "<h1>A card</h1>" in page.text, "<td>1</td>" in page.text) == (200, True, True)
    assert "<script" not in page.text
    assert "license: mit" not in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    named = links(hub, page.text)
    assert {"main", "step/1", *files} <= named.keys()
    (base,) = re.findall(r'<base href="([^"]*)">', page.text)
    for text, target in named.items():
        answer = session.get(f"{hub.url}{target if target.startswith('/') else base + target}")
        assert answer.status_code == 200, text
        if text in files:
            assert answer.content == files[text]


def test_branches_are_listed_as_people_count(api: HfApi, hub: RunningHub, repo: str) -> None:
    names = ["step2", "step10", "step100"]
    for name in reversed(names):
        api.create_branch(repo, branch=name)
    page = get_session().get(f"{hub.url}/{repo}").text
    assert [text for text in links(hub, page) if text in names] == names


def test_a_page_of_what_is_not_there(hub: RunningHub, repo: str) -> None:
    for path in ("demo/nothing", f"{repo}/tree/nothing", "datasets/demo/tiny", "demo/tiny/blob"):
        assert get_session().get(f"{hub.url}/{path}").status_code == 404


def test_a_private_repo_has_no_page(api: HfApi, hub: RunningHub) -> None:
    api.create_repo("demo/secret", private=True)
    assert "demo/secret" not in get_session().get(hub.url).text
    assert get_session().get(f"{hub.url}/demo/secret").status_code == 404
