"""The tests: they mirror the modules of tasks_lib and flows."""
