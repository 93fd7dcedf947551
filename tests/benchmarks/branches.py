"""`verify` of a repo with 155 branches, each a tiny model of its own: requests, and CPU time of a fresh process.

Then the same with 2,001 branches of the 155 commits; with a config on `main` that only Transformers, which is imported
for it, can judge; and for a family of three repos with as many branches each, which are compared with each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.utils import disable_progress_bars
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from mixhub.hubserver import LOCAL_TOKEN, serve
from tests.benchmarks.shapes import made_tokenizer
from tests.faults import Proxy, faulty
from tests.hub.verify.published import clean, described, publish

MODELS, ALIASES, REPOS = 155, 2001, 3
AIMS = (465, 160, 5.0)
"""At most so many requests, of these calls of the API, and seconds, for 155 branches with a file of weights each."""
AIMS_OF_REPOS = (1500, 480, 15.0)
"""The same for three repos of 155 branches with two files each."""
_VERIFY = """
import json, sys, time
from mixhub import workflow
verification = workflow.verify(**json.loads(sys.argv[1]))
codes = {finding.code for finding in verification.findings} - {"weights-repeated", "file-differs"}
assert not codes, verification.findings[:3]
print(json.dumps([len(verification.branches), "transformers" in sys.modules, time.process_time()]))
"""


def run() -> str:
    """Requests and seconds."""
    disable_progress_bars()
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as name, serve(Path(name) / "hub") as hub, faulty(hub.url) as proxy:
        root, api = Path(name), HfApi(hub.url, token=LOCAL_TOKEN)
        environ = {**os.environ, "HF_ENDPOINT": proxy.url, "HF_HOME": str(root / "hf"), "MIXHUB_WORKSPACE": ""}
        api.create_repo("lab/models")
        for number in range(MODELS):
            branch = f"step{number}" if number else "main"
            if number:
                api.create_branch("lab/models", branch=branch)
            operations = [CommitOperationAdd(*item) for item in _model(root / "model", number).items()]
            api.create_commit("lab/models", operations, commit_message="a model", revision=branch)
        lines = [_line(proxy, environ, root)]
        for number in range(ALIASES - MODELS):
            api.create_branch("lab/models", branch=f"alias{number}", revision="main")
        lines.append(_line(proxy, environ, root))
        config = json.loads((root / "model" / "config.json").read_text()) | {"is_decoder": True}
        api.upload_file(path_or_fileobj=json.dumps(config).encode(), path_in_repo="config.json", repo_id="lab/models")
        lines.append(_line(proxy, environ, root))
    lines.append(_repos())
    return "\n  ".join(lines)


def _repos() -> str:
    """Verify three repos whose branches have two files of weights each."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        workspace = described(root / "work", "polypythias-160m", seeds=f"1-{REPOS}")
        publish(root / "hub", workspace, clean(workspace))
        with serve(root / "hub") as hub, faulty(hub.url) as proxy:
            environ = {**os.environ, "HF_HOME": str(root / "hf")}
            return _line(proxy, environ, root, workspace=str(workspace.root), hub=proxy.url)


def _line(proxy: Proxy, environ: Mapping[str, str], root: Path, **options: str) -> str:
    """Verify, and return what it took."""
    proxy.requests.clear()
    command = [sys.executable, "-c", _VERIFY, json.dumps(options or {"family": "lab/models"})]
    done = subprocess.run(command, env=dict(environ), cwd=root, capture_output=True, text=True, check=True)
    branches, has_imported, seconds = json.loads(done.stdout.splitlines()[-1])
    calls = sum(" /api/" in one for one in proxy.requests)
    most, most_calls, most_seconds = AIMS_OF_REPOS if "workspace" in options else AIMS
    return (
        f"{branches} branches: {len(proxy.requests)} requests (aim {most}), {calls} of the API (aim {most_calls}), "
        f"{seconds:.1f} s of CPU time (aim {most_seconds}), with{'' if has_imported else 'out'} importing Transformers"
    )


def _model(folder: Path, seed: int) -> Mapping[str, bytes]:
    if not folder.exists():
        made_tokenizer().save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"vocab_size": 50_277, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "bos_token_id": 0, "eos_token_id": 0}
    LlamaForCausalLM(LlamaConfig(**sizes, **heads, tie_word_embeddings=True)).save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}
