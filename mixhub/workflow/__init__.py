"""The work of the commands, without parsing or printing: one function per step.

    from mixhub import workflow

    workspace = workflow.init("my-work", mixture="mixture.yaml", name="my-mix")
    workflow.pack(workspace)
    workflow.train(workspace, seed=1)

The first argument is a workspace or its folder. Runs are named as on the command line (`seed=`, `index=`, `all=`,
`step=`, `family=`), `progress=` shows long work, and functions return values. Each name is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixhub import lazy_names

if TYPE_CHECKING:
    from mixhub.analysis.selection import Selection
    from mixhub.data.exchange.exports import Exported
    from mixhub.data.exchange.imports import Imported, ImportOptions
    from mixhub.data.seen import SeenDocument
    from mixhub.evaluation.calls.crosscheck import crosscheck
    from mixhub.evaluation.options import Options
    from mixhub.hub.publish.plan import PushOptions
    from mixhub.training.options import TrainOptions
    from mixhub.training.planning.outcome import Preflight
    from mixhub.training.planning.plan import TrainingPlan
    from mixhub.workflow.data.downloads import Download, Wanted, download_data
    from mixhub.workflow.data.exchange import export_tokens, import_tokens
    from mixhub.workflow.data.inspection import InspectedDomain, Inspection, inspect_data
    from mixhub.workflow.data.packing import PackOptions, pack, pack_shard
    from mixhub.workflow.data.reading import SeenDocuments, seen_documents
    from mixhub.workflow.data.verification import VerifiedData, verify_data
    from mixhub.workflow.inputs import RunName, RunNames, find_runs, open_hub, open_workspace
    from mixhub.workflow.make.additions import add
    from mixhub.workflow.make.adoption import Adopted, adopt
    from mixhub.workflow.make.exports import ExportedStep, export
    from mixhub.workflow.make.from_model import FamilyOptions, init_from_model
    from mixhub.workflow.make.hub_adoption import AdoptOptions, adopt_from_hub
    from mixhub.workflow.make.plans import plan_training, preflight
    from mixhub.workflow.make.series import train_each, train_in_turn
    from mixhub.workflow.make.setup import init
    from mixhub.workflow.make.training import Trained, train, train_in_processes, trained_so_far
    from mixhub.workflow.measure.audits import Audited, audit
    from mixhub.workflow.measure.documents import with_fewshot_seed
    from mixhub.workflow.measure.evaluation import Evaluated, Prefetched, evaluate, evaluated_so_far, prefetch
    from mixhub.workflow.measure.frames import results
    from mixhub.workflow.measure.models import EvaluatedModel, evaluate_model, find_suite, prefetch_model
    from mixhub.workflow.measure.plots import (
        plot_difference,
        plot_losses,
        plot_mixture,
        plot_scores,
        plot_shots,
        plot_validation,
        save_plot,
    )
    from mixhub.workflow.measure.records import export_results
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
    "AdoptOptions", "Adopted", "Audited", "Download", "Evaluated", "EvaluatedModel", "Exported", "ExportedStep",
    "FamilyOptions", "Generated", "ImportOptions", "Imported", "InspectedDomain", "Inspection", "Options",
    "PackOptions", "PlannedPromotion", "Prefetched", "Preflight", "PushOptions", "PushPlan", "RunName", "RunNames",
    "RunStatus", "Sampling", "SeenDocument", "SeenDocuments", "Selection", "TrainOptions", "Trained",
    "TrainingPlan", "VerifiedData", "Wanted", "Withdrawal", "add", "adopt", "adopt_from_hub", "audit", "check",
    "check_card", "check_cards", "check_each", "compare_scores", "crosscheck", "diff_card", "download_data",
    "evaluate", "evaluate_model", "evaluated_so_far", "export", "export_results", "export_tokens", "find_runs",
    "find_suite", "generate", "import_tokens", "init", "init_from_model", "inspect_data", "open_hub",
    "open_workspace", "pack", "pack_shard", "plan_promotion", "plan_push", "plan_training", "plot_difference",
    "plot_losses", "plot_mixture", "plot_scores", "plot_shots", "plot_validation", "prefetch", "prefetch_model",
    "preflight", "promote", "push", "render_card", "results", "save_plot", "score_tables", "seen_documents",
    "status", "train", "train_each", "train_in_processes", "train_in_turn", "trained_so_far", "validate_card",
    "verify", "verify_data", "with_fewshot_seed", "withdraw",
]  # fmt: skip

__getattr__ = lazy_names(__name__, __file__)


def __dir__() -> list[str]:
    return sorted(__all__)
