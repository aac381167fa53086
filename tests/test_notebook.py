"""The notebooks run from top to bottom, and are kept without their outputs."""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ctlung.vocabulary import RESEARCH_USE

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
VERBS = {
    "one_scan": ("find_series", "read_scan", "check_scan", "segment", "to_frame", "contour"),
    "a_pair": ("compare", "to_frame", "ml"),
    "a_trial": ("draft_manifest", "batch", "cohort"),
}
SHOWN = {
    "one_scan": ("known", "ct_number_lesion_hu", "Slices 48, 67 and 95 of a chest CT"),
    "a_pair": ("restoration index 0.", "more than noise", "green resolved"),
    "a_trial": ("not an effect of treatment", "Hodges–Lehmann", "done"),
}
"""Words of the outputs, for each notebook."""

by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def _read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _source(path: Path) -> str:
    return "\n".join(cell.source for cell in _code(_read(path)))


def test_there_are_three() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(VERBS) == set(SHOWN)


@by_name
def test_it_is_kept_without_outputs(path: Path) -> None:
    assert [c.outputs for c in _code(_read(path))] == [[]] * len(_code(_read(path)))
    assert {c.execution_count for c in _code(_read(path))} == {None}


@by_name
def test_it_shows_its_verbs_and_says_what_it_is_for(path: Path) -> None:
    for verb in VERBS[path.stem]:
        assert f"{verb}(" in _source(path)
    assert RESEARCH_USE in _read(path).cells[0].source


def test_the_trial_says_that_it_is_synthetic() -> None:
    words = _read(ROOT / "docs" / "notebooks" / "a_trial.ipynb").cells[0].source
    assert "both synthetic" in words
    assert "drawn by chance" in words


def _words(outputs: list[Any]) -> str:
    parts = [str(o.get("text", "")) for o in outputs]
    for data in (o.get("data", {}) for o in outputs):
        parts += [str(data[kind]) for kind in ("text/plain", "text/html") if kind in data]
    return "\n".join(parts)


@by_name
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("CTLUNG_KEY_FILE", str(tmp_path / "key"))
    (tmp_path / "key").write_bytes(b"a key of the tests, no secret")
    kernel = tmp_path / "data" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    with warnings.catch_warnings():
        # What jupyter warns of inside itself is not ours.
        warnings.simplefilter("ignore")
        from nbclient import NotebookClient

        notebook = _read(path)
        client = NotebookClient(
            notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}
        )
        asyncio.run(client.async_execute())
    outputs = [output for cell in _code(notebook) for output in cell.outputs]
    assert [o for o in outputs if o.output_type == "error"] == []
    assert [o.text for o in outputs if o.get("name") == "stderr"] == []
    words = _words(outputs)
    assert [text for text in SHOWN[path.stem] if text not in words] == []


def test_the_scan_draws_a_picture_of_its_own() -> None:
    assert "plt.show()" in _source(ROOT / "docs" / "notebooks" / "one_scan.ipynb")
