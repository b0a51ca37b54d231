"""In a real notebook kernel: the API works beside the running loop, and results show themselves."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

CELLS = [
    """
from tasks_lib import ImageGeneration, ProceduralImageGeneration
task = ImageGeneration(image_generation_model=ProceduralImageGeneration(width=64, height=64))
task.load()
row = next(task.process([{"prompt": "a red circle on a white background"}]))[0]
row["image"]
""",
    """
from flows.build_image_dataset import build_image_dataset
recipe = {
    "name": "notebook", "prompts": ["a red circle", "a blue square"], "store": "./store",
    "output": {"path": "./dataset"},
    "task": {"type": "image_generation", "image_generation_model": {"type": "procedural", "width": 64, "height": 64}},
}
distiset = await build_image_dataset(recipe)
distiset
""",
    "distiset.report",
    "distiset['default']['train'][0]['image']",
]


def test_results_show_themselves(in_folder: Path, prefect_server: None) -> None:
    """A row's image, a Distiset and its report are pictures and tables in an executed notebook."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    resources = {"metadata": {"path": str(in_folder)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    shown = [cell.outputs[-1].data for cell in notebook.cells]
    assert '<img src="data:image' in shown[0]["text/html"]
    assert "<table" in shown[1]["text/html"]
    assert shown[1]["text/html"].count("<img ") == 2
    assert "2 of 2" in shown[2]["text/html"]
    assert "image/png" in shown[3]
