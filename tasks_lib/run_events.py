"""The events that a build emits, for automations to act on.

``imageloom.dataset.built``: the folder holds a dataset. ``imageloom.dataset.refused``: the build ended without one that
is fit for use. ``imageloom.dataset.budget-reached``: a cap ended it early. Their resource is
``imageloom.dataset.<recipe>``; its label ``imageloom.whole`` is ``true`` where every row of the recipe was asked, which
a preview, a limit or a cap prevents, and ``imageloom.overridden`` where the run changed settings of its recipe. Prefect
adds the flow run, the flow and the deployment as related resources.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prefect.events import emit_event
from prefect.runtime import flow_run

from tasks_lib.errors import TooManyFailuresError
from tasks_lib.recipe import Recipe
from tasks_lib.report import BuildReport

__all__ = ["BUDGET_REACHED", "BUILT", "REFUSED", "emit_built", "refusal_told"]

BUILT = "imageloom.dataset.built"
REFUSED = "imageloom.dataset.refused"
BUDGET_REACHED = "imageloom.dataset.budget-reached"
LONGEST_REASON = 1_000


def emit_built(report: BuildReport) -> None:
    """Say that a dataset was built, and whether a cap ended it early."""
    emit_event(BUILT, resource=_resource(report.name, _is_whole(report)), payload=_payload(report))
    if not report.every_row_asked:
        emit_event(BUDGET_REACHED, resource=_resource(report.name, whole=False), payload=_payload(report))


@contextmanager
def refusal_told(recipe: Recipe | str) -> Iterator[None]:
    """Say so if the build in this block ends without a dataset fit for use; one that is cancelled says nothing.

    Args:
        recipe: the recipe, or its place while it is not read; it is then told by the name of its file.
    """
    try:
        yield
    # Of whatever kind: the build has ended. A cancellation is none of them.
    except Exception as error:
        told = _refused(recipe, error)
        reason = (str(error) or type(error).__name__)[:LONGEST_REASON]
        emit_event(REFUSED, resource=_resource(told["name"], whole=False), payload={**told, "reason": reason})
        raise


def _refused(recipe: Recipe | str, error: Exception) -> dict[str, Any]:
    if isinstance(error, TooManyFailuresError):
        return _payload(error.distiset.report)
    if isinstance(recipe, str):
        return {"name": Path(urlsplit(recipe).path).stem or "recipe", "folder": None}
    return {"name": recipe.name, "folder": str(Path(recipe.output.path).absolute())}


def _is_whole(report: BuildReport) -> bool:
    return report.every_row_asked and flow_run.parameters.get("limit") is None


def _resource(name: str, whole: bool) -> dict[str, str]:
    return {
        "prefect.resource.id": f"imageloom.dataset.{name}",
        "prefect.resource.name": name,
        "imageloom.whole": str(whole).lower(),
        "imageloom.overridden": str(bool(flow_run.parameters.get("overrides"))).lower(),
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
