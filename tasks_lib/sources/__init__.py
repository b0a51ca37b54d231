"""Sources: where the rows of a recipe come from."""

from tasks_lib.sources.prompts import DatasetPrompts, FilePrompts, Prompts, TemplatePrompts, read_rows

__all__ = ["DatasetPrompts", "FilePrompts", "Prompts", "TemplatePrompts", "read_rows"]
