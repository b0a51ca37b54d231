"""The gallery: one self-contained page that shows what a dataset folder holds."""

from tasks_lib.gallery.page import sample_thumbnails, write_gallery

__all__ = ["sample_thumbnails", "write_gallery"]
