"""What a check or a verification reports of one branch, in a form that rows of tests can hold."""

from collections.abc import Iterable

from mixhub.findings import Finding


def seen(findings: Iterable[Finding], where: str) -> list[str]:
    """Each finding in one place, in their order: `code` or `code about`, after its level unless it is an error."""
    return [
        f"{'' if finding.level == 'error' else f'{finding.level}: '}{finding.code} {finding.about}".strip()
        for finding in findings
        if finding.where == where
    ]
