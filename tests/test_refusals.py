"""What moderation refused is remembered: asked again only by those who want to, and never taken for an image."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks_lib import ImageStore
from tasks_lib.estimate import estimate
from tasks_lib.recipe import load_recipe
from tasks_lib.store.refusals import Refusal
from tasks_lib.used_images import used_images
from tests.endpoint import Endpoint
from tests.faults import NOT_OK, OK
from tests.recipes import Build, recipe_for

REFUSED_ONCE = "a dog {{refused-openai times=1}}"
PROMPTS = ["a cat", REFUSED_ONCE, "a cow {{500 times=2}}"]


def recipe_that_fails(endpoint: Endpoint, **limits: Any) -> dict[str, Any]:
    return recipe_for(endpoint, PROMPTS, limits={"max_failure_rate": 1.0, "max_attempts": 1, **limits})


def prompts_of(endpoint: Endpoint) -> list[str]:
    return [call.prompt for call in endpoint.calls]


def test_only_what_failed_is_asked_again(build_dataset: Build, endpoint: Endpoint) -> None:
    """The next build asks what failed and nothing else; what was refused only with ``retry_refused``."""
    counts = [dict(build_dataset(recipe_that_fails(endpoint)).report.counts) for _ in range(3)]
    assert counts == [{"failed": 1, "ok": 1, "refused": 1}] * 2 + [{"ok": 2, "refused": 1}]
    assert prompts_of(endpoint).count(REFUSED_ONCE) == 1
    assert len(endpoint.calls) == 3 + 1 + 1
    overrides = {"limits.retry_refused": True}
    report = build_dataset(recipe_that_fails(endpoint), overrides=overrides).report
    assert (report.asked, dict(report.counts)) == (1, {"ok": 3})
    assert prompts_of(endpoint)[-1] == REFUSED_ONCE
    # The image counts before the refusal that is still noted.
    assert build_dataset(recipe_that_fails(endpoint)).report.from_store == 3


def test_a_remembered_refusal_is_the_same_row(build_dataset: Build, endpoint: Endpoint) -> None:
    """A rerun tells a refusal in the words of the first build, so that the shards are the same bytes."""

    def failed_shard() -> bytes:
        return Path("dataset/failed/train-00000-of-00001.parquet").read_bytes()

    build_dataset(recipe_for(endpoint, ["a cat", REFUSED_ONCE]))
    first, fingerprint = failed_shard(), ledger()[1]["fingerprint"]
    report = build_dataset(recipe_for(endpoint, ["a cat", REFUSED_ONCE])).report
    assert (report.asked, report.total_usd is None) == (0, True)
    assert failed_shard() == first
    assert ledger()[1] | {"seconds": 0} == {
        "row": 1,
        "generation": 0,
        "status": "refused",
        "error": ledger()[1]["error"],
        "attempts": 0,
        "seconds": 0,
        "cost_usd": 0.0,
        "from_store": False,
        "created": None,
        "fingerprint": fingerprint,
    }


def test_the_estimate_knows_refusals(build_dataset: Build, endpoint: Endpoint) -> None:
    """The estimate counts a refusal as neither asked nor paid, unless it is to be asked again."""
    recipe = load_recipe(recipe_for(endpoint, ["a cat", REFUSED_ONCE]))
    build_dataset(recipe_for(endpoint, ["a cat", REFUSED_ONCE]))
    counted = estimate(recipe)
    assert (counted.in_store, counted.refused, counted.to_ask) == (1, 1, 0)
    again = estimate(load_recipe(recipe, {"limits.retry_refused": True}))
    assert (again.in_store, again.refused, again.to_ask) == (1, 0, 1)


def test_the_store_looks_after_refusals(build_dataset: Build, endpoint: Endpoint) -> None:
    """``verify`` finds a damaged refusal, which counts as unknown; ``prune`` keeps those a dataset tells of."""
    build_dataset(recipe_for(endpoint, ["a cat", REFUSED_ONCE]))
    store = ImageStore("store")
    assert store.verify() == {}
    assert store.prune(used_images([Path()])) == []
    (noted,) = Path("store").rglob("*.refused")
    assert list(store.prune([])) == sorted(store.prune([]), key=lambda name: not name.endswith(".json"))
    assert len(store.prune([])) == 3
    noted.write_text("{half")
    assert list(store.verify().values()) == ["the refusal cannot be read"]
    assert build_dataset(recipe_for(endpoint, ["a cat", REFUSED_ONCE])).report.asked == 1


def test_a_refusal_under_another_name_is_none(tmp_path: Path) -> None:
    """A refusal that was copied to another generation's name is not believed."""
    store = ImageStore(tmp_path)
    store.refusals.put(Refusal("a" * 64, "no", "2026-01-01T00:00:00+00:00"))
    assert store.refusals.get_many(["a" * 64, "b" * 64]) == {
        "a" * 64: Refusal("a" * 64, "no", "2026-01-01T00:00:00+00:00")
    }
    (noted,) = tmp_path.rglob("*.refused")
    other = tmp_path / "bb" / f"{'b' * 64}.refused"
    other.parent.mkdir()
    other.write_text(json.dumps(json.loads(noted.read_text())))
    assert store.refusals.get_many(["b" * 64]) == {}


def ledger() -> list[dict[str, Any]]:
    return pq.read_table("dataset/ledger.parquet").to_pylist()


def test_the_ledger_tells_each_fault(build_dataset: Build, endpoint: Endpoint) -> None:
    """For every fault of the table the ledger has the status, reason, attempts, seconds and cost, in order."""
    # The huge bodies and the waiting are tested one by one; here they would only take time.
    slow = ("huge", "hang", "trickle", "429 retry-after=1", "retry-date", "times=7")
    rows = [row for row in OK + NOT_OK if not any(word in row.scenario for word in slow)]
    prompts = [{"prompt": row.scenario, "number": number} for number, row in enumerate(rows)]
    model = {"type": "inference_endpoints", "base_url": endpoint.url, "price_per_image_usd": 0.01}
    limits = {"max_failure_rate": 1.0, "max_attempts": 3}
    task = {"type": "image_generation", "image_generation_model": model}
    recipe = {**recipe_for(endpoint, prompts, limits=limits), "task": task}
    distiset = build_dataset(recipe)
    told = ledger()
    assert [entry["row"] for entry in told] == list(range(len(rows)))
    for row, entry in zip(rows, told, strict=True):
        expected = (row.status if row.error else "ok", row.attempts, 0.0 if row.error else 0.01)
        assert (entry["status"], entry["attempts"], entry["cost_usd"]) == expected, row.scenario
        assert bool(entry["error"]) == bool(row.error)
        assert entry["seconds"] > 0
    numbers = {name: each["train"]["number"] for name, each in distiset.items()}
    assert numbers["default"] == [n for n, row in enumerate(rows) if not row.error]
    assert numbers["failed"] == [n for n, row in enumerate(rows) if row.error]
    assert distiset.report.total_usd == pytest.approx(0.01 * len(numbers["default"]))
    assert distiset.report.spent_usd > distiset.report.total_usd  # what came damaged was paid for as well
