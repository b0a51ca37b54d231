"""The store: every image ever paid for, by fingerprint, and what was refused."""

from tasks_lib.store.store import DEFAULT_STORE, ImageStore, StoreStats

__all__ = ["DEFAULT_STORE", "ImageStore", "StoreStats"]
