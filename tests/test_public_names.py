"""The public names of each module are those it says."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import flows
import tasks_lib

MODULES = [
    module.name
    for package in (tasks_lib, flows)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_and_true(name: str) -> None:
    """``__all__`` is sorted, holds names that exist, and leaves out nothing public that the module defines."""
    module = importlib.import_module(name)
    stated = getattr(module, "__all__", None)
    if stated is None:
        assert name == "flows"
        return
    assert stated == sorted(stated, key=lambda each: (not each.isupper(), each))
    defined = {
        each
        for each, value in vars(module).items()
        if each.isidentifier()
        and not each.startswith("_")
        and getattr(value, "__module__", None) == name
        and (inspect.isclass(value) or inspect.isfunction(value))
    }
    assert not [each for each in stated if not hasattr(module, each)]
    assert ".cli" in name or name.endswith("progress") or defined <= set(stated), defined - set(stated)


def test_importing_is_quick() -> None:
    """``import tasks_lib`` brings neither Prefect, datasets nor pyarrow."""
    heavy = ("prefect", "datasets", "pyarrow", "torch")
    code = f"import sys, tasks_lib; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
