"""Worker processes, of Dask or Ray, that run the batches of a build; they know nothing of Prefect."""

from tasks_lib.workers.clusters import open_workers
from tasks_lib.workers.workers import Workers

__all__ = ["Workers", "open_workers"]
