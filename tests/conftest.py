"""What all tests share: the helpers in ``support`` and the way to the real scans."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

REPOSITORY = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run tests that take minutes too")
    parser.addoption(
        "--require-data", action="store_true", help="fail, not skip, without the real scans"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="takes minutes; runs with scripts/test --long")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def data_dir(pytestconfig: pytest.Config) -> Path:
    """Folder of the real scans; the test is skipped by name where there is none."""
    named = os.environ.get("CTLUNG_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not (folder / "dicom").is_dir():
        message = f"no real scans in {folder} (set CTLUNG_TEST_DATA to their folder)"
        if pytestconfig.getoption("--require-data"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
