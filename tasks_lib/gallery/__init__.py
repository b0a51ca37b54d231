"""The gallery: one self-contained page that shows what a dataset folder holds."""

from tasks_lib.gallery.page import write_gallery, write_samples

__all__ = ["write_gallery", "write_samples"]
