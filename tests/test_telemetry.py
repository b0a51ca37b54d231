"""Nothing of a run is reported to anybody."""

import os
import subprocess
import sys

import pytest

TOLD = """
import os
import flows.testing
from flows.build_image_dataset import build_image_dataset
from prefect.settings import get_current_settings
print(get_current_settings().server.analytics_enabled, os.environ["DO_NOT_TRACK"])
"""
CHOICES = ("PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK")


@pytest.mark.parametrize(("chosen", "told"), [([], "False 1"), (["true", "0"], "True 0")])
def test_telemetry_is_off_unless_somebody_wants_it(chosen: list[str], told: str) -> None:
    """A script that imports a flow has Prefect's telemetry off, in client and server; who turned it on keeps it."""
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    environment |= dict(zip(CHOICES, chosen, strict=False))
    done = subprocess.run([sys.executable, "-c", TOLD], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == told, done.stderr
