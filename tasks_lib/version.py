"""Which Imageloom this is."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["imageloom_version"]


def imageloom_version() -> str:
    """The version that is installed; a tree that is only on the path has none, and builds all the same."""
    try:
        return version("imageloom")
    except PackageNotFoundError:
        return "(not installed)"
