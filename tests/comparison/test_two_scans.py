"""The whole way of a comparison: what is withheld, what is refused, which series are read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.dicom_files import add_series
from support.small_result import small_result

import ctlung
from ctlung import two_scans
from ctlung.change_records import Comparison
from ctlung.errors import NotComparable
from ctlung.notices import Notice
from ctlung.records import ScanResult
from ctlung.volume import Scan

CT_NUMBERS = ("ct_number_lesion_hu", "ct_number_baseline_region_hu", "restoration_index")


def _visit(day: str | None, *notices: Notice, **facts: Any) -> ScanResult:
    base = small_result()
    p = base.report.provenance
    acquisition = {**p.acquisition, "acquisition_date": day, **facts}
    report = dataclasses.replace(
        base.report,
        provenance=dataclasses.replace(p, acquisition=acquisition),
        notices=(*base.report.notices, *notices),
    )
    return dataclasses.replace(base, report=report)


FIRST = _visit("20200210", patient_position="HFS")
CONTRAST = Notice("contrast", "warn", "The aorta is bright.")


def _reasons(found: Comparison) -> dict[str, str | None]:
    return {name: found[name].reason for name in CT_NUMBERS}


def _codes(found: Comparison) -> set[str]:
    return {n.code for n in found.notices}


def test_contrast_agent_in_one_of_two_withholds_ct_numbers_not_volumes() -> None:
    found = ctlung.compare(FIRST, _visit("20200220", CONTRAST, patient_position="HFS"))
    assert set(_reasons(found).values()) == {"contrast_pair"}
    assert found["lesion_mass_percent"].reason == "contrast_pair"
    assert found["lesion_volume_ml"].delta == 0.0
    assert found.voxelwise is not None
    assert found.voxelwise.ml("persistent")[0] > 0


def test_prone_against_supine_withholds_densities() -> None:
    found = ctlung.compare(FIRST, _visit("20200220", patient_position="HFP"))
    assert set(_reasons(found).values()) == {"position_pair"}
    assert found["lung_volume_ml"].delta == 0.0


def test_without_dates_there_is_no_change_per_day_and_the_order_is_the_users() -> None:
    healed = _visit(None)
    report = healed.report
    less = tuple(
        dataclasses.replace(m, value=m.value / 2)
        if m.measure == "lesion_volume_ml" and m.value is not None
        else m
        for m in report.measurements
    )
    healed = dataclasses.replace(healed, report=dataclasses.replace(report, measurements=less))
    there = ctlung.compare(_visit(None), healed, voxelwise=False)
    back = ctlung.compare(healed, _visit(None), voxelwise=False)
    assert there.days is None
    assert "interval" in _codes(there)
    assert all(c.delta_per_day is None for c in there.changes)
    delta = there["lesion_volume_ml"].delta
    assert delta is not None
    assert delta < 0
    assert back["lesion_volume_ml"].delta == -delta


def test_a_result_without_intervals_is_given_them() -> None:
    assert not FIRST.report.uncertainty
    found = ctlung.compare(FIRST, _visit("20200220"))
    assert found.baseline.uncertainty
    change = found["lesion_volume_ml"]
    assert change.low is not None
    assert change.high is not None
    assert change.low < 0.0 < change.high
    assert change.claimed is False


def test_what_other_weights_found_gets_no_interval() -> None:
    visits = []
    for day in ("20200210", "20200220"):
        base = _visit(day)
        p = dataclasses.replace(base.report.provenance, lesion_weights_sha256="another")
        report = dataclasses.replace(base.report, provenance=p)
        visits.append(dataclasses.replace(base, report=report))
    assert ctlung.compare(*visits)["lesion_volume_ml"].low is None


NAMELESS = {"patient_hash": None, "birth_date_hash": None, "sex": None}


def test_bones_are_asked_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = _visit("20200210", **NAMELESS), _visit("20200220", **NAMELESS)
    monkeypatch.setattr(two_scans, "bone_match", lambda *visits: 0.1)
    with pytest.raises(NotComparable, match="two persons"):
        ctlung.compare(a, b)
    assert "same_person" not in _codes(ctlung.compare(a, b, same_person=True))
    monkeypatch.setattr(two_scans, "bone_match", lambda *visits: 0.9)
    (notice,) = (n for n in ctlung.compare(a, b).notices if n.code == "same_person")
    assert (notice.effect, notice.measured) == ("warn", 0.9)


def test_series_of_two_folders_are_read_to_look_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for visit, kernels in (("1", ("B30f", "B70f")), ("2", ("B70f",))):
        for kernel in kernels:
            add_series(tmp_path / visit, kernel, ConvolutionKernel=kernel)
    seen: list[Scan] = []

    def measured(scan: Scan, **how: Any) -> ScanResult:
        seen.append(scan)
        return FIRST if len(seen) == 1 else _visit("20200220")

    monkeypatch.setattr(two_scans, "segment", measured)
    ctlung.compare(tmp_path / "1", tmp_path / "2", voxelwise=False)
    assert [scan.acquisition.kernel for scan in seen] == ["B70f", "B70f"]
    assert "look like the other visits" in (seen[0].source.chosen_because or "")


def test_a_finished_visit_says_what_the_other_should_look_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kernel in ("B30f", "B70f"):
        add_series(tmp_path, kernel, ConvolutionKernel=kernel)
    seen: list[Scan] = []

    def measured(scan: Scan, **how: Any) -> ScanResult:
        seen.append(scan)
        return _visit("20200220")

    monkeypatch.setattr(two_scans, "segment", measured)
    for wanted in ("sharp", "soft"):
        done = _visit("20200210", kernel_class=wanted)
        ctlung.compare(done.report, tmp_path, voxelwise=False)
    assert [scan.acquisition.kernel for scan in seen] == ["B70f", "B30f"]
