"""The folder of one scan: which files, what is in them, the same bytes."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from support.chest import WHO
from support.small_result import KEY, small_result

from ctlung.exchange import DICOM_FILES
from ctlung.records import Measurement
from ctlung.vocabulary import (
    FACTS,
    LOBE_LABELS,
    MEASURES,
    NOTICES,
    REASONS,
    REGIONS,
    RESEARCH_USE,
)
from ctlung.volume import LabelMap
from ctlung.writing.results import RESULT_FILES, require_output, write_result
from ctlung.writing.tables import measurements_as_csv, report_as_json, slices_as_csv

FILES = [
    "lesions.label.txt",
    "lesions.nii.gz",
    "lungs.label.txt",
    "lungs.nii.gz",
    "measurements.csv",
    "overlay.png",
    "report.html",
    "report.json",
    "scan.nii.gz",
    "segments.seg.nrrd",
    "slices.csv",
]
SOMETIMES = {"lobes.nii.gz", "lobes.label.txt", *DICOM_FILES}
MEASUREMENT_HEADER = "region,measure,value,unit,low,high,n_voxels,reason"
SLICE_HEADER = (
    "slice,position_mm,weight_mm,lung_area_cm2,lesion_area_cm2,ground_glass_area_cm2,"
    "consolidation_area_cm2,ct_number_lesion_hu,sop_hash,reason"
)
SECRETS = [WHO.patient_id, WHO.patient_name, WHO.birth_date, WHO.study_uid, WHO.series_uid]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_result(small_result(), tmp_path_factory.mktemp("written") / "result")


@pytest.fixture(scope="module")
def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_files_of_a_scan(out: Path) -> None:
    assert _names(out) == FILES == sorted({*RESULT_FILES} - SOMETIMES)
    assert _names(out.parent) == ["result"]


def test_the_scan_can_be_left_out(tmp_path: Path) -> None:
    folder = write_result(small_result(), tmp_path / "a" / "b", with_scan=False)
    assert _names(folder) == [n for n in FILES if n != "scan.nii.gz"]


def test_lobes_are_written_where_there_are_some(tmp_path: Path) -> None:
    base = small_result()
    labels = np.where(base.lungs.labels == 1, 3, base.lungs.labels // 2).astype(np.uint8)
    lobes = LabelMap(labels, base.scan.geometry, LOBE_LABELS)
    folder = write_result(dataclasses.replace(base, lobes=lobes), tmp_path / "out")
    assert _names(folder) == sorted({*RESULT_FILES} - {*DICOM_FILES})
    written, lungs = (nib.load(folder / f"{name}.nii.gz") for name in ("lobes", "lungs"))
    np.testing.assert_array_equal(np.asarray(written.dataobj).T, labels)
    np.testing.assert_array_equal(written.affine, lungs.affine)
    # An earlier result with lobes may be replaced as any other.
    write_result(base, folder, force=True, with_scan=False)
    assert "lobes.nii.gz" not in _names(folder)


def test_two_runs_give_the_same_bytes(out: Path, tmp_path: Path) -> None:
    again = write_result(small_result(), tmp_path / "again")
    assert [n for n in FILES if (out / n).read_bytes() != (again / n).read_bytes()] == []


def test_the_report_has_its_keys(report: dict[str, Any]) -> None:
    assert list(report) == [
        "schema",
        "research_use",
        "measurements",
        "calibration",
        "slices",
        "lesions",
        "scores",
        "uncertainty",
        "histograms",
        "notices",
        "provenance",
    ]
    assert report["schema"] == "ctlung.scan/1"
    assert report["research_use"] == RESEARCH_USE
    assert {",".join(m) for m in report["measurements"]} == {MEASUREMENT_HEADER}
    assert {",".join(row) for row in report["slices"]} == {SLICE_HEADER}


def test_the_facts_have_a_value_or_a_reason(report: dict[str, Any]) -> None:
    facts = report["calibration"]
    assert list(facts) == list(FACTS)
    for fact in facts.values():
        assert list(fact) == ["value", "reason", "unit", "n_voxels", "volume_ml", "noise_hu"]
        assert fact["unit"] == "HU"
        assert (fact["value"] is None) != (fact["reason"] is None)
        assert fact["reason"] is None or fact["reason"] in {*REASONS, *NOTICES}
    assert facts["reference_hu"]["value"] < -800
    assert facts["air_hu"]["reason"] == "no_airways"


def test_nothing_in_it_differs_between_two_runs(report: dict[str, Any]) -> None:
    assert report["provenance"]["created"] is None


def test_the_words_are_those_of_the_vocabulary(report: dict[str, Any]) -> None:
    found = report["measurements"]
    assert {m["measure"] for m in found} == set(MEASURES)
    assert {m["region"] for m in found} == set(REGIONS)
    assert {m["reason"] for m in found} - {None} <= set(REASONS) | set(NOTICES)
    assert {m["unit"] for m in found} == {m.unit for m in MEASURES.values()}
    assert {n["code"] for n in report["notices"]} <= set(NOTICES)


def test_every_number_has_a_value_or_a_reason(report: dict[str, Any]) -> None:
    wrong = [m for m in report["measurements"] if (m["value"] is None) == (m["reason"] is None)]
    assert wrong == []
    assert any(m["reason"] for m in report["measurements"])


def test_csv_and_json_agree(out: Path, report: dict[str, Any]) -> None:
    for name, header, part in (
        ("measurements.csv", MEASUREMENT_HEADER, "measurements"),
        ("slices.csv", SLICE_HEADER, "slices"),
    ):
        text = (out / name).read_text(encoding="utf-8")
        assert text.splitlines()[0] == header
        rows = list(csv.DictReader(text.splitlines()))
        assert len(rows) == len(report[part])
        for row, item in zip(rows, report[part], strict=True):
            assert row == {k: "" if v is None else str(v) for k, v in item.items()}


def test_csv_holds_the_numbers_unrounded(out: Path) -> None:
    rows = csv.DictReader((out / "measurements.csv").read_text(encoding="utf-8").splitlines())
    value = {(r["region"], r["measure"]): r["value"] for r in rows}
    wanted = small_result().report.value("lung_volume_ml")
    assert float(value["lungs", "lung_volume_ml"]) == wanted


def test_each_slice_has_its_place_and_a_hash(report: dict[str, Any]) -> None:
    scan = small_result().scan
    rows = report["slices"]
    assert [r["slice"] for r in rows] == list(range(scan.hu.shape[0]))
    assert [r["position_mm"] for r in rows] == list(scan.geometry.slice_positions_mm)
    uids = scan.source.identifiers.sop_uids
    assert [r["sop_hash"] for r in rows] == [KEY.digest("sop", uid) for uid in uids]


def test_no_identifier_in_any_file(out: Path) -> None:
    import gzip

    uids = small_result().scan.source.identifiers.sop_uids
    for path in sorted(out.iterdir()):
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)[:352]
        for secret in (*SECRETS, *uids):
            assert secret is not None
            assert secret.encode() not in content, path.name
            assert secret not in path.name


def test_identifiers_when_asked(tmp_path: Path) -> None:
    folder = write_result(small_result(identifiers=True), tmp_path / "open", with_scan=False)
    stated = json.loads((folder / "report.json").read_text(encoding="utf-8"))["provenance"][
        "identifiers"
    ]
    assert stated["patient_id"] == WHO.patient_id
    assert stated["patient_name"] == WHO.patient_name
    assert stated["study_uid"] == WHO.study_uid
    for name in ("measurements.csv", "slices.csv", "overlay.png"):
        assert str(WHO.patient_id).encode() not in (folder / name).read_bytes()


def test_a_picture_says_no_more_with_identifiers(out: Path, tmp_path: Path) -> None:
    folder = write_result(small_result(identifiers=True), tmp_path / "open", with_scan=False)
    assert (folder / "overlay.png").read_bytes() == (out / "overlay.png").read_bytes()


def test_text_is_utf8_with_plain_line_ends(out: Path) -> None:
    for name in ("report.json", "measurements.csv", "slices.csv"):
        content = (out / name).read_bytes()
        assert b"\r" not in content
        assert content.endswith(b"\n")


def test_infinity_never_becomes_json() -> None:
    report = small_result().report
    bad = dataclasses.replace(
        report, measurements=(Measurement("lung_mean_hu", "lungs", float("inf")),)
    )
    with pytest.raises(ValueError, match="JSON"):
        report_as_json(bad)


def test_a_comma_in_a_region_name_is_quoted() -> None:
    report = small_result().report
    named = dataclasses.replace(
        report, measurements=(Measurement("lung_mean_hu", "a, b", -800.0),), slices=()
    )
    assert measurements_as_csv(named).splitlines()[1] == '"a, b",lung_mean_hu,-800.0,HU,,,,'
    assert slices_as_csv(named) == SLICE_HEADER + "\n"


def test_a_result_without_lungs_can_be_written(tmp_path: Path) -> None:
    from support.small_result import empty_result

    assert _names(write_result(empty_result(), tmp_path / "out")) == FILES


def test_require_output_is_quiet_where_a_result_may_go(tmp_path: Path) -> None:
    require_output(tmp_path / "new" / "deeper")
    assert _names(tmp_path) == []
