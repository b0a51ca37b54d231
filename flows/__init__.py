"""The Prefect flows and the command line: thin, parameters in, calls to tasks_lib, artifacts out."""

import os

# Before Prefect is imported: neither it nor a server that it starts reports anything, unless somebody asks for that.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
