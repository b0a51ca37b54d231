"""The worker processes that a recipe's ``runner`` asks for, opened."""

from tasks_lib.runners import DaskRunner, RayRunner
from tasks_lib.workers.workers import Workers

__all__ = ["open_workers"]


def open_workers(runner: DaskRunner | RayRunner, max_concurrency: int) -> Workers:
    """Start worker processes on this machine, or connect to a cluster; close them when done.

    Args:
        runner: of the recipe.
        max_concurrency: calls in flight over all workers; there are never more workers than calls.

    Raises:
        MissingExtraError: Dask or Ray is not installed.
        RecipeError: the cluster does not answer.
    """
    count = min(runner.workers, max_concurrency)
    if isinstance(runner, DaskRunner):
        from tasks_lib.workers.dask_workers import DaskWorkers

        return DaskWorkers(count, runner.address)
    from tasks_lib.workers.ray_workers import RayWorkers

    return RayWorkers(count, runner.address, runner.gpus_per_worker)
