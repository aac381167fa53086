"""Series of two visits are chosen together: alike before best alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.dicom_files import add_series, phantom

from ctlung.errors import NoSeriesFound
from ctlung.reading.choose import choose_series
from ctlung.reading.choose_jointly import Look, choose_jointly
from ctlung.reading.series import find_series


def _chosen(*folders: Path, like: tuple[Look, ...] = ()) -> list[tuple[str, str]]:
    found = choose_jointly([find_series(f) for f in folders], like)
    return [(info.series_uid, why) for info, why in found]


def test_one_kernel_class_beats_the_best_single_series(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    soft = add_series(first, "soft", ConvolutionKernel="B30f")
    sharp = add_series(first, "sharp", ConvolutionKernel="B70f")
    only = add_series(second, "only", ConvolutionKernel="B60f")
    assert choose_series(find_series(first))[0].series_uid == soft
    (mine, why), (theirs, _) = _chosen(first, second)
    assert (mine, theirs) == (sharp, only)
    assert "look like the other visits" in why


def test_one_thickness_beats_the_best_single_series(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    thin = add_series(first, "thin", phantom((17, 6, 5)), SliceThickness="1.25")
    thick = add_series(first, "thick", phantom((5, 6, 5)), SliceThickness="5")
    add_series(second, "only", SliceThickness="5")
    assert choose_series(find_series(first))[0].series_uid == thin
    assert _chosen(first, second)[0][0] == thick


def test_the_kernel_counts_more_than_the_thickness(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    add_series(first, "thin-soft", SliceThickness="1.25", ConvolutionKernel="B30f")
    sharp = add_series(first, "thin-sharp", SliceThickness="1.25", ConvolutionKernel="B70f")
    add_series(second, "thick-sharp", SliceThickness="5", ConvolutionKernel="B70f")
    assert _chosen(first, second)[0][0] == sharp


def test_where_both_visits_have_all_each_has_its_best(tmp_path: Path) -> None:
    for visit in "12":
        for kernel in ("B30f", "B70f"):
            for mm in ("1.25", "5"):
                hu = phantom((1 + round(20 / float(mm)), 6, 5))
                tags = {"ConvolutionKernel": kernel, "SliceThickness": mm}
                add_series(tmp_path / visit, f"{kernel}-{mm}", hu, **tags)
    best = [choose_series(find_series(tmp_path / visit)) for visit in "12"]
    assert _chosen(tmp_path / "1", tmp_path / "2") == [(s.series_uid, why) for s, why in best]


def test_a_third_visit_is_chosen_with_the_others(tmp_path: Path) -> None:
    for visit in "12":
        add_series(tmp_path / visit, "soft", ConvolutionKernel="B30f")
        add_series(tmp_path / visit, "sharp", ConvolutionKernel="B70f")
    add_series(tmp_path / "3", "sharp", ConvolutionKernel="B70f")
    listings = [find_series(tmp_path / visit) for visit in "123"]
    assert [s.kernel for s, _ in choose_jointly(listings)] == ["B70f"] * 3


def test_a_visit_that_is_measured_already_leads(tmp_path: Path) -> None:
    add_series(tmp_path, "soft", ConvolutionKernel="B30f")
    sharp = add_series(tmp_path, "sharp", ConvolutionKernel="B70f")
    assert _chosen(tmp_path, like=(Look("sharp", 2.5, False),))[0][0] == sharp
    assert _chosen(tmp_path, like=(Look("soft", 2.5, False),))[0][0] != sharp


def test_contrast_agent_in_one_alone_is_avoided(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    add_series(first, "plain")
    given = add_series(first, "given", ContrastBolusAgent="Ultravist")
    add_series(second, "only", ContrastBolusAgent="Ultravist")
    assert _chosen(first, second)[0][0] == given


def test_half_a_lung_is_not_measured_to_look_alike(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    whole = add_series(first, "whole", phantom((100, 6, 5)), ConvolutionKernel="B30f")
    add_series(first, "half", phantom((40, 6, 5)), ConvolutionKernel="B70f")
    add_series(second, "only", phantom((100, 6, 5)), ConvolutionKernel="B70f")
    assert _chosen(first, second)[0][0] == whole


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    for visit, kernels in (("1", ("B30f", "B70f")), ("2", ("B70f", "B45f"))):
        for kernel in kernels:
            add_series(tmp_path / visit, kernel, ConvolutionKernel=kernel)
    there = [find_series(tmp_path / visit) for visit in "12"]
    back = choose_jointly(there[::-1])
    assert [s.kernel for s, _ in choose_jointly(there)] == [s.kernel for s, _ in back[::-1]]


def test_a_visit_without_a_series_is_refused(tmp_path: Path) -> None:
    add_series(tmp_path / "1", "soft")
    (tmp_path / "2").mkdir()
    with pytest.raises(NoSeriesFound, match="empty"):
        _chosen(tmp_path / "1", tmp_path / "2")
