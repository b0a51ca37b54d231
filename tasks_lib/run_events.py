"""The events that a build emits, for automations to act on.

``imageloom.dataset.built``: the folder holds a dataset. ``imageloom.dataset.refused``: the build ended without one that
is fit for use. ``imageloom.dataset.budget-reached``: a cap ended it early. Their resource is
``imageloom.dataset.<recipe>``; its label ``imageloom.whole`` is ``true`` where every row of the recipe was asked, which
a preview, a limit or a cap prevents. Prefect adds the flow run, the flow and the deployment as related resources.
"""

from pathlib import Path
from typing import Any

from prefect.events import emit_event
from prefect.runtime import flow_run

from tasks_lib.errors import ImageloomError, TooManyFailuresError
from tasks_lib.report import BuildReport

__all__ = ["BUDGET_REACHED", "BUILT", "REFUSED", "emit_built", "emit_refused"]

BUILT = "imageloom.dataset.built"
REFUSED = "imageloom.dataset.refused"
BUDGET_REACHED = "imageloom.dataset.budget-reached"
LONGEST_REASON = 1_000


def emit_built(report: BuildReport) -> None:
    """Say that a dataset was built, and whether a cap ended it early."""
    emit_event(BUILT, resource=_resource(report.name, _is_whole(report)), payload=_payload(report))
    if not report.every_row_asked:
        emit_event(BUDGET_REACHED, resource=_resource(report.name, whole=False), payload=_payload(report))


def emit_refused(name: str, folder: str, error: ImageloomError) -> None:
    """Say that a build ended without a dataset fit for use.

    Args:
        name: the recipe's.
        folder: where the dataset was to go.
        error: why; with too many failures the payload has their counts.
    """
    payload: dict[str, Any] = {"name": name, "folder": str(Path(folder).absolute())}
    if isinstance(error, TooManyFailuresError):
        payload = _payload(error.distiset.report)
    emit_event(
        REFUSED, resource=_resource(name, whole=False), payload={**payload, "reason": str(error)[:LONGEST_REASON]}
    )


def _is_whole(report: BuildReport) -> bool:
    return report.every_row_asked and flow_run.parameters.get("limit") is None


def _resource(name: str, whole: bool) -> dict[str, str]:
    return {
        "prefect.resource.id": f"imageloom.dataset.{name}",
        "prefect.resource.name": name,
        "imageloom.whole": str(whole).lower(),
    }


def _payload(report: BuildReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "folder": str(Path(report.folder).absolute()),
        "headline": report.headline,
        "rows": report.rows,
        "generations": report.generations,
        "counts": dict(report.counts),
        "asked": report.asked,
        "from_store": report.from_store,
        "spent_usd": report.spent_usd,
        "total_usd": report.total_usd,
        "seconds": report.seconds,
    }
