"""The ``runner`` of a recipe: in which processes its batches run, and on which machines."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from tasks_lib.settings import Settings

__all__ = ["DaskRunner", "RayRunner", "Runner", "ThreadRunner", "check_workers_understand"]


class ThreadRunner(Settings):
    """Batches run in the flow's own process; calls to an endpoint need no more."""

    type: Literal["thread"] = "thread"


class DaskRunner(Settings):
    """Batches run in the worker processes of a Dask cluster; needs the extra ``dask``."""

    type: Literal["dask"] = "dask"
    workers: int = Field(default=2, ge=1, le=256)
    """Batches at work at once, each in a process of its own; limits.max_concurrency is shared out among them, and
    where it is smaller, so many are used."""
    address: str | None = Field(default=None, min_length=1)
    """The scheduler of a running cluster, such as tcp://10.0.0.5:8786; by default one is started on this machine. Its
    workers need this package, the task's, the keys in their environment, and the store."""


class RayRunner(Settings):
    """Batches run in the worker processes of a Ray cluster; needs the extra ``ray``."""

    type: Literal["ray"] = "ray"
    workers: int = Field(default=2, ge=1, le=256)
    """Batches at work at once, each in a process of its own; limits.max_concurrency is shared out among them, and
    where it is smaller, so many are used."""
    address: str | None = Field(default=None, min_length=1)
    """A running cluster, such as ray://10.0.0.5:10001, or auto for the one of this machine; by default one is started
    here. Its workers need this package, the task's, the keys in their environment, and the store."""
    gpus_per_worker: float = Field(default=0, ge=0)
    """GPUs that Ray gives each worker; without, it hides them."""


def check_workers_understand(task: Any) -> None:
    """Whether a worker, told what a recipe says of a task, and so never a key, would have the same task.

    Raises:
        ValueError: a setting is not written down as it is, such as the login in a URL.
    """
    settings = {key: value for key, value in task.written().items() if key != "type"}
    understood = type(task).model_validate(settings)
    model = task.image_generation_model
    lost = [
        *(f"image_generation_model.{name}" for name in _differences(model, understood.image_generation_model)),
        *(name for name in _differences(task, understood) if name != "image_generation_model"),
    ]
    if lost:
        raise ValueError(
            f"workers are told what a recipe says, but never a key or a login, and there is one in task.{lost[0]}: "
            "take it out, and give it by environment"
        )


def _differences(one: Settings, other: Settings) -> list[str]:
    return [name for name in type(one).model_fields if getattr(one, name) != getattr(other, name)]


def _check(runner: Any, info: ValidationInfo) -> Any:
    """What does not go together, found when the recipe is read; the fields above this one are there already."""
    if isinstance(runner, ThreadRunner):
        return runner
    if str(info.data.get("store", "")).startswith("memory:"):
        raise ValueError(
            f"the store {info.data['store']} is in the memory of one process; with {runner.type} name a folder or a "
            "bucket that all workers reach"
        )
    if "task" in info.data:
        check_workers_understand(info.data["task"])
    return runner


Runner = Annotated[
    Annotated[ThreadRunner | DaskRunner | RayRunner, Field(discriminator="type")], AfterValidator(_check)
]
"""The field of a recipe, below its task and its store."""
