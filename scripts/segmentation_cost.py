"""Part "cost": time and peak memory, each run in a process of its own.

The parent starts ``python segmentation_cost.py launch COMMAND``, which imports nothing but the
standard library and reports the child's ``ru_maxrss``: started from a large process, a child
would inherit that process's peak.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmentation_rows import Recorder

    from ctlung import Scan

SLICES = (100, 300, 600)
PIXELS = 512
THREADS = (1, 2)
R231_SLICES = 6
R231_SIZE = 256
SOURCE = "lctsc-102"
HERE = Path(__file__).resolve()

Figures = dict[str, Any]


def run(
    recorder: Recorder,
    names: list[str],
    slices: list[int],
    threads: list[int],
    model: Path | None,
) -> None:
    """All sizes and thread counts: R231's forward pass, then each segmenter and its CLI."""
    cuda = cuda_there()
    for n in slices:
        with tempfile.TemporaryDirectory() as folder:
            size = _Size(n, Path(folder), model)
            for t in threads:
                recorder.make(f"cost-r231-{n}-{t}", partial(size.r231, t))
                for name in names:
                    recorder.make(f"cost-{name}-{n}-{t}", partial(size.alone, t, name, "cpu"))
                    recorder.make(f"cost-cli-{name}-{n}-{t}", partial(size.whole, t, name))
            if cuda:
                for name in names:
                    if name != "threshold":
                        alone = partial(size.alone, threads[0], name, "cuda")
                        recorder.make(f"cost-{name}-cuda-{n}-{threads[0]}", alone)


@dataclass
class _Size:
    """All runs on one scan of ``slices`` slices, which is written when it is first needed.

    ``model`` stands in for the shipped weights in :meth:`alone`; the command line, which has no
    such option, always takes the shipped ones.
    """

    slices: int
    folder: Path
    model: Path | None
    _written: bool = False

    def scan(self) -> Path:
        if not self._written:
            write_scan(self.folder, self.slices)
            self._written = True
        return self.folder

    def r231(self, threads: int) -> Figures:
        measured = launched([str(HERE), "r231"], threads)
        total = measured["seconds_per_slice"] * self.slices
        return {**_row("r231", self.slices, threads), **measured, "seconds": total}

    def alone(self, threads: int, name: str, device: str) -> Figures:
        chosen = [str(self.model)] if self.model is not None else []
        command = [str(HERE), "segment", str(self.scan()), name, device, *chosen]
        return {**_row(name, self.slices, threads), **launched(command, threads)}

    def whole(self, threads: int, name: str) -> Figures:
        out = self.folder / f"out-{name}-{threads}"
        command = ["-m", "ctlung", "segment", str(self.scan() / "dicom")]
        command += ["-o", str(out), "--segmenter", name]
        return {**_row(f"cli-{name}", self.slices, threads), **launched(command, threads)}


def _row(what: str, slices: int, threads: int) -> Figures:
    volume_mb = slices * PIXELS * PIXELS * 2 / 1e6
    return {
        "part": "cost",
        "what": what,
        "case": SOURCE,
        "slices": slices,
        "threads": threads,
        "volume_mb": volume_mb,
    }


def cuda_there() -> bool:
    """Whether torch sees a CUDA GPU."""
    command = [sys.executable, "-c", "import torch; print(torch.cuda.is_available())"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return said.stdout.strip() == "True"


def launched(arguments: list[str], threads: int) -> Figures:
    """Run ``python ARGUMENTS`` in a fresh process and say what it took.

    Returns:
        ``wall_s``, ``cpu_s``, ``peak_mb`` (ru_maxrss, MB of 10^6 bytes), and what the child
        printed last if that is a JSON object.

    Raises:
        ModelError: the child failed; its own last line says why.
    """
    from ctlung import ModelError

    environment = dict(os.environ)
    for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR"):
        environment[f"{name}_NUM_THREADS"] = str(threads)
    environment["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(threads)
    said = subprocess.run(
        [sys.executable, str(HERE), "launch", sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = said.stdout.strip().splitlines()
    figures: Figures = json.loads(lines[-1]) if lines else {"code": said.returncode, "said": ""}
    if figures.pop("code"):
        raise ModelError(f"the measured process failed: {figures['said'] or said.stderr[-300:]}")
    printed = figures.pop("said")
    return figures | (json.loads(printed) if printed.startswith("{") else {})


def launch(command: list[str]) -> None:
    """Run a command, then print its time, its peak memory and its last line as JSON."""
    import resource

    start = time.perf_counter()
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    talk = said.stdout if said.returncode == 0 else said.stderr
    last = (talk.strip().splitlines() or [""])[-1]
    print(
        json.dumps(
            {
                "wall_s": round(wall, 3),
                "cpu_s": round(used.ru_utime + used.ru_stime, 3),
                "peak_mb": round(used.ru_maxrss * unit / 1e6, 1),
                "code": said.returncode,
                "said": last,
            }
        )
    )


def write_scan(
    folder: Path, slices: int, scan: Scan | None = None, study_date: str = "20200101"
) -> None:
    """A scan (a T scan) resampled to ``slices`` slices of 512 x 512: DICOM and a plain array."""
    import numpy as np
    from segmentation_cases import path_of

    import ctlung
    from ctlung.geometry import Geometry
    from ctlung.working_grid import linear
    from ctlung.writing.dicom import CTHeader, write_ct_series

    if scan is None:
        scan = ctlung.read_scan(path_of(SOURCE))
    shape = scan.geometry.shape
    steps = [(n - 1) / (m - 1) for n, m in zip(shape, (slices, PIXELS, PIXELS), strict=True)]
    hu = linear(np.asarray(scan.hu), 0, np.arange(slices) * steps[0])
    planes = np.empty((slices, PIXELS, PIXELS), np.int16)
    for k in range(slices):
        plane = linear(hu[k : k + 1], 1, np.arange(PIXELS) * steps[1])
        planes[k] = np.rint(linear(plane, 2, np.arange(PIXELS) * steps[2])[0])
    matrix = scan.geometry.matrix.copy()
    matrix[:, :3] *= steps
    geometry = Geometry.from_affine(planes.shape, matrix)
    header = CTHeader(seed=f"cost-{slices}", study_date=study_date)
    write_ct_series(planes, geometry, folder / "dicom", header)
    np.save(folder / "scan.npy", planes)
    (folder / "affine.json").write_text(json.dumps(matrix.tolist()), encoding="utf-8")


def segment(folder: Path, name: str, device: str, model: Path | None) -> Figures:
    """Segmentation alone of the array that :func:`write_scan` left: first call, once loaded."""
    import numpy as np

    import ctlung
    from ctlung.geometry import Geometry

    matrix = json.loads((folder / "affine.json").read_text(encoding="utf-8"))
    hu = np.load(folder / "scan.npy")
    scan = ctlung.Scan(hu, Geometry.from_affine(hu.shape, matrix))
    start = time.perf_counter()
    if model is not None and name == "network":
        from ctlung.segmentation.network import load_network

        loaded: ctlung.Segmenter = load_network(device, model)
    else:
        loaded = ctlung.load_segmenter(name, device=device)
    ready = time.perf_counter()
    found = loaded.segment(scan)
    seconds = time.perf_counter() - ready
    return {
        "load_s": round(ready - start, 3),
        "seconds": round(seconds, 3),
        "lung_voxels": int(np.count_nonzero(found.lungs.labels)),
        "device": found.device,
        "weights": "none" if found.weights_sha256 is None else found.segmenter,
        "weights_sha256": found.weights_sha256,
    }


def r231() -> Figures:
    """Seconds a slice of a U-Net laid out as lungmask's R231, with random weights.

    The forward pass only: what lungmask does before and after it comes on top.
    """
    import torch

    net = r231_network()
    torch.manual_seed(0)
    given = torch.randn(R231_SLICES, 1, R231_SIZE, R231_SIZE)
    best = float("inf")
    with torch.inference_mode():
        net(given[:1])
        for batch in (1, R231_SLICES):
            start = time.perf_counter()
            for k in range(0, R231_SLICES, batch):
                net(given[k : k + batch])
            best = min(best, (time.perf_counter() - start) / R231_SLICES)
    return {
        "seconds_per_slice": best,
        "parameters": sum(p.numel() for p in net.parameters()),
        "threads_used": torch.get_num_threads(),
        "device": "cpu",
    }


def r231_network(classes: int = 3) -> Any:
    """The 2D U-Net of Hofmanninger et al. 2020 in plain torch, its weights random.

    Four poolings, 64 to 1024 channels, two padded 3 x 3 convolutions a level, each with ReLU
    and batch norm, transposed convolutions upward, skip connections: 31.0 M parameters.
    """
    import torch
    from torch import nn

    def block(into: int, out: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for n in (into, out):
            layers += [nn.Conv2d(n, out, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(out)]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [2 ** (6 + level) for level in range(5)]
            self.down = nn.ModuleList(
                block(a, b) for a, b in zip([1, *widths[:-1]], widths, strict=True)
            )
            pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
            self.widen = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
            self.up = nn.ModuleList(block(a, b) for a, b in pairs)
            self.last = nn.Conv2d(widths[0], classes, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skipped = []
            for level, down in enumerate(self.down):
                x = down(x if level == 0 else nn.functional.max_pool2d(x, 2))
                skipped.append(x)
            skipped.pop()
            for widen, up in zip(self.widen, self.up, strict=True):
                x = up(torch.cat([widen(x), skipped.pop()], 1))
            out: torch.Tensor = self.last(x).log_softmax(1)
            return out

    torch.manual_seed(1)
    return UNet().eval()


def main(arguments: list[str]) -> None:
    """One process: ``launch COMMAND``, ``segment FOLDER NAME DEVICE [MODEL]`` or ``r231``."""
    what, rest = arguments[0], arguments[1:]
    if what == "launch":
        launch(rest)
        return
    try:
        figures = (
            r231()
            if what == "r231"
            else segment(Path(rest[0]), rest[1], rest[2], Path(rest[3]) if rest[3:] else None)
        )
    except ImportError as error:
        sys.exit(f"A package is missing: {error}.")
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
