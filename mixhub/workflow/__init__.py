"""What the commands do, without parsing and printing: one function a step, values in and values out.

    from mixhub import workflow

    workspace = workflow.init("my-work", mixture="mixture.yaml", name="my-mix")
    workflow.pack(workspace)
    workflow.train(workspace, seed=1)

The first argument is a workspace, or the folder of one. Runs are named as on the command line (`seed=`, `index=`,
`all=`, `step=`, `family=`), a `progress=` shows long work, and results are values. Each name is imported when it is
first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixhub.analysis.results import results
    from mixhub.analysis.selection import Selection
    from mixhub.evaluation.options import Options
    from mixhub.hub.publish.plan import PushOptions
    from mixhub.workflow.inputs import RunName, RunNames, open_hub, open_workspace
    from mixhub.workflow.make.adoption import Adopted, adopt
    from mixhub.workflow.make.packing import pack
    from mixhub.workflow.make.setup import init
    from mixhub.workflow.make.training import Trained, train
    from mixhub.workflow.measure.audits import Audited, audit
    from mixhub.workflow.measure.documents import with_fewshot_seed
    from mixhub.workflow.measure.evaluation import (
        Evaluated,
        Prefetched,
        crosscheck,
        evaluate,
        evaluated_so_far,
        prefetch,
    )
    from mixhub.workflow.measure.models import EvaluatedModel, evaluate_model, find_suite, prefetch_model
    from mixhub.workflow.measure.plots import (
        plot_difference,
        plot_losses,
        plot_mixture,
        plot_scores,
        plot_shots,
        save_plot,
    )
    from mixhub.workflow.measure.tables import compare_scores, score_tables
    from mixhub.workflow.release.cards import check_card, check_cards, diff_card, render_card, validate_card
    from mixhub.workflow.release.checks import check, check_each
    from mixhub.workflow.release.generation import Generated, Sampling, generate
    from mixhub.workflow.release.promotions import PlannedPromotion, plan_promotion, promote
    from mixhub.workflow.release.pushes import PushPlan, plan_push, push
    from mixhub.workflow.release.states import RunStatus, status
    from mixhub.workflow.release.verifications import verify
    from mixhub.workflow.release.withdrawals import Withdrawal, withdraw

__all__ = [
    "Adopted",
    "Audited",
    "Evaluated",
    "EvaluatedModel",
    "Generated",
    "Options",
    "PlannedPromotion",
    "Prefetched",
    "PushOptions",
    "PushPlan",
    "RunName",
    "RunNames",
    "RunStatus",
    "Sampling",
    "Selection",
    "Trained",
    "Withdrawal",
    "adopt",
    "audit",
    "check",
    "check_card",
    "check_cards",
    "check_each",
    "compare_scores",
    "crosscheck",
    "diff_card",
    "evaluate",
    "evaluate_model",
    "evaluated_so_far",
    "find_suite",
    "generate",
    "init",
    "open_hub",
    "open_workspace",
    "pack",
    "plan_promotion",
    "plan_push",
    "plot_difference",
    "plot_losses",
    "plot_mixture",
    "plot_scores",
    "plot_shots",
    "prefetch",
    "prefetch_model",
    "promote",
    "push",
    "render_card",
    "results",
    "save_plot",
    "score_tables",
    "status",
    "train",
    "validate_card",
    "verify",
    "with_fewshot_seed",
    "withdraw",
]

_HOMES = {
    "Selection": "mixhub.analysis.selection",
    "results": "mixhub.analysis.results",
    "Options": "mixhub.evaluation.options",
    "RunName": "mixhub.workflow.inputs",
    "RunNames": "mixhub.workflow.inputs",
    "open_hub": "mixhub.workflow.inputs",
    "open_workspace": "mixhub.workflow.inputs",
    "Adopted": "mixhub.workflow.make.adoption",
    "adopt": "mixhub.workflow.make.adoption",
    "pack": "mixhub.workflow.make.packing",
    "init": "mixhub.workflow.make.setup",
    "Trained": "mixhub.workflow.make.training",
    "train": "mixhub.workflow.make.training",
    "Audited": "mixhub.workflow.measure.audits",
    "audit": "mixhub.workflow.measure.audits",
    "with_fewshot_seed": "mixhub.workflow.measure.documents",
    "Evaluated": "mixhub.workflow.measure.evaluation",
    "Prefetched": "mixhub.workflow.measure.evaluation",
    "crosscheck": "mixhub.workflow.measure.evaluation",
    "evaluate": "mixhub.workflow.measure.evaluation",
    "evaluated_so_far": "mixhub.workflow.measure.evaluation",
    "prefetch": "mixhub.workflow.measure.evaluation",
    "EvaluatedModel": "mixhub.workflow.measure.models",
    "evaluate_model": "mixhub.workflow.measure.models",
    "find_suite": "mixhub.workflow.measure.models",
    "prefetch_model": "mixhub.workflow.measure.models",
    "plot_difference": "mixhub.workflow.measure.plots",
    "plot_losses": "mixhub.workflow.measure.plots",
    "plot_mixture": "mixhub.workflow.measure.plots",
    "plot_scores": "mixhub.workflow.measure.plots",
    "plot_shots": "mixhub.workflow.measure.plots",
    "save_plot": "mixhub.workflow.measure.plots",
    "compare_scores": "mixhub.workflow.measure.tables",
    "score_tables": "mixhub.workflow.measure.tables",
    "check_card": "mixhub.workflow.release.cards",
    "check_cards": "mixhub.workflow.release.cards",
    "diff_card": "mixhub.workflow.release.cards",
    "render_card": "mixhub.workflow.release.cards",
    "validate_card": "mixhub.workflow.release.cards",
    "check": "mixhub.workflow.release.checks",
    "check_each": "mixhub.workflow.release.checks",
    "Generated": "mixhub.workflow.release.generation",
    "Sampling": "mixhub.workflow.release.generation",
    "generate": "mixhub.workflow.release.generation",
    "PlannedPromotion": "mixhub.workflow.release.promotions",
    "plan_promotion": "mixhub.workflow.release.promotions",
    "promote": "mixhub.workflow.release.promotions",
    "PushOptions": "mixhub.hub.publish.plan",
    "PushPlan": "mixhub.workflow.release.pushes",
    "plan_push": "mixhub.workflow.release.pushes",
    "push": "mixhub.workflow.release.pushes",
    "RunStatus": "mixhub.workflow.release.states",
    "status": "mixhub.workflow.release.states",
    "verify": "mixhub.workflow.release.verifications",
    "Withdrawal": "mixhub.workflow.release.withdrawals",
    "withdraw": "mixhub.workflow.release.withdrawals",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mixhub.workflow' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
