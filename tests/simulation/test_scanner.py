from __future__ import annotations

import numpy as np
import pytest
from support.phantoms import healthy

from ctlung.geometry import Geometry
from ctlung.simulation.scanner import Protocol, acquire, blur, resample

GRID = Geometry.from_spacing((12, 64, 64), (2.0, 1.0, 1.0), (-32.0, -32.0, 0.0))


def _water(hu: float = 0.0) -> np.ndarray:
    return np.full(GRID.shape, hu, np.float32)


def _rng() -> np.random.Generator:
    return np.random.default_rng(8)


@pytest.mark.parametrize("kernel", ["soft", "medium", "sharp"])
def test_noise_is_as_ordered_and_unbiased(kernel: str) -> None:
    series = acquire(_water(), GRID, Protocol(kernel=kernel, noise_hu=20), _rng())  # type: ignore[arg-type]
    assert series.hu.dtype == np.int16
    assert float(series.hu.std()) == pytest.approx(20, rel=0.02)
    assert float(series.hu.mean()) == pytest.approx(0, abs=0.3)


def test_noise_falls_with_the_root_of_the_dose() -> None:
    quarter = acquire(_water(), GRID, Protocol(noise_hu=10, dose=0.25), _rng())
    assert float(quarter.hu.std()) == pytest.approx(20, rel=0.03)


def test_noise_of_a_soft_kernel_is_coarser() -> None:
    def grain(kernel: str) -> float:
        hu = acquire(_water(), GRID, Protocol(kernel=kernel, noise_hu=50), _rng()).hu  # type: ignore[arg-type]
        n = hu.astype(float)
        return float((n[:, :, 1:] * n[:, :, :-1]).mean() / n.var())

    assert grain("soft") > grain("sharp") + 0.1


def test_same_generator_same_bytes() -> None:
    one, two = (acquire(_water(), GRID, Protocol(), _rng()).hu for _ in range(2))
    assert one.tobytes() == two.tobytes()
    other = acquire(_water(), GRID, Protocol(), np.random.default_rng(9)).hu
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("kernel", ["soft", "medium", "sharp"])
def test_blur_keeps_the_mean_and_softens_edges(kernel: str) -> None:
    step = _water(-850)
    step[:, :, 32:] = 50
    out = blur(step, GRID, kernel)
    assert float(out.mean()) == pytest.approx(-400, abs=1)
    if kernel != "sharp":
        assert np.abs(np.diff(out[6, 32])).max() < 900


def test_sharp_kernel_overshoots_and_soft_does_not() -> None:
    step = _water(-850)
    step[:, :, 32:] = 50
    assert blur(step, GRID, "soft").max() <= 50.01
    assert blur(step, GRID, "sharp").max() > 70


def test_thick_slices_average_what_they_span() -> None:
    ramp = _water()
    ramp += np.arange(12, dtype=np.float32)[:, None, None] * 10
    thick = Geometry.from_spacing((3, 64, 64), (8.0, 1.0, 1.0), (-32.0, -32.0, 3.0))
    out = resample(ramp, GRID, thick, None)
    assert out[:, 0, 0].tolist() == pytest.approx([15, 55, 95])
    overlapping = resample(ramp, GRID, thick, 4.0)
    assert overlapping[1, 0, 0] == pytest.approx(55)


def test_coarser_pixels_keep_the_sum() -> None:
    source = _rng().normal(0, 100, GRID.shape).astype(np.float32)
    half = Geometry.from_spacing((12, 32, 32), (2.0, 2.0, 2.0), (-31.5, -31.5, 0.0))
    out = resample(source, GRID, half, None)
    assert out.shape == half.shape
    assert out[3, 4, 5] == pytest.approx(float(source[3, 8:10, 10:12].mean()), abs=1e-3)


def test_finer_pixels_are_linear() -> None:
    ramp = _water()
    ramp += np.arange(64, dtype=np.float32)
    fine = Geometry.from_spacing((12, 64, 100), (2.0, 1.0, 0.5), (-32.0, -32.0, 0.0))
    assert resample(ramp, GRID, fine, None)[0, 0, :5].tolist() == [0, 0.5, 1, 1.5, 2]


def test_contrast_lifts_blood_only() -> None:
    p = healthy()
    quiet = Protocol(noise_hu=0.0)
    plain = acquire(p.hu, p.geometry, quiet, _rng())
    bright = acquire(p.hu, p.geometry, Protocol(noise_hu=0.0, blood_hu=250), _rng(), blood=p.blood)
    rise = bright.hu.astype(int) - plain.hu
    pure = p.blood > 0.999
    assert np.median(rise[pure]) == pytest.approx(208, abs=2)
    assert np.median(rise[p.blood == 0]) == 0


def test_circular_field_is_padded_outside() -> None:
    series = acquire(_water(), GRID, Protocol(noise_hu=0, field_mm=40), _rng())
    assert series.outside_fov is not None
    assert (series.hu[series.outside_fov] == -1024).all()
    assert (series.hu[~series.outside_fov] == 0).all()
    inside_mm2 = float((~series.outside_fov[0]).sum())
    assert inside_mm2 == pytest.approx(np.pi * 400, rel=0.03)


def test_quiet_air() -> None:
    p = healthy()
    series = acquire(
        p.hu, p.geometry, Protocol(noise_hu=15, noise_outside=False), _rng(), body=p.body
    )
    assert (series.hu[0, :5] == -1000).all()
    assert series.hu[p.body].std() > 15


@pytest.mark.parametrize(
    ("protocol", "sentence"),
    [
        (Protocol(blood_hu=300), "a contrast agent needs the share of blood of each voxel"),
        (Protocol(noise_outside=False), "quiet air needs to know where the body is"),
    ],
)
def test_what_is_missing_is_named(protocol: Protocol, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        acquire(_water(), GRID, protocol, _rng())


def test_oblique_grids_are_refused() -> None:
    turned = Geometry.from_affine(
        GRID.shape, [[0, 0.6, 0.8, 0], [0, 0.8, -0.6, 0], [2, 0, 0, 0], [0, 0, 0, 1]]
    )
    with pytest.raises(ValueError, match="grids along the patient's axes"):
        resample(_water(), turned, GRID, None)
