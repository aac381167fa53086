"""What a DICOM segmentation says of its segments, itself and where it comes from."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sr.codedict import codes
from support.dicom_files import Store, phantom, uid, write_enhanced, write_series
from support.marked import NAMES, marked, placed, truth
from support.small_result import KEY

import ctlung
from ctlung.records import ScanResult
from ctlung.version import __version__
from ctlung.vocabulary import LUNG_LABELS
from ctlung.volume import LabelMap
from ctlung.writing.change_picture import COLOURS as CHANGE_COLOURS
from ctlung.writing.dicom_codes import STRUCTURES
from ctlung.writing.label_names import COLOURS, TITLES
from ctlung.writing.pictures import COLOURS as PICTURE_COLOURS

HU = phantom((5, 8, 10))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seg") / "in"
    write_series(folder, HU, Store(tags={"SeriesNumber": 3, "AcquisitionTime": "101112"}))
    return folder


@pytest.fixture(scope="module")
def result(source: Path) -> ScanResult:
    return marked(ctlung.read_scan(source))


@pytest.fixture(scope="module")
def written(source: Path, result: ScanResult) -> Path:
    return ctlung.write_dicom(result, source, source.parent / "out", key=KEY)[0]


def _again(result: ScanResult, source: Path, out: Path) -> Path:
    return ctlung.write_dicom(result, source, out, key=KEY)[0]


def test_segments_in_order_with_names(written: Path) -> None:
    image = dcmread(written)
    assert [s.SegmentLabel for s in image.SegmentSequence] == list(NAMES)
    assert [s.SegmentNumber for s in image.SegmentSequence] == list(range(1, 10))
    assert image.SegmentsOverlap == "YES"
    assert image.SegmentationType == "BINARY"


def test_every_structure_has_a_title_and_a_colour() -> None:
    assert set(STRUCTURES) <= set(TITLES)
    assert set(TITLES) == set(COLOURS)
    assert len(set(COLOURS.values())) == len(COLOURS) - 1  # ground-glass is as what persists


def test_colours_are_those_of_the_pictures(written: Path) -> None:
    for name, colour in PICTURE_COLOURS.items():
        own = {"ground-glass": "ground_glass"}.get(name, name.replace(" ", "_"))
        assert COLOURS[own] == colour
    assert {name: COLOURS[name] for name in CHANGE_COLOURS} == CHANGE_COLOURS
    for item in dcmread(written).SegmentSequence:
        name = next(n for n, title in TITLES.items() if title == item.SegmentLabel)
        shown = hd.color.CIELabColor.from_dicom_value(item.RecommendedDisplayCIELabValue)
        wanted = [int(COLOURS[name][i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(np.subtract(shown.to_rgb(), wanted)).max() <= 2


def test_codes_of_lungs_and_lobes(written: Path) -> None:
    image = hd.seg.segread(written)
    expected = {
        "Right lung": (codes.SCT.Lung, codes.SCT.Right),
        "Left lung": (codes.SCT.Lung, codes.SCT.Left),
        "Right upper lobe": (codes.SCT.UpperLobeOfLung, codes.SCT.Right),
        "Right middle lobe": (codes.SCT.MiddleLobeOfRightLung, None),
        "Right lower lobe": (codes.SCT.LowerLobeOfLung, codes.SCT.Right),
        "Left upper lobe": (codes.SCT.UpperLobeOfLung, codes.SCT.Left),
        "Left lower lobe": (codes.SCT.LowerLobeOfLung, codes.SCT.Left),
    }
    for number in image.segment_numbers:
        item = image.get_segment_description(number)
        if item.segment_label not in expected:
            continue
        kind, side = expected[item.segment_label]
        assert item.segmented_property_category == codes.SCT.AnatomicalStructure
        assert item.segmented_property_type == kind
        sides = item.segmented_property_type.get("SegmentedPropertyTypeModifierCodeSequence", [])
        assert [s.CodeValue for s in sides] == ([side.value] if side else [])


def test_codes_of_lesions(written: Path) -> None:
    image = hd.seg.segread(written)
    glass, solid = (image.get_segment_description(n) for n in (3, 4))
    for item in (glass, solid):
        assert item.segmented_property_category == codes.SCT.MorphologicallyAbnormalStructure
        assert item.anatomic_regions == [codes.SCT.Lung]
    assert glass.segmented_property_type == codes.DCM.GroundGlassOpacity
    assert solid.segmented_property_type.value == "95436008"


def test_codes_are_those_of_the_dictionary() -> None:
    """Each code that pydicom knows has that meaning there."""
    unknown = []
    for kind in STRUCTURES.values():
        for code in (kind.category, kind.kind, kind.side):
            known = code is None or any(
                getattr(getattr(codes, scheme), name) == code
                for scheme in ("SCT", "DCM")
                for name in getattr(codes, scheme).dir()
                if name in KNOWN
            )
            if not known:
                unknown.append(code.meaning)
    assert unknown == ["Lung consolidation"]


KNOWN = (
    "AnatomicalStructure",
    "MorphologicallyAbnormalStructure",
    "Lung",
    "Right",
    "Left",
    "UpperLobeOfLung",
    "MiddleLobeOfRightLung",
    "LowerLobeOfLung",
    "GroundGlassOpacity",
)


@pytest.mark.parametrize(
    ("sides", "code"),
    [((1,), codes.SCT.Right), ((2,), codes.SCT.Left), ((1, 2), codes.SCT.Bilateral)],
)
def test_in_which_lung_a_lesion_lies(
    tmp_path: Path, source: Path, result: ScanResult, sides: tuple[int, ...], code: object
) -> None:
    inside = np.isin(result.lungs.labels, sides)
    lesions = dataclasses.replace(result.lesions, labels=np.where(inside, 1, 0).astype(np.uint8))
    seg = _again(dataclasses.replace(result, lesions=lesions), source, tmp_path)
    region = hd.seg.segread(seg).get_segment_description(3).anatomic_regions[0]
    assert region.AnatomicRegionModifierSequence[0].CodeValue == code.value  # type: ignore[attr-defined]


def test_the_algorithm_is_named(tmp_path: Path, source: Path, result: ScanResult) -> None:
    def algorithms(**changes: str | None) -> list[tuple[str, str, str]]:
        told = dataclasses.replace(result.report.provenance, **changes)
        report = dataclasses.replace(result.report, provenance=told)
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        seg = _again(dataclasses.replace(result, report=report), source, out)
        items = [hd.seg.segread(seg).get_segment_description(n) for n in (1, 3)]
        found = []
        for item in items:
            assert item.algorithm_identification is not None
            known = item.algorithm_identification[0]
            assert known.AlgorithmVersion == __version__
            family = known.AlgorithmFamilyCodeSequence[0].CodeMeaning
            found.append((item.algorithm_type.value, known.AlgorithmName, family))
        return found

    assert algorithms(
        segmenter="network-2",
        weights_sha256="ab" * 32,
        lesion_method="network-1",
        lesion_weights_sha256="cd" * 32,
    ) == [
        ("AUTOMATIC", "ctlung network-2", "Artificial Intelligence"),
        ("AUTOMATIC", "ctlung network-1", "Artificial Intelligence"),
    ]
    assert algorithms(segmenter="given", lesion_method="rule-1", lesion_weights_sha256=None) == [
        ("SEMIAUTOMATIC", "ctlung given", "Manual Processing"),
        ("AUTOMATIC", "ctlung rule-1", "Morphological Operations"),
    ]


def test_empty_segments_and_frames_are_left_out(
    tmp_path: Path, source: Path, result: ScanResult
) -> None:
    labels = np.array(result.lungs.labels)
    labels[[0, 2]] = 0
    lungs = LabelMap(labels, result.lungs.geometry, LUNG_LABELS)
    nothing = dataclasses.replace(result.lesions, labels=np.zeros_like(labels))
    healthy = dataclasses.replace(result, lungs=lungs, lesions=nothing, lobes=None)
    seg = _again(healthy, source, tmp_path)
    image = dcmread(seg)
    assert [s.SegmentLabel for s in image.SegmentSequence] == ["Right lung", "Left lung"]
    assert image.NumberOfFrames == 2 * 3
    assert image.SegmentsOverlap == "NO"
    found = placed(seg, result.scan.geometry)
    for label, mask in truth(healthy).items():
        np.testing.assert_array_equal(found[label], mask)


def test_one_lung_alone(tmp_path: Path, source: Path, result: ScanResult) -> None:
    left = np.where(result.lungs.labels == 2, 2, 0).astype(np.uint8)
    nothing = dataclasses.replace(result.lesions, labels=np.zeros_like(left))
    lungs = dataclasses.replace(result.lungs, labels=left)
    one = dataclasses.replace(result, lungs=lungs, lesions=nothing, lobes=None)
    seg = _again(one, source, tmp_path)
    assert [s.SegmentLabel for s in dcmread(seg).SegmentSequence] == ["Left lung"]
    np.testing.assert_array_equal(placed(seg, one.scan.geometry)["Left lung"], left == 2)


def test_who_when_and_for_what(written: Path) -> None:
    image = dcmread(written)
    assert (image.PatientID, str(image.PatientName)) == ("patient", "Doe^patient")
    assert (image.PatientBirthDate, image.PatientSex) == ("19700101", "F")
    assert image.StudyInstanceUID == uid("patient", "study")
    assert image.SeriesInstanceUID not in (uid("patient", "study", "series"), "")
    assert (image.Modality, image.SeriesNumber, image.InstanceNumber) == ("SEG", 301, 1)
    assert (image.ContentDate, image.ContentTime) == ("20200401", "101112")
    assert (image.Manufacturer, image.SoftwareVersions) == ("The ctlung developers", __version__)
    assert image.ContentDescription == "For research use only. Not a medical device."
    assert image.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"


def test_pixels_are_of_one_bit_and_even_in_length(written: Path) -> None:
    image = dcmread(written)
    assert (image.BitsAllocated, image.BitsStored, image.HighBit) == (1, 1, 0)
    bits = image.Rows * image.Columns * image.NumberOfFrames
    assert len(image.PixelData) == (bits + 15) // 16 * 2


@pytest.mark.long
@pytest.mark.parametrize("enhanced", [False, True])
def test_dciodvfy_finds_no_error(tmp_path: Path, enhanced: bool) -> None:
    """Debian's dicom3tools; it knows one code scheme less than we write."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    tags = {
        "StudyID": "1",
        "StudyTime": "0915",
        "ReferringPhysicianName": "",
        "AccessionNumber": "",
    }
    store = Store(True, False, True, tilt_degrees=10, tags=tags)
    if enhanced:
        write_enhanced(tmp_path / "in" / "one.dcm", HU, store)
    else:
        write_series(tmp_path / "in", HU, store)
    result = marked(ctlung.read_scan(tmp_path / "in"))
    for path in ctlung.write_dicom(result, tmp_path / "in", tmp_path / "out", key=KEY):
        done = subprocess.run(
            [program, "-new", str(path)], capture_output=True, text=True, check=False, timeout=60
        )
        said = (done.stdout + done.stderr).splitlines()
        assert [line for line in said if line.startswith(("Error", "Abort"))] == []
        warned = [line for line in said if line.startswith("Warning")]
        assert [line for line in warned if not line.endswith("= <99CTLUNG>")] == []
        assert {"Segmentation", "Comprehensive3DSR"} & set(said)
