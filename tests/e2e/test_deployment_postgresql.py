"""The deployments on a server whose database is PostgreSQL: what they keep on SQLite holds there, too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployments import deployment, last_run, run_and_watch, running_deployments
from tests.endpoint import Endpoint
from tests.postgresql import running_postgresql
from tests.prefect_server import PrefectServer

pytest.register_assert_rewrite("tests.deployment_promises")
from tests.deployment_promises import *  # noqa: E402, F403  # the promises are tests of this module
from tests.deployment_promises import slow_recipe  # noqa: E402


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """With the deployments and a worker, on PostgreSQL."""
    with running_postgresql() as database, running_deployments(tmp_path_factory.mktemp("prefect"), database) as server:
        yield server


def test_a_canary_that_moved_fails_the_run(server: PrefectServer, tmp_path: Path) -> None:
    """Each run of the canary is a process of its own; yet the second knows the first, and exits 1 with what moved."""
    canary = "watch-canary/canary"
    (schedule,) = deployment(server, canary)["schedules"]
    assert not schedule["active"]
    with Endpoint() as endpoint:
        recipe = {**slow_recipe(endpoint, tmp_path, images=4), "limits": {"max_failure_rate": 0.5}, "name": "moved"}
        parameters = {"recipe": recipe, "last_runs": 1, "seconds_rise": 100}
        code, output = run_and_watch(server, parameters, canary)
        assert code == 0, output
        recipe["prompts"][0] += " {{refused-hf}}"
        code, output = run_and_watch(server, parameters, canary)
    assert code == 1, output
    message = last_run(server, "watch-canary")["state"]["message"]
    assert message == "the canary moved: 75% of the images pass against 100% in the last run."
