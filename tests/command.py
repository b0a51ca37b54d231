"""The installed command line."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["IMAGELOOM", "imageloom"]

IMAGELOOM = str(Path(sys.executable).with_name("imageloom"))


def imageloom(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with the test's environment and these variables."""
    variables = {**os.environ, **environment}
    return subprocess.run([IMAGELOOM, *arguments], capture_output=True, text=True, timeout=120, env=variables)
