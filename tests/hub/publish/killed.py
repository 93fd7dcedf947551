"""A push in a process of its own that is killed at a stage: `python -m tests.hub.publish.killed ROOT HUB [STAGE]`.

Without a stage it ends by itself, and prints what it came to.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixhub.endpoint import HubChoice
from mixhub.hub.publish import push
from mixhub.hub.remote.connect import open_hub
from mixhub.hubserver import LOCAL_TOKEN
from mixhub.workflow.release.pushes import push_card
from mixhub.workspace.paths import Workspace
from tests.made import push_branch

STAGES = ("plan", "branch", "upload", "uploaded", "commit", "proof", "receipt")
"""Before the repo is made; after the branch was; after one large file; around the commit; before the receipt."""


def kill(*_: object, **__: object) -> Any:
    """Ends this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def killing(stage: str | None) -> None:
    """Makes pushes of this process end at a stage; and makes them take small files for large ones."""
    from huggingface_hub import HfApi

    push._LARGE = push._TOGETHER = 1000
    sent = HfApi.preupload_lfs_files

    def after(call: Callable[..., Any]) -> Callable[..., Any]:
        def both(*arguments: Any, **options: Any) -> Any:
            call(*arguments, **options)
            kill()

        return both

    if stage == "plan":
        push._ready_branch = kill
    elif stage == "branch":
        push._upload = kill
    elif stage == "upload":
        HfApi.preupload_lfs_files = after(sent)  # type: ignore[method-assign]
    elif stage == "uploaded":
        HfApi.create_commit = kill  # type: ignore[method-assign]
    elif stage == "commit":
        HfApi.create_commit = after(HfApi.create_commit)  # type: ignore[method-assign]
    elif stage == "proof":
        push._verify = kill
    elif stage == "receipt":
        push.write_receipt = kill


def main(root: str, hub: str, stage: str | None = None) -> None:
    """Pushes seed 1, and the card."""
    killing(stage)
    workspace = Workspace.open(Path(root))
    family = workspace.family()
    with open_hub(HubChoice(hub, "the test", LOCAL_TOKEN), workspace) as endpoint:
        print("ready", flush=True)
        pushed = push_branch(workspace, family, family.run(seed=1), endpoint)
        push_card(workspace, family, endpoint)
    print(json.dumps({"commit": pushed.commit, "sent": pushed.sent, "uploaded": list(pushed.uploaded)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
