"""Part "phantoms": the measures against the analytic answer of turned ellipsoids.

Two ellipsoids are the lungs, one in the right lung is the lesion. CT numbers rise linearly across
the patient, so that a mean is the value at a centroid. Masks are sampled at voxel centres: where
the lesion spans fewer than 20 samples on an axis, sampling alone moves a volume, and its limit is
three SD of what the same lesion gives over 24 shifts of the grid by parts of a voxel, counted here
without ctlung.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from segmentation_rows import Recorder, Row

import ctlung
from ctlung.geometry import Geometry
from ctlung.vocabulary import LESION_LABELS, LUNG_LABELS

SPACINGS_MM = (
    (0.6, 0.6, 0.6),
    (1.25, 0.7, 0.7),
    (2.0, 0.9, 0.7),
    (2.5, 2.5, 2.5),
    (5.0, 0.8, 0.8),
    (4.0, 3.0, 2.0),
    (8.0, 0.8, 0.8),
    (8.0, 8.0, 8.0),
)
TURNS_DEGREES = ((0, 0, 0), (15, 30, 45))
LUNG_MM = (105.0, 62.0, 50.0)
LESION_MM = (34.0, 27.0, 22.0)
LUNGS_AT_MM = ((0.0, 0.0, -72.0), (0.0, 0.0, 72.0))
LESION_AT_MM = (-6.3, 4.1, -69.7)
FIELD_MM = (270.0, 190.0, 290.0)
RAMP_HU_PER_MM = 0.5
LUNG_HU, LESION_HU = -840.0, -430.0
ENOUGH_SAMPLES = 20
SHIFTS = 24
PERCENT, HU = 0.5, 1.0


@dataclass(frozen=True)
class Body:
    """A turned ellipsoid: semi-axes and centre in mm, array order; angles about x, y, z."""

    axes: tuple[float, float, float]
    centre: tuple[float, float, float]
    turn: tuple[float, float, float]

    def quadric(self) -> np.ndarray:
        """Matrix A of ``p' A p <= 1``, p from the centre."""
        a, b, c = np.deg2rad(self.turn)
        about_x = [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
        about_y = [[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]]
        about_z = [[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]]
        turn = np.array(about_x) @ np.array(about_y) @ np.array(about_z)
        return np.asarray(turn @ np.diag(1 / np.square(self.axes)) @ turn.T)

    def volume_ml(self) -> float:
        return float(4 / 3 * np.pi * np.prod(self.axes) / 1000)

    def half_widths_mm(self) -> np.ndarray:
        """Half the extent along each axis of the array."""
        return np.asarray(np.sqrt(np.diag(np.linalg.inv(self.quadric()))))

    def area_cm2(self, z_mm: float) -> float:
        """Of the cut at ``z_mm``: an ellipse from the quadric with z held fast."""
        q = self.quadric()
        high = z_mm - self.centre[0]
        inner = q[1:, 1:]
        side = q[0, 1:] * high
        left = 1 - q[0, 0] * high**2 + side @ np.linalg.solve(inner, side)
        return float(np.pi * max(left, 0) / np.sqrt(np.linalg.det(inner)) / 100)

    def inside(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        q = self.quadric()
        p = [c - m for c, m in zip((z, y, x), self.centre, strict=True)]
        total = sum(q[i, j] * p[i] * p[j] for i in range(3) for j in range(3))
        return np.asarray(total <= 1)


def bodies(turn: tuple[float, float, float]) -> tuple[list[Body], Body]:
    return [Body(LUNG_MM, at, turn) for at in LUNGS_AT_MM], Body(LESION_MM, LESION_AT_MM, turn)


def run(recorder: Recorder) -> None:
    """Every spacing with every orientation."""
    for spacing in SPACINGS_MM:
        for turn in TURNS_DEGREES:
            words = "x".join(f"{s:g}" for s in spacing) + f"-{turn[0]}"
            recorder.make(f"phantoms-{words}", partial(measure, spacing, turn))


def measure(spacing: tuple[float, float, float], turn: tuple[float, float, float]) -> Row:
    """Analytic values, measured ones and limits."""
    lungs, lesion = bodies(turn)
    shape = tuple(int(np.ceil(f / s)) for f, s in zip(FIELD_MM, spacing, strict=True))
    origin = [-(n - 1) * s / 2 for n, s in zip(shape, spacing, strict=True)]
    geometry = Geometry.from_spacing(shape, spacing, (origin[2], origin[1], origin[0]))
    z, y, x = np.ix_(
        *(o + np.arange(n) * s for o, n, s in zip(origin, shape, spacing, strict=True))
    )
    labels = sum(n * body.inside(z, y, x).astype(np.uint8) for n, body in enumerate(lungs, 1))
    sick = lesion.inside(z, y, x)
    hu = np.where(sick, LESION_HU, LUNG_HU) + RAMP_HU_PER_MM * x
    scan = ctlung.Scan(np.rint(hu).astype(np.int16), geometry)
    report = ctlung.analyze(
        scan,
        ctlung.LabelMap(labels, geometry, LUNG_LABELS),
        ctlung.LabelMap(sick.astype(np.uint8), geometry, LESION_LABELS),
    )
    true = truth(lungs, lesion, origin[0] + np.arange(shape[0]) * spacing[0])
    samples = float((2 * lesion.half_widths_mm() / np.array(spacing)).min())
    enough = samples >= ENOUGH_SAMPLES
    shifted = None if enough else _shifted(lesion, spacing)
    row: Row = {
        "part": "phantoms",
        "spacing_mm": list(spacing),
        "turn_degrees": list(turn),
        "samples": samples,
        "measures": {},
    }
    for name, value in true.items():
        found = report.value(name)
        if name.endswith("_hu"):
            limit = HU if shifted is None else max(HU, 3 * shifted["hu"])
        else:
            kind = "area" if "area" in name else "volume"
            share = PERCENT / 100 if shifted is None else max(PERCENT / 100, 3 * shifted[kind])
            limit = share * value
        row["measures"][name] = {"true": value, "found": found, "limit": limit}
    return row


def truth(lungs: list[Body], lesion: Body, slices_mm: np.ndarray) -> dict[str, float]:
    """The analytic answers; the largest area is that of the slices there are."""
    whole, sick = sum(body.volume_ml() for body in lungs), lesion.volume_ml()
    ramp = [RAMP_HU_PER_MM * body.centre[2] * body.volume_ml() for body in lungs]
    lesion_hu = LESION_HU + RAMP_HU_PER_MM * lesion.centre[2]
    return {
        "lung_volume_ml": whole,
        "lesion_volume_ml": sick,
        "lesion_percent": 100 * sick / whole,
        "lesion_area_max_cm2": max(lesion.area_cm2(z) for z in slices_mm),
        "ct_number_lesion_hu": lesion_hu,
        "lung_mean_hu": LUNG_HU + (sum(ramp) + (LESION_HU - LUNG_HU) * sick) / whole,
        "lesion_mass_g": sick * (lesion_hu + 1000) / 1000,
    }


def _shifted(lesion: Body, spacing: tuple[float, float, float]) -> dict[str, float]:
    """Relative SD of volume and largest area, and SD of the mean, over shifts of the grid."""
    rng = np.random.default_rng(11)
    half = lesion.half_widths_mm()
    step = np.array(spacing)
    figures = []
    for _ in range(SHIFTS):
        start = np.array(lesion.centre) - half - step * rng.uniform(0, 1, 3)
        axes = [
            s + np.arange(int(np.ceil(2 * h / d)) + 3) * d
            for s, h, d in zip(start, half, step, strict=True)
        ]
        grid = np.ix_(*axes)
        inside = lesion.inside(*grid)
        areas = inside.sum(axis=(1, 2)) * step[1] * step[2] / 100
        true_area = max(lesion.area_cm2(z) for z in axes[0])
        mean = RAMP_HU_PER_MM * float(np.broadcast_to(grid[2], inside.shape)[inside].mean())
        volume = inside.sum() * np.prod(step) / 1000
        figures.append((volume / lesion.volume_ml() - 1, areas.max() / true_area - 1, mean))
    volume, area, mean = np.array(figures).T
    hu = np.sqrt(np.mean((mean - RAMP_HU_PER_MM * lesion.centre[2]) ** 2))
    return {
        "volume": float(np.sqrt(np.mean(volume**2))),
        "area": float(np.sqrt(np.mean(area**2))),
        "hu": float(hu),
    }
