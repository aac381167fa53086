"""The numbers of a report, read back from DICOM as they are, with units, reasons and references."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from support.dicom_files import Store, phantom, uid, write_enhanced, write_series
from support.marked import marked
from support.small_result import KEY

import ctlung
from ctlung.notices import Notice
from ctlung.records import Measurement, ScanReport, ScanResult
from ctlung.vocabulary import RESEARCH_USE

HU = phantom((5, 8, 10))
ORGANS = ("right_lung", "left_lung")
LOBES = ("rul", "rml", "rll", "lul", "lll")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sr") / "in"
    write_series(folder, HU, Store(tags={"SeriesNumber": 3}))
    return folder


@pytest.fixture(scope="module")
def result(source: Path) -> ScanResult:
    return marked(ctlung.read_scan(source), lobes=False)


@pytest.fixture(scope="module")
def written(source: Path, result: ScanResult) -> tuple[Path, Path]:
    seg, sr = ctlung.write_dicom(result, source, source.parent / "out", key=KEY)
    return seg, sr


def _told(
    result: ScanResult, source: Path, out: Path, **changes: Any
) -> tuple[Dataset, hd.sr.MeasurementReport]:
    report = dataclasses.replace(result.report, **changes)
    _, sr = ctlung.write_dicom(dataclasses.replace(result, report=report), source, out, key=KEY)
    return dcmread(sr), hd.sr.srread(sr).content


def _groups(report: hd.sr.MeasurementReport) -> dict[str, Any]:
    every = (
        *report.get_volumetric_roi_measurement_groups(),
        *report.get_image_measurement_groups(),
    )
    return {g.tracking_identifier.removeprefix("ctlung "): g for g in every}


def _changed(
    report: ScanReport, measure: str, region: str, **changes: Any
) -> tuple[Measurement, ...]:
    return tuple(
        dataclasses.replace(m, **changes) if (m.measure, m.region) == (measure, region) else m
        for m in report.measurements
    )


def _texts(dataset: Dataset) -> list[str]:
    (last,) = [
        item
        for item in dataset.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "C0034375"
    ]
    return [str(item.TextValue) for item in last.ContentSequence]


def test_every_number_with_its_unit(written: tuple[Path, Path], result: ScanResult) -> None:
    groups = _groups(hd.sr.srread(written[1]).content)
    assert list(groups) == [
        "right_lung",
        "left_lung",
        "ground_glass",
        "consolidation",
        "lungs",
        "lesions",
        "lesions_right_lung",
        "lesions_left_lung",
    ]
    volume = (codes.SCT.Volume, "ml", None)
    mean = (codes.DCM.AttenuationCoefficient, "[hnsf'U]", codes.SCT.Mean)
    area = (codes.SCT.Area, "cm2", codes.SCT.Maximum)
    organ = {"lung_volume_ml": volume, "lung_mean_hu": mean}
    lesion = {
        "lesion_volume_ml": volume,
        "lesion_percent": ("lesion_percent", "%", None),
        "lesion_area_max_cm2": area,
        "ct_number_lesion_hu": mean,
    }
    expected = {name: (name, organ) for name in ("lungs", *ORGANS)}
    expected |= {f"lesions_{name}": (name, lesion) for name in ORGANS}
    expected["lesions"] = ("lungs", lesion)
    for tissue in ("ground_glass", "consolidation"):
        expected[tissue] = ("lungs", {f"{tissue}_volume_ml": volume})
    for name, (region, measures) in expected.items():
        items = groups[name].get_measurements()
        assert len(items) == len(measures)
        for item, (measure, (concept, unit, derivation)) in zip(
            items, measures.items(), strict=True
        ):
            assert item.value == result.report.value(measure, region)
            assert item.unit.value == unit
            assert item.unit.scheme_designator == "UCUM"
            assert item.derivation == derivation
            if isinstance(concept, str):
                assert (item.name.value, item.name.scheme_designator) == (concept, "99CTLUNG")
            else:
                assert item.name == concept


def test_pydicom_alone_reads_the_same(written: tuple[Path, Path], result: ScanResult) -> None:
    document = dcmread(written[1])
    assert document.SOPClassUID.name == "Comprehensive 3D SR Storage"
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    (measured,) = [
        item
        for item in document.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]
    numbers = [
        float(item.MeasuredValueSequence[0].FloatingPointValue)
        for group in measured.ContentSequence
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    ]
    known = {m.value for m in result.report.measurements}
    assert len(numbers) == 3 * 2 + 3 * 4 + 2
    assert set(numbers) <= known
    templates = [g.ContentTemplateSequence[0].TemplateIdentifier for g in measured.ContentSequence]
    assert templates == ["1501", "1411", "1411", "1501", "1501", "1501", "1411", "1411"]


def test_regions_refer_to_their_segments(written: tuple[Path, Path]) -> None:
    seg = dcmread(written[0])
    numbers = {str(s.TrackingUID): int(s.SegmentNumber) for s in seg.SegmentSequence}
    groups = hd.sr.srread(written[1]).content.get_volumetric_roi_measurement_groups()
    assert len(groups) == len(numbers) == 4
    for group in groups:
        (item,) = [i for i in group.referenced_segment if i.ValueType == "IMAGE"]
        referred = item.ReferencedSOPSequence[0]
        assert referred.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert referred.ReferencedSegmentNumber == numbers[str(group.tracking_uid)]
        series = group.referenced_segment.source_series_for_segmentation
        assert series.value == uid("patient", "study", "series")


def _evidence(document: Dataset) -> dict[str, str]:
    """SOP Instance UID to the name of its class."""
    kinds = ("CurrentRequestedProcedureEvidence", "PertinentOtherEvidence")
    return {
        str(item.ReferencedSOPInstanceUID): item.ReferencedSOPClassUID.name
        for kind in kinds
        for study in document.get(f"{kind}Sequence", [])
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def test_the_evidence_names_every_object(written: tuple[Path, Path]) -> None:
    slices = {uid("study", "series", k): "CT Image Storage" for k in range(5)}
    seg = {str(dcmread(written[0]).SOPInstanceUID): "Segmentation Storage"}
    assert _evidence(dcmread(written[1])) == slices | seg


def test_the_evidence_of_a_multi_frame_scan_is_one_object(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "one.dcm", HU)
    seg, sr = ctlung.write_dicom(marked(ctlung.read_scan(path)), path, tmp_path / "out")
    assert _evidence(dcmread(sr)) == {
        str(dcmread(path).SOPInstanceUID): "Enhanced CT Image Storage",
        str(dcmread(seg).SOPInstanceUID): "Segmentation Storage",
    }


def test_what_and_where(written: tuple[Path, Path]) -> None:
    groups = _groups(hd.sr.srread(written[1]).content)
    expected = {
        "lungs": (codes.SCT.Lung, codes.SCT.Bilateral),
        "right_lung": (codes.SCT.Lung, codes.SCT.Right),
        "left_lung": (codes.SCT.Lung, codes.SCT.Left),
        "lesions": (codes.SCT.Inflammation, codes.SCT.Bilateral),
        "lesions_left_lung": (codes.SCT.Inflammation, codes.SCT.Left),
        "ground_glass": (codes.DCM.GroundGlassOpacity, codes.SCT.Bilateral),
    }
    for name, (finding, side) in expected.items():
        assert groups[name].finding_type == finding
        (site,) = groups[name].finding_sites
        assert site.value == codes.SCT.Lung
        assert site.laterality == side


def test_lobes_are_regions_too(source: Path, result: ScanResult, tmp_path: Path) -> None:
    by_lobe = tuple(
        dataclasses.replace(m, region=lobe)
        for lobe in LOBES
        for m in result.report.measurements
        if m.region == "right_lung"
    )
    whole = marked(result.scan)
    numbers = (*result.report.measurements, *by_lobe)
    _, report = _told(whole, source, tmp_path, measurements=numbers)
    groups = _groups(report)
    assert {*LOBES, *(f"lesions_{lobe}" for lobe in LOBES)} <= set(groups)
    assert groups["rml"].finding_type == codes.SCT.MiddleLobeOfRightLung
    assert groups["lll"].finding_sites[0].laterality == codes.SCT.Left
    assert groups["rul"].referenced_segment is not None
    percent = groups["lesions_rul"].get_measurements()[1]
    assert percent.value == result.report.value("lesion_percent", "right_lung")


def test_intervals_stand_beside_their_number(
    source: Path, result: ScanResult, tmp_path: Path
) -> None:
    value = result.report.value("lesion_percent")
    assert value is not None
    numbers = _changed(result.report, "lesion_percent", "lungs", low=value - 1.25, high=value + 0.5)
    _, report = _told(result, source, tmp_path, measurements=numbers)
    item = _groups(report)["lesions"].get_measurements()[1][0]
    reach = {
        beside.name.meaning[0]: (beside.value, beside.unit.value)
        for beside in item.ContentSequence
        if beside.ValueType == "NUM"
    }
    assert reach == {"+": (pytest.approx(0.5), "%"), "-": (pytest.approx(1.25), "%")}


def test_a_measure_without_a_value_says_why(
    source: Path, result: ScanResult, tmp_path: Path
) -> None:
    numbers = _changed(
        result.report, "ct_number_lesion_hu", "lungs", value=None, reason="lesion_small"
    )
    _, report = _told(result, source, tmp_path, measurements=numbers)
    group = _groups(report)["lesions"]
    assert len(group.get_measurements()) == 3
    comments = [str(i.value) for i in group[0].ContentSequence if i.ValueType == "TEXT"]
    why = "the lesion has fewer than 20 voxels or less than 0.1 ml"
    assert f"Attenuation Coefficient not given: {why}." in comments


def test_no_lesion_is_a_number_without_a_segment(source: Path, tmp_path: Path) -> None:
    healthy = marked(ctlung.read_scan(source), lesions=False, lobes=False)
    numbers = _changed(healthy.report, "ground_glass_volume_ml", "lungs", value=0.0, reason=None)
    _, report = _told(healthy, source, tmp_path, measurements=numbers)
    names = [g.tracking_identifier for g in report.get_volumetric_roi_measurement_groups()]
    assert names == ["ctlung right_lung", "ctlung left_lung"]
    assert _groups(report)["ground_glass"].get_measurements()[0].value == 0.0


def test_notices_and_research_use_are_told(
    source: Path, result: ScanResult, tmp_path: Path
) -> None:
    notices = (
        Notice("thickness", "warn", "Slices are 5 mm thick <b>&amp;</b>."),
        Notice("dates", "note", "The date is of another tag."),
        Notice("incomplete", "null", "Lung is müssing."),
    )
    dataset, _ = _told(result, source, tmp_path, notices=notices)
    assert _texts(dataset) == [
        RESEARCH_USE,
        "Lung is müssing.",
        "Slices are 5 mm thick <b>&amp;</b>.",
    ]


def test_who_made_it(written: tuple[Path, Path]) -> None:
    report = hd.sr.srread(written[1]).content
    (observer,) = report.get_observer_contexts()
    assert observer.observer_type == codes.DCM.Device
    assert observer.observer_identifying_attributes.name.startswith("ctlung ")
    document = dcmread(written[1])
    assert (document.PatientID, str(document.PatientName)) == ("patient", "Doe^patient")
    assert document.StudyInstanceUID == uid("patient", "study")
    assert (document.Modality, document.SeriesNumber) == ("SR", 302)
    assert (document.CompletionFlag, document.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert document.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99CTLUNG"


def test_other_numbers_make_another_object(
    source: Path, result: ScanResult, tmp_path: Path
) -> None:
    numbers = _changed(result.report, "lesion_percent", "lungs", value=12.0)
    one, _ = _told(result, source, tmp_path / "a")
    same, _ = _told(result, source, tmp_path / "b")
    other, _ = _told(result, source, tmp_path / "c", measurements=numbers)
    assert one.SOPInstanceUID == same.SOPInstanceUID != other.SOPInstanceUID


def test_numbers_keep_every_bit(source: Path, result: ScanResult, tmp_path: Path) -> None:
    """A decimal string has 16 characters, a float up to 17 digits: both are there."""
    value = float(np.nextafter(10 / 3, 4))
    numbers = _changed(result.report, "lesion_percent", "lungs", value=value)
    _, report = _told(result, source, tmp_path, measurements=numbers)
    assert _groups(report)["lesions"].get_measurements()[1].value == value
