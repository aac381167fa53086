"""The public face: names, laziness, docstrings."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import ctlung

HEAVY = (
    "torch",
    "monai",
    "SimpleITK",
    "scipy",
    "skimage",
    "pandas",
    "pydicom",
    "matplotlib",
    "nibabel",
    "numpy",
    "typer",
    "rich",
    "highdicom",
)
VERBS = {
    "analyze",
    "check_result",
    "check_scan",
    "find_lesions",
    "find_series",
    "load_key",
    "load_segmenter",
    "read_scan",
    "segment",
    "segment_lungs",
    "write_dicom",
    "write_result",
}


def _fresh(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_names_are_sorted_and_once() -> None:
    assert list(ctlung.__all__) == sorted(set(ctlung.__all__))


def test_the_verbs_of_the_issue_are_there() -> None:
    assert set(ctlung.__all__) >= VERBS


@pytest.mark.parametrize("name", ctlung.__all__)
def test_every_name_loads(name: str) -> None:
    assert getattr(ctlung, name) is not None


def test_homes_and_names_agree() -> None:
    assert sorted([*ctlung._HOME_OF, "__version__"]) == sorted(ctlung.__all__)


def test_dir_shows_every_name() -> None:
    assert set(ctlung.__all__) <= set(dir(ctlung))


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ctlung' has no attribute 'segmnet'"):
        _ = ctlung.segmnet


def test_import_loads_nothing_heavy() -> None:
    code = (
        f"import sys, json, ctlung; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    assert json.loads(_fresh(code)) == []


def test_import_is_quick() -> None:
    """Under 0.5 s; the quickest of three, for the machine may be busy."""
    code = "import time; t = time.perf_counter(); import ctlung; print(time.perf_counter() - t)"
    assert min(float(_fresh(code)) for _ in range(3)) < 0.5


def test_the_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, json\nfrom ctlung.cli import app\n"
        f"print(json.dumps([m for m in {HEAVY[:9]!r} if m in sys.modules]))"
    )
    assert json.loads(_fresh(code)) == []


def test_a_verb_stays_a_function_after_its_room_was_imported() -> None:
    code = (
        "import ctlung, ctlung.segmentation, ctlung.lesions, ctlung.reading\n"
        "print(callable(ctlung.segment), callable(ctlung.segment_lungs))"
    )
    assert _fresh(code).split() == ["True", "True"]


@pytest.mark.parametrize("name", [n for n in ctlung.__all__ if n != "__version__"])
def test_every_name_is_explained(name: str) -> None:
    thing = getattr(ctlung, name)
    text = inspect.getdoc(thing)
    assert text
    # The text that dataclass writes by itself is a signature, no explanation.
    assert not text.startswith(f"{name}(")


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_has_types(name: str) -> None:
    signature = inspect.signature(getattr(ctlung, name))
    assert signature.return_annotation is not inspect.Signature.empty
    missing = [
        p.name for p in signature.parameters.values() if p.annotation is inspect.Parameter.empty
    ]
    assert missing == []


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert ctlung.__version__ == version("ctlung")
