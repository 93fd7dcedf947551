"""The sections of a card on loading a model and on the branches that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixhub.card.facts.recipe import made_elsewhere
from mixhub.card.facts.runs import RunFacts
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, block, code, escape, link, listed, without_empty_columns
from mixhub.endpoint import HUGGINGFACE
from mixhub.spec.family import Family, Run

FOLDED = 12
"""Families with more revisions than this fold their long tables."""


@dataclass(frozen=True)
class LoadSection:
    """How a model is loaded."""

    transformers_code: Markdown
    mixhub_code: Markdown
    pinned: Run | None = None
    """The run whose commit `mixhub_code` loads; None where no commit is known."""
    main_is_card: bool = False
    """Whether it is known that `main` holds this card and no weights."""
    main_run: Run | None = None
    """The run whose model `main` holds too; None where it holds none, or none yet."""


@dataclass(frozen=True)
class TensorSection:
    """What is loaded: weights and tokenizer."""

    context_length: int
    """Tokens."""
    training_length: int | None
    """Tokens of a sequence in training; None where that is not known, or the context's."""
    stored_dtype: str | None
    """Of the exports' tensors; None where it is not known."""
    training_dtype: str | None
    """What they were trained in; None where that is not known."""
    special_tokens: Markdown
    """What the tokens that begin, end and pad text are."""


@dataclass(frozen=True)
class RevisionsSection:
    """The branches of a family."""

    branches: Markdown
    """A sentence that names the branches that are there."""
    table: Table | None
    """A line per revision; None where the names of many branches say all there is to say."""
    folded: bool
    """Whether long tables are folded."""


def load_section(family: Family, run: Run) -> LoadSection:
    """How the model of one revision is loaded. It names no commit: the card is part of the commit."""
    return LoadSection(_transformers_code(family, run), _mixhub_code(family, run))


def family_load_section(
    family: Family, trained: Sequence[Run], commits: Mapping[str, str], on_main: str | None
) -> LoadSection:
    """How a model of a family is loaded, for the first that is there; see `family_context` for `on_main`."""
    runs = family.runs()
    meant = family.main_run
    if on_main is None and meant is not None:
        on_main = meant.revision if meant.revision in commits else ""
    shown = (trained or runs)[0]
    pinned = next((run for run in runs if run.revision in commits), None)
    return LoadSection(
        transformers_code=_transformers_code(family, shown),
        mixhub_code=_mixhub_code(family, pinned or shown, commits.get(pinned.revision) if pinned else None),
        pinned=pinned,
        main_is_card=not made_elsewhere(family) and on_main is None,
        main_run=next((run for run in runs if run.revision == on_main), None),
    )


def tensor_section(family: Family, runs: Sequence[RunFacts], *, confirmed: bool) -> TensorSection:
    """What is loaded; `confirmed` as `is_confirmed` tells."""
    training, context = family.training, family.architecture.max_position_embeddings
    dtypes = {facts.weights_dtype for facts in runs} - {None}
    trained_in = {"float32": "float32", "bfloat16": "bfloat16 autocast over float32"}[training.precision]
    return TensorSection(
        context_length=context,
        training_length=training.sequence_length if confirmed and training.sequence_length != context else None,
        stored_dtype=" and ".join(sorted(filter(None, dtypes))) or None,
        training_dtype=trained_in if confirmed else None,
        special_tokens=_special_tokens_sentence(family, runs),
    )


def revisions_section(
    family: Family, trained: Sequence[Run], runs: Sequence[RunFacts], commits: Mapping[str, str]
) -> RevisionsSection:
    """The branches of a family.

    Args:
        family: the family.
        trained: the runs of which a model is there.
        runs: what is known of all runs.
        commits: the commit of each branch that was pushed.
    """
    branches = {run.revision for run in trained}
    return RevisionsSection(
        branches=_branches(family, trained),
        table=_revisions(family, [facts for facts in runs if facts.run.revision in branches], commits),
        folded=len(family.runs()) > FOLDED,
    )


def repo_link(family: Family) -> Markdown:
    """On the hub that the card lies on: an address would send readers of another hub away."""
    if made_elsewhere(family):
        return link(family.repo_id, f"{HUGGINGFACE}/{family.repo_id}")
    return Markdown(f"[{escape(family.repo_id)}](/{family.repo_id})")


def _special_tokens_sentence(family: Family, runs: Sequence[RunFacts]) -> Markdown:
    """As the tokenizers of the runs have them; before there are any, as our trainer sets them.

    Of models that others made only the tokenizer is known, and that they name no other token for padding is not.
    """
    known = next((facts.special_tokens for facts in runs if facts.special_tokens), None)
    if known is None and made_elsewhere(family):
        eos = code(family.tokenizer.eos_token)
        return Markdown(f"In the tokenizer {eos} is the token that begins and ends text (bos, eos)")
    if known is None:
        known = dict.fromkeys(("bos", "eos", "pad"), family.tokenizer.eos_token)
    does = {"bos": "begins text (bos)", "eos": "ends text (eos)", "pad": "pads it"}
    if set(does) <= set(known) and len(set(known.values())) == 1:
        return Markdown(f"{code(known['eos'])} is the token that begins and ends text (bos, eos) and pads it")
    parts = [Markdown(f"{code(known[kind])} {said}") for kind, said in does.items() if kind in known]
    return listed(parts) if parts else Markdown("Its tokenizer names no token that begins, ends or pads text")


def _branches(family: Family, runs: Sequence[Run]) -> Markdown:
    total = len(family.revisions.numbers)
    if len(runs) < total:
        if not runs:
            return Markdown("No model is trained yet, so there is no branch yet.")
        if len(runs) == 1:
            return Markdown(f"1 of {total:,} models is trained; its branch is {code(runs[0].revision)}.")
        names = listed([code(run.revision) for run in runs])
        return Markdown(f"{len(runs):,} of {total:,} models are trained; their branches are {names}.")
    if len(runs) == 1:
        return Markdown(f"There is one branch, {code(runs[0].revision)}.")
    if len(runs) == 2:
        return Markdown(f"The branches are {code(runs[0].revision)} and {code(runs[1].revision)}.")
    numbers = list(family.revisions.numbers)
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        names = Markdown(f"{code(runs[0].revision)} to {code(runs[-1].revision)}")
    else:
        names = listed([code(run.revision) for run in runs])
    last = f"; the last {family.revisions.kind} is {max(numbers)}" if made_elsewhere(family) else ""
    return Markdown(f"There are {len(runs)} branches, {names}{last}.")


def _transformers_code(family: Family, run: Run) -> Markdown:
    arguments = f'"{family.repo_id}", revision="{run.revision}"'
    return block(
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"model = AutoModelForCausalLM.from_pretrained({arguments})\n"
        f"tokenizer = AutoTokenizer.from_pretrained({arguments})",
        "python",
    )


def _mixhub_code(family: Family, run: Run, commit: str | None = None) -> Markdown:
    """By the family's name where mixhub ships it; its name in a workspace means nothing to a reader elsewhere."""
    if commit is not None:
        arguments = f'"{family.repo_id}", commit="{commit}"'
    elif made_elsewhere(family) and run in family.runs():
        arguments = f'"{family.name}", {run.kind}={run.number}'
    else:
        arguments = f'"{family.repo_id}", revision="{run.revision}"'
    return block(f"import mixhub\n\nmodel, tokenizer = mixhub.load({arguments})", "python")


def _revisions(family: Family, runs: Sequence[RunFacts], commits: Mapping[str, str]) -> Table | None:
    headers = ("Branch", family.revisions.kind.capitalize(), "Commit", "Weights (sha256)", "Steps", "State")
    rows = []
    for facts in runs:
        run, lineage = facts.run, facts.lineage
        rows.append(
            (
                code(run.revision),
                str(run.number),
                code(commits[run.revision]) if run.revision in commits else figures.ABSENT,
                code(lineage.weights_sha256[:12]) if lineage else figures.ABSENT,
                figures.ABSENT if lineage is None else figures.whole(lineage.step),
                "withdrawn" if facts.withdrawal else figures.ABSENT,
            )
        )
    if not rows:
        return None
    table = without_empty_columns(Table(headers, tuple(rows), frozenset({1, 4})), figures.ABSENT)
    return None if len(runs) > FOLDED and len(table.headers) == 2 else table
