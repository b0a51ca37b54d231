"""The Distiset: what a build returns, how it is cut, saved, published and shown."""

from tasks_lib.distiset.built_folder import read_built_folder
from tasks_lib.distiset.distiset import Distiset

__all__ = ["Distiset", "read_built_folder"]
