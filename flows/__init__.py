"""The Prefect flows and the command line: thin, parameters in, calls to tasks_lib, artifacts out."""
