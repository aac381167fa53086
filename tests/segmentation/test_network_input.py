"""The network's grid: where its voxels lie, and what it sees."""

from __future__ import annotations

import numpy as np
import pytest

from ctlung.network_grid import from_network_grid, network_shape, to_network_grid
from ctlung.segmentation.network_input import SOFT_HU, WIDE_HU, channels
from ctlung.working_grid import WorkingGrid


def ramp(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> np.ndarray:
    """Position in mm along z plus ten times y plus a hundred times x."""
    z, y, x = ((np.arange(n) + 0.5) * s for n, s in zip(shape, spacing, strict=True))
    return (z[:, None, None] + 10 * y[None, :, None] + 100 * x[None, None, :]).astype(np.float32)


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (5.0, 2.1, 2.1), (8.0, 4.2, 4.2)])
def test_positions_stay_where_they_are(spacing: tuple[float, float, float]) -> None:
    shape = (14, 30, 33)
    seen = to_network_grid(ramp(shape, spacing), spacing, 3.0)
    assert seen.shape == network_shape(shape, spacing, 3.0)
    expected = ramp(seen.shape, (3.0, 3.0, 3.0))
    inner = tuple(
        slice(*np.searchsorted((np.arange(n) + 0.5) * 3.0, (s / 2, m * s - s / 2)))
        for n, m, s in zip(seen.shape, shape, spacing, strict=True)
    )
    np.testing.assert_allclose(seen[inner], expected[inner], rtol=1e-5)


def test_there_and_back() -> None:
    shape, spacing = (20, 24, 28), (2.5, 2.0, 2.0)
    there = ramp(network_shape(shape, spacing, 3.0), (3.0, 3.0, 3.0))
    grid = WorkingGrid(np.zeros(shape, np.float32), spacing, (1, 1, 1), shape, None)
    back = from_network_grid(there, 3.0, grid)
    assert back.shape == shape
    np.testing.assert_allclose(
        back[1:-1, 1:-1, 1:-1], ramp(shape, spacing)[1:-1, 1:-1, 1:-1], rtol=1e-5
    )


def test_each_window_is_mapped_onto_minus_one_to_one() -> None:
    hu = np.array([-3000, *WIDE_HU, *SOFT_HU, 3000, -312, 25], np.float32).reshape(1, 2, 4)
    wide, soft = (c.ravel() for c in channels(hu))
    np.testing.assert_allclose(wide[[0, 1, 2, 5, 6]], [-1, -1, 1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(soft[[0, 3, 4, 5, 7]], [-1, -1, 1, 1, 0], atol=1e-6)
