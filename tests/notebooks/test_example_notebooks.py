"""The example notebooks run from their first cell to the last, and what they show is HTML."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
# Cells whose value is one of the four that render themselves, by the sentence they begin with.
RENDERED = {
    "forward": ["Boot: ", "Image: ", "Mappings: ", "0xffff800008010000 → 0x40210000", "Boot: "],
    "backward": ["Image: ", "Mappings: ", "0xc0300000 → ", "0xbf000000: ", "Mappings: "],
}


def test_every_notebook_is_run():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(RENDERED)


# The kernel's own libraries warn of what their next releases will drop.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("name", RENDERED)
def test_notebook(name, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "stored outputs go stale"
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FOLDER)}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pages = [
        output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", ())
    ]
    starts = [f"<p>{start}" for start in RENDERED[name]]
    assert [page[: len(start)] for page, start in zip(pages, starts, strict=True)] == starts
