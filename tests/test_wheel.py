"""The wheel, installed alone: everything that a measurement needs is inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
NO_NETWORK = """
import socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("something reached for the network")

socket.socket.connect = refuse
socket.create_connection = refuse
from ctlung.__main__ import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds ctlung as its wheel brings it, and nothing else of ours."""
    built = tmp_path_factory.mktemp("wheel")
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)],
        check=True,
        cwd=REPOSITORY,
        capture_output=True,
    )
    (wheel,) = built.glob("ctlung-*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)],
        check=True,
        cwd=built,
    )
    return target


def run(code: list[str], installed: Path, where: Path) -> subprocess.CompletedProcess[str]:
    (where / "key").write_bytes(b"sixteen bytes or more")
    environment = os.environ | {
        "PYTHONPATH": str(installed),
        "CTLUNG_KEY_FILE": str(where / "key"),
        "PYTHONWARNINGS": "error",
    }
    return subprocess.run(
        [sys.executable, *code],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_scan_is_measured_in_an_empty_folder_without_network(
    installed: Path, tmp_path: Path
) -> None:
    where = run(["-c", "import ctlung; print(ctlung.__file__)"], installed, tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(installed)
    scan = REPOSITORY / "sample_scans" / "baseline"
    found = run(["-c", NO_NETWORK, "segment", str(scan), "-o", "out"], installed, tmp_path)
    assert found.returncode == 0, found.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    card = json.loads(
        next((installed / "ctlung" / "models").glob("lung-*/card.json")).read_text(encoding="utf-8")
    )
    assert report["provenance"]["segmenter"] == card["name"]
    assert report["provenance"]["weights_sha256"] == card["sha256"]
