"""What a build says that it asked and paid is true, whoever formats the rows and however often a batch is run."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from tasks_lib.report import BuildReport
from tests.endpoint import Endpoint
from tests.recipes import Build, recipe_for

PRICE = 0.1


def built(build: Build, endpoint: Endpoint, prompts: list[str], task: dict[str, Any], **limits: Any) -> BuildReport:
    """Build over a model of 10 cents an image; the report."""
    recipe = recipe_for(endpoint, prompts, task=task, limits={"max_failure_rate": 1, **limits})
    recipe["task"]["image_generation_model"]["price_per_image_usd"] = PRICE
    report = build(recipe).report
    assert report is not None
    return report


def ledger(*columns: str) -> list[tuple[Any, ...]]:
    """What the ledger says of each generation."""
    return [
        tuple(entry.values()) for entry in pq.read_table("dataset/ledger.parquet", columns=list(columns)).to_pylist()
    ]


OWN_ROWS = {"type": "tests.custom_tasks:CountingTask"}


def test_a_task_with_rows_of_its_own_is_accounted_for(build_dataset: Build, endpoint: Endpoint) -> None:
    """A task tells nothing of its calls: they count as paid in this run, and as in the store in the next."""
    prompts = ["a cat", "{{500}}", "{{refused-hf}}", "a dog"]
    first = built(build_dataset, endpoint, prompts, OWN_ROWS)
    assert (first.counts, first.asked, first.from_store) == ({"ok": 3, "refused": 1}, 4, 0)
    assert first.spent_usd == first.total_usd == pytest.approx(3 * PRICE)
    assert ledger("status", "attempts", "from_store", "cost_usd") == [
        ("ok", 1, False, PRICE),
        ("ok", 2, False, PRICE),
        ("refused", 1, False, 0.0),
        ("ok", 1, False, PRICE),
    ]
    again = built(build_dataset, endpoint, prompts, OWN_ROWS)
    assert (again.asked, again.from_store, again.spent_usd) == (0, 3, 0.0)
    assert again.total_usd == pytest.approx(3 * PRICE)


def test_a_cap_reaches_a_task_with_rows_of_its_own(build_dataset: Build, endpoint: Endpoint) -> None:
    """What a cap left out counts as not asked, so that nobody takes the build for a whole one."""
    report = built(build_dataset, endpoint, ["a", "b", "c"], OWN_ROWS, max_images=2)
    assert report.counts == {"not_asked": 1, "ok": 2}
    assert not report.every_row_asked


def test_a_cap_reaches_a_task_that_keeps_the_best_of_three(build_dataset: Build, endpoint: Endpoint) -> None:
    """Where a row asks several images and none came, the cap is its reason, and what was paid is all counted."""
    report = built(build_dataset, endpoint, ["a", "b", "c"], {"type": "tests.custom_tasks:BestOfThree"}, max_images=6)
    assert report.counts == {"not_asked": 1, "ok": 2}
    assert not report.every_row_asked
    assert report.spent_usd == pytest.approx(6 * PRICE)


def test_an_image_made_from_an_answer_is_paid_for(build_dataset: Build, endpoint: Endpoint) -> None:
    """A task that gives another image than the one that came tells seed and price of that one all the same."""
    report = built(build_dataset, endpoint, ["a", "b"], {"type": "tests.custom_tasks:MirroringTask"})
    assert (report.counts, report.asked, report.spent_usd) == ({"ok": 2}, 2, pytest.approx(2 * PRICE))
    rows = load_dataset("dataset")["train"]
    assert [row["generation"]["seed"] for row in rows] == [call.parameters["seed"] for call in endpoint.calls]


def test_a_batch_that_is_run_again_keeps_its_account(build_dataset: Build, endpoint: Endpoint) -> None:
    """Where a batch fails after its images were paid for, they count as paid when it is run again."""
    report = built(build_dataset, endpoint, ["a", "b"], {"type": "tests.custom_tasks:StumblingTask"})
    assert Path("stumbled").exists()
    assert len(endpoint.calls) == 2
    assert (report.asked, report.from_store, report.spent_usd) == (2, 0, pytest.approx(2 * PRICE))


def test_damaged_images_are_paid_for(build_dataset: Build, endpoint: Endpoint) -> None:
    """What came damaged is part of what the run spent, and not of what the dataset's images cost."""
    report = built(build_dataset, endpoint, ["{{half}}", "b"], {})
    assert report.counts == {"ok": 2}
    assert (report.spent_usd, report.total_usd) == (pytest.approx(3 * PRICE), pytest.approx(2 * PRICE))


def test_a_row_that_was_asked_in_part_is_not_lost(build_dataset: Build, endpoint: Endpoint) -> None:
    """A cap in the middle of a grouped row: its paid image stands in the dataset, with the reason for the gap."""
    task = {"type": "image_generation", "num_generations": 2, "group_generations": True}
    report = built(build_dataset, endpoint, ["a", "b"], task, max_images=3)
    assert report.counts == {"not_asked": 1, "ok": 3}
    (row,) = load_dataset("dataset", "failed")["train"]
    assert (row["prompt"], [image and image.size for image in row["image"]]) == ("b", [(64, 64), None])
    assert "limits.max_images (3)" in row["error"]
