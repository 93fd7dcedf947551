"""What a model is called in Every Eval Ever, and where its records go."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mixhub.analysis.evidence import Evidence
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

_UNSAFE = re.compile(r'[/<>"\\|?*\x00-\x1f]')
"""Characters that the names of files cannot have everywhere; the schema's paths replace colons only."""


@dataclass(frozen=True)
class Identity:
    """The model of a record, and who measured it."""

    model_id: str
    """`owner/name`."""
    revision: str
    """The branch or commit of its repo, or `unknown`."""
    organization: str
    """Who measured, or `unknown`."""
    is_own: bool | None
    """Whether the organization made the model; None if unknown."""

    @property
    def developer(self) -> str:
        """The owner of the model."""
        return self.model_id.partition("/")[0]

    @classmethod
    def of(cls, record: Record, evidence: Evidence, organization: str | None) -> Identity:
        """Name a model by its repo, and one in a folder by the organization and the end of its path.

        Args:
            record: a cell.
            evidence: the family or model that it belongs to.
            organization: who measured, if the user says so; default: for a family's own cells the owner of its repo.
        """
        if evidence.family is not None:
            run = next(run for run in evidence.family.runs() if run.revision == record.revision)
            model_id, revision = run.repo_id, run.branch
            owner = model_id.partition("/")[0]
            default = owner if evidence.standing == "measured" else None
        else:
            model_id, revision, default = _model_id(record.model, organization), record.revision, None
            owner = model_id.partition("/")[0]
        known = organization or default
        return cls(model_id, revision, known or UNKNOWN, None if known is None else _portable(known) == owner)


def _model_id(model: str, organization: str | None) -> str:
    parts = [_portable(part) for part in model.split("/") if part not in ("", ".", "..")]
    if len(parts) == 2 and not model.startswith(("/", ".")):
        return "/".join(parts)
    return f"{_portable(organization or UNKNOWN)}/{'_'.join(parts[-2:]) or UNKNOWN}"


def _portable(name: str) -> str:
    """A name that can be one of a folder; `data` is reserved for the first one of the path."""
    safe = _UNSAFE.sub("_", name).rstrip(". ") or UNKNOWN
    return f"{safe}_" if safe == "data" else safe


def folder_of(collection: str, model_id: str) -> str:
    """The folder of the records of a model: `data/<task>/<owner>/<model>`."""
    parts = (_portable(collection), *model_id.split("/"))
    return "/".join(("data", *(part.replace(":", "_") for part in parts)))
