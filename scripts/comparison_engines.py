"""Other registration engines on the same lungs, for the benchmark only.

Each gets what ctlung's engine gets: one lung at a time, at 2.5 mm, lesions and everything outside
the lung painted over, and ctlung's own affine map of the outlines to start from.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ctlung import ScanResult
from ctlung.alignment import Alignment, Field, SideMaps, inverse_of, lattice_over, sample
from ctlung.change_records import Quality
from ctlung.registration import engine
from ctlung.registration.features import MARGIN_MM, LungImage, lung_image

VOXEL_MM = 2.5
FILL_HU = -850.0
UNKNOWN = Quality(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
MESH_MM = 20.0


def run(name: str, baseline: ScanResult, followup: ScanResult) -> Alignment:
    """Align with ``bspline`` or ``demons``; qualities are not filled in."""
    maps = {}
    for side in (1, 2):
        (fixed, a), (moving, b) = (_lung(result, side) for result in (baseline, followup))
        with engine.one_thread():
            affine = engine.fit_affine(fixed, moving, engine.affine_start(fixed, moving))
        transform = {"bspline": _bspline, "demons": _demons}[name](a, b, _affine(affine))
        points = fixed.grid.points()
        flat = points.reshape(3, -1).T
        moved = np.array([transform.TransformPoint([float(v) for v in p]) for p in flat])
        field = Field(fixed.grid, (moved.T.reshape(points.shape) - points).astype(np.float32))
        maps[side] = SideMaps(field, inverse_of(field, moving.grid), UNKNOWN)
    return Alignment(maps)


def _lung(result: ScanResult, side: int) -> tuple[LungImage, sitk.Image]:
    lung = result.lungs.labels == side
    geometry = result.scan.geometry
    grid = lattice_over(lung, geometry, VOXEL_MM, MARGIN_MM)
    hu = sample(result.scan.hu, geometry, grid, -1000.0)
    share = sample(lung.view(np.uint8), geometry, grid, 0.0)
    ill = sample((result.lesions.labels > 0).view(np.uint8), geometry, grid, 0.0)
    image = lung_image(hu, share, ill, grid)
    painted = np.where(image.trust > 0, np.clip(hu, -1000, -150), FILL_HU)
    painted = np.where(image.lung, painted, -400.0).astype(np.float32)
    out = sitk.GetImageFromArray(painted)
    out.SetSpacing((VOXEL_MM,) * 3)
    out.SetOrigin(grid.origin_mm)
    return image, out


def _affine(matrix: np.ndarray) -> sitk.AffineTransform:
    found = sitk.AffineTransform(3)
    found.SetMatrix([float(v) for v in matrix[:, :3].ravel()])
    found.SetTranslation([float(v) for v in matrix[:, 3]])
    return found


def _bspline(fixed: sitk.Image, moving: sitk.Image, start: sitk.AffineTransform) -> sitk.Transform:
    mesh = [max(3, round(n * VOXEL_MM / MESH_MM)) for n in fixed.GetSize()]
    spline = sitk.BSplineTransformInitializer(fixed, mesh, order=3)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.05, seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([4.0, 0.0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetOptimizerAsLBFGS2(numberOfIterations=15)
    method.SetMovingInitialTransform(start)
    method.SetInitialTransform(spline, inPlace=True)
    method.Execute(fixed, moving)
    return sitk.CompositeTransform([start, spline])


def _demons(fixed: sitk.Image, moving: sitk.Image, start: sitk.AffineTransform) -> sitk.Transform:
    near = sitk.Resample(moving, fixed, start, sitk.sitkLinear, -400.0)
    near = sitk.HistogramMatching(near, fixed, 256, 8, True)
    field = None
    for shrink in (4, 2, 1):
        size = [max(8, n // shrink) for n in fixed.GetSize()]
        a, b = (_resized(image, size) for image in (fixed, near))
        demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfIterations(60)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(1.5)
        if field is None:
            field = demons.Execute(a, b)
        else:
            field = demons.Execute(a, b, sitk.Resample(field, a))
    moved = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    return sitk.CompositeTransform([start, moved])


def _resized(image: sitk.Image, size: list[int]) -> sitk.Image:
    spacing = [s * n / m for s, n, m in zip(image.GetSpacing(), image.GetSize(), size, strict=True)]
    smooth = sitk.SmoothingRecursiveGaussian(image, [max(0.4 * s, 0.5) for s in spacing])
    return sitk.Resample(
        smooth, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), spacing,
        image.GetDirection(), -400.0,
    )  # fmt: skip
