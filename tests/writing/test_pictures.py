"""The check picture: deterministic, in true proportion, the sides where they belong."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from support.small_result import empty_result, on_grid, small_result

from ctlung.geometry import Geometry
from ctlung.notices import Notice
from ctlung.records import Measurement, ScanReport, ScanResult
from ctlung.vocabulary import LESION_LABELS, LUNG_LABELS
from ctlung.volume import LabelMap, Scan
from ctlung.writing import pictures
from ctlung.writing.headline import headline, notices_by_weight, region_table, short_notice
from ctlung.writing.pictures import COLOURS, draw_overlay
from ctlung.writing.planes import choose_planes

Array = np.ndarray[Any, Any]


def _draw(result: ScanResult, path: Path) -> Path:
    draw_overlay(result.scan, result.lungs, result.lesions, result.report, path)
    return path


def _pixels(path: Path) -> Array:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def _planes(result: ScanResult, **how: Any) -> Any:
    return choose_planes(result.scan, result.lungs, result.lesions, result.report, **how)


def _slices(result: ScanResult, part: slice) -> ScanResult:
    """Some slices of a result."""
    shape = result.scan.hu.shape
    box = (part, slice(0, shape[1]), slice(0, shape[2]))
    geometry = result.scan.geometry.crop(box)
    return ScanResult(
        Scan(result.scan.hu[box].copy(), geometry),
        LabelMap(result.lungs.labels[box].copy(), geometry, LUNG_LABELS),
        LabelMap(result.lesions.labels[box].copy(), geometry, LESION_LABELS),
        ScanReport(()),
    )


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _draw(small_result(), tmp_path_factory.mktemp("overlay") / "overlay.png")


def test_the_same_result_gives_the_same_bytes(overlay: Path, tmp_path: Path) -> None:
    assert _draw(small_result(), tmp_path / "again.png").read_bytes() == overlay.read_bytes()


def test_the_users_style_changes_nothing(overlay: Path, tmp_path: Path) -> None:
    with mpl.rc_context({"font.size": 30, "image.cmap": "jet", "savefig.dpi": 20}):
        again = _draw(small_result(), tmp_path / "again.png")
        assert mpl.rcParams["font.size"] == 30
    assert again.read_bytes() == overlay.read_bytes()


def test_the_file_names_no_program_and_no_time(overlay: Path) -> None:
    with Image.open(overlay) as picture:
        assert picture.format == "PNG"
        assert picture.width == pictures.WIDTH_PX
        assert "Software" not in picture.info
        assert "Creation Time" not in picture.info


@pytest.mark.parametrize("name", COLOURS)
def test_every_contour_is_drawn(overlay: Path, name: str) -> None:
    wanted = [int(COLOURS[name][k : k + 2], 16) for k in (1, 3, 5)]
    close = np.abs(_pixels(overlay) - wanted).max(axis=2) < 40
    montage = close[:, : pictures.WIDTH_PX - pictures._PANEL_PX - 20]
    assert montage.sum() > 200


def test_little_of_the_canvas_stays_black(overlay: Path) -> None:
    montage = _pixels(overlay)[:, : pictures.WIDTH_PX - pictures._PANEL_PX - 20]
    assert (montage.max(axis=2) < 5).mean() < 0.2


def test_the_right_lung_is_on_the_left(overlay: Path) -> None:
    """In the axial rows blue stands left of green in every picture of a row."""
    across, _ = _planes(small_result())
    for plane in across:
        columns = [np.argwhere(plane.lungs == side)[:, 1] for side in (1, 2)]
        if all(len(c) for c in columns):
            assert columns[0].mean() < columns[1].mean()
        assert plane.edges == ("R", "L", "A", "P")


def test_head_is_up_and_front_is_left_in_the_side_views() -> None:
    result = small_result()
    _, along = _planes(result)
    assert [p.kind for p in along] == ["coronal"] * 3 + ["sagittal"] * 2
    z = np.arange(result.scan.hu.shape[0])[:, None, None]
    marked = ScanResult(
        Scan(np.broadcast_to(z * 10, result.scan.hu.shape).astype(np.int16), result.scan.geometry),
        result.lungs,
        result.lesions,
        result.report,
    )
    for plane in _planes(marked)[1]:
        assert (np.diff(plane.hu[:, 0]) < 0).all()
        assert plane.edges[2:] == ("H", "F")
    assert [p.edges[:2] for p in along] == [("R", "L")] * 3 + [("A", "P")] * 2


def test_planes_are_in_true_proportion() -> None:
    result = small_result()
    dz, dy, dx = result.scan.geometry.spacing_mm
    across, along = _planes(result)
    assert {p.pixel_mm for p in across} == {(dy, dx)}
    assert {(p.kind, p.pixel_mm) for p in along} == {
        ("coronal", (dz, dx)),
        ("sagittal", (dz, dy)),
    }


def test_uneven_slices_are_drawn_at_their_places() -> None:
    base = small_result()
    n = base.scan.hu.shape[0]
    positions = np.cumsum([16.0 if k < n // 2 else 4.0 for k in range(n)])
    matrix = base.scan.geometry.matrix.copy()
    matrix[2, 0] = (positions[-1] - positions[0]) / (n - 1)
    geometry = Geometry.from_affine(base.scan.hu.shape, matrix, positions.tolist())
    numbers = np.arange(n, dtype=np.int16)[:, None, None]
    uneven = on_grid(geometry)
    scan = Scan(np.broadcast_to(numbers, uneven.scan.hu.shape).astype(np.int16), geometry)
    _, along = _planes(ScanResult(scan, uneven.lungs, uneven.lesions, uneven.report))
    shown = along[0].hu[:, 0]
    assert (np.diff(shown) <= 0).all()
    # The sparse lower half of the slices fills more than half of the picture.
    assert (shown < n // 2).mean() > 0.6


def test_the_slice_of_the_largest_area_is_always_shown() -> None:
    result = small_result()
    number = result.report.value("lesion_area_max_slice")
    for most in (8, 6, 4, 1):
        across, _ = _planes(result, most_axial=most)
        assert [p.index for p in across if p.largest] == [number]
        assert len(across) <= most


def test_a_withheld_area_marks_no_slice() -> None:
    result = small_result()
    report = ScanReport((Measurement("lesion_area_max_slice", "lungs", reason="inspiration"),))
    across, _ = _planes(dataclasses.replace(result, report=report))
    assert [p for p in across if p.largest] == []


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_few_slices_make_a_picture_of_axial_planes(tmp_path: Path, count: int) -> None:
    middle = int(small_result().report.value("lesion_area_max_slice") or 0)
    few = _slices(small_result(), slice(middle, middle + count))
    across, along = _planes(few)
    assert [p.index for p in across] == list(range(count))
    assert along == ()
    pixels = _pixels(_draw(few, tmp_path / "few.png"))
    assert pixels.shape[0] < 1500
    assert (pixels.max(axis=2) < 5).mean() < 0.5


def test_nothing_found_is_drawn_too(tmp_path: Path) -> None:
    assert _draw(empty_result(), tmp_path / "empty.png").stat().st_size > 1000


def test_titles_lie_above_their_planes_and_apart() -> None:
    """Nothing is written twice on one place."""
    result = small_result()
    spots, _ = pictures._fitting(result.scan, result.lungs, result.lesions, result.report, 1000.0)
    for one in spots:
        assert one.top >= pictures._TITLE_PX
        for other in spots:
            if one is not other:
                beside = one.left + one.width <= other.left or other.left + other.width <= one.left
                under = (
                    one.top + one.height + pictures._TITLE_PX <= other.top
                    or other.top + other.height + pictures._TITLE_PX <= one.top
                )
                assert beside or under


# the words beside it


def test_the_headline_gives_numbers_with_their_units() -> None:
    report = small_result().report
    figures = {f.title: f for f in headline(report)}
    assert list(figures) == [
        "lung volume",
        "inflammatory area, percent of lung",
        "volume of the inflammatory area",
        "largest inflammatory area in a slice",
        "CT number of the inflammatory area",
        "mean lung density (MLD)",
    ]
    area = report.value("lesion_area_max_cm2")
    assert figures["largest inflammatory area in a slice"].number == f"{area:.1f} cm²"
    number = report.value("ct_number_lesion_hu")
    assert number is not None
    assert figures["CT number of the inflammatory area"].number == f"−{-number:.1f} HU"


def test_what_is_not_given_says_why() -> None:
    report = ScanReport(
        (
            Measurement("lung_volume_ml", "lungs", reason="coverage_top"),
            Measurement("lung_volume_measured_ml", "lungs", 597.2),
            Measurement("ct_number_lesion_hu", "lungs", reason="no_lesion"),
        )
    )
    volume, number = headline(report)
    assert (volume.number, volume.given) == ("not given", False)
    assert volume.beside == "the lungs are cut off at the top of the scan; in view: 597 ml"
    assert number.beside == "there is no lesion in this region"
    assert region_table(report)[0].cells == ("–", "–", "–", "–")


def test_the_gravest_notice_comes_first() -> None:
    report = ScanReport(
        (),
        notices=(
            Notice("kernel", "note", "a"),
            Notice("thickness", "warn", "b", 5.0, 3.0, "mm"),
            Notice("coverage_top", "null", "c"),
        ),
    )
    assert [n.effect for n in notices_by_weight(report)] == ["null", "warn", "note"]
    assert short_notice(report.notices[1]) == "slices are thick (5 mm, limit 3 mm)"


def test_lobes_have_their_rows_in_the_table() -> None:
    report = small_result().report
    extra = (
        Measurement("lung_volume_ml", "rul", 812.4),
        Measurement("lung_volume_ml", "lll", reason="coverage_bottom"),
    )
    rows = region_table(dataclasses.replace(report, measurements=report.measurements + extra))
    assert rows[:3] == region_table(report)
    assert [row.region for row in rows] == ["lungs", "right lung", "left lung", "RUL", "LLL"]
    assert [row.cells[0] for row in rows[3:]] == ["812", "–"]
