"""What is done for a quick start leaves the process as it was."""

import gc

import pytest

from flows.quick_imports import quick_imports


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_garbage_collector_is_as_it_was(was_enabled: bool) -> None:
    """It is off while modules are imported, and afterwards what it was, even where a module is missing."""
    (gc.enable if was_enabled else gc.disable)()
    try:
        with pytest.raises(ModuleNotFoundError), quick_imports():
            assert not gc.isenabled()
            import no_such_module  # noqa: F401  # there is none
        assert gc.isenabled() == was_enabled
    finally:
        gc.enable()
        gc.unfreeze()
