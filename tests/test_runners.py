"""The runner of a recipe: what it refuses, what workers are told, and how their errors travel."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tasks_lib import errors
from tasks_lib.batches import Batch
from tasks_lib.build import connected_task
from tasks_lib.checks import Checks
from tasks_lib.errors import ImageloomError, RecipeError, StopError, ThrottledError
from tasks_lib.recipe import load_recipe
from tasks_lib.store import ImageStore
from tasks_lib.workers import Workers
from tasks_lib.workers.allowances import Allowance
from tasks_lib.workers.batch_worker import BatchWorker, Order, Outcome
from tests.custom_tasks import FlatColour
from tests.endpoint import Endpoint
from tests.recipes import drawn_by

URL = "http://somebody:MARKEDxPASSWORD@127.0.0.1:9/"


class Guarded(FlatColour):
    """A model that keeps its key in a setting."""

    key: SecretStr = SecretStr("")


class OrdersOnly(Workers):
    """Shows what would be sent, and sends nothing."""

    def _send(self, order: Order) -> Any:
        raise AssertionError(pickle.dumps(order))

    def _stop_workers(self, reason: str, grace_s: float | None) -> None:
        """There are none."""

    def _leave(self) -> None:
        """There are none."""


class OwnProcess(Workers):
    """Does the work of a worker where it is."""

    def __init__(self) -> None:
        super().__init__(1)
        self._worker = BatchWorker()

    def _send(self, order: Order) -> Outcome:
        return self._worker.work(order)

    def _stop_workers(self, reason: str, grace_s: float | None) -> None:
        self._worker.stop(reason, grace_s)

    def _leave(self) -> None:
        self._worker.close()


def flat(**settings: Any) -> dict[str, Any]:
    return drawn_by({"type": "tests.custom_tasks:FlatColour"}, ["a"], **settings)


@pytest.mark.parametrize(
    ("runner", "found"),
    [
        ({"type": "process"}, r"runner: unknown type 'process'; known types: thread, dask, ray"),
        ({"type": "dask", "workers": 0}, r"runner\.workers: .*greater than or equal to 1 \(found 0\)"),
        ({"type": "dask", "adress": "x"}, r"runner: unknown key 'adress'; did you mean 'address'"),
        ({"type": "thread", "workers": 2}, r"runner: unknown key 'workers'; known keys: type"),
        ({"type": "ray", "address": ""}, r"runner\.address: .*at least 1 character"),
    ],
)
def test_a_runner_that_makes_no_sense_is_named(runner: dict[str, Any], found: str) -> None:
    """A mistake in the runner is found when the recipe is read, in one sentence with its place."""
    with pytest.raises(RecipeError, match=found):
        load_recipe(flat(runner=runner))


def test_a_store_that_only_one_process_has_is_refused() -> None:
    """A store in memory goes with threads only, and the error says what goes with workers."""
    load_recipe(flat(store="memory://store"))
    with pytest.raises(RecipeError, match=r"runner: the store memory://store is in the memory of one process.*bucket"):
        load_recipe(flat(store="memory://store", runner={"type": "dask"}))


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        ({"type": "inference_endpoints", "base_url": URL}, "base_url"),
        ({"type": f"{__name__}:Guarded", "key": "MARKEDxPASSWORD"}, "key"),
    ],
)
def test_a_secret_in_a_setting_is_not_sent_to_workers(model: dict[str, Any], setting: str) -> None:
    """A login or key that a recipe holds goes with threads only; the refusal names the setting and not the secret."""
    load_recipe(drawn_by(model, ["a"]))
    with pytest.raises(
        RecipeError, match=rf"never a key or a login.*task\.image_generation_model\.{setting}: "
    ) as told:
        load_recipe(drawn_by(model, ["a"], runner={"type": "ray"}))
    assert "MARKEDxPASSWORD" not in str(told.value)


def test_an_order_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent to a worker holds neither the token of the model nor anything else of the environment."""
    for name in ("HF_TOKEN", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hf_MARKEDxTOKEN")
    model = {"type": "inference_endpoints", "base_url": "http://127.0.0.1:9"}
    recipe = load_recipe(drawn_by(model, ["a"], store=str(tmp_path)))
    task = connected_task(recipe, ImageStore(tmp_path))
    batch = Batch(0, [{"prompt": "a cat"}], ["train"], {}, frozenset())
    with pytest.raises(AssertionError) as sent:
        OrdersOnly(2).run(task, batch, Checks())
    assert "MARKEDx" not in str(sent.value)
    assert "a cat" in str(sent.value)
    task.unload()


def test_damaged_images_use_up_no_batch(endpoint: Endpoint, tmp_path: Path) -> None:
    """Where an image came damaged, a batch of a worker goes on as long as the run's cap leaves room."""
    model = {"type": "inference_endpoints", "base_url": endpoint.url, "price_per_image_usd": 0.01}
    recipe = load_recipe(drawn_by(model, ["x"], store=str(tmp_path), limits={"max_images": 6, "max_cost_usd": 9}))
    task = connected_task(recipe, ImageStore(tmp_path))
    prompts = ["a", "b {{half}}", "c", "d {{half times=inf}}"]
    batch = Batch(0, [{"prompt": prompt} for prompt in prompts], ["train"] * 4, {}, frozenset())
    workers = OwnProcess()
    rows = workers.run(task, batch, Checks())
    workers.close()
    assert [row.columns["status"] for row in rows] == ["ok", "ok", "ok", "not_asked"]
    assert [entry["attempts"] > 0 for row in rows[:3] for entry in row.ledger] == [True] * 3
    assert task.llm.generator.budget.images == 6
    task.unload()


@pytest.mark.parametrize("kind", sorted(errors.__all__))
def test_errors_travel_as_they_are(kind: str) -> None:
    """Every error keeps its class, its sentence and what is noted in it when it comes from another process."""
    cls = getattr(errors, kind)
    error: ImageloomError = cls("a", "b") if kind == "MissingExtraError" else cls("What failed, and what to do.")
    noted = {"attempts": 3, "seconds": 1.5, "retry_after": 7.0, "distiset": {"default": "x"}}
    for name, value in noted.items():
        if hasattr(error, name):
            setattr(error, name, value)
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert arrived.__dict__ == error.__dict__


def test_a_throttled_error_keeps_its_wait() -> None:
    """Arguments of an error's own survive, too."""
    assert pickle.loads(pickle.dumps(ThrottledError("wait", 12.5))).retry_after == 12.5


def test_what_cannot_be_pickled_is_told_all_the_same(tmp_path: Path) -> None:
    """A library's exception that cannot travel comes as its name, its text and its place."""
    recipe = load_recipe(flat(task={"type": "tests.custom_tasks:StubbornTask"}))
    setup_of: list[Order] = []

    class Keeping(OrdersOnly):
        def _send(self, order: Order) -> Any:
            setup_of.append(order)
            return BatchWorker().work(order)

    task = connected_task(recipe, ImageStore(tmp_path))
    batch = Batch(0, [{"prompt": "a cat"}], ["train"], {}, frozenset())
    with pytest.raises(RuntimeError, match="StubbornError: cannot travel") as told:
        Keeping(2).run(task, batch, Checks())
    assert "custom_tasks.py" in "".join(told.value.__notes__)
    assert setup_of[0].allowance == Allowance()


def test_a_worker_with_another_store_asks_nothing(tmp_path: Path) -> None:
    """A worker whose folder of that name is not the flow's says so before anything is paid; nothing stays behind."""
    recipe = load_recipe(flat())

    class OnAnotherMachine(OrdersOnly):
        def _send(self, order: Order) -> Any:
            return BatchWorker().work(replace(order, setup=order.setup.replace("flows-store", "another-store")))

    task = connected_task(recipe, ImageStore(tmp_path / "flows-store"))
    elsewhere = OnAnotherMachine(2)
    with pytest.raises(StopError, match=r"the worker on .* has another store at .*another-store than the flow.*bucket"):
        elsewhere.run(task, Batch(0, [{"prompt": "a cat"}], ["train"], {}, frozenset()), Checks())
    elsewhere.close()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("module", "extra", "hidden"), [("dask", "dask", "distributed"), ("ray", "ray", "ray")])
def test_a_missing_extra_is_named(module: str, extra: str, hidden: str) -> None:
    """Without the package, the sentence says how to install it."""
    script = (
        f"import sys; sys.modules['{hidden}'] = None\n"
        "from tasks_lib.workers.clusters import open_workers\n"
        "from tasks_lib.runners import DaskRunner, RayRunner\n"
        f"open_workers({'DaskRunner' if module == 'dask' else 'RayRunner'}(), 4)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        f"tasks_lib.errors.MissingExtraError: A runner of type {module} needs an optional dependency. "
        f"Install it with: pip install 'imageloom[{extra}]'"
    )
