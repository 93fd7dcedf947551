"""The sections of a card on loading a model, and on its branches."""

from __future__ import annotations

from typing import Any

from mixhub.card.facts.runs import FamilyFacts
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, block, code, escape, link, listed, without_empty_columns
from mixhub.endpoint import HUGGINGFACE
from mixhub.phrases import plural, ranges
from mixhub.spec import catalog
from mixhub.spec.family import Family, Run
from mixhub.spec.revisions import MAIN

FOLDED = 12
"""Tables of more revisions than this are folded."""


def loading(facts: FamilyFacts) -> dict[str, Any]:
    """Return how a model is loaded: that of the run, or the first of a family that was not withdrawn."""
    family, runs = facts.family, [one.run for one in facts.runs]
    on_main, named = facts.on_main, family.main_run
    if on_main is None and named is not None:
        on_main = named.revision if named.revision in facts.commits else ""
    withdrawn = [one.run for one in facts.runs if one.withdrawal]
    choice = sorted(facts.trained or runs, key=lambda run: run in withdrawn)
    pinned = next((run for run in choice if run.revision in facts.commits), None)
    first = choice[0]
    arguments = f'"{first.repo_id}"' + (f', revision="{first.branch}"' if first.branch != MAIN else "")
    if pinned:
        own_arguments = f'"{pinned.repo_id}", commit="{facts.commits[pinned.revision]}"'
    elif facts.made_elsewhere and first in family.runs():  # by name, as mixhub ships the family
        label = f'"{first.label}"' if isinstance(first.label, str) else first.label
        own_arguments = f'"{family.name}", {first.kind}={label}'
    else:
        own_arguments = arguments
    # The owner that mixhub gives to repos of its embedded hub: nothing else says that they are not on huggingface.co.
    is_local = family.repo_id.startswith("local/") and not facts.made_elsewhere
    where = "# on an embedded hub: set HF_ENDPOINT to the address that mixhub hub serve prints\n" if is_local else ""
    transformers = (
        f"{where}from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"model = AutoModelForCausalLM.from_pretrained({arguments})\n"
        f"tokenizer = AutoTokenizer.from_pretrained({arguments})"
    )
    is_merged = bool(family.revisions.main_is_merged)
    return {
        "transformers_code": block(transformers, "python"),
        "mixhub_code": block(f"{where}import mixhub\n\nmodel, tokenizer = mixhub.load({own_arguments})", "python"),
        "pinned": pinned,
        "pinned_place": code(family.place(pinned.repo_id, pinned.branch)) if pinned else None,
        "main_is_card": not facts.made_elsewhere and on_main is None and not is_merged,
        "main_is_merged": is_merged,
        "main_run": next((run for run in runs if run.revision == on_main), None),
        "repos": _repos(family) if family.has_repo_per_run else None,
        "main_is_run": family.main_is_run,
    }


def tensors(facts: FamilyFacts) -> dict[str, Any]:
    """Return what is loaded: weights and tokenizer."""
    training, context = facts.family.training, facts.family.architecture.context
    dtypes = {one.weights_dtype for one in facts.runs if one.weights_dtype}
    trained_in = {"float32": "float32", "bfloat16": "bfloat16 autocast, with float32 weights"}[training.precision]
    is_other = facts.is_confirmed and training.sequence_length != context
    return {
        "training_length": training.sequence_length if is_other else None,
        "stored_dtype": " and ".join(sorted(dtypes)) or None,
        "training_dtype": trained_in if facts.is_confirmed else None,
        "special_tokens": _special_tokens(facts),
    }


def revisions(facts: FamilyFacts) -> dict[str, Any]:
    """Return the branches of a family: a sentence that names them, and a table unless it would only repeat them."""
    names = {run.revision for run in facts.trained}
    start = 0 if facts.family.has_repo_per_run else 1  # without the column of repos
    # the commit, which is long, is last, so that it does not hide the others
    kind = facts.family.revisions.kind.capitalize()
    headers = ("Repo", "Branch", kind, "State", "Steps", "Weights (sha256)", "Commit")
    rows = []
    for one in facts.runs:
        name, lineage = one.run.revision, one.lineage
        if name in names:
            commit = code(facts.commits[name]) if name in facts.commits else figures.ABSENT
            weights = code(lineage.weights_sha256[:12]) if lineage else figures.ABSENT
            step = figures.whole(lineage.step) if lineage else figures.ABSENT
            state = "withdrawn" if one.withdrawal else figures.ABSENT
            place = repo_of_run(facts, one.run), code(one.run.branch)
            rows.append((*place, str(one.run.label), state, step, weights, commit)[start:])
    table = Table(headers[start:], tuple(rows), frozenset({2 - start, 4 - start}))
    table = without_empty_columns(table, figures.ABSENT)
    says_more = rows and (len(rows) <= FOLDED or len(table.headers) > 2)
    return {"branches": _branches(facts), "table": table if says_more else None, "folded": len(rows) > FOLDED}


def repo_link(facts: FamilyFacts) -> Markdown:
    """Return a link to the repo of a family, on the hub that has the card unless it was published elsewhere.

    A shipped family whose models were never published, and one with a repo for each run, has only a name.
    """
    repo_id, name = facts.family.repo_id, facts.family.name
    if (name in catalog.names() and name not in catalog.published()) or facts.family.has_repo_per_run:
        return code(name)
    return _link(facts, repo_id)


def repo_of_run(facts: FamilyFacts, run: Run) -> Markdown:
    """Return a link to the repo of a run."""
    return _link(facts, run.repo_id)


def _link(facts: FamilyFacts, repo_id: str) -> Markdown:
    if facts.made_elsewhere:
        return link(repo_id, f"{HUGGINGFACE}/{repo_id}")
    return Markdown(f"[{escape(repo_id)}](/{repo_id})")


def _repos(family: Family) -> Markdown:
    """Return the repos of a family with one for each run, by their pattern."""
    revisions = family.revisions
    kinds = revisions.kind if len(revisions.labels) == 1 else revisions.plural(revisions.kind)
    return Markdown(f"{code(family.repo_id)} for {kinds} {escape(ranges(revisions.labels))}")


def _special_tokens(facts: FamilyFacts) -> Markdown:
    """Return a sentence on the special tokens: of the tokenizers of the runs, or as our trainer will set them."""
    tokens = next((one.special_tokens for one in facts.runs if one.special_tokens is not None), None)
    eos = facts.family.tokenizer.eos_token
    if tokens is None:  # of models that others made, the padding is not known
        tokens = dict.fromkeys(("bos", "eos") if facts.made_elsewhere else ("bos", "eos", "pad"), eos)
    roles = {"bos": "begins text (bos)", "eos": "ends text (eos)", "pad": "pads text (pad)"}
    by_token: dict[str, list[str]] = {}
    for kind, role in roles.items():
        if kind in tokens:
            by_token.setdefault(tokens[kind], []).append(role)
    parts = [Markdown(f"{code(token)} {listed(does)}") for token, does in by_token.items()]
    return listed(parts) if parts else Markdown("the tokenizer names no token that begins, ends or pads text")


def _branches(facts: FamilyFacts) -> Markdown:
    runs, total = facts.trained, len(facts.family.revisions.labels)
    if not runs:
        return Markdown("No model is trained yet, so there are no branches.")
    has_repos = facts.family.has_repo_per_run
    shown = [code(run.repo_id if has_repos else run.branch) for run in runs]
    if len(runs) > 2 and "," not in ranges([run.label for run in runs]):
        names = Markdown(f"{shown[0]} to {shown[-1]}")
    else:
        names = listed(shown)
    if len(runs) < total:
        return Markdown(
            f"{len(runs):,} of {plural(total, 'model')} are trained, {'in' if has_repos else 'on'} {names}."
        )
    what = plural(total, "repo") if has_repos else plural(total, "branch", "branches")
    return Markdown(f"{what}: {names}.")
