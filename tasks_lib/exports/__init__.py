"""A built dataset in the formats that other trainers read: WebDataset, an image folder, Lance."""

from tasks_lib.exports.exporting import export_dataset
from tasks_lib.exports.formats import ExportFormat
from tasks_lib.exports.report import ExportReport

__all__ = ["ExportFormat", "ExportReport", "export_dataset"]
