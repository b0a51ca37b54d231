"""The flows in one place, imported late: Prefect takes more than a second to import."""

from prefect.exceptions import TerminationSignal

from flows.build_image_dataset import build_image_dataset
from flows.preview_image_dataset import preview_image_dataset
from flows.publish_image_dataset import publish_image_dataset

__all__ = ["TerminationSignal", "build_image_dataset", "preview_image_dataset", "publish_image_dataset"]
