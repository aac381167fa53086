"""The notebook runs from top to bottom, and is kept without its outputs."""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "first_steps.ipynb"


def _read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_kept_without_outputs() -> None:
    assert [c.outputs for c in _code(_read())] == [[]] * len(_code(_read()))
    assert {c.execution_count for c in _code(_read())} == {None}


def test_it_shows_the_steps_of_the_readme() -> None:
    source = "\n".join(cell.source for cell in _code(_read()))
    for verb in ("find_series", "read_scan", "check_scan", "segment", "to_frame", "contour"):
        assert f"{verb}(" in source


def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    kernel = tmp_path / "data" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    with warnings.catch_warnings():
        # What jupyter warns of inside itself is not ours.
        warnings.simplefilter("ignore")
        from nbclient import NotebookClient

        notebook = _read()
        client = NotebookClient(
            notebook, timeout=180, resources={"metadata": {"path": str(ROOT / "docs")}}
        )
        asyncio.run(client.async_execute())
    outputs = [output for cell in _code(notebook) for output in cell.outputs]
    assert [o for o in outputs if o.output_type == "error"] == []
    assert [o.text for o in outputs if o.get("name") == "stderr"] == []
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert any("known" in o.get("text", "") for o in outputs)
    assert any("ct_number_lesion_hu" in o.get("data", {}).get("text/html", "") for o in outputs)
